"""The sealed file: HDF5 behind a small header that proves the file unchanged before HDF5 reads a byte of it.

Layout: the first 4096 bytes are an HDF5 user block with a magic, the kind, the file's size, the byte range of an
optional large *body* and a SHA-256 over everything else. HDF5 follows: ``header`` (JSON as bytes) and ``arrays/…``,
all contiguous and unfiltered. The body, one dataset of rows too large to read at once, is left out of the seal;
each of its rows has a digest among the sealed arrays and is checked when it is read.

A seal stops accidents and edits, not an author of hostile files, who can compute it too. So the contents are held to
strict rules as well (methods of attack: external storage, links, virtual datasets, declared sizes): see ``Guard``.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from checkpoints.durable import cannot_write, replacing
from checkpoints.errors import CheckpointError

MAGIC = b"UNLEARNSCAPE\x00\x00\x00\x01"
BLOCK = 4096
_HEADER = struct.Struct("<16s32s32sQQQ")  # magic, kind, sha256, file size, body start, body stop
MAX_JSON = 32 << 20
MAX_SEALED = 768 << 20  # bytes of arrays read into memory at once
MAX_DATASETS = 20_000
KINDS = frozenset("biuf")
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Result:
    """The contents of a sealed file."""

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Body:
    """Where the rows of a large dataset lie in the file."""

    offset: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.shape[1] * self.dtype.itemsize


def write_result(path: Path | str, *, kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a result atomically: temporary name, read back and compared, flushed, renamed.

    ``header`` must be JSON-able; ``arrays`` are numeric. Raises :class:`CheckpointError`.
    """
    target = Path(path)
    with replacing(target) as temporary:
        write_sealed(temporary, kind=kind, header=header, arrays=arrays)
        stored = read_result(temporary, kind=kind)
        for name, array in arrays.items():
            if stored.arrays[name].tobytes() != np.ascontiguousarray(array).tobytes():
                raise CheckpointError(f"{target} did not read back as written ({name}); check the disk and try again.")


def read_result(path: Path | str, *, kind: str) -> Result:
    """Read a sealed file of one kind, whole. Raises :class:`CheckpointError` when it is missing, damaged or foreign."""
    header, arrays, body = read_sealed(Path(path), kind=kind)
    if body is not None:
        raise CheckpointError(f"{path} is not a plain result file; open it as a run.")
    return Result(header, arrays)


def write_sealed(
    path: Path,
    *,
    kind: str,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    body: tuple[int, int, np.dtype[Any], Any] | None = None,
    late: Collection[str] = (),
) -> None:
    """Write and seal a file in place. ``body``: (rows, columns, dtype, iterator of rows).

    ``late``: arrays that the iterator of rows fills in; they must be contiguous, and are stored when it ends.
    """
    try:
        text = json.dumps(header, sort_keys=True).encode()
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The header of {path.name} cannot be stored as JSON: {error}.") from None
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype.kind not in KINDS:
            raise CheckpointError(f"The array {name!r} of {path.name} must hold numbers, not {array.dtype}.")
    careful: _Careful | None = None
    try:
        with path.open("w+b") as raw:
            careful = _Careful(raw)
            span = _write_hdf5(careful, text, plain, body, late)
        if careful.error is not None:
            raise careful.error
        seal(path, kind, span)
    except (OSError, RuntimeError) as error:
        first = careful.error if careful is not None and careful.error is not None else error
        raise cannot_write(path, first if isinstance(first, OSError) else OSError(str(first))) from None


