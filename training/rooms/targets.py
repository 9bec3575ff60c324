"""What Taskonomy stores beside an image: depth, key points and segments, in its own units."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIGMAS = (1.0, 2.0, 3.0, 4.0)  # pixels
KEYPOINT_SCALE = 72_000.0  # so that a few pixels in a hundred exceed the value at which readers clip
DEPTH_UNITS = 512  # per metre
MISSING = 65535
IDS = 256


def stored_depth(distance: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Euclidean distance from the camera [S, S] in 1/512 m, 65535 where there is none."""
    units = np.minimum(np.floor(distance * DEPTH_UNITS + 0.5), MISSING - 1)
    return np.where(missing, MISSING, units).astype(np.uint16)


def keypoints(grey: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Strength of blobs and corners of an 8-bit image [S, S].

    The largest determinant of the Hessian over several scales, each normalised by its scale (Lindeberg, International
    Journal of Computer Vision 30(2), 1998), as SURF has it (Bay et al., ECCV 2006); 0 where it is negative.
    """
    image = grey / 255.0
    smooth, slope, bend = _operators(image.shape[0])
    rows = np.stack([smooth, slope, bend]) @ image  # derivatives down the rows [3, sigmas, S, S]
    turned = [operator.transpose(0, 2, 1) for operator in (smooth, slope, bend)]
    determinant = (rows[2] @ turned[0]) * (rows[0] @ turned[2]) - (rows[1] @ turned[1]) ** 2
    strength = (determinant * np.array(SIGMAS)[:, None, None] ** 4).max(0)
    stored: NDArray[np.uint16] = np.clip(np.floor(strength * KEYPOINT_SCALE + 0.5), 0, 65535).astype(np.uint16)
    return stored


@lru_cache(maxsize=8)
def _operators(size: int) -> tuple[NDArray[np.float64], ...]:
    """Gaussian smoothing, first and second derivative for every sigma as matrices, each [sigmas, size, size]."""
    from scipy.ndimage import gaussian_filter1d

    unit = np.eye(size)
    return tuple(np.stack([gaussian_filter1d(unit, s, axis=0, order=order) for s in SIGMAS]) for order in range(3))


def segments(surface: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Connected parts of visible surfaces [S, S], numbered at random in 0 … 255.

    Beyond 256 parts the smallest share a number.
    """
    parts = connected(surface)
    count = int(parts.max()) + 1
    by_size = np.argsort(-np.bincount(parts.ravel()), kind="stable")
    rank = np.empty(count, np.int64)
    rank[by_size] = np.minimum(np.arange(count), IDS - 1)
    return rng.permutation(IDS).astype(np.uint8)[rank[parts]]


def connected(surface: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the connected parts of equal value [S, S] from 0; neighbours share an edge.

    Pixels become every second cell of a finer grid, with a cell between two neighbours that is set where they are
    equal, so that one pass of labelling does it.
    """
    from scipy.ndimage import label

    rows, columns = surface.shape
    cells = np.zeros((2 * rows - 1, 2 * columns - 1), np.uint8)
    cells[::2, ::2] = 1
    cells[1::2, ::2] = surface[1:] == surface[:-1]
    cells[::2, 1::2] = surface[:, 1:] == surface[:, :-1]
    parts: NDArray[np.int64] = label(cells)[0][::2, ::2].astype(np.int64) - 1
    return parts
