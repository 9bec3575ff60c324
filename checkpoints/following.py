"""Recording a training whose loop is another library's, which tells what happens: shared by the callbacks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from checkpoints.errors import CheckpointError
from checkpoints.recorder import Recorder
from checkpoints.schedule import Schedule, as_schedule

RESERVED = ("self", "step", "epoch")  # names that Recorder.record gives a meaning of its own


class Follower:
    """Records a training from what its loop tells: begin, each optimiser step, what was measured, the end.

    A state that is due is recorded when the next step begins, not at once, so that what a validation measures at
    these very weights is stored with them.

    Args:
        path, metadata, background, only, storage: As for :class:`checkpoints.Recorder`.
        every: As for :class:`checkpoints.Recorder`, but never None.

    Raises:
        CheckpointError: ``every`` is no schedule.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: Schedule | int | str,
        metadata: Mapping[str, Any] | None,
        background: bool,
        only: Sequence[str],
        storage: str,
    ) -> None:
        schedule = as_schedule(every)
        if schedule is None:
            raise CheckpointError("every=None chooses no step; give a number of steps, 'epoch', 'dense' or a Schedule.")
        self._path, self._schedule = path, schedule
        self._options: dict[str, Any] = {
            "metadata": metadata,
            "background": background,
            "only": only,
            "storage": storage,
        }
        self._recorder: Recorder | None = None
        self._step = self._recorded = 0
        self._due = False
        self._epoch: float | None = None
        self._metrics: dict[str, float | Tensor] = {}

    @property
    def active(self) -> bool:
        """Whether a training is being recorded."""
        return self._recorder is not None

    @property
    def step(self) -> int:
        """Optimiser steps so far."""
        return self._step

    def begin(self, model: nn.Module, step: int) -> None:
        """Open the recording of ``model``, which has taken ``step`` optimiser steps, and record this state.

        Where a training goes on from an earlier state than was recorded last, what it passes again is compared.
        """
        self.close()  # of a training that ended in an exception nobody told us of
        self._recorder = Recorder(self._path, model, **self._options)
        stored = self._recorder.steps
        self._due = not stored or step in stored or step > stored[-1]
        self._step = self._recorded = step
        self._epoch, self._metrics = None, {}
        try:
            self.write()
        except BaseException:
            self.close()
            raise

    def stepped(self, step: int, epoch: float | None, metrics: Mapping[str, float | Tensor]) -> None:
        """The model has taken ``step`` optimiser steps and seen ``epoch`` epochs; None where nobody knows."""
        if self._recorder is None or step <= self._step:
            return  # gradients were only accumulated
        self._due = any(self._schedule.due(passed, epoch) for passed in range(self._step + 1, step + 1))
        self._step, self._epoch, self._metrics = step, epoch, {}
        self.measured(metrics)

    def measured(self, metrics: Mapping[str, Any]) -> None:
        """What was measured since the newest step; anything but single numbers is left out."""
        for name, value in metrics.items():
            number = value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, int | float)
            if number and name not in RESERVED:
                self._metrics[name] = value.detach() if isinstance(value, Tensor) else value

    def write(self) -> None:
        """Record the newest state if it is due; call it before the weights change again."""
        if self._recorder is not None and self._due:
            self._recorder.record(self._step, epoch=self._epoch, **self._metrics)
            self._recorded, self._due = self._step, False

    def last(self) -> None:
        """Record the newest state, due or not: training takes no further step."""
        self._due = self._step != self._recorded
        self.write()

    def finish(self) -> None:
        """Record the last state and pack the run into its one file."""
        if self._recorder is None:
            return
        try:
            self.last()
            self._recorder.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Stop, and leave what was recorded as a folder that can be opened and continued."""
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
