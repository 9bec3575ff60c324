"""How computed inputs become inputs of a data set again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset


def settle(moved: NDArray[np.float64], dataset: Dataset) -> NDArray[np.float32]:
    """Inputs [n, …] in the data set's form: images clipped to [0, 1], 8-bit ones rounded half up.

    Rounding half up, not truncating, keeps a budget in whole grey levels exact.
    """
    if dataset.kind == "image":
        moved = np.clip(moved, 0.0, 1.0)
        if dataset.eight_bit:
            moved = np.floor(moved * 255.0 + 0.5) / 255.0
    return moved.astype(np.float32)
