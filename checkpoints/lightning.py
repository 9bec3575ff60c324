"""Recording a training that Lightning runs: ``Trainer(callbacks=[RecorderCallback("run.h5", every=20)])``.

Needs Lightning (``pip install unlearnscape[lightning]``); importing ``checkpoints`` alone does not.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor

from checkpoints.errors import CheckpointError
from checkpoints.factories import Named, with_factories
from checkpoints.following import Follower
from checkpoints.schedule import Schedule


class RecorderCallback(Callback):
    """Records the checkpoints of ``Trainer.fit``.

    Steps are those of the optimiser, so that accumulated gradients count once. Stored beside each checkpoint: the
    epochs so far, ``batch_loss``, which is the loss that ``training_step`` returned before the step, and every number
    that a validation logged at these very weights. Training takes the same steps with and without the callback.

    When fitting ends, the run is packed into ``path``. After an exception it stays a folder ``<path>.live`` that can
    be opened, and continued by fitting with ``ckpt_path`` and the same ``path``: steps that are stored already must
    then come out with the same bits.

    Args:
        path: The final file, conventionally ``….h5``.
        every: A number of steps, ``"epoch"``, ``"dense"`` (at first, sparser later) or a :class:`checkpoints.Schedule`.
            The initial and the last state are always recorded.
        submodule: The part of the LightningModule that is the network, such as ``"net"``; its parameters are then
            recorded under their own names. Default: the whole LightningModule.
        background, metadata, model_factory, data_factory, loss, metric, only, storage: As for
            :class:`checkpoints.Recorder`.

    Raises:
        CheckpointError: When fitting begins or goes on, as :class:`checkpoints.Recorder` does; or the weights are
            spread over several processes (FSDP, DeepSpeed, model parallel); or there is no such submodule.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: Schedule | int | str = "dense",
        submodule: str = "",
        background: bool = True,
        metadata: Mapping[str, Any] | None = None,
        model_factory: Named | None = None,
        data_factory: Named | None = None,
        loss: Named | None = None,
        metric: Named | None = None,
        only: Sequence[str] = (),
        storage: str = "",
    ) -> None:
        self._submodule = submodule
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
        self._before: set[str] = set()  # names of numbers that were logged before the present validation
        self._validated: set[str] = set()  # names of numbers that validations log

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the initial state."""
        if isinstance(trainer.strategy, FSDPStrategy | DeepSpeedStrategy | ModelParallelStrategy):
            raise CheckpointError(
                "The weights are spread over processes and cannot be recorded; train with strategy='ddp'."
            )
        if not trainer.is_global_zero:
            return
        try:
            model = pl_module.get_submodule(self._submodule)
        except AttributeError:
            raise CheckpointError(
                f"{type(pl_module).__name__} has no submodule {self._submodule!r}; it has "
                f"{', '.join(name for name, _ in pl_module.named_children()) or 'none'}."
            ) from None
        self._follower.begin(model, trainer.global_step)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Record the state before this batch changes it, if it is due."""
        self._follower.write()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note how far training is."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        metrics = {"batch_loss": loss} if isinstance(loss, Tensor) else {}
        batches = trainer.num_training_batches
        epoch = trainer.current_epoch + (batch_idx + 1) / batches if math.isfinite(batches) else None
        self._follower.stepped(trainer.global_step, epoch, metrics)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what was logged by others."""
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what this validation logged."""
        self._validated |= set(trainer.callback_metrics) - self._before
        if not trainer.sanity_checking:
            self._follower.measured({name: trainer.callback_metrics[name] for name in self._validated})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the last state and pack the run."""
        self._follower.finish()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave what was recorded as it is."""
        self._follower.close()
