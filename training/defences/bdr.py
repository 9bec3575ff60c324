"""Bit-depth reduction: keep the highest bits of every pixel.

Xu, Evans and Qi, *Feature Squeezing* (NDSS 2018); against poisons in Liu, Zhao and Larson, *Image Shortcut Squeezing*
(ICML 2023), with 2 bits: the levels 0, 64, 128 and 192.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.levels import from_levels, to_levels
from training.defences.base import Defence, check_number, require_images


@dataclass(frozen=True)
class BitDepthReduction(Defence):
    """Clear all but the highest ``bits`` (1 to 7) of every 8-bit pixel."""

    bits: int = 2

    def __post_init__(self) -> None:
        check_number("The bits of bdr", self.bits, 1, 7, whole=True)

    @property
    def description(self) -> str:
        """The defence in words."""
        return f"bit depth reduced to {self.bits} bits"

    def prepare(self, inputs: NDArray[np.float32], targets: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
        """Images with 2^bits levels a channel."""
        require_images("bdr", inputs)
        return from_levels(to_levels(inputs) & np.uint8(0xFF << (8 - self.bits) & 0xFF))
