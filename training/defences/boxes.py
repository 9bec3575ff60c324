"""Rectangles in images, which cutout erases and CutMix exchanges."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def random_boxes(
    rng: np.random.Generator, heights: NDArray[np.int64], widths: NDArray[np.int64], height: int, width: int
) -> Tensor:
    """One rectangle a sample with its centre uniform over the pixels, clipped at the borders.

    Args:
        heights, widths: [B], sides in pixels before clipping.
        height, width: Of the images.

    Returns:
        [B, 1, height, width] bool, True inside.
    """
    spans = []
    for sides, length in ((heights, height), (widths, width)):
        start = rng.integers(0, length, size=len(sides)) - sides // 2
        pixel = np.arange(length)
        spans.append((pixel >= start[:, None]) & (pixel < (start + sides)[:, None]))
    rows, columns = spans
    return torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :])
