"""Reading files of ``torch.save`` that hold tensors and nothing else."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.durable import replacing
from training.artefacts.artefact import MAX_BYTES, ArtefactError, check_size, checked_file


def load_tensors(path: Path) -> Any:
    """What ``torch.load`` gives for tensors and plain containers, on the CPU whatever device they were saved from.

    Raises:
        ArtefactError: No such file, a damaged one, or one that asks for code, which is never run.
    """
    _check_archive(checked_file(path))
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make any layer of the format fail in its own way
        if isinstance(error, PermissionError):
            raise ArtefactError(f"{path} may not be read; change its permissions.") from None
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked:
            raise ArtefactError(
                f"{path} is refused: it asks for {asked[1]}, and only tensors are read; nothing in it was executed."
            ) from None
        raise ArtefactError(f"{path} is damaged or no file of torch.save that holds tensors alone.") from None


def numbers(given: Any, where: str) -> Any:
    """A tensor as a contiguous numpy array; one that stretches little memory to a huge shape is refused."""
    if not isinstance(given, Tensor):
        raise ArtefactError(f"{where} holds {type(given).__name__} where a tensor is needed.")
    if given.layout != torch.strided or given.is_complex() or given.is_quantized:
        raise ArtefactError(f"{where} holds a sparse, complex or quantised tensor; save a plain one.")
    check_size(tuple(given.shape), given.element_size(), where)
    if given.numel() * given.element_size() > given.untyped_storage().nbytes():
        raise ArtefactError(f"{where} declares {list(given.shape)} values but holds fewer; save it with .contiguous().")
    plain = given.detach()
    return (plain.float() if plain.is_floating_point() and plain.dtype != torch.float64 else plain).contiguous().numpy()


def save(path: Path, value: Any) -> None:
    """Write with ``torch.save``, atomically."""
    buffer = io.BytesIO()  # a file's own name would get into the archive
    torch.save(value, buffer)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())


def _check_archive(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        raise ArtefactError(f"{path} is larger than {MAX_BYTES >> 30} GiB; give a smaller file.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MAX_BYTES:
                raise ArtefactError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB; give a smaller file.")
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(f"{path} is damaged or no file of torch.save that holds tensors alone.") from None
