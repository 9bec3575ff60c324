"""Real handwritten digits that ship with scikit-learn: the embedded default for images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, DatasetError


def load_digits(*, size: int = 28, seed: int = 0) -> Dataset:
    """1,797 digits of 8×8 (UCI optical recognition), enlarged bilinearly to ``size``×``size``, 80 % for training.

    Pixels are rounded to 8 bits, so that budgets in 1/255 are exact.
    """
    if not isinstance(size, int) or not 1 <= size <= 512:
        raise DatasetError(f"The size of the digits must be a whole number from 1 to 512 pixels, not {size!r}.")
    from sklearn import datasets  # takes most of a second to import
    from sklearn.model_selection import train_test_split

    bunch = datasets.load_digits()
    large = enlarge(bunch.images.astype(np.float32) / np.float32(16), size)[:, None]
    x = (np.floor(large * np.float32(255) + np.float32(0.5)) / np.float32(255)).astype(np.float32)
    y = bunch.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    return Dataset("digits", x_train, y_train, x_test, y_test, 10, "image", eight_bit=True)


def enlarge(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Bilinear enlargement with half-pixel centres, [N, S, S] to [N, size, size].

    Two thousand pixels of the digits lie exactly between two grey levels. A library's kernel settles such ties by the
    instructions of the machine, and the fingerprint would follow it; here every rounding is written out, in the order
    of PyTorch's kernel with fused multiply-add.
    """
    n, side = len(images), images.shape[-1]
    scale = np.float64(np.float32(side / size))
    position = np.maximum(scale * (np.arange(size) + 0.5) - 0.5, 0.0).astype(np.float32)
    low = np.minimum(position.astype(np.int64), side - 1)
    high = np.minimum(low + 1, side - 1)
    upper = position - low.astype(np.float32)
    lower = np.float32(1) - upper
    large = np.zeros((n, size, size), np.float32)
    for rows, columns, row_weight, column_weight in (
        (low, high, lower, upper),
        (low, low, lower, lower),
        (high, low, upper, lower),
        (high, high, upper, upper),
    ):
        weight = np.outer(row_weight, column_weight)  # rounded to float32, as each partial sum is
        corner = images[:, rows[:, None], columns].astype(np.float64)
        large = (corner * weight.astype(np.float64) + large).astype(np.float32)
    return large
