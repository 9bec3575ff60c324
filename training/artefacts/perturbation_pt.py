"""``perturbation.pt``: one float tensor of perturbations on the scale [0, 1].

Written by the code of EM (Huang et al., ICLR 2021), TUE (Ren et al., ICLR 2023) and others: [N, C, H, W] sample-wise,
[K, C, H, W] class-wise, or five-dimensional with P alternatives in front.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.artefacts import torch_files
from training.artefacts.artefact import Artefact, ArtefactError, channels_first


def read(path: Path) -> Artefact:
    """Read the perturbations. Raises :class:`ArtefactError`."""
    return parse(torch_files.load_tensors(path), path)


def parse(held: Any, path: Path) -> Artefact:
    """Make the artefact of what ``torch.load`` gave. Raises :class:`ArtefactError`."""
    array = torch_files.numbers(held, str(path))
    if array.dtype.kind != "f":
        raise ArtefactError(f"{path} holds {array.dtype} values; perturbations in a .pt file are floats from −1 to 1.")
    if array.ndim not in (4, 5):
        raise ArtefactError(
            f"{path} has shape {list(array.shape)}; perturbations are [N, C, H, W], [K, C, H, W] or [P, N, C, H, W]."
        )
    return Artefact("pt", f"perturbations {path}", delta=channels_first(array.astype(np.float32), str(path)))


def write(path: Path, delta: NDArray[np.float32]) -> None:
    """Write perturbations [N, C, H, W]."""
    torch_files.save(path, torch.from_numpy(np.ascontiguousarray(delta, np.float32)))
