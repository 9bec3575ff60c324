"""From a folder of checkpoints to the one file of a finished run, and from somebody's run to one of ours."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints.container import Body, read_sealed, write_sealed
from checkpoints.durable import replacing
from checkpoints.errors import CheckpointError
from checkpoints.layout import StateLayout
from checkpoints.manifest import Commit, read_hashed, read_manifest

KIND = "run"
FINITE = "finite"  # a table of runs: whether each checkpoint holds finite numbers alone; older files lack it
_PIECE = 1 << 20  # bytes compared at a time


def pack(folder: Path, target: Path) -> None:
    """Write the recording in ``folder`` as the one file ``target``.

    Every checkpoint is compared with its digest when it is read, and the finished file with the checkpoints.
    """
    layout, metadata, commits, _ = read_manifest(folder)
    metrics = sorted({name for commit in commits for name in commit.metrics})
    rest = np.zeros((len(commits), layout.others.bytes), np.uint8)
    digests = np.zeros((len(commits), 32), np.uint8)
    finite = np.zeros(len(commits), np.uint8)

    def rows() -> Iterator[NDArray[Any]]:
        buffer = None
        for i, commit in enumerate(commits):
            if buffer is None:
                buffer = np.empty(commit.size, np.uint8)
            vector, rest[i], digest = read_hashed(folder, commit, layout, buffer)
            digests[i] = np.frombuffer(digest, np.uint8)
            finite[i] = layout.is_finite(vector, rest[i])
            yield vector

    arrays: dict[str, NDArray[Any]] = {
        "steps": np.array([commit.step for commit in commits], np.int64),
        "epochs": np.array([commit.epoch for commit in commits], np.float64),
        "digests": digests,
        "others": rest,
        FINITE: finite,
        **{f"metrics/{i}": _column(commits, name) for i, name in enumerate(metrics)},
    }
    header = {"layout": layout.to_json(), "metadata": metadata, "metrics": metrics}
    body = (len(commits), layout.parameters.size, layout.vector_dtype, rows())
    with replacing(target) as temporary:
        write_sealed(temporary, kind=KIND, header=header, arrays=arrays, body=body, late=("digests", "others", FINITE))
        _compare(temporary, target, arrays, [folder / commit.file for commit in commits])


def _compare(temporary: Path, target: Path, arrays: dict[str, NDArray[Any]], files: list[Path]) -> None:
    """Read back a file that was just written; raise :class:`CheckpointError` where it is not what was to be stored.

    Rows are compared byte by byte with the files of the checkpoints, which is cheaper than hashing them again.
    """
    _, _, stored, body = read_packed(temporary)
    same = all(stored[name].tobytes() == array.tobytes() for name, array in arrays.items())
    with temporary.open("rb", buffering=0) as packed:
        for i, path in enumerate(files):
            with path.open("rb", buffering=0) as file:
                for start in range(0, body.row_bytes if same else 0, _PIECE):
                    size = min(_PIECE, body.row_bytes - start)
                    packed.seek(body.offset + i * body.row_bytes + start)
                    same = same and packed.read(size) == file.read(size)
    if not same:
        raise _not_as_written(target)


def read_packed(path: Path) -> tuple[StateLayout, dict[str, Any], dict[str, NDArray[Any]], Body]:
    """Open a packed run: layout, header, the sealed arrays, and where the rows lie."""
    header, arrays, body = read_sealed(path, kind=KIND)
    try:
        layout = StateLayout.from_json(header["layout"])
        names, metadata = header["metrics"], header["metadata"]
        steps, epochs = arrays["steps"], arrays["epochs"]
        digests, others = arrays["digests"], arrays["others"]
        n = len(steps)
        if (
            body is None
            or body.shape != (n, layout.parameters.size)
            or body.dtype != layout.vector_dtype
            or steps.dtype != np.int64
            or epochs.dtype != np.float64
            or epochs.shape != (n,)
            or steps.ndim != 1
            or digests.shape != (n, 32)
            or digests.dtype != np.uint8
            or others.shape != (n, layout.others.bytes)
            or others.dtype != np.uint8
            or not isinstance(metadata, dict)
            or not all(isinstance(name, str) for name in names)
            or (FINITE in arrays and (arrays[FINITE].shape != (n,) or arrays[FINITE].dtype != np.uint8))
            or any(arrays[f"metrics/{i}"].shape != (n,) for i in range(len(names)))
            or np.any(np.diff(steps) <= 0)
        ):
            raise ValueError("shapes")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise CheckpointError(f"{path} is not a run of this format: its tables do not fit together.") from None
    return layout, header, arrays, body


def read_row(path: Path, body: Body, i: int, digest: bytes) -> NDArray[Any]:
    """Read one row of a run and compare it with its digest."""
    try:
        with path.open("rb") as file:
            file.seek(body.offset + i * body.row_bytes)
            data = file.read(body.row_bytes)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from None
    if hashlib.sha256(data).digest() != digest:
        raise _damaged(path, i)
    return np.frombuffer(data, body.dtype)


def read_columns(
    path: Path, body: Body, digests: NDArray[np.uint8] | None, width: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read some columns of all rows at a time: (first column, [T, at most width]).

    With digests [T, 32], every row is compared with its own when its last column was read.
    """
    count, size = body.shape
    hashes = [hashlib.sha256() for _ in range(count if digests is not None else 0)]
    try:
        with path.open("rb") as file:
            for start in range(0, size, width):
                piece = np.empty((count, min(width, size - start)), body.dtype)
                _announce(file.fileno(), body, start + width, width)
                for i, row in enumerate(piece):
                    read = os.preadv(file.fileno(), [row.data], body.offset + i * body.row_bytes + start * row.itemsize)
                    if read != row.nbytes:
                        raise CheckpointError(f"{path} ends too early; restore it from a copy or train the run again.")
                    if digests is not None:
                        hashes[i].update(row.data)
                yield start, piece
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from None
    for i, found in enumerate(hashes):
        if digests is not None and found.digest() != digests[i].tobytes():
            raise _damaged(path, i)


