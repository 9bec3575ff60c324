"""Bootstrap intervals over few seeds, and over rows with seeds nested in them. Every draw has an explicit seed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

METHODS = ("percentile", "bca")
FEW = 8  # seeds; below, a bootstrap interval of the mean is clearly too narrow
RESAMPLES = 9999
EQUAL = "all seeds are equal; that does not prove no spread"


@dataclass(frozen=True)
class Estimate:
    """A number and its bootstrap interval.

    Attributes:
        value: Of the data as they are.
        low, high: Ends of the interval; None where nothing can be resampled.
        level: Coverage aimed at; method: ``"percentile"`` or ``"bca"``, as used; n: seeds, or rows of a correlation.
        note: What to bear in mind, in plain words; empty where nothing.
    """

    value: float
    low: float | None
    high: float | None
    level: float
    method: str
    n: int
    note: str = ""

    def excludes(self, value: float) -> bool:
        """Whether the interval exists and does not hold a value."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


def bootstrap_mean(
    values: Sequence[float],
    *,
    method: str = "bca",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean over seeds with its bootstrap interval.

    Few seeds have few resamples (10 different ones for three seeds), and the interval is then too narrow: three seeds
    of normal data are covered about three times in four instead of 95 in 100. The note says so; Student's t
    (:func:`analysis.summarise_seeds`) is the safer interval there. One seed has no interval.

    Args:
        values: One finite number per seed.
        method: ``"bca"`` (bias-corrected and accelerated, Efron 1987) or ``"percentile"``. BCa needs at least three
            different values; with fewer the percentile interval is given, and named.
        level: In (0, 1). resamples: At least 100. seed: Of the draws.
    """
    _check(method, level, resamples)
    sample = _sample(values, "values")
    value, n = float(sample.mean()), int(sample.size)
    if n == 1:
        return Estimate(value, None, None, level, method, 1, "one seed, no spread known")
    if np.all(sample == sample[0]):
        return Estimate(
            value, value, value, level, method, n, f"all {n} seeds are equal; that does not prove no spread"
        )
    if len(np.unique(sample)) < 3:
        method = "percentile"
    low, high = _interval((sample,), np.mean, method, level, resamples, seed)
    return Estimate(value, low, high, level, method, n, _few(n))


def bootstrap_difference(
    values: Sequence[float],
    control: Sequence[float],
    *,
    paired: bool = False,
    method: str = "bca",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of values minus mean of a control, with its bootstrap interval.

    Args:
        values, control: One finite number per seed. paired: Both lists are of the same seeds in the same order; the
            differences are resampled, and what a seed does to both sides cancels.
        method, level, resamples, seed: As in :func:`bootstrap_mean`.

    Raises:
        ValueError: Paired lists of unequal length, or what :func:`bootstrap_mean` refuses.
    """
    _check(method, level, resamples)
    a, b = _sample(values, "values"), _sample(control, "control")
    if paired:
        if a.size != b.size:
            raise ValueError(f"Paired seeds need lists of equal length, not {a.size} and {b.size}; pass paired=False.")
        return bootstrap_mean(list(a - b), method=method, level=level, resamples=resamples, seed=seed)
    value, n = float(a.mean() - b.mean()), int(min(a.size, b.size))
    if n == 1:
        return Estimate(value, None, None, level, method, 1, "one seed on a side, no spread known")
    if np.all(a == a[0]) and np.all(b == b[0]):
        return Estimate(value, value, value, level, method, n, EQUAL)
    if min(len(np.unique(a)), len(np.unique(b))) < 3:
        method = "percentile"
    low, high = _interval((a, b), _mean_difference, method, level, resamples, seed)
    return Estimate(value, low, high, level, method, n, _few(n))


def bootstrap_rank_correlation(
    x: Sequence[Sequence[float]],
    y: Sequence[Sequence[float]],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Spearman's rank correlation of row means, with the interval over rows and over the seeds nested in them.

    A resample draws rows with replacement and, in every drawn row, seeds with replacement (x and y of a seed stay
    together); the means over seeds are ranked. Resamples in which all x or all y are equal have no correlation and are
    left out; the note counts them. Fewer than four rows have no interval, for almost every resample repeats a row.

    Args:
        x, y: For each row (a method) one number per seed; the two lists of a row are of the same seeds in order.

    Raises:
        ValueError: Different shapes, fewer than two rows, or values that are not finite.
    """
    _check("percentile", level, resamples)
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"A rank correlation needs two lists of at least two rows, not {len(x)} and {len(y)}.")
    rows = []
    for number, (a, b) in enumerate(zip(x, y, strict=True)):
        pair = (_sample(a, f"x of row {number}"), _sample(b, f"y of row {number}"))
        if pair[0].size != pair[1].size:
            raise ValueError(f"Row {number} has {pair[0].size} seeds of x and {pair[1].size} of y; give both of each.")
        rows.append(np.stack(pair))
    value = _spearman(np.array([row.mean(axis=1) for row in rows]))
    n = len(rows)
    if n < 4 or not np.isfinite(value):
        why = "one side is constant, no correlation" if not np.isfinite(value) else f"{n} rows, too few for an interval"
        return Estimate(value, None, None, level, "percentile", n, why)
    generator = np.random.default_rng(seed)
    found = np.array([_spearman(_resampled(rows, generator)) for _ in range(resamples)])
    finite = found[np.isfinite(found)]
    notes = [f"{n} rows: the interval is rough"] if n < 10 else []
    if finite.size < found.size:
        notes.append(f"{found.size - finite.size} of {found.size} resamples had no correlation")
    if any(row.shape[1] == 1 for row in rows):
        notes.append("rows with one seed carry no spread of their own")
    low, high = np.percentile(finite, [50 * (1 - level), 50 * (1 + level)])
    return Estimate(value, float(low), float(high), level, "percentile", n, "; ".join(notes))


def _resampled(rows: Sequence[NDArray[np.float64]], generator: np.random.Generator) -> NDArray[np.float64]:
    means = []
    for i in generator.integers(len(rows), size=len(rows)):
        row = rows[i]
        means.append(row[:, generator.integers(row.shape[1], size=row.shape[1])].mean(axis=1))
    return np.array(means)


def _spearman(means: NDArray[np.float64]) -> float:
    """Spearman's correlation of two columns [n, 2]; NaN where one is constant."""
    if np.any(np.all(means == means[0], axis=0)):
        return float("nan")
    from scipy import stats  # takes half a second to import

    a, b = (stats.rankdata(column) for column in means.T)
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _mean_difference(a: NDArray[np.float64], b: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(a.mean(axis=axis) - b.mean(axis=axis))


def _interval(
    samples: tuple[NDArray[np.float64], ...],
    statistic: object,
    method: str,
    level: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            samples,
            statistic,
            n_resamples=resamples,
            confidence_level=level,
            method="BCa" if method == "bca" else "percentile",
            vectorized=True,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)


def _few(n: int) -> str:
    if n >= FEW:
        return ""
    return f"{n} seeds allow {comb(2 * n - 1, n)} different resamples: the interval is too narrow, Student's t is safer"


def _sample(values: ArrayLike, what: str) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"{what} must be a list of at least one finite number, one per seed.")
    return sample


def _check(method: str, level: float, resamples: int) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be 'percentile' or 'bca', not {method!r}.")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}.")
    if resamples < 100:
        raise ValueError(f"An interval needs at least 100 resamples, not {resamples}.")
