"""The learnable threshold β (Ye, Su and Qian 2025, Definition 2)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

RULES = ("kmeans", "two-means")


def learnable_threshold(sal_clean: ArrayLike, *, rule: str = "kmeans") -> float:
    """β in nats: per checkpoint of the clean run the midpoint between two groups of blocks, averaged over checkpoints.

    Args:
        sal_clean: [T, L] SAL of L blocks at T checkpoints of the clean run.
        rule: ``"kmeans"``: scikit-learn's KMeans with one seeded start, as the authors call it, which can miss the best
            split; ``"two-means"``: the split of least squared error, found exactly by sorting.

    Raises:
        ValueError: One block only, no checkpoint, or values that are not finite.
    """
    return float(np.mean(threshold_midpoints(sal_clean, rule=rule)))


def threshold_midpoints(sal_clean: ArrayLike, *, rule: str = "kmeans") -> NDArray[np.float64]:
    """The midpoint of each checkpoint [T]; where all blocks are equal, that value."""
    if rule not in RULES:
        raise ValueError(f"rule must be 'kmeans' or 'two-means', not {rule!r}.")
    table = check_table(sal_clean, "clean")
    if table.shape[1] < 2:
        raise ValueError(
            "With one block there are no two groups to tell apart; measure SAL with blocks='unit' or 'parameter'."
        )
    find = _kmeans if rule == "kmeans" else _two_means
    return np.array([row[0] if np.all(row == row[0]) else find(row) for row in table])


def check_table(sal: ArrayLike, what: str) -> NDArray[np.float64]:
    """A [T, L] table of finite SAL values, or a ValueError naming the side it is of."""
    table = np.asarray(sal, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(
            f"SAL of the {what} run must be a table [checkpoints, blocks] with entries, not {table.shape}."
        )
    if not np.isfinite(table).all():
        t, block = (int(i) for i in np.argwhere(~np.isfinite(table))[0])
        raise ValueError(
            f"SAL of the {what} run is not finite at checkpoint {t}, block {block}: the loss diverged there; leave "
            "that checkpoint out or lower epsilon."
        )
    return table


def _kmeans(values: NDArray[np.float64]) -> float:
    from sklearn.cluster import KMeans  # takes most of a second to import
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(n_clusters=2, random_state=0, n_init="auto").fit(values.reshape(-1, 1))
    return float(found.cluster_centers_.mean())


def _two_means(values: NDArray[np.float64]) -> float:
    """Midpoint of the two means of the split with the least squared error."""
    ordered = np.sort(values)
    n = np.arange(1, len(ordered))
    sums, squares = np.cumsum(ordered), np.cumsum(ordered**2)
    left = squares[:-1] - sums[:-1] ** 2 / n
    right = (squares[-1] - squares[:-1]) - (sums[-1] - sums[:-1]) ** 2 / (len(ordered) - n)
    k = int(np.argmin(left + right)) + 1
    return float((ordered[:k].mean() + ordered[k:].mean()) / 2)
