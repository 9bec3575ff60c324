"""What networks ask of their inputs."""

from __future__ import annotations


def image_shape(who: str, input_shape: tuple[int, ...], least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of images; refuses feature vectors and images below ``least`` pixels a side."""
    if len(input_shape) != 3 or min(input_shape[1:]) < least:
        size = f" of at least {least}×{least} pixels" if least > 1 else ""
        raise ValueError(f"{who} takes images{size}, not inputs of shape {list(input_shape)}.")
    channels, height, width = input_shape
    return channels, height, width
