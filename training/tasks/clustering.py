"""From an embedding of pixels to segments: greedy mean shift from a coarse grid of seeds, about a millisecond an image.

Two pixels count as one segment where the loss gives s > 1/2, that is where their squared distance is below ln 3. The
seed with the most free seeds that near begins a segment; its centre is their mean, shifted once; they are free no
longer; and so on until few are left. Every pixel then goes to the nearest centre. Nothing is drawn.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NEAR = math.log(3)  # squared distance at which 2/(1 + e^d) is 1/2
SIDE = 16  # seeds along each side
FEWEST = 2  # seeds that make a segment
MOST = 48  # segments


def segments_of(embedding: NDArray[np.float32]) -> NDArray[np.int64]:
    """Ids [H, W], 0 … n − 1, of an embedding [E, H, W]; all 0 where it is constant or not finite."""
    width, height, side = embedding.shape
    points = embedding.reshape(width, -1).T.astype(np.float32)
    if not np.isfinite(points).all():
        return np.zeros((height, side), np.int64)
    rows, columns = (np.unique(np.linspace(0, n - 1, min(SIDE, n)).round().astype(int)) for n in (height, side))
    seeds = points.reshape(height, side, width)[np.ix_(rows, columns)].reshape(-1, width)
    centres = np.stack(_centres(seeds))
    ids: NDArray[np.int64] = squared_distances(points, centres).argmin(axis=1).reshape(height, side)
    return ids


def _centres(seeds: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    near = squared_distances(seeds, seeds) < NEAR
    free = np.ones(len(seeds), bool)
    centres: list[NDArray[np.float32]] = []
    while free.any() and len(centres) < MOST:
        members = near[int(np.argmax(np.where(free, near @ free.astype(np.float32), -1)))] & free
        if members.sum() < FEWEST and centres:
            break
        around = squared_distances(seeds[members].mean(axis=0, keepdims=True), seeds)[0] < NEAR
        shifted = around & free if (around & free).any() else members
        centres.append(seeds[shifted].mean(axis=0))
        free &= ~(members | shifted)
    return centres


def squared_distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """[A, B] between points [A, E] and [B, E]."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * a @ b.T, 0))
