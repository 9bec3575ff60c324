"""JPEG compression of the training images: the strong half of Image Shortcut Squeezing.

Liu, Zhao and Larson, *Image Shortcut Squeezing: Countering Perturbative Availability Poisons with Compression* (ICML
2023): quality 10, with the encoder's usual 4:2:0 subsampling of colour. It removes high-frequency shortcuts.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.levels import from_levels, to_levels
from training.defences.base import Defence, check_number, require_images


@dataclass(frozen=True)
class Jpeg(Defence):
    """Encode every 8-bit training image at ``quality`` (1 to 95) and decode it again."""

    quality: int = 10

    def __post_init__(self) -> None:
        check_number("The quality of JPEG", self.quality, 1, 95, whole=True)

    @property
    def description(self) -> str:
        """The defence in words."""
        return f"JPEG of quality {self.quality}"

    def prepare(self, inputs: NDArray[np.float32], targets: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
        """Images of 1 or 3 channels as the decoder gives them, in whole grey levels."""
        require_images("jpeg", inputs, (1, 3))
        levels = np.ascontiguousarray(to_levels(inputs).transpose(0, 2, 3, 1))
        decoded = np.stack([self._through_file(image) for image in levels])
        return from_levels(np.ascontiguousarray(decoded.transpose(0, 3, 1, 2)))

    def _through_file(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One image [H, W, C] through an encoded file."""
        from PIL import Image

        file = io.BytesIO()
        grey = image.shape[2] == 1
        Image.fromarray(image[..., 0] if grey else image).save(file, "JPEG", quality=self.quality)
        with Image.open(file) as decoded:
            return np.asarray(decoded).reshape(image.shape)
