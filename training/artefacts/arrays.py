"""Reading numpy's array files without trusting them: no pickles, and no memory before the size is known to be true."""

from __future__ import annotations

import io
import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from checkpoints.durable import replacing
from training.artefacts.artefact import ArtefactError, check_size, checked_file


def read_npy(path: Path) -> NDArray[Any]:
    """Read a ``.npy`` file. Raises :class:`ArtefactError`."""
    try:
        with checked_file(path).open("rb") as stream:
            return _read(stream, path.stat().st_size, str(path))
    except ArtefactError:
        raise
    except Exception as error:  # a hostile file can make any layer of the format fail in its own way
        raise _damaged(path, error, "numpy.save") from None


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read those arrays of an ``.npz`` file that are named and there. Raises :class:`ArtefactError`."""
    try:
        with zipfile.ZipFile(checked_file(path)) as archive:
            held = {member.filename: member for member in archive.infolist()}
            found = {}
            for name in names:
                member = held.get(f"{name}.npy")
                if member is not None:
                    with archive.open(member) as stream:
                        found[name] = _read(stream, member.file_size, f"{name} of {path}")
            return found
    except ArtefactError:
        raise
    except Exception as error:
        raise _damaged(path, error, "numpy.savez") from None


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write a ``.npy`` file atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        _flush(file)


def write_npz(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` file atomically; the same arrays give the same bytes."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 1)
        _flush(file)


def _read(stream: IO[bytes], size: int, where: str) -> NDArray[Any]:
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise ArtefactError(f"{where} holds Python objects, which are not loaded; save plain numeric arrays.")
    if size - stream.tell() != math.prod(shape) * dtype.itemsize:
        raise ArtefactError(f"{where} declares {list(shape)} values but holds another number; save it again.")
    check_size(shape, max(dtype.itemsize, 4), where)
    flat = np.frombuffer(stream.read(), dtype=dtype)
    ordered = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return np.ascontiguousarray(ordered, dtype=dtype.newbyteorder("="))


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _damaged(path: Path, error: Exception, remedy: str) -> ArtefactError:
    if isinstance(error, PermissionError):
        return ArtefactError(f"{path} may not be read; change its permissions.")
    return ArtefactError(f"{path} is damaged or not what its name says; save it again with {remedy}.")
