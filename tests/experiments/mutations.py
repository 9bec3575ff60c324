"""Damaged copies of run files, from a seed, and one child process that examines many of them."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from checkpoints import Recorder
from experiments.uploads import Choices, Limits, arrange, ask, laid_out

HEADER = 256  # bytes at the beginning that are swapped between files
LIMITS = Limits(memory=1 << 30, seconds=240)  # of one child, however many files it examines


def samples(folder: Path) -> dict[str, bytes]:
    """A file of every kind: a recorded run, torch.save in both its formats, safetensors."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    with Recorder(folder / "sample.h5", model, metadata={"a": 1}) as recorder:
        for step in range(4):
            recorder.record(step, loss=step)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = {"run.h5": (folder / "sample.h5").read_bytes(), "m_1.safetensors": save(state)}
    for name, zipped in (("m_1.pt", True), ("m_1.ckpt", False)):
        with io.BytesIO() as file:
            torch.save({"state_dict": state, "epoch": 3}, file, _use_new_zipfile_serialization=zipped)
            found[name] = file.getvalue()
    return found


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Flip bits, cut, blank, remove, insert or overwrite bytes, take another file's header, or grow a size."""
    changed, kind = bytearray(data), chance.randrange(8)
    i, n = chance.randrange(len(data)), chance.randrange(1, 200)
    if kind == 0:
        for _ in range(chance.randrange(1, 5)):
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del changed[i:]
    elif kind == 2:
        changed[i : i + n] = bytes(len(changed[i : i + n]))
    elif kind == 3:
        del changed[i : i + n]
    elif kind == 4:
        changed[i:i] = chance.randbytes(n)
    elif kind == 5:
        changed[i : i + n] = chance.randbytes(len(changed[i : i + n]))
    elif kind == 6:
        changed[:HEADER] = other[:HEADER]
    else:
        i = chance.randrange(min(len(data), 4096))
        changed[i : i + 8] = chance.choice((b"\xff" * 8, (1 << 40).to_bytes(8, "little"), b"99999999"))
    return bytes(changed)


def examine_all(uploads: Sequence[Sequence[tuple[str, bytes]]], limits: Limits = LIMITS) -> list[dict[str, Any]]:
    """Examine several uploads in one child, each in a folder of its own, as :func:`experiments.uploads.examine` one."""
    with ExitStack() as stack:
        laid = [stack.enter_context(laid_out(arrange(files), Choices())) for files in uploads]
        return ask([task | {"what": "examine"} for task in laid], limits)


def is_sentence(text: str) -> bool:
    """One line that ends as a sentence does and names no folder of the server."""
    return text.endswith(".") and "\n" not in text and "unlearnscape-upload" not in text and "Traceback" not in text
