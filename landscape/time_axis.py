"""What runs are drawn over: epochs, or steps where a recording does not know its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Timed(Protocol):
    """Anything with checkpoints in time: their steps and epochs [T], the latter NaN where they are not known."""

    @property
    def steps(self) -> NDArray[np.integer]: ...

    @property
    def epochs(self) -> NDArray[np.float64]: ...


def over_time(runs: Sequence[Timed]) -> tuple[str, list[NDArray[np.float64]]]:
    """The axis of runs drawn together, ``epoch`` or ``step``, and where the checkpoints of each [T] lie on it.

    Epochs are taken only where every checkpoint of every run knows its own.
    """
    if all(np.isfinite(one.epochs).all() for one in runs):
        return "epoch", [np.asarray(one.epochs, dtype=np.float64) for one in runs]
    return "step", [np.asarray(one.steps, dtype=np.float64) for one in runs]


def moment_words(step: int, epoch: float) -> str:
    """One checkpoint in time, as ``step 320, epoch 10``; without the epoch where that is not known."""
    return f"step {step}, epoch {epoch:.3g}" if np.isfinite(epoch) else f"step {step}"


__all__ = ["Timed", "moment_words", "over_time"]
