"""Small images with dense targets: rectangles of one colour, depth and id on a background whose shade is the class."""

from __future__ import annotations

import numpy as np

from training.data.dense import DenseTargets


def dense_images(
    *, n: int = 12, size: int = 16, classes: int = 3, missing: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, DenseTargets]:
    """Images [n, 3, size, size] in steps of 1/255, labels [n], and their targets; every class is present."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % classes).astype(np.int64)
    images = np.empty((n, 3, size, size))
    depth, ids = np.empty((n, size, size)), np.zeros((n, size, size), np.int16)
    keypoints = np.zeros((n, size, size))
    for i, label in enumerate(labels):
        images[i] = 40 + 120 * label / classes + rng.integers(0, 20)
        depth[i] = rng.uniform(3, 6) + 0.1 * np.arange(size)[:, None]
        for k in range(3):
            top, left = rng.integers(0, size - 6, size=2)
            box = slice(top, top + 6), slice(left, left + 6)
            images[(i, slice(None), *box)] = rng.integers(20, 235, size=(3, 1, 1))
            depth[(i, *box)], ids[(i, *box)] = rng.uniform(1, 3), 40 * (k + 1)
            keypoints[i, top, left] = rng.uniform(0.5, 1)
    depth[rng.random(depth.shape) < missing] = np.nan
    images = (np.rint(images) / 255).astype(np.float32)
    names = tuple(f"point_{i}_view_0" for i in range(n))
    dense = DenseTargets(
        keypoints.astype(np.float32), depth.astype(np.float32), ids, tuple(f"b{i % 2}" for i in range(n)), names
    )
    return images, labels, dense