class _Careful:
    """A file for HDF5 whose failing writes are remembered instead of raised.

    The library cannot close a file after a failed write and may then crash; so it never sees one.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.error: OSError | None = None
        self.seek, self.tell, self.read = raw.seek, raw.tell, raw.read

    def readinto(self, target: Any) -> int:
        data = self._raw.read(len(target))
        target[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._attempt(lambda: self._raw.write(data), len(memoryview(data).cast("B")))

    def truncate(self, size: int | None = None) -> int:
        return self._attempt(lambda: self._raw.truncate(size), size or 0)

    def flush(self) -> None:
        self._attempt(lambda: self._raw.flush() or 0, 0)

    def _attempt(self, action: Callable[[], int], otherwise: int) -> int:
        if self.error is None:
            try:
                return action()
            except OSError as error:
                self.error = error
        return otherwise


def _write_hdf5(
    target: _Careful,
    text: bytes,
    arrays: Mapping[str, NDArray[Any]],
    body: tuple[int, int, np.dtype[Any], Any] | None,
    late: Collection[str],
) -> tuple[int, int]:
    """Fill an HDF5 file; returns the byte range of the body."""
    with h5py.File(target, "w", libver=("earliest", "v110"), userblock_size=BLOCK) as file:
        file.create_dataset("header", data=np.frombuffer(text, dtype=np.uint8))
        group = file.create_group("arrays")
        for key, array in arrays.items():
            group.create_dataset(key, data=array, track_times=False)
        if body is None or body[0] * body[1] == 0:
            if body is not None:
                file.create_dataset("body", shape=body[:2], dtype=body[2])
            return 0, 0
        rows, columns, dtype, iterator = body
        dataset = file.create_dataset("body", shape=(rows, columns), dtype=dtype)
        for i, row in enumerate(iterator):
            dataset[i] = row
        for key in late:
            group[key][...] = arrays[key]
        file.flush()
        offset = int(dataset.id.get_offset())
        return offset, offset + rows * columns * dtype.itemsize


def seal(path: Path, kind: str, span: tuple[int, int] = (0, 0)) -> None:
    """Put the proof in front of a finished HDF5 file and flush it to the disk."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        digest = _digest(file, kind, size, span)
        file.seek(0)
        file.write(_HEADER.pack(MAGIC, kind.encode().ljust(32, b"\0"), digest, size, *span))
        file.flush()
        os.fsync(file.fileno())


def read_sealed(path: Path, *, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]], Body | None]:
    """Check the seal, then read header and arrays and locate the body."""
    span = _check_seal(path, kind)
    try:
        with h5py.File(path, "r") as file:
            guard = Guard(path, file)
            header = guard.json("header")
            arrays = guard.arrays("arrays")
            body = guard.body("body", span)
    except CheckpointError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise CheckpointError(
            f"{path} is not readable as a {kind} file: {_short(error)}; restore or remove it."
        ) from None
    return header, arrays, body


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _check_seal(path: Path, kind: str) -> tuple[int, int]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            block = file.read(_HEADER.size)
            if len(block) < _HEADER.size or block[:16] != MAGIC:
                raise CheckpointError(
                    f"{path} is not an Unlearnscape file, or its beginning is damaged; give one that it wrote."
                )
            _, stored_kind, digest, stored_size, start, stop = _HEADER.unpack(block)
            found = stored_kind.rstrip(b"\0").decode("ascii", "replace")
            if size != stored_size:
                raise CheckpointError(
                    f"{path} is {size} bytes long where {stored_size} were written: it is cut or grew; restore it."
                )
            if found != kind:
                raise CheckpointError(f"{path} is a {found!r} file where a {kind!r} file is expected.")
            if not (start == stop == 0 or BLOCK <= start <= stop <= size):
                raise CheckpointError(f"{path} has a damaged beginning; restore it from a copy.")
            if _digest(file, kind, size, (start, stop)) != digest:
                raise CheckpointError(
                    f"{path} is damaged or was changed after it was written; restore it or compute it again."
                )
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from None
    return start, stop


def _digest(file: Any, kind: str, size: int, span: tuple[int, int]) -> bytes:
    digest = hashlib.sha256(struct.pack("<QQQ", size, *span) + kind.encode())
    for start, stop in ((BLOCK, span[0] or size), (span[1] or size, size)):
        file.seek(start)
        left = stop - start
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                break
            digest.update(chunk)
            left -= len(chunk)
    return digest.digest()


