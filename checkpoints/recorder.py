"""Recording a run, in any PyTorch loop."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from checkpoints.container import read_result, write_result
from checkpoints.durable import TEMPORARY, Lock, cannot_write, replacing, sync_folder
from checkpoints.errors import CheckpointError
from checkpoints.factories import Named, with_factories
from checkpoints.layout import difference
from checkpoints.manifest import (
    MANIFEST,
    Commit,
    encode_header,
    encode_line,
    live_folder,
    read_checkpoint,
    read_manifest,
)
from checkpoints.measuring import Measured, numbers
from checkpoints.packing import pack
from checkpoints.schedule import Schedule, as_schedule
from checkpoints.tensors import capture, layout_of, rounding, state_dict
from checkpoints.writer import Writer

RESUME_KIND = "resume-state"


@dataclass(frozen=True)
class ResumePoint:
    """Where a recording left off."""

    step: int
    epoch: float
    state: dict[str, Tensor]  # what ``resume_state`` gave with this checkpoint


class Recorder:
    """Records the checkpoints of one run.

    Use it as a context manager around the training loop::

        with Recorder("clean.h5", model) as recorder:
            for step in ...:
                ...
                recorder.record(step, epoch=step / steps_per_epoch, train_loss=loss)

    or let it count the steps and choose among them::

        with Recorder("clean.h5", model, every=20, background=True) as recorder:
            for inputs, targets in ...:
                ...
                optimiser.step()
                recorder.step(train_loss=loss)

    Recording draws no random number and changes no weight: training takes the same steps with and without it.
    While it records, the run is a folder ``<path>.live``; leaving the block normally packs it into the one file
    ``path``. After an exception or a crash the folder stays, and a new ``Recorder`` on the same path goes on.

    Args:
        path: The final file, conventionally ``….h5``.
        model: The model whose state is recorded, every trainable parameter, frozen parameter and buffer. Of a model
            that ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel`` wraps, the one inside.
        metadata: Anything JSON-able that describes the run.
        model_factory, data_factory, loss, metric: The functions that make this network and its data again, the loss, if
            it is none that the targets ask for, and a metric to show beside it; or their names,
            ``"package.module:function"``, or a loss's name such as ``"mse"``. Only names are kept with the run: who
            opens it is told what they need, and nothing is run before they name it too. What such functions take and
            give is told by ``import --help``.
        resume_state: Gives further tensors, such as optimiser buffers, that are kept with the newest checkpoint only
            and handed back by :meth:`restore`.
        every: Which of the states after :meth:`step` are recorded: a number of steps, ``"epoch"``, ``"dense"`` (every
            step at first, sparser and sparser later) or a :class:`Schedule`. The initial weights (as step 0) and the
            last state are recorded too. None leaves the choice to the calls of :meth:`record`.
        background: Write in a thread beside the training. :meth:`record` then returns once the state is copied, and a
            checkpoint is durable when :attr:`steps` names it or :meth:`flush` has returned. At most two checkpoints
            are held in memory; where the disk is slower, training waits. What fails is raised by the next call.
        only: Blocks to record, such as ``["layer4", "fc"]``; default all parameters. Buffers are always kept. Planes
            and paths of these blocks can be drawn; what needs the whole network, as loss surfaces and SAL, cannot be
            computed from such a run, nor training resumed.
        storage: ``"float16"`` or ``"bfloat16"`` halves the size by rounding every weight; each checkpoint says by how
            much at most, as the metrics ``rounding_absolute`` and ``rounding_relative``. Such a run resumes from the
            rounded weights. Default: exact.

    Raises:
        CheckpointError: The place cannot be written, is being written by another process, holds a finished run, or
            holds the recording of another model; or a function has no name that it can be imported by.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: nn.Module,
        *,
        metadata: Mapping[str, Any] | None = None,
        model_factory: Named | None = None,
        data_factory: Named | None = None,
        loss: Named | None = None,
        metric: Named | None = None,
        resume_state: Callable[[], Mapping[str, Tensor]] | None = None,
        every: Schedule | int | str | None = None,
        background: bool = False,
        only: Sequence[str] = (),
        storage: str = "",
    ) -> None:
        self.path = Path(path)
        self.live_path = live_folder(self.path)
        if self.path.name.endswith(".live"):
            raise CheckpointError(f"{path} must be the final file, without the ending .live.")
        if self.path.exists():
            raise CheckpointError(f"{path} already holds a finished run; choose another path or remove it.")
        self._model, self._resume_state = _unwrapped(model), resume_state
        self._layout = layout_of(self._model, only=only, storage=storage)
        named = {"model_factory": model_factory, "data_factory": data_factory, "loss": loss, "metric": metric}
        header = encode_header(self._layout, with_factories(metadata or {}, **named))
        self._closed = False
        self._schedule = as_schedule(every)
        self._unrecorded: tuple[float | None, dict[str, Measured]] | None = None  # epoch and metrics of the newest step
        try:
            self.live_path.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.live_path / "lock")
        except OSError as error:
            raise cannot_write(self.live_path, error) from None
        try:
            self._commits = self._open_manifest(header)
        except BaseException:
            self._lock.release()
            raise
        self._newest = self._commits[-1].step if self._commits else -1  # handed over, perhaps not yet durable
        self._count = 0
        self._writer = Writer() if background else None

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints that are durable."""
        return tuple(commit.step for commit in self._commits)

    def record(self, step: int, *, epoch: float | None = None, **metrics: Measured) -> None:
        """Store the model's present state; when this returns, the checkpoint survives a crash or power loss.

        With ``background=True`` it is only copied when this returns; :meth:`flush` waits until it is durable.

        Args:
            step: Optimiser steps so far; must grow. Recording a stored step again is accepted if the bits are equal.
            epoch: Epochs so far (may be fractional); NaN when not given.
            metrics: Named numbers, such as ``test_accuracy``, or tensors of one number; any may be NaN or infinite. A
                function without arguments that gives one is called where the state is recorded and nowhere else, with
                the network in evaluation mode and without gradients; it leaves no trace in the training.

        Raises:
            CheckpointError: The disk is full or not writable (what was recorded before is kept), the step does not
                grow, or the model changed its layout.
        """
        if self._closed:
            raise CheckpointError(f"The recording of {self.path} is closed; open a new Recorder to go on.")
        step = int(step)
        if step < 0:
            raise CheckpointError(f"Step {step} is negative; count optimiser steps from 0.")
        if step <= self._newest:
            self.flush()
            self._accept_again(step)
            return
        when = math.nan if epoch is None else float(epoch)
        measured = numbers(self._model, metrics)
        if self._writer is None:
            self._store(step, when, measured, *self._capture(measured), self._resumable())
        else:
            self._writer.reserve()
            try:
                captured, resumable = self._capture(measured), self._resumable(copy=True)
            except BaseException:
                self._writer.release()
                raise
            self._writer.put(partial(self._store, step, when, measured, *captured, resumable))
        self._newest, self._count, self._unrecorded = step, step, None

    def step(self, *, epoch: float | None = None, **metrics: Measured) -> bool:
        """Count one more optimiser step, and record the state where ``every`` says so; call it after each step.

        Args:
            epoch, metrics: As for :meth:`record`. Metrics that do not change from step to step may be left out.

        Returns:
            Whether the state was recorded.

        Raises:
            CheckpointError: As for :meth:`record`; or ``every`` was not given.
        """
        if self._schedule is None:
            raise CheckpointError("This Recorder was not told which steps to record; give it every=20, or call record.")
        self._count += 1
        if self._schedule.due(self._count, epoch):
            self.record(self._count, epoch=epoch, **metrics)
            return True
        self._unrecorded = (epoch, metrics)
        return False

    def flush(self) -> None:
        """Wait until everything recorded so far is durable. Raises :class:`CheckpointError` where it cannot be."""
        if self._writer is not None:
            self._writer.flush()

    def restore(self) -> ResumePoint | None:
        """Load the newest checkpoint into the model, in place; None when there is none yet.

        :meth:`step` counts on from there.
        """
        self.flush()
        if not self._commits:
            return None
        if self._layout.left_out:
            raise CheckpointError(
                f"{self.path} holds some blocks only, so that training cannot go on from it; choose another path."
            )
        last = self._commits[-1]
        vector, rest = read_checkpoint(self.live_path, last, self._layout)
        self._model.load_state_dict(state_dict(self._layout, vector, rest))
        state: dict[str, Tensor] = {}
        path = self._resume_path(last.step)
        if path.exists():
            stored = read_result(path, kind=RESUME_KIND).arrays
            state = {name: torch.from_numpy(np.array(array)) for name, array in stored.items()}
        self._count, self._unrecorded = last.step, None
        return ResumePoint(last.step, last.epoch, state)

    def finish(self) -> None:
        """Pack the recording into its one file, verified against every digest, and remove the folder."""
        if self._closed:
            return
        if self._unrecorded is not None:
            epoch, metrics = self._unrecorded
            self.record(self._count, epoch=epoch, **metrics)
        self.flush()
        pack(self.live_path, self.path)
        self._end()
        shutil.rmtree(self.live_path, ignore_errors=True)

    def close(self) -> None:
        """Stop recording and leave the folder as it is, to be resumed; what was handed over is written first."""
        if not self._closed:
            self._end()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.end()
        self._closed = True
        self._lock.release()

    def __enter__(self) -> Recorder:
        if self._schedule is not None and self._newest < 0:
            self.record(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    def _capture(self, metrics: dict[str, float]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Copy the model's state; where it is rounded, note by how much."""
        vector, rest = capture(self._layout, self._model)
        if self._layout.storage:
            rounded = rounding(self._layout, self._model, vector)
            metrics["rounding_absolute"], metrics["rounding_relative"] = rounded
        return vector, rest

    def _resumable(self, *, copy: bool = False) -> dict[str, NDArray[Any]] | None:
        """What ``resume_state`` gives, as arrays; copies where training goes on meanwhile."""
        if self._resume_state is None:
            return None
        state = {name: tensor.detach().to("cpu").contiguous().numpy() for name, tensor in self._resume_state().items()}
        return {name: array.copy() for name, array in state.items()} if copy else state

    def _store(
        self,
        step: int,
        epoch: float,
        metrics: dict[str, float],
        vector: NDArray[Any],
        rest: NDArray[np.uint8],
        resumable: dict[str, NDArray[Any]] | None,
    ) -> None:
        commit = Commit(
            step=step,
            epoch=epoch,
            metrics=metrics,
            file=f"checkpoint-{len(self._commits):08d}.bin",
            size=vector.nbytes + rest.nbytes,
            digest=_digest(vector, rest),
        )
        with replacing(self.live_path / commit.file) as temporary, temporary.open("wb") as file:
            file.write(vector.data)
            file.write(rest.data)
            file.flush()
            os.fsync(file.fileno())
        if resumable:
            write_result(self._resume_path(step), kind=RESUME_KIND, header={}, arrays=resumable)
        self._commit(commit)
        self._commits.append(commit)
        self._forget_resume(except_step=step)

    def _open_manifest(self, header: bytes) -> list[Commit]:
        path = self.live_path / MANIFEST
        for leftover in self.live_path.glob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
        if not path.exists():
            with replacing(path) as temporary, temporary.open("wb") as file:
                file.write(header)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.live_path.parent)
            return []
        layout, _, commits, valid = read_manifest(self.live_path)
        if layout != self._layout:
            raise CheckpointError(
                f"{self.live_path} holds the recording of another model ({difference(layout, self._layout)}); "
                "choose another path or remove it."
            )
        if path.stat().st_size > valid:  # a line torn by a crash was never acknowledged
            with path.open("r+b") as file:
                file.truncate(valid)
                os.fsync(file.fileno())
        return commits

    def _commit(self, commit: Commit) -> None:
        path = self.live_path / MANIFEST
        line = encode_line(commit.__dict__)
        try:
            with path.open("r+b") as file:
                end = file.seek(0, os.SEEK_END)
                try:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    # Half a line must not stay in front of the next one.
                    with contextlib.suppress(OSError):
                        os.ftruncate(file.fileno(), end)
                    raise
        except OSError as error:
            raise cannot_write(path, error) from None

    def _accept_again(self, step: int) -> None:
        stored = next((commit for commit in self._commits if commit.step == step), None)
        if stored is None:
            raise CheckpointError(
                f"Step {step} comes after step {self._commits[-1].step} was recorded in {self.path}; steps must grow."
            )
        if stored.digest != _digest(*capture(self._layout, self._model)):
            raise CheckpointError(
                f"Step {step} is already recorded in {self.path} with other weights; continue from restore(), or "
                "choose another path."
            )

    def _resume_path(self, step: int) -> Path:
        return self.live_path / f"resume-{step:012d}.h5"

    def _forget_resume(self, *, except_step: int) -> None:
        for path in self.live_path.glob("resume-*.h5"):
            if path != self._resume_path(except_step):
                path.unlink(missing_ok=True)


def _unwrapped(model: nn.Module) -> nn.Module:
    """The user's own network, whose parameters have the names that it gave them."""
    while True:
        if isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def _digest(vector: NDArray[Any], rest: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(vector.data)
    digest.update(rest.data)
    return digest.hexdigest()
