"""Recording a run, in any PyTorch loop."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from checkpoints.layout import StateLayout
from checkpoints.manifest import (
    MANIFEST,
    Commit,
    encode_header,
    encode_line,
    live_folder,
    read_checkpoint,
    read_manifest,
)
from checkpoints.packing import pack

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

    While it records, the run is a folder ``<path>.live``; leaving the block normally packs it into the one file
    ``path``. After an exception or a crash the folder stays, and a new ``Recorder`` on the same path goes on.

    Args:
        path: The final file, conventionally ``….h5``.
        model: The model whose state is recorded, every trainable parameter, frozen parameter and buffer.
        metadata: Anything JSON-able that describes the run.
        resume_state: Gives further tensors, such as optimiser buffers, that are kept with the newest checkpoint only
            and handed back by :meth:`restore`.

    Raises:
        CheckpointError: The place cannot be written, is being written by another process, holds a finished run, or
            holds the recording of another model.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: nn.Module,
        *,
        metadata: Mapping[str, Any] | None = None,
        resume_state: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.path = Path(path)
        self.live_path = live_folder(self.path)
        if self.path.name.endswith(".live"):
            raise CheckpointError(f"{path} must be the final file, without the ending .live.")
        if self.path.exists():
            raise CheckpointError(f"{path} already holds a finished run; choose another path or remove it.")
        self._model, self._resume_state = model, resume_state
        self._layout = StateLayout.from_model(model)
        header = encode_header(self._layout, dict(metadata or {}))
        self._closed = False
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

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints that are durable."""
        return tuple(commit.step for commit in self._commits)

    def record(self, step: int, *, epoch: float | None = None, **metrics: float) -> None:
        """Store the model's present state; when this returns, the checkpoint survives a crash or power loss.

        Args:
            step: Optimiser steps so far; must grow. Recording a stored step again is accepted if the bits are equal.
            epoch: Epochs so far (may be fractional); NaN when not given.
            metrics: Named numbers, such as ``test_accuracy``; any may be NaN or infinite.

        Raises:
            CheckpointError: The disk is full or not writable (what was recorded before is kept), the step does not
                grow, or the model changed its layout.
        """
        if self._closed:
            raise CheckpointError(f"The recording of {self.path} is closed; open a new Recorder to go on.")
        step = int(step)
        vector, rest = self._layout.capture(self._model)
        data = vector.tobytes() + rest.tobytes()
        digest = hashlib.sha256(data).hexdigest()
        if self._commits and step <= self._commits[-1].step:
            self._accept_again(step, digest)
            return
        if step < 0:
            raise CheckpointError(f"Step {step} is negative; count optimiser steps from 0.")
        commit = Commit(
            step=step,
            epoch=math.nan if epoch is None else float(epoch),
            metrics={name: float(value) for name, value in metrics.items()},
            file=f"checkpoint-{len(self._commits):08d}.bin",
            size=len(data),
            digest=digest,
        )
        with replacing(self.live_path / commit.file) as temporary, temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if self._resume_state is not None:
            self._store_resume(step, self._resume_state())
        self._commit(commit)
        self._commits.append(commit)
        self._forget_resume(except_step=step)

    def restore(self) -> ResumePoint | None:
        """Load the newest checkpoint into the model, in place; None when there is none yet."""
        if not self._commits:
            return None
        last = self._commits[-1]
        vector, rest = read_checkpoint(self.live_path, last, self._layout)
        self._model.load_state_dict(self._layout.state_dict(vector, rest))
        state: dict[str, Tensor] = {}
        path = self._resume_path(last.step)
        if path.exists():
            stored = read_result(path, kind=RESUME_KIND).arrays
            state = {name: torch.from_numpy(np.array(array)) for name, array in stored.items()}
        return ResumePoint(last.step, last.epoch, state)

    def finish(self) -> None:
        """Pack the recording into its one file, verified against every digest, and remove the folder."""
        if self._closed:
            return
        pack(self.live_path, self.path)
        self._closed = True
        self._lock.release()
        shutil.rmtree(self.live_path, ignore_errors=True)

    def close(self) -> None:
        """Stop recording and leave the folder as it is, to be resumed."""
        if not self._closed:
            self._closed = True
            self._lock.release()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()

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
                f"{self.live_path} holds the recording of another model ({_difference(layout, self._layout)}); "
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

    def _accept_again(self, step: int, digest: str) -> None:
        stored = next((commit for commit in self._commits if commit.step == step), None)
        if stored is None:
            raise CheckpointError(
                f"Step {step} comes after step {self._commits[-1].step} was recorded in {self.path}; steps must grow."
            )
        if stored.digest != digest:
            raise CheckpointError(
                f"Step {step} is already recorded in {self.path} with other weights; continue from restore(), or "
                "choose another path."
            )

    def _resume_path(self, step: int) -> Path:
        return self.live_path / f"resume-{step:012d}.h5"

    def _store_resume(self, step: int, state: Mapping[str, Tensor]) -> None:
        arrays: dict[str, NDArray[Any]] = {
            name: tensor.detach().to("cpu").contiguous().numpy() for name, tensor in state.items()
        }
        if arrays:
            write_result(self._resume_path(step), kind=RESUME_KIND, header={}, arrays=arrays)

    def _forget_resume(self, *, except_step: int) -> None:
        for path in self.live_path.glob("resume-*.h5"):
            if path != self._resume_path(except_step):
                path.unlink(missing_ok=True)


def _difference(theirs: StateLayout, ours: StateLayout) -> str:
    for name, shape in zip(theirs.parameters.names, theirs.parameters.shapes, strict=True):
        if name not in ours.parameters.names:
            return f"it has {name}, this one has not"
        here = ours.parameters.shapes[ours.parameters.names.index(name)]
        if here != shape:
            return f"its {name} has shape {list(shape)}, this one's {list(here)}"
    return "their parameters, buffers or types differ"
