"""Hartigan's dip: how far a sample is from every distribution with a single mode."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

MONTE_CARLO = 300  # values; larger samples are compared by √n · dip, whose law hardly changes from there on


def dip_statistic(values: ArrayLike) -> float:
    """The dip of values [n]: the largest distance of their distribution function to the nearest unimodal one.

    Source: Hartigan and Hartigan, *The Dip Test of Unimodality*, Annals of Statistics 13, 1985. A modal interval is
    narrowed from the whole range: left of it the nearest function is the greatest convex minorant, right of it the
    least concave majorant; the dip is half the largest distance between these and the steps. It is at least 1/(2n),
    except where all values are equal: a single point has one mode, and the dip is 0.
    """
    ordered = np.sort(np.ravel(np.asarray(values, dtype=np.float64)))
    n = ordered.size
    if n == 0 or not np.isfinite(ordered).all():
        raise ValueError("The dip needs at least one value, and finite values only.")
    points, counts = np.unique(ordered, return_counts=True)
    after = np.cumsum(counts).astype(np.float64)  # steps of the distribution function, in values
    before = after - counts
    if len(points) == 1:
        return 0.0
    low, high, widest = 0, len(points) - 1, 1.0
    while low < high:
        minorant = _hull(points, before, low, high)
        majorant = _hull(points, -after, low, high)
        lower = np.interp(points, points[minorant], before[minorant])
        upper = np.interp(points, points[majorant], after[majorant])
        corners = np.union1d(minorant, majorant)
        gaps = upper[corners] - lower[corners]
        k = int(np.argmax(gaps))
        if gaps[k] <= widest:
            break
        corner = int(corners[k])
        left = int(minorant[minorant <= corner].max())
        right = int(majorant[majorant >= corner].min())
        if corner in minorant:
            left = corner
        # Equal values at an end of the modal interval may all belong to the mode, so that end is not counted.
        widest = max(
            widest,
            float(np.max(after[low:left] - lower[low:left], initial=0)),
            float(np.max(upper[right + 1 : high + 1] - before[right + 1 : high + 1], initial=0)),
        )
        if (left, right) == (low, high):
            break
        low, high = left, right
    return float(widest / (2 * n))


def _hull(points: NDArray[np.float64], heights: NDArray[np.float64], low: int, high: int) -> NDArray[np.int64]:
    """Indices of the corners of the greatest convex minorant of heights over points[low..high]."""
    corners: list[int] = []
    for i in range(low, high + 1):
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            if (heights[b] - heights[a]) * (points[i] - points[b]) < (heights[i] - heights[b]) * (
                points[b] - points[a]
            ):
                break
            corners.pop()
        corners.append(i)
    return np.array(corners)


def dip_p_value(dip: float, n: int, *, draws: int = 1000, seed: int = 0) -> float:
    """Share of samples of n evenly spread values whose dip is at least this one, by Monte Carlo.

    The evenly spread distribution is the unimodal one with the largest dip, so that the test is conservative. Above 300
    values √n · dip is compared instead. The share counts the observed sample too and is never below 1/(draws + 1).
    """
    if n < 1 or draws < 1:
        raise ValueError(f"The dip's p-value needs values and draws, not n = {n} and draws = {draws}.")
    size = min(n, MONTE_CARLO)
    chance = _null_dips(size, draws, seed)
    scaled = dip * np.sqrt(n / size)
    return float((1 + np.sum(chance >= scaled - 1e-12)) / (draws + 1))


@lru_cache(maxsize=64)
def _null_dips(n: int, draws: int, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return np.array([dip_statistic(generator.random(n)) for _ in range(draws)])