class Guard:
    """Reads nothing but plain, contiguous, numeric datasets that lie inside the file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file = path, file
        self.size = path.stat().st_size
        self.read = 0

    def refuse(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is refused: {what}.")

    def child(self, group: h5py.Group, name: str) -> h5py.Dataset | h5py.Group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise self.refuse(f"{name!r} is missing or a link to somewhere else")
        return group[name]

    def dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        dataset = self.child(group, name)
        if not isinstance(dataset, h5py.Dataset):
            raise self.refuse(f"{name!r} is not a dataset")
        kind = dataset.dtype.kind
        if kind not in KINDS or dataset.dtype.itemsize > 8 or dataset.dtype.hasobject:
            raise self.refuse(f"{name!r} has the data type {dataset.dtype}")
        plist = dataset.id.get_create_plist()
        contiguous = plist.get_layout() == h5py.h5d.CONTIGUOUS
        if dataset.is_virtual or dataset.external or plist.get_external_count() or not contiguous:
            raise self.refuse(f"{name!r} is not stored in one piece inside the file")
        if plist.get_nfilters() or dataset.id.get_space().get_simple_extent_ndims() > 8:
            raise self.refuse(f"{name!r} is compressed or has too many axes")
        length = self.length(dataset)
        if length:
            offset = dataset.id.get_offset()
            if dataset.id.get_storage_size() != length or offset is None or offset + length > self.size:
                raise self.refuse(f"{name!r} declares more data than the file holds")
        return dataset

    @staticmethod
    def length(dataset: h5py.Dataset) -> int:
        elements = 1
        for extent in dataset.shape:  # Python integers: no overflow
            elements *= int(extent)
        return elements * int(dataset.dtype.itemsize)

    def load(self, group: h5py.Group, name: str, limit: int = MAX_SEALED) -> NDArray[Any]:
        dataset = self.dataset(group, name)
        self.read += self.length(dataset)
        if self.read > limit:
            raise self.refuse(f"it holds more than {limit >> 20} MiB of tables")
        return np.asarray(dataset[()])

    def json(self, name: str) -> dict[str, Any]:
        raw = self.load(self.file, name, MAX_JSON)
        if raw.dtype != np.uint8 or raw.ndim != 1:
            raise self.refuse("its header is not text")
        try:
            header = json.loads(raw.tobytes())
        except (ValueError, RecursionError):
            raise self.refuse("its header is not valid JSON") from None
        if not isinstance(header, dict):
            raise self.refuse("its header is not a table")
        return header

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        group = self.child(self.file, name)
        if not isinstance(group, h5py.Group):
            raise self.refuse(f"{name!r} is not a group")
        found: dict[str, NDArray[Any]] = {}
        self._walk(group, "", found, depth=0)
        return found

    def _walk(self, group: h5py.Group, prefix: str, found: dict[str, NDArray[Any]], depth: int) -> None:
        if depth > 6 or len(found) + len(group) > MAX_DATASETS:
            raise self.refuse("it is nested too deeply or holds too many datasets")
        for name in group:
            child = self.child(group, name)
            if isinstance(child, h5py.Group):
                self._walk(child, f"{prefix}{name}/", found, depth + 1)
            else:
                found[f"{prefix}{name}"] = self.load(group, name)

    def body(self, name: str, span: tuple[int, int]) -> Body | None:
        if name not in self.file:
            return None
        dataset = self.dataset(self.file, name)
        if dataset.ndim != 2 or (dataset.dtype.kind != "f" and dataset.dtype != np.uint16):  # bfloat16 is not NumPy's
            raise self.refuse("its rows of parameters have a wrong shape or type")
        length = self.length(dataset)
        offset = int(dataset.id.get_offset()) if length else 0
        if length and (offset, offset + length) != span:
            raise self.refuse("its rows lie elsewhere than its beginning says")
        return Body(offset, (int(dataset.shape[0]), int(dataset.shape[1])), dataset.dtype)
