"""Large runs made of noise, to time what reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from checkpoints.container import write_sealed
from checkpoints.durable import replacing
from checkpoints.packing import KIND
from checkpoints.tensors import layout_of


def write_random_walk(path: Path, *, parameters: int, checkpoints: int, seed: int) -> None:
    """A packed run whose weights walk at random: steps of about a thousandth along a few fixed directions."""
    with torch.device("meta"):
        shell = nn.Linear(parameters, 1, bias=False)
    layout = layout_of(shell)

    def rows() -> Iterator[NDArray[np.float32]]:
        generator = np.random.default_rng(seed)
        start = generator.standard_normal(parameters, dtype=np.float32)
        directions = [generator.standard_normal(parameters, dtype=np.float32) for _ in range(3)]
        place = np.zeros(3)
        for _ in range(checkpoints):
            place += generator.standard_normal(3) * (1e-2, 3e-3, 1e-3)
            yield start + sum(np.float32(p) * d for p, d in zip(place, directions, strict=True))

    digests = np.stack([np.frombuffer(hashlib.sha256(row.tobytes()).digest(), np.uint8) for row in rows()])
    arrays = {
        "steps": np.arange(checkpoints, dtype=np.int64),
        "epochs": np.full(checkpoints, np.nan),
        "digests": digests,
        "others": np.zeros((checkpoints, 0), np.uint8),
    }
    header = {"layout": layout.to_json(), "metadata": {}, "metrics": []}
    with replacing(path) as temporary:
        body = (checkpoints, parameters, np.dtype(np.float32), rows())
        write_sealed(temporary, kind=KIND, header=header, arrays=arrays, body=body)
