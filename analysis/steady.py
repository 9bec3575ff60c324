"""Steadier estimates of UD from several seeds, beside the authors' own, all of one form.

Every estimator takes the SAL tables [T, L] of clean and of poisoned runs and gives 1 for "as learnable as clean", less
for less learnable, more for more. They need not agree in size: ``ud_rank`` cannot exceed 2, ``ud_geometric`` has no
bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.distance import unlearnable_distance
from analysis.resampling import Estimate, bootstrap_mean
from analysis.seeds import SeedSummary, summarise_seeds
from analysis.threshold import check_runs, pooled_threshold

Table = NDArray[np.float64]


@dataclass(frozen=True)
class SteadyUd:
    """UD of one method over its seeds, by one estimator.

    Attributes:
        estimator: Its name in :data:`ESTIMATORS`.
        value: Mean over seeds; per_seed: one value per poisoned run.
        summary: Spread over seeds, with Student's t interval; bootstrap: the bootstrap interval of the same mean. Both
            hold the clean seeds fixed where these are pooled.
        threshold: β in nats where one serves all seeds, else None.
        paired: Whether each poisoned run was compared with the clean run of its seed.
    """

    estimator: str
    value: float
    per_seed: tuple[float, ...]
    summary: SeedSummary
    bootstrap: Estimate
    threshold: float | None
    paired: bool

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for one seed."""
        return self.summary.std

    @property
    def low(self) -> float | None:
        """Lower end of the bootstrap interval; None for one seed."""
        return self.bootstrap.low

    @property
    def high(self) -> float | None:
        """Upper end of the bootstrap interval; None for one seed."""
        return self.bootstrap.high


def ud_authors(
    clean: Sequence[ArrayLike], poisoned: Sequence[ArrayLike], *, paired: bool = True, seed: int = 0
) -> SteadyUd:
    """The authors' UD: k-means at every clean checkpoint, β from the clean run of the same seed, ratio of counts.

    Args:
        clean, poisoned: [T, L] SAL of each run; lengths may differ, blocks may not.
        paired: The i-th runs share a seed and are compared with each other. Otherwise every poisoned run is compared
            with every clean one, and the mean taken.
        seed: Of the bootstrap.

    Raises:
        ValueError: No run, different blocks, paired lists of unequal length, or a clean run without a learnable block.
    """
    one, many = _sides(clean, poisoned, paired)
    values = [
        float(np.mean([unlearnable_distance(c, p).value for c in partners]))
        for partners, p in zip(one, many, strict=True)
    ]
    return _arranged("authors", values, None, paired, seed)


def ud_log(
    clean: Sequence[ArrayLike],
    poisoned: Sequence[ArrayLike],
    *,
    paired: bool = True,
    seed: int = 0,
    reference: Sequence[ArrayLike] | None = None,
) -> SteadyUd:
    """UD with one β for all seeds and checkpoints: exact two-means on log SAL, pooled over the clean runs.

    A single β removes the jitter of thresholds between seeds, and the logarithm lets all blocks have a say in it.
    Arguments and errors as :func:`ud_authors`. ``reference``: clean runs to find β in, when not ``clean`` itself.
    """
    one, many = _sides(clean, poisoned, paired)
    beta = pooled_threshold(clean if reference is None else reference, rule="log-two-means")
    values = [_count_ratio(partners, p, beta) for partners, p in zip(one, many, strict=True)]
    return _arranged("log", values, beta, paired, seed)


def ud_rank(
    clean: Sequence[ArrayLike], poisoned: Sequence[ArrayLike], *, paired: bool = True, seed: int = 0
) -> SteadyUd:
    """Without a threshold: twice the probability that a block's SAL when poisoned exceeds the same block's when clean.

    For every block, the area under the curve (Mann–Whitney U, ties count half) over all pairs of a poisoned and a clean
    checkpoint; the mean over blocks, times 2, so that equal distributions give 1. The range is [0, 2]: how far the
    values lie apart does not matter once they no longer overlap. Arguments and errors as :func:`ud_authors`.
    """
    one, many = _sides(clean, poisoned, paired)
    values = [
        2 * float(np.mean(exceedance(np.concatenate(partners), p))) for partners, p in zip(one, many, strict=True)
    ]
    return _arranged("rank", values, None, paired, seed)


