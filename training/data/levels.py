"""Grey levels: images in [0, 1] as whole numbers of 1/255, and back to the very same bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_VALUES = (np.arange(256) / 255.0).astype(np.float32)


def to_levels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clip to [0, 1] and round half up to 8 bits; same shape."""
    levels: NDArray[np.uint8] = np.floor(np.clip(images, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return levels


def from_levels(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The float32 values of 8-bit images, as every data set here holds them."""
    values: NDArray[np.float32] = _VALUES[levels]
    return values
