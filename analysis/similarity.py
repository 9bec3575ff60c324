"""How alike tasks are in what they ask of a shared backbone: similarity of their SAL vectors.

SAL is never negative, which pushes cosines towards 1 whatever the tasks; the correlations beside it take the mean away.
All three are free of scale, so that losses in different units can be compared; SAL itself is not, and the threshold β
of one task says nothing about another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.resolution import Floor, floor
from analysis.seeds import verdict
from analysis.steady import SteadyUd, ud_authors

KINDS = ("cosine", "pearson", "spearman")
Matrix = NDArray[np.float64]


def task_similarity(vectors: Mapping[str, ArrayLike], *, kind: str = "pearson") -> Matrix:
    """Similarity [K, K] of the SAL vectors of K tasks, in the mapping's order.

    Args:
        vectors: {task: [L] SAL of the backbone's blocks}, in nats of that task's own loss.
        kind: ``"cosine"``, ``"pearson"`` or ``"spearman"`` (ranks; ties share their mean rank).

    Returns:
        NaN where a vector has no direction: all zero for the cosine, constant for the correlations.

    Raises:
        ValueError: Unknown kind, no task, fewer than two blocks, different lengths, or values that are not finite.
    """
    if kind not in KINDS:
        raise ValueError(f"A similarity is one of {', '.join(KINDS)}, not {kind!r}.")
    rows = [np.asarray(values, dtype=np.float64) for values in vectors.values()]
    if not rows or any(row.ndim != 1 or row.shape != rows[0].shape or len(row) < 2 for row in rows):
        raise ValueError("A similarity of tasks needs one SAL vector per task, of the same two or more blocks.")
    table = np.stack(rows)
    if not np.isfinite(table).all():
        raise ValueError("A similarity of tasks needs finite SAL; leave checkpoints without it out.")
    if kind == "spearman":
        from scipy import stats  # takes half a second to import

        table = np.asarray(stats.rankdata(table, axis=1))
    flat: NDArray[np.bool_] = (table == (0 if kind == "cosine" else table[:, :1])).all(axis=1)
    if kind != "cosine":
        table = table - table.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, lengths, out=np.full_like(table, np.nan), where=~flat[:, None] & (lengths > 0))
    return np.asarray(np.clip(units @ units.T, -1.0, 1.0))


def mean_similarity(seeds: Sequence[Mapping[str, ArrayLike]], *, kind: str = "pearson") -> Matrix:
    """Mean over seeds of :func:`task_similarity` [K, K]; NaN where a seed has none."""
    if not seeds:
        raise ValueError("A similarity over seeds needs at least one seed.")
    return np.asarray(np.mean([task_similarity(one, kind=kind) for one in seeds], axis=0))


@dataclass(frozen=True)
class TaskUd:
    """UD of one arm under one task's loss.

    Attributes:
        ud: Over seeds, each poisoned run against the clean run of its seed and β from that clean run alone.
        floor: Clean against clean with other seeds; None for one clean seed.
        verdict: In plain words, by the interval over seeds.
    """

    ud: SteadyUd
    floor: Floor | None
    verdict: str


def task_ud(clean: Sequence[ArrayLike], poisoned: Sequence[ArrayLike]) -> TaskUd:
    """UD under one task's loss, from SAL [T, L] of the shared backbone, one table per seed in the same order.

    Raises:
        ValueError: What :func:`analysis.ud_authors` refuses.
    """
    found = ud_authors(clean, poisoned)
    return TaskUd(found, floor(clean) if len(clean) > 1 else None, verdict(found.summary))
