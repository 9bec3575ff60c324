"""Grayscale training images: the other half of Image Shortcut Squeezing.

Liu, Zhao and Larson, *Image Shortcut Squeezing* (ICML 2023). Luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B rounded
to 8 bits, repeated in all three channels. It removes shortcuts that differ between the colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.levels import from_levels, to_levels
from training.defences.base import Defence, require_images

_WEIGHTS = np.array([19595, 38470, 7471], dtype=np.int64)  # 0.299, 0.587 and 0.114 in 1/65536, as image codecs do


@dataclass(frozen=True)
class Grayscale(Defence):
    """Replace the three colours of every training image by their luma."""

    @property
    def description(self) -> str:
        """The defence in words."""
        return "grayscale"

    def prepare(self, inputs: NDArray[np.float32], targets: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
        """Images [N, 3, H, W] with three equal channels, in whole grey levels."""
        require_images("grayscale", inputs)
        if inputs.shape[1] == 1:
            raise ValueError("grayscale would change nothing, for these images are grey already; leave it out.")
        require_images("grayscale", inputs, (3,))
        grey = np.empty((len(inputs), 1, *inputs.shape[2:]), np.uint8)
        for i, image in enumerate(to_levels(inputs)):
            grey[i, 0] = (np.tensordot(_WEIGHTS, image.astype(np.int64), 1) + (1 << 15)) >> 16
        return from_levels(np.repeat(grey, 3, axis=1))
