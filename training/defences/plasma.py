"""Plasma: fractal maps by the diamond-square algorithm.

Fournier, Fussell and Carpenter, *Computer Rendering of Stochastic Models* (Communications of the ACM, 1982); as
an augmentation Nicolaou, Christlein, Riba, Shi, Vogeler and Seuret, *TorMentor* (CVPR Workshops 2022).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def plasma(
    rng: np.random.Generator, roughness: NDArray[np.float64], channels: int, height: int, width: int
) -> NDArray[np.float32]:
    """Fractal maps [B, channels, height, width], each stretched to [0, 1].

    A square of four random corners is refined until it covers the image: each new point is the mean of its neighbours
    plus noise in ±1/2, times a scale that starts at 1 and is multiplied by ``roughness`` [B] at each level.
    """
    lead = (len(roughness), channels)
    points = rng.random((*lead, 2, 2), dtype=np.float32)
    rough = roughness.astype(np.float32)[:, None, None, None]
    scale = np.ones_like(rough)

    def noise(like: NDArray[np.float32]) -> NDArray[np.float32]:
        return scale * (rng.random(like.shape, dtype=np.float32) - np.float32(0.5))

    while points.shape[-1] < max(height, width):
        corners = points[..., :-1, :-1] + points[..., :-1, 1:] + points[..., 1:, :-1] + points[..., 1:, 1:]
        middle = (corners / np.float32(4)).astype(np.float32)
        middle += noise(middle)
        across = _edges(points, middle)
        down = _edges(points.swapaxes(-1, -2), middle.swapaxes(-1, -2)).swapaxes(-1, -2)
        side = 2 * points.shape[-1] - 1
        finer = np.empty((*lead, side, side), np.float32)
        finer[..., ::2, ::2], finer[..., 1::2, 1::2] = points, middle
        finer[..., ::2, 1::2], finer[..., 1::2, ::2] = across + noise(across), down + noise(down)
        points, scale = finer, scale * rough
    points = points[..., :height, :width]
    low, high = points.min(axis=(-1, -2), keepdims=True), points.max(axis=(-1, -2), keepdims=True)
    stretched: NDArray[np.float32] = (points - low) / np.maximum(high - low, np.float32(1e-6))
    return stretched


def _edges(points: NDArray[np.float32], middle: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means at the middles of horizontal edges: of two corners and the one or two square centres beside them."""
    total = points[..., :, :-1] + points[..., :, 1:]
    total[..., 1:, :] += middle
    total[..., :-1, :] += middle
    neighbours = np.full((points.shape[-2], 1), 4, np.float32)
    neighbours[[0, -1]] = 3
    means: NDArray[np.float32] = total / neighbours
    return means
