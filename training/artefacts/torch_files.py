"""Reading files of ``torch.save`` that hold tensors and nothing else."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.durable import replacing
from checkpoints.errors import CheckpointError
from checkpoints.torch_files import load_torch
from training.artefacts.artefact import MAX_BYTES, ArtefactError, check_size, checked_file


def load_tensors(path: Path) -> Any:
    """What ``torch.load`` gives for tensors and plain containers, on the CPU whatever device they were saved from.

    Raises:
        ArtefactError: No such file, a damaged one, or one that asks for code, which is never run.
    """
    try:
        return load_torch(checked_file(path), limit=MAX_BYTES)
    except CheckpointError as error:
        raise ArtefactError(str(error)) from None


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
