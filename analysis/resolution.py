"""What an estimator of UD can resolve: its floor, its power, and the estimators side by side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.seeds import rank_correlation
from analysis.steady import ESTIMATORS, SteadyUd, estimate_ud, ud_log
from analysis.threshold import check_runs

LEAST = 0.01  # UD below counts as this on the log scale, where 0 has no place
INTERVALS = ("t", "bootstrap")


@dataclass(frozen=True)
class Floor:
    """UD of clean against clean with another seed: differences below this are not resolved.

    Attributes:
        estimator: Its name; pairs: (clean seed, seed in the poisoned one's place) as positions in the list.
        values: UD of every ordered pair. They are not independent: n seeds make n(n − 1) pairs.
        low, high: 2.5 and 97.5 % quantiles of the values; of few seeds, hardly more than their extremes.
        log_std: Root mean square of log UD: a typical factor between equal data sets is exp(log_std).
        n: Clean seeds.
    """

    estimator: str
    pairs: tuple[tuple[int, int], ...]
    values: tuple[float, ...]
    low: float
    high: float
    log_std: float
    n: int

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest of the values."""
        return min(self.values), max(self.values)


def floor(clean: Sequence[ArrayLike], *, estimator: str = "authors") -> Floor:
    """Apply an estimator to every ordered pair of clean runs with different seeds, one in the poisoned one's place.

    A pooled threshold is found without the run that stands in the poisoned one's place (leave one out), as it would be
    for a real poisoned run. Real comparisons pair runs of one seed, which start alike; the floor cannot, and is
    therefore rather too high than too low.

    Raises:
        ValueError: Fewer than two clean runs, or what the estimator refuses.
    """
    runs = check_runs(clean, "clean")
    if len(runs) < 2:
        raise ValueError("A floor compares clean runs of different seeds; train at least two, better four.")
    pairs = tuple(itertools.permutations(range(len(runs)), 2))
    values = []
    for i, j in pairs:
        if estimator == "log":
            others = [run for k, run in enumerate(runs) if k != j]
            values.append(ud_log([runs[i]], [runs[j]], reference=others).value)
        else:
            values.append(estimate_ud([runs[i]], [runs[j]], estimator=estimator).value)
    low, high = (float(v) for v in np.percentile(values, [2.5, 97.5]))
    spread = float(np.sqrt(np.mean(_log(values) ** 2)))
    return Floor(estimator, pairs, tuple(values), low, high, spread, len(runs))


@dataclass(frozen=True)
class Power:
    """How much a set of intervals tells apart.

    Attributes:
        from_clean: Methods whose interval excludes 1.
        apart: Pairs of methods whose intervals do not overlap, a strict criterion.
        methods, pairs: How many there are of either; unknown: methods without an interval (one seed).
    """

    from_clean: tuple[str, ...]
    apart: tuple[tuple[str, str], ...]
    methods: int
    pairs: int
    unknown: tuple[str, ...]


def power(estimates: Mapping[str, SteadyUd], *, interval: str = "t") -> Power:
    """Count what the intervals tell apart from clean and from each other.

    Args:
        estimates: {method: estimate}. interval: ``"t"`` (Student's t, holds its level with few seeds) or
            ``"bootstrap"``.
    """
    if interval not in INTERVALS:
        raise ValueError(f"interval must be 't' or 'bootstrap', not {interval!r}.")
    ends = {}
    for name, one in estimates.items():
        source = one.summary if interval == "t" else one.bootstrap
        if source.low is not None and source.high is not None:
            ends[name] = (source.low, source.high)
    from_clean = tuple(name for name, (low, high) in ends.items() if not low <= 1 <= high)
    apart = tuple(
        (a, b) for a, b in itertools.combinations(ends, 2) if ends[a][1] < ends[b][0] or ends[b][1] < ends[a][0]
    )
    n = len(estimates)
    return Power(from_clean, apart, n, n * (n - 1) // 2, tuple(name for name in estimates if name not in ends))


@dataclass(frozen=True)
class EstimatorRow:
    """One estimator on one set of runs. All on the log scale, so that estimators of different range can be compared.

    Attributes:
        estimator: Its name; estimates: {method: SteadyUd}; floor: of clean against clean; power: what is told apart.
        spread: Root mean square over methods of the standard deviation of log UD over seeds; None with one seed.
        separation: ``|log of its mean UD| / log_std`` of the floor by method; above 2, a single run is told from clean.
            Infinite where the floor is exactly 0.
        agreement: Spearman's correlation of the methods' mean UD with the authors' estimator; NaN with one method.
    """

    estimator: str
    estimates: Mapping[str, SteadyUd]
    floor: Floor
    power: Power
    spread: float | None
    separation: Mapping[str, float]
    agreement: float


def compare_estimators(
    clean: Sequence[ArrayLike],
    poisoned: Mapping[str, Sequence[ArrayLike]],
    *,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    paired: bool = True,
    seed: int = 0,
) -> tuple[EstimatorRow, ...]:
    """Every estimator's floor, spread, separation of methods from clean, and agreement with the authors' order.

    Args:
        clean: [T, L] of at least two clean seeds; poisoned: {method: [T, L] of its seeds}, controls included.
        estimators: Names from :data:`analysis.steady.ESTIMATORS`. paired: As in :func:`analysis.steady.ud_authors`.

    Raises:
        ValueError: No method, fewer than two clean runs, or what an estimator refuses.
    """
    if not poisoned:
        raise ValueError("There is no method to compare estimators on; pass at least one with its SAL tables.")
    known = {name: estimate_ud(clean, runs, estimator="authors", paired=paired) for name, runs in poisoned.items()}
    authors = [one.value for one in known.values()]
    rows = []
    for estimator in estimators:
        estimates = {
            name: estimate_ud(clean, runs, estimator=estimator, paired=paired, seed=seed)
            for name, runs in poisoned.items()
        }
        means = [one.value for one in estimates.values()]
        low = floor(clean, estimator=estimator)
        stds = [float(np.std(_log(one.per_seed), ddof=1)) for one in estimates.values() if len(one.per_seed) > 1]
        rows.append(
            EstimatorRow(
                estimator,
                estimates,
                low,
                power(estimates),
                float(np.sqrt(np.mean(np.square(stds)))) if stds else None,
                {name: _separation(one.value, low.log_std) for name, one in estimates.items()},
                rank_correlation(means, authors) if len(means) > 1 else float("nan"),
            )
        )
    return tuple(rows)


def _separation(value: float, log_std: float) -> float:
    distance = abs(float(_log([value])[0]))
    if log_std == 0:
        return 0.0 if distance == 0 else float("inf")
    return distance / log_std


def _log(values: Sequence[float]) -> np.ndarray:
    return np.log(np.maximum(np.asarray(values, dtype=np.float64), LEAST))
