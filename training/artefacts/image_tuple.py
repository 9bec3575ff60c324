"""``*.poison``, ``*.p1`` … ``*.p5``: a tuple (images float32 [N, C, H, W] on the scale [0, 1], labels int64 [N]).

Written by the code of delusive attacks (Tao, Feng, Yi, Huang and Chen, NeurIPS 2021) and of hypocritical perturbations
(Tao, Feng, Wei, Yi, Huang and Chen, NeurIPS 2022).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.artefacts import torch_files
from training.artefacts.artefact import Artefact, ArtefactError, channels_first, class_indices, unit_scale


def read(path: Path) -> Artefact:
    """Read images and labels. Raises :class:`ArtefactError`."""
    return parse(torch_files.load_tensors(path), path)


def parse(held: Any, path: Path) -> Artefact:
    """Make the artefact of what ``torch.load`` gave. Raises :class:`ArtefactError`."""
    if not isinstance(held, (tuple, list)) or len(held) != 2:
        raise ArtefactError(f"{path} holds no pair (images, labels).")
    images, labels = (torch_files.numbers(part, str(path)) for part in held)
    return Artefact(
        "tuple",
        f"images and labels {path}",
        images=unit_scale(channels_first(images, str(path)), str(path)),
        labels=class_indices(labels, str(path)),
    )


def write(path: Path, images: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Write images [N, C, H, W] on [0, 1] and labels [N]."""
    pair = (torch.from_numpy(np.ascontiguousarray(images, np.float32)), torch.from_numpy(labels.astype(np.int64)))
    torch_files.save(path, pair)
