"""Spread over seeds, and what a UD may be called in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class SeedSummary:
    """UD over seeds.

    Attributes:
        mean: Over seeds; std: sample standard deviation (n − 1), None for one seed; n: number of seeds.
        low, high: 95 % interval of the mean from Student's t; None for one seed.
    """

    mean: float
    std: float | None
    n: int
    low: float | None
    high: float | None


def summarise_seeds(values: Sequence[float]) -> SeedSummary:
    """Mean, standard deviation and 95 % interval of the mean over seeds (Student's t: seeds are few)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError("A summary over seeds needs at least one finite value.")
    mean, n = float(array.mean()), int(array.size)
    if n == 1:
        return SeedSummary(mean, None, 1, None, None)
    from scipy import stats  # takes half a second to import

    std = float(array.std(ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * std / np.sqrt(n)
    return SeedSummary(mean, std, n, mean - half, mean + half)


def verdict(summary: SeedSummary) -> str:
    """What the spread allows to say, in plain words.

    One run alone decides nothing. With several, UD is told apart from clean only when its interval excludes 1.
    """
    if summary.n < 2 or summary.low is None or summary.high is None:
        direction = "looks less learnable" if summary.mean < 1 else "seems to learn, but wrongly (adversarial)"
        near = abs(summary.mean - 1) <= 0.35  # spread of clean against clean over seeds, a third and more
        words = "not told apart from clean" if near else direction
        return f"{words}; one run, no spread known"
    if summary.low <= 1 <= summary.high:
        return "not told apart from clean"
    return "less learnable" if summary.high < 1 else "learns, but wrongly (adversarial)"


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of two equally long lists; NaN where one of them is constant."""
    x, y = np.ravel(np.asarray(a, dtype=np.float64)), np.ravel(np.asarray(b, dtype=np.float64))
    if x.shape != y.shape or x.size < 2:
        raise ValueError(f"Two lists of equal length of at least 2 are needed, not {x.size} and {y.size}.")
    if np.all(x == x[0]) or np.all(y == y[0]):
        return float("nan")
    from scipy import stats  # takes half a second to import

    return float(stats.spearmanr(x, y).statistic)
