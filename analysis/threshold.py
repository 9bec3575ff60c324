"""The learnable threshold β (Ye, Su and Qian 2025, Definition 2), and other rules to find one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis import splits

SINGLE_RULES = ("kmeans", "two-means", "otsu", "gaussian-mixture", "percentile", "log-two-means")
POOLED = "pooled-"
RULES = (*SINGLE_RULES, *(POOLED + rule for rule in SINGLE_RULES))


def learnable_threshold(sal_clean: ArrayLike, *, rule: str = "kmeans", percentile: float = 50.0) -> float:
    """β in nats: per checkpoint of the clean run the point between two groups of blocks, averaged over checkpoints.

    Args:
        sal_clean: [T, L] SAL of L blocks at T checkpoints of the clean run.
        rule: How a list of values is parted.

            - ``"kmeans"``: scikit-learn's KMeans with one seeded start, as the authors call it, which can miss the
              best split; the midpoint of the two centres;
            - ``"two-means"``: the split of least squared error, found exactly by sorting; the midpoint of the means;
            - ``"log-two-means"``: the same on log SAL; the midpoint is geometric, zeros belong to the lower group;
            - ``"otsu"``: the same split on a histogram of 256 bins; the edge between the groups;
            - ``"gaussian-mixture"``: where two fitted, weighted Gaussians cross;
            - ``"percentile"``: a percentile of the values, whatever their shape.

            With ``pooled-`` before it (``"pooled-log-two-means"``), the values of all checkpoints are parted at once.
        percentile: Which one, in (0, 100), for the rules of that name.

    Raises:
        ValueError: One block only, no checkpoint, values that are not finite, or an unknown rule.
    """
    return float(np.mean(threshold_midpoints(sal_clean, rule=rule, percentile=percentile)))


def threshold_midpoints(sal_clean: ArrayLike, *, rule: str = "kmeans", percentile: float = 50.0) -> NDArray[np.float64]:
    """The threshold of each checkpoint [T]; where all blocks are equal, that value. Pooled rules repeat their one."""
    part = _splitter(rule, percentile)
    table = check_table(sal_clean, "clean")
    _check_blocks(table)
    if rule.startswith(POOLED):
        return np.full(len(table), part(table.ravel()))
    return np.array([part(row) for row in table])


def pooled_threshold(
    clean_runs: Sequence[ArrayLike], *, rule: str = "log-two-means", percentile: float = 50.0
) -> float:
    """One β in nats for several clean runs: the values of all their checkpoints and blocks are parted at once.

    Args:
        clean_runs: [T, L] tables of clean runs with different seeds; T may differ, L may not.
        rule: One of :func:`learnable_threshold`, with or without ``pooled-``.

    Raises:
        ValueError: No run, runs with different blocks, or what :func:`learnable_threshold` refuses.
    """
    part = _splitter(rule, percentile)
    tables = check_runs(clean_runs, "clean")
    _check_blocks(tables[0])
    return part(np.concatenate([table.ravel() for table in tables]))


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


def check_runs(runs: Sequence[ArrayLike], what: str) -> list[NDArray[np.float64]]:
    """Finite [T, L] tables of at least one run, all of the same blocks, or a ValueError naming the side."""
    tables = [check_table(run, what) for run in runs]
    if not tables:
        raise ValueError(f"At least one {what} run is needed, as a list of tables [checkpoints, blocks].")
    blocks = {table.shape[1] for table in tables}
    if len(blocks) > 1:
        raise ValueError(f"The {what} runs have different numbers of blocks, {sorted(blocks)}; use one model.")
    return tables


def _check_blocks(table: NDArray[np.float64]) -> None:
    if table.shape[1] < 2:
        raise ValueError(
            "With one block there are no two groups to tell apart; measure SAL with blocks='unit' or 'parameter'."
        )


def _splitter(rule: str, percentile: float) -> Callable[[NDArray[np.float64]], float]:
    """The rule as a function of values; equal values are their own threshold."""
    if rule not in RULES:
        raise ValueError(
            f"rule must be one of {', '.join(map(repr, SINGLE_RULES))}, or one of these after 'pooled-', not {rule!r}."
        )
    if not 0 < percentile < 100:
        raise ValueError(f"percentile must lie between 0 and 100, not {percentile}.")
    ways: dict[str, Callable[[NDArray[np.float64]], float]] = {
        "kmeans": splits.kmeans,
        "two-means": splits.two_means,
        "otsu": splits.otsu,
        "gaussian-mixture": splits.gaussian_mixture,
        "percentile": lambda values: float(np.percentile(values, percentile)),
        "log-two-means": splits.log_two_means,
    }
    way = ways[rule.removeprefix(POOLED)]
    return lambda values: float(values[0]) if np.all(values == values[0]) else way(values)
