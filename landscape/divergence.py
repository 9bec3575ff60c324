"""Which parameters take different paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from landscape.parameters import ParameterLayout


class SteppedCheckpoints(Protocol):
    """A run with steps and parameter names, such as :class:`checkpoints.Run`."""

    steps: NDArray[np.int64]

    @property
    def parameters(self) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        """Names and shapes."""

    def __len__(self) -> int: ...

    def vector(self, i: int) -> NDArray[np.floating]:
        """Checkpoint ``i`` [D]."""


@dataclass(frozen=True, eq=False)
class Divergence:
    """The parameters whose two paths differ most, in descending order.

    Attributes:
        indices: [k] flat indices; distance: [k] root mean square over checkpoints, in weight units; names: [k].
    """

    indices: NDArray[np.int64]
    distance: NDArray[np.float64]
    names: tuple[str, ...]


def rank_divergence(run_a: SteppedCheckpoints, run_b: SteppedCheckpoints, *, top: int = 50) -> Divergence:
    """Rank single parameters by how far two runs' paths are apart.

    Checkpoints are matched by step, each of the first run with the nearest of the second; the distance is the root
    mean square of the difference over these pairs. One pair is in memory at a time.
    """
    if tuple(run_a.parameters[0]) != tuple(run_b.parameters[0]) or run_a.parameters[1] != run_b.parameters[1]:
        raise ValueError("The two runs are of different models; compare runs of one model.")
    if len(run_a) == 0 or len(run_b) == 0:
        raise ValueError("A run has no checkpoint; record it first.")
    names, shapes = run_a.parameters
    layout = ParameterLayout(tuple(names), tuple(tuple(s) for s in shapes))
    squares = np.zeros(layout.size)
    for i, step in enumerate(run_a.steps):
        j = int(np.argmin(np.abs(run_b.steps - step)))
        difference = run_a.vector(i).astype(np.float64) - run_b.vector(j)
        squares += difference * difference
    distance = np.sqrt(squares / len(run_a))
    order = np.argsort(-distance, kind="stable")[:top]
    return Divergence(order, distance[order], tuple(layout.scalar_name(int(i)) for i in order))
