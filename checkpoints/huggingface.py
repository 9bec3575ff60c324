"""Recording a training of Hugging Face: ``Trainer(…, callbacks=[RecorderCallback("run.h5", every=20)])``.

Needs transformers (``pip install unlearnscape[huggingface]``); importing ``checkpoints`` alone does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from checkpoints.errors import CheckpointError
from checkpoints.factories import Named, with_factories
from checkpoints.following import Follower
from checkpoints.schedule import Schedule

NOT_OF_THE_WEIGHTS = ("_runtime", "_per_second")  # endings of names of numbers that tell how fast the machine is


class RecorderCallback(TrainerCallback):
    """Records the checkpoints of ``Trainer.train``.

    Steps are those of the optimiser, so that accumulated gradients count once. Stored beside each checkpoint: the
    epochs so far, and what the Trainer logged or evaluated at these very weights under its own names; its ``loss`` is
    the mean since it last logged. Training takes the same steps with and without the callback.

    When training ends, the run is packed into ``path``. After an exception it stays a folder ``<path>.live`` that can
    be opened, and continued by training with ``resume_from_checkpoint`` and the same ``path``: steps that are stored
    already must then come out with the same bits.

    Args:
        path: The final file, conventionally ``….h5``.
        every: A number of steps, ``"epoch"``, ``"dense"`` (at first, sparser later) or a :class:`checkpoints.Schedule`.
            The initial and the last state are always recorded.
        background, metadata, model_factory, data_factory, loss, metric, only, storage: As for
            :class:`checkpoints.Recorder`.

    Raises:
        CheckpointError: When training begins or goes on, as :class:`checkpoints.Recorder` does; or the weights are
            spread over several processes (FSDP, DeepSpeed).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: Schedule | int | str = "dense",
        background: bool = True,
        metadata: Mapping[str, Any] | None = None,
        model_factory: Named | None = None,
        data_factory: Named | None = None,
        loss: Named | None = None,
        metric: Named | None = None,
        only: Sequence[str] = (),
        storage: str = "",
    ) -> None:
        self._follower = Follower(
            path,
            every=every,
            metadata=with_factories(
                metadata or {}, model_factory=model_factory, data_factory=data_factory, loss=loss, metric=metric
            ),
            background=background,
            only=only,
            storage=storage,
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the initial state."""
        if args.deepspeed or args.fsdp:
            raise CheckpointError(
                "The weights are spread over processes and cannot be recorded; train without FSDP or DeepSpeed."
            )
        if state.is_world_process_zero:
            model: nn.Module = kwargs["model"]
            self._follower.begin(model, state.global_step)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the state before this step changes it, if it is due."""
        self._follower.write()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Note how far training is."""
        self._follower.stepped(state.global_step, float(state.epoch or 0), {})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep what was logged or evaluated at the newest step."""
        numbers = dict(logs or {})
        if "train_runtime" in numbers:  # the summary; the best weights may take the place of the last ones after it
            self._follower.last()
        elif state.global_step == self._follower.step:
            self._follower.measured({n: v for n, v in numbers.items() if not n.endswith(NOT_OF_THE_WEIGHTS)})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the last state and pack the run."""
        self._follower.finish()
