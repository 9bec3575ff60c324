"""Small data sets that several tests of this room share."""

from __future__ import annotations

import numpy as np

from training import Dataset
from training.data.dataset import make_dataset


def images(
    *,
    n: int = 60,
    shape: tuple[int, int, int] = (3, 6, 5),
    classes: int = 4,
    seed: int = 0,
    low: int = 0,
    high: int = 256,
) -> Dataset:
    """8-bit images [n, *shape] with grey levels in low … high − 1, and every class present."""
    rng = np.random.default_rng(seed)
    x = rng.integers(low, high, size=(n + 8, *shape), dtype=np.uint8)
    y = np.arange(n + 8) % classes
    return make_dataset("images", x[:n], y[:n], x[n:], y[n:], where="images")


def vectors(*, n: int = 80, features: int = 12, classes: int = 5, seed: int = 0) -> Dataset:
    """Gaussian feature vectors of different scales."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + 10, features)) * np.linspace(0.1, 20, features) + rng.normal(size=features)
    y = rng.permutation(np.arange(n + 10) % classes)
    return make_dataset("vectors", x[:n], y[:n], x[n:], y[n:], where="vectors")


def levels(x: np.ndarray) -> np.ndarray:
    """Grey levels of images in [0, 1], which must be exact."""
    whole = np.rint(x.astype(np.float64) * 255)
    assert np.array_equal((whole / 255).astype(np.float32), x)
    return whole.astype(np.int64)
