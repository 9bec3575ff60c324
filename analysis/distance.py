"""The Unlearnable Distance (Ye, Su and Qian 2025, Definition 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.threshold import check_table, threshold_midpoints


@dataclass(frozen=True, eq=False)
class UnlearnableDistance:
    """UD of one poisoned run against one clean run.

    Attributes:
        value: Mean learnable blocks per checkpoint, poisoned divided by clean.
        learnable_clean, learnable_poisoned: These means.
        threshold: β, in nats.
        counts_clean, counts_poisoned: Learnable blocks at each checkpoint, [T] and [T2].
        value_by_parameters: The same ratio with each block counted by its scalars; None without ``sizes``, or where
            the clean count is 0.
        thresholds: Midpoint of each clean checkpoint [T]; empty where β was given.
    """

    value: float
    learnable_clean: float
    learnable_poisoned: float
    threshold: float
    counts_clean: NDArray[np.int64]
    counts_poisoned: NDArray[np.int64]
    value_by_parameters: float | None
    thresholds: NDArray[np.float64]


def unlearnable_distance(
    sal_clean: ArrayLike,
    sal_poisoned: ArrayLike,
    *,
    threshold: float | None = None,
    sizes: ArrayLike | None = None,
    rule: str = "kmeans",
    thresholds: ArrayLike | None = None,
) -> UnlearnableDistance:
    """UD: how many blocks stay learnable (SAL above β) in the poisoned run, relative to the clean one.

    Args:
        sal_clean: [T, L] SAL of the clean run; sal_poisoned: [T2, L] of the poisoned run, of the same blocks.
        threshold: β; found from the clean run by :func:`analysis.learnable_threshold` when not given.
        sizes: [L] scalars per block, for the count weighted by parameters.
        rule: How β is found.
        thresholds: [T] what :func:`analysis.threshold_midpoints` gives for the clean run by that rule, where that is
            known already; β is their mean.

    Raises:
        ValueError: Different blocks, values that are not finite, or no learnable block in the clean run; thresholds
            that are not one number a checkpoint, or beside a threshold.
    """
    clean, poisoned = check_table(sal_clean, "clean"), check_table(sal_poisoned, "poisoned")
    if clean.shape[1] != poisoned.shape[1]:
        raise ValueError(
            f"The clean run has {clean.shape[1]} blocks, the poisoned run {poisoned.shape[1]}; use one model."
        )
    if thresholds is not None:
        midpoints = np.asarray(thresholds, dtype=np.float64)
        if threshold is not None or midpoints.shape != clean.shape[:1]:
            raise ValueError(
                f"thresholds must hold one number for each of the {len(clean)} clean checkpoints, without a threshold."
            )
    else:
        midpoints = threshold_midpoints(clean, rule=rule) if threshold is None else np.empty(0)
    beta = float(midpoints.mean()) if threshold is None else float(threshold)
    if not np.isfinite(beta):
        raise ValueError(f"The threshold must be a finite number, not {threshold}.")
    above_clean, above_poisoned = clean > beta, poisoned > beta
    counts_clean, counts_poisoned = above_clean.sum(axis=1), above_poisoned.sum(axis=1)
    mean_clean, mean_poisoned = float(counts_clean.mean()), float(counts_poisoned.mean())
    if mean_clean == 0:
        raise ValueError(
            f"No block of the clean run is learnable (SAL above {beta:.3g}), so UD is undefined; measure smaller "
            "blocks or another threshold."
        )
    by_parameters = None
    if sizes is not None:
        weights = np.asarray(sizes, dtype=np.float64)
        if weights.shape != (clean.shape[1],):
            raise ValueError(f"sizes must hold one number for each of the {clean.shape[1]} blocks.")
        total = float((above_clean @ weights).mean())
        by_parameters = float((above_poisoned @ weights).mean()) / total if total > 0 else None
    return UnlearnableDistance(
        mean_poisoned / mean_clean,
        mean_clean,
        mean_poisoned,
        beta,
        counts_clean,
        counts_poisoned,
        by_parameters,
        midpoints,
    )
