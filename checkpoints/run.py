"""Reading runs: one checkpoint at a time, whether they are finished or still being recorded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from checkpoints.container import Body
from checkpoints.durable import replacing
from checkpoints.errors import CheckpointError
from checkpoints.layout import Parameters, StateLayout
from checkpoints.manifest import MANIFEST, Commit, live_folder, read_checkpoint, read_manifest
from checkpoints.packing import FINITE, pack, read_columns, read_packed, read_row

if TYPE_CHECKING:
    from torch import Tensor

_looked_at: dict[bytes, bool] = {}  # whether checkpoints are finite, for files that do not say it


class Run:
    """A recorded run with T checkpoints of D trainable parameters. Open it with :func:`open_run`.

    Attributes:
        path: The file, or the folder of a live recording.
        steps: [T] int64, optimiser steps, ascending.
        epochs: [T] float64, NaN where not recorded.
        metrics: {name: [T] float64}, NaN where not recorded.
        parameters: ``names`` and ``shapes`` of the trainable parameters, in model order.
        metadata: What the recorder was given.
        is_live: Whether this is a snapshot of a recording that is not finished.
        fingerprint: 32 hexadecimal digits that depend on steps, weights and layout only.
    """

    def __init__(
        self,
        path: Path,
        layout: StateLayout,
        metadata: dict[str, Any],
        steps: NDArray[np.int64],
        epochs: NDArray[np.float64],
        metrics: dict[str, NDArray[np.float64]],
        source: _Rows,
    ) -> None:
        self.path, self.metadata = path, metadata
        self.steps, self.epochs, self.metrics = steps, epochs, metrics
        self.parameters = Parameters(layout.parameters.names, layout.parameters.shapes)
        self.is_live = source.live
        self._layout, self._source = layout, source
        self._whole: Run | None = None  # what this is a part of

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {len(self)} checkpoints of {self._layout.parameters.size} parameters)"

    @property
    def storage(self) -> str:
        """``"float16"`` or ``"bfloat16"`` where weights were rounded to that when recorded; else empty."""
        return self._layout.storage

    @property
    def left_out(self) -> tuple[str, ...]:
        """Trainable parameters of the model that were not recorded."""
        return self._layout.left_out

    @property
    def buffers(self) -> tuple[str, ...]:
        """Names of the frozen parameters and buffers, which are stored beside the trainable parameters."""
        return self._layout.others.names

    @property
    def tied(self) -> dict[str, str]:
        """Further names of stored tensors, as tied weights have them, with the name each is tied to."""
        return dict(self._layout.aliases)

    @property
    def fingerprint(self) -> str:
        """Hash of what was recorded; equal for a live and a packed copy of the same checkpoints."""
        if self._whole is not None:
            return self._whole.fingerprint
        smaller = f"{self._layout.storage} {self._layout.left_out}" if self._layout.storage or self.left_out else ""
        digest = hashlib.sha256(repr(self._layout).encode() + smaller.encode() + self.steps.tobytes())
        for i in range(len(self)):
            digest.update(self._source.digest(i))
        return digest.hexdigest()[:32]

    @property
    def not_finite(self) -> tuple[int, ...]:
        """The checkpoints that hold NaN or infinite weights (or buffers), by their index.

        Finished runs have it in their file; of a run that is still recorded, and of older files, every checkpoint is
        read once in a process. One that is damaged counts as finite here; reading it says so.
        """
        return tuple(i for i in range(len(self)) if not self._is_finite(i))

    def selected(self, indices: Sequence[int]) -> Run:
        """This run with some of its checkpoints alone, ascending; its fingerprint stays that of the whole."""
        chosen = list(indices)
        metrics = {name: values[chosen] for name, values in self.metrics.items()}
        source = _SelectedRows(self._source, chosen, len(self))
        part = Run(self.path, self._layout, self.metadata, self.steps[chosen], self.epochs[chosen], metrics, source)
        part._whole = self
        return part

    def _is_finite(self, i: int) -> bool:
        known = self._source.finite(i)
        if known is None:
            key = self._source.key(i)
            if key not in _looked_at:
                try:
                    _looked_at[key] = self._layout.is_finite(*self._source.read(i))
                except CheckpointError:
                    return True
            known = _looked_at[key]
        return known

    def vector(self, i: int) -> NDArray[np.float32]:
        """The trainable parameters at checkpoint ``i`` as float32 [D]; negative ``i`` counts from the end."""
        return self._layout.decode(self._source.read(self._index(i))[0]).astype(np.float32)

    def vectors(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Several checkpoints as float32 [stop − start, D]."""
        chosen = range(len(self))[start:stop]
        rows = np.empty((len(chosen), self._layout.parameters.size), np.float32)
        for row, i in zip(rows, chosen, strict=True):
            row[:] = self._layout.decode(self._source.read(i)[0])
        return rows

    def column_chunks(self, width: int, *, verify: bool = True) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All checkpoints, some parameters at a time: (first parameter, float32 [T, at most width]), in order.

        Reads the file once, holding T × width scalars. Every checkpoint is verified by the end, unless that was
        done before. Raises :class:`CheckpointError` where one is damaged.
        """
        for start, piece in self._source.columns(self._layout.parameters.size, len(self), width, verify):
            yield start, self._layout.decode(piece).astype(np.float32, copy=False)

    def state_dict(self, i: int) -> dict[str, Tensor]:
        """The full state at checkpoint ``i``: every parameter and buffer in its own type, under all its names."""
        from checkpoints.tensors import state_dict  # here alone, so that runs can be looked through without PyTorch

        return state_dict(self._layout, *self._source.read(self._index(i)))

    def close(self) -> None:
        """Runs hold no open file; this exists so that they can be used as context managers."""

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _index(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise CheckpointError(f"{self.path} has {len(self)} checkpoints; there is no number {i}.")
        return i % len(self)


class _Rows:
    """Where a run's checkpoints come from."""

    live = False

    def read(self, i: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        raise AssertionError

    def digest(self, i: int) -> bytes:
        raise AssertionError

    def finite(self, i: int) -> bool | None:
        """Whether a checkpoint holds finite numbers alone; None where that is not stored."""
        return None

    def key(self, i: int) -> bytes:
        """What tells a checkpoint's content from others, without reading it."""
        raise AssertionError

    def columns(self, size: int, count: int, width: int, verify: bool) -> Iterator[tuple[int, NDArray[Any]]]:
        """Some columns of all rows at a time; here by way of a temporary file that holds the rows one by one."""
        with tempfile.TemporaryFile() as spool:
            for i in range(count):
                stored = np.ascontiguousarray(self.read(i)[0])
                spool.write(stored.data)
            spool.flush()
            for start in range(0, size, width) if count else ():
                piece = np.empty((count, min(width, size - start)), stored.dtype)
                for i, row in enumerate(piece):
                    os.preadv(spool.fileno(), [row.data], (i * size + start) * row.itemsize)
                yield start, piece


class _PackedRows(_Rows):
    def __init__(self, path: Path, body: Body, arrays: dict[str, NDArray[Any]]) -> None:
        self._path, self._body = path, body
        self._digests, self._others = arrays["digests"], arrays["others"]
        self._finite = arrays.get(FINITE)

    def finite(self, i: int) -> bool | None:
        return None if self._finite is None else bool(self._finite[i])

    def key(self, i: int) -> bytes:
        return self.digest(i)

    def read(self, i: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        return read_row(self._path, self._body, i, self._digests[i].tobytes()), self._others[i]

    def columns(self, size: int, count: int, width: int, verify: bool) -> Iterator[tuple[int, NDArray[Any]]]:
        yield from read_columns(self._path, self._body, self._digests if verify else None, width)

    def digest(self, i: int) -> bytes:
        rest = self._others[i].tobytes()
        return bytes(self._digests[i].tobytes()) + hashlib.sha256(rest).digest()


class _LiveRows(_Rows):
    live = True

    def __init__(self, folder: Path, layout: StateLayout, commits: list[Commit]) -> None:
        self._folder, self._layout, self._commits = folder, layout, commits

    def key(self, i: int) -> bytes:
        return self._commits[i].digest.encode()

    def read(self, i: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        return read_checkpoint(self._folder, self._commits[i], self._layout)

    def digest(self, i: int) -> bytes:
        vector, rest = self.read(i)
        return hashlib.sha256(vector.tobytes()).digest() + hashlib.sha256(rest.tobytes()).digest()


class _SelectedRows(_Rows):
    def __init__(self, rows: _Rows, chosen: list[int], count: int) -> None:
        self._rows, self._chosen, self._count = rows, chosen, count
        self.live = rows.live

    def read(self, i: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        return self._rows.read(self._chosen[i])

    def digest(self, i: int) -> bytes:
        return self._rows.digest(self._chosen[i])

    def finite(self, i: int) -> bool | None:
        return self._rows.finite(self._chosen[i])

    def key(self, i: int) -> bytes:
        return self._rows.key(self._chosen[i])

    def columns(self, size: int, count: int, width: int, verify: bool) -> Iterator[tuple[int, NDArray[Any]]]:
        for start, piece in self._rows.columns(size, self._count, width, verify):
            yield start, piece[self._chosen]


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a recorded run: a packed file, or one that is still being recorded (found from either path).

    Opening checks the file's seal, its structure and its sizes; each checkpoint is verified when it is read.

    Raises:
        CheckpointError: There is none, or it is damaged, foreign, truncated or hostile.
    """
    place = Path(path)
    for candidate in (place, place.with_name(place.name + ".h5")):
        if candidate.is_file():
            return _open_packed(candidate)
        if (live_folder(candidate) / MANIFEST).is_file():
            return _open_live(live_folder(candidate))
    if place.is_dir():
        raise CheckpointError(f"{place} is a folder without a recording; give the file or folder that Recorder wrote.")
    raise CheckpointError(f"There is no run at {place}; give the file or folder that Recorder wrote.")


def copy_run(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> None:
    """Copy somebody's recorded run, packed or live, to a packed file of ours, verifying every checkpoint."""
    target = Path(destination)
    if target.exists():
        raise CheckpointError(f"{target} exists already; choose another path or remove it.")
    run = open_run(source)
    for i in range(len(run)):
        run.vector(i)
    if run.is_live:
        pack(run.path, target)
        return
    with replacing(target) as temporary:
        shutil.copyfile(run.path, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        read_packed(temporary)


def _open_packed(path: Path) -> Run:
    layout, header, arrays, body = read_packed(path)
    metrics = {name: arrays[f"metrics/{i}"] for i, name in enumerate(header["metrics"])}
    source = _PackedRows(path, body, arrays)
    return Run(path, layout, header["metadata"], arrays["steps"], arrays["epochs"], metrics, source)


def _open_live(folder: Path) -> Run:
    layout, metadata, commits, _ = read_manifest(folder)
    names = sorted({name for commit in commits for name in commit.metrics})
    metrics = {n: np.array([c.metrics.get(n, np.nan) for c in commits], np.float64) for n in names}
    steps = np.array([commit.step for commit in commits], np.int64)
    epochs = np.array([commit.epoch for commit in commits], np.float64)
    return Run(folder, layout, metadata, steps, epochs, metrics, _LiveRows(folder, layout, commits))
