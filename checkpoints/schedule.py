"""Which steps of a training are worth a checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from checkpoints.errors import CheckpointError


class Schedule(Protocol):
    """Decides, after each optimiser step, whether the state is recorded. Step 0 and the last step always are."""

    def due(self, step: int, epoch: float | None) -> bool:
        """Whether the state after ``step`` optimiser steps (1, 2, …) and ``epoch`` epochs is recorded."""


@dataclass(frozen=True)
class EverySteps:
    """Every ``count`` optimiser steps."""

    count: int

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise CheckpointError(f"Checkpoints are a whole number of steps apart, at least 1, not {self.count!r}.")

    def due(self, step: int, epoch: float | None) -> bool:
        """Whether ``step`` is a multiple of ``count``."""
        return step % self.count == 0


@dataclass(frozen=True)
class EveryEpochs:
    """Every ``count`` epochs, in a loop that passes a growing ``epoch``, such as step / steps_per_epoch."""

    count: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise CheckpointError(f"Checkpoints are a whole number of epochs apart, at least 1, not {self.count!r}.")

    def due(self, step: int, epoch: float | None) -> bool:
        """Whether ``epoch`` is a multiple of ``count``, but for rounding."""
        if epoch is None:
            raise CheckpointError(f"Step {step} came without its epoch; call step(epoch=…), or record every k steps.")
        passed = epoch / self.count
        return round(passed) >= 1 and math.isclose(passed, round(passed), rel_tol=1e-9)


@dataclass(frozen=True)
class DenseThenSparse:
    """Every step at first, then ``per_doubling`` checkpoints while the number of steps doubles.

    Most of a path is made in the first steps; 8 per doubling keep 8 + 8·log2(T / 8) of T steps.
    """

    per_doubling: int = 8

    def __post_init__(self) -> None:
        if isinstance(self.per_doubling, bool) or not isinstance(self.per_doubling, int) or self.per_doubling < 1:
            raise CheckpointError(f"per_doubling must be a whole number of at least 1, not {self.per_doubling!r}.")

    def due(self, step: int, epoch: float | None) -> bool:
        """Whether a new fraction of a doubling is reached with ``step``."""
        reached = math.floor(self.per_doubling * math.log2(step))
        return step == 1 or reached > math.floor(self.per_doubling * math.log2(step - 1))


def as_schedule(given: Schedule | int | str | None) -> Schedule | None:
    """A number is so many steps, ``"epoch"`` every epoch, ``"dense"`` dense at first and sparse later."""
    if given is None:
        return None
    if given == "epoch":
        return EveryEpochs()
    if given == "dense":
        return DenseThenSparse()
    if isinstance(given, int):
        return EverySteps(given)
    if isinstance(given, str) or not hasattr(given, "due"):
        raise CheckpointError(
            f"every={given!r} is no schedule; give a number of steps, 'epoch', 'dense' or a Schedule."
        )
    return given
