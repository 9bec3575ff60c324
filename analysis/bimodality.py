"""Whether SAL values form two groups at all: what every threshold between two groups takes for granted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.dip import dip_p_value, dip_statistic
from analysis.splits import best_split, fit_mixture

ENOUGH = 20  # values; below, the dip test hardly ever rejects, whatever the values look like
SCALES = ("linear", "log")
LEVEL = 0.05
CLEARLY_APART = 2.0  # Ashman, Bird and Zepf 1994


@dataclass(frozen=True)
class Bimodality:
    """How far a list of values looks like two groups.

    Attributes:
        n: Values judged; left_out: zeros that have no logarithm (0 on the linear scale).
        scale: ``"linear"`` or ``"log"``.
        silhouette: Mean silhouette of the exact two-means split, in [−1, 1]. A split always exists, and one group cut
            in two still scores high: evenly spread values 0.63, a normal curve about 0.55. None where all values are
            equal.
        dip: Hartigan's dip, in [1/(2n), 1/4]; p_value: of the dip against evenly spread values.
        ashman_d: Distance of two fitted Gaussians in units of their spread; above 2 they are clearly apart. None where
            all values are equal.
    """

    n: int
    left_out: int
    scale: str
    silhouette: float | None
    dip: float
    p_value: float
    ashman_d: float | None

    @property
    def verdict(self) -> str:
        """What these figures allow to say, in plain words."""
        return bimodality_verdict(self)


def judge_bimodality(values: ArrayLike, *, scale: str = "log", draws: int = 1000, seed: int = 0) -> Bimodality:
    """Judge whether values form two groups.

    Args:
        values: SAL of any shape, taken as one list. Checkpoints of one run resemble each other, so that their values
            are not independent and p is too small: judge one checkpoint, or read p as a lower bound.
        scale: ``"log"`` (values of exactly 0 are left out and counted) or ``"linear"``.
        draws: Monte-Carlo samples for p; seed: of these.

    Raises:
        ValueError: Values that are not finite or negative, fewer than two, or an unknown scale.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be 'linear' or 'log', not {scale!r}.")
    listed = np.ravel(np.asarray(values, dtype=np.float64))
    if not np.isfinite(listed).all() or (scale == "log" and (listed < 0).any()):
        raise ValueError("Two groups can be sought only in finite values, on the log scale in values of 0 or more.")
    kept = np.log(listed[listed > 0]) if scale == "log" else listed
    if kept.size < 2:
        raise ValueError(f"At least two values are needed to seek two groups on the {scale} scale, not {kept.size}.")
    dip = dip_statistic(kept)
    equal = bool(np.all(kept == kept[0]))
    return Bimodality(
        n=int(kept.size),
        left_out=int(listed.size - kept.size),
        scale=scale,
        silhouette=None if equal else split_silhouette(kept),
        dip=dip,
        p_value=dip_p_value(dip, int(kept.size), draws=draws, seed=seed),
        ashman_d=None if equal else ashman_d(kept),
    )


def bimodality_verdict(found: Bimodality) -> str:
    """One phrase: the dip test decides, Ashman's D says how far apart the groups are."""
    if found.n < ENOUGH:
        return f"too few values to tell ({found.n}); β may cut a single group"
    if found.p_value >= LEVEL:
        return "no sign of two groups; β cuts a continuum"
    if found.ashman_d is not None and found.ashman_d > CLEARLY_APART:
        return "two groups, clearly apart"
    return "more than one group, but overlapping; counts near β are uncertain"


def split_silhouette(values: ArrayLike) -> float:
    """Mean silhouette (Rousseeuw 1987) of the exact two-means split of values [n], by sorting in O(n log n)."""
    ordered = np.sort(np.ravel(np.asarray(values, dtype=np.float64)))
    if ordered.size < 2 or ordered[0] == ordered[-1]:
        raise ValueError("A silhouette needs at least two different values.")
    k = best_split(ordered)
    groups = (ordered[:k], ordered[k:])
    scores = []
    for own, other in (groups, groups[::-1]):
        if own.size == 1:
            scores.append(np.zeros(1))  # by Rousseeuw's convention
            continue
        within = _distances(own, own) / (own.size - 1)
        across = _distances(own, other) / other.size
        scores.append((across - within) / np.maximum(np.maximum(within, across), np.finfo(float).tiny))
    return float(np.concatenate(scores).mean())


def _distances(points: NDArray[np.float64], ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of distances from each point to all of a sorted list."""
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    below = np.searchsorted(ordered, points, side="right")
    return np.asarray(points * (2 * below - ordered.size) + sums[-1] - 2 * sums[below])


def ashman_d(values: ArrayLike) -> float:
    """Ashman's D = ``√2·|μ₁ − μ₂| / √(σ₁² + σ₂²)`` of two fitted Gaussians (Ashman, Bird and Zepf 1994, Eq. 4)."""
    listed = np.ravel(np.asarray(values, dtype=np.float64))
    if listed.size < 2 or np.all(listed == listed[0]):
        raise ValueError("Ashman's D needs at least two different values.")
    _, means, variances = fit_mixture(listed)
    return float(np.sqrt(2) * abs(means[1] - means[0]) / np.sqrt(variances.sum()))