def ud_geometric(
    clean: Sequence[ArrayLike],
    poisoned: Sequence[ArrayLike],
    *,
    paired: bool = True,
    seed: int = 0,
    smallest: float | None = None,
) -> SteadyUd:
    """Without a threshold: the geometric mean over blocks and checkpoints of SAL, poisoned over clean.

    exp(mean over blocks of (mean over t of log SAL poisoned − mean over t of log SAL clean)): by what factor the
    typical block's SAL differs. It answers "how much flatter", not "how many learnable blocks", and is not in UD's
    units.

    Args:
        smallest: SAL below it, zeros above all, counts as this much (nats). Default: the smallest positive value of the
            clean runs, so that a block cannot fall below all that is seen in clean training.
    """
    one, many = _sides(clean, poisoned, paired)
    bottom = _smallest(clean) if smallest is None else float(smallest)
    if not (np.isfinite(bottom) and bottom > 0):
        raise ValueError(f"smallest must be a positive SAL in nats, not {smallest}.")

    def level(table: Table) -> NDArray[np.float64]:
        return np.asarray(np.log(np.maximum(table, bottom)).mean(axis=0))

    values = [
        float(np.exp(np.mean(level(p) - np.mean([level(c) for c in partners], axis=0))))
        for partners, p in zip(one, many, strict=True)
    ]
    return _arranged("geometric", values, None, paired, seed)


Estimator = Callable[..., SteadyUd]
ESTIMATORS: dict[str, Estimator] = {
    "authors": ud_authors,
    "log": ud_log,
    "rank": ud_rank,
    "geometric": ud_geometric,
}


def estimate_ud(
    clean: Sequence[ArrayLike],
    poisoned: Sequence[ArrayLike],
    *,
    estimator: str = "log",
    paired: bool = True,
    seed: int = 0,
) -> SteadyUd:
    """UD by a named estimator: ``authors``, ``log``, ``rank`` or ``geometric``."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, not {estimator!r}.")
    return ESTIMATORS[estimator](clean, poisoned, paired=paired, seed=seed)


def exceedance(clean: Table, poisoned: Table) -> NDArray[np.float64]:
    """P(poisoned > clean) + P(equal)/2 for every block [L], over all pairs of checkpoints of [T, L] and [T2, L]."""
    found = np.empty(clean.shape[1])
    for block in range(clean.shape[1]):
        ordered = np.sort(clean[:, block])
        below = np.searchsorted(ordered, poisoned[:, block], side="left")
        up_to = np.searchsorted(ordered, poisoned[:, block], side="right")
        found[block] = (below + up_to).mean() / (2 * len(ordered))
    return found


def _sides(
    clean: Sequence[ArrayLike], poisoned: Sequence[ArrayLike], paired: bool
) -> tuple[list[list[Table]], list[Table]]:
    """The clean runs that each poisoned run is compared with, and the poisoned runs."""
    left, right = check_runs(clean, "clean"), check_runs(poisoned, "poisoned")
    if left[0].shape[1] != right[0].shape[1]:
        raise ValueError(
            f"The clean runs have {left[0].shape[1]} blocks, the poisoned runs {right[0].shape[1]}; use one model."
        )
    if not paired:
        return [left] * len(right), right
    if len(left) != len(right):
        raise ValueError(
            f"Paired seeds need as many clean as poisoned runs, not {len(left)} and {len(right)}; pass paired=False."
        )
    return [[table] for table in left], right


def _count_ratio(clean: Sequence[Table], poisoned: Table, beta: float) -> float:
    """Mean learnable blocks per checkpoint, poisoned over clean; the clean mean weighs every run alike."""
    learnable = float(np.mean([(table > beta).sum(axis=1).mean() for table in clean]))
    if learnable == 0:
        raise ValueError(
            f"A clean run has no learnable block above the pooled threshold ({beta:.3g} nats), so UD is undefined; "
            "measure smaller blocks or more checkpoints."
        )
    return float((poisoned > beta).sum(axis=1).mean()) / learnable


def _smallest(clean: Sequence[ArrayLike]) -> float:
    values = np.concatenate([np.ravel(np.asarray(table, dtype=np.float64)) for table in clean])
    positive = values[values > 0]
    if positive.size == 0:
        raise ValueError("SAL of the clean runs is 0 everywhere, so a ratio to it is undefined.")
    return float(positive.min())


def _arranged(estimator: str, values: list[float], threshold: float | None, paired: bool, seed: int) -> SteadyUd:
    summary, interval = summarise_seeds(values), bootstrap_mean(values, seed=seed)
    return SteadyUd(estimator, summary.mean, tuple(values), summary, interval, threshold, paired)
