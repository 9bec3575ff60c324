"""A result as numpy's ``.npz``: every array under its own name, and ``header``, a text of JSON."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from checkpoints import CheckpointError
from checkpoints.container import KINDS, MAX_DATASETS, MAX_JSON, MAX_SEALED

HEADER = "header"


def write_npz(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of the file; the same contents give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        text = np.array(json.dumps(header, sort_keys=True))
        for name, array in {HEADER: text, **arrays}.items():
            member = io.BytesIO()
            np.save(member, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED, 6)
    return buffer.getvalue()


def read_npz(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of such a file. No pickle is read, and no memory taken for sizes that are only declared.

    Raises:
        CheckpointError: It is missing, damaged, or of another origin.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_DATASETS or sum(m.file_size for m in members) > MAX_SEALED:
                raise CheckpointError(f"{path} is refused: it unpacks to more than a surface needs.")
            held = {m.filename.removesuffix(".npy"): _array(archive, m) for m in members}
        text = held.pop(HEADER, None)
        if text is None or text.dtype.kind != "U" or text.ndim != 0 or len(str(text)) > MAX_JSON:
            raise CheckpointError(f"{path} holds no header; give a file that export --format npz wrote.")
        header = json.loads(str(text))
        if not isinstance(header, dict) or any(array.dtype.kind not in KINDS for array in held.values()):
            raise ValueError
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except Exception:  # a hostile file can make any layer of the format fail in its own way
        raise CheckpointError(f"{path} is damaged or no file that export --format npz wrote.") from None
    return header, held


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read_header(stream)
        length = math.prod(shape) * dtype.itemsize
        data = stream.read(length + 1)
    if dtype.hasobject or len(data) != length or length > member.file_size:
        raise ValueError
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).T.copy() if fortran else flat.reshape(shape).copy()