def _announce(file: int, body: Body, start: int, width: int) -> None:
    """Tell the system which pieces are wanted next, so that the disk works while others do."""
    if start < body.shape[1] and hasattr(os, "posix_fadvise"):
        wide = min(width, body.shape[1] - start) * body.dtype.itemsize
        for i in range(body.shape[0]):
            place = body.offset + i * body.row_bytes + start * body.dtype.itemsize
            os.posix_fadvise(file, place, wide, os.POSIX_FADV_WILLNEED)


def _damaged(path: Path, i: int) -> CheckpointError:
    return CheckpointError(f"{path} is damaged at checkpoint {i}; restore it from a copy or train the run again.")


def checksum(row: NDArray[Any]) -> int:
    """What :func:`verify_rows` compares: enough against a disk that errs, at a third of the cost of a digest."""
    return zlib.crc32(np.ascontiguousarray(row).view(np.uint8).data)


def verify_rows(temporary: Path, target: Path, checksums: Sequence[int]) -> None:
    """Read back every row of a file that was just written, against the checksum it had in memory.

    Raises :class:`CheckpointError` where one differs.
    """
    _, _, _, body = read_packed(temporary)
    same = len(checksums) == body.shape[0]
    with temporary.open("rb") as file:
        for i, wanted in enumerate(checksums if same else ()):
            file.seek(body.offset + i * body.row_bytes)
            found = 0
            for start in range(0, body.row_bytes, _PIECE):
                found = zlib.crc32(file.read(min(_PIECE, body.row_bytes - start)), found)
            same = same and found == wanted
    if not same:
        raise _not_as_written(target)


def _not_as_written(target: Path) -> CheckpointError:
    return CheckpointError(f"{target} did not read back as written; check the disk and try again.")


def _column(commits: list[Commit], name: str) -> NDArray[np.float64]:
    return np.array([commit.metrics.get(name, np.nan) for commit in commits], np.float64)
