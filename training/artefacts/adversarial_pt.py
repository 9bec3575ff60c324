"""``training_adv.pt``: the poisoned MNIST images of DeepConfuse, float32 [N, 28, 28] on the scale [0, 1].

Feng, Cai and Zhou, *Learning to Confuse* (NeurIPS 2019). Labels are those of MNIST, in its order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.artefacts import torch_files
from training.artefacts.artefact import Artefact, ArtefactError, channels_first, unit_scale


def read(path: Path) -> Artefact:
    """Read the images. Raises :class:`ArtefactError`."""
    return parse(torch_files.load_tensors(path), path)


def parse(held: Any, path: Path) -> Artefact:
    """Make the artefact of what ``torch.load`` gave. Raises :class:`ArtefactError`."""
    array = torch_files.numbers(held, str(path))
    if array.ndim != 3:
        raise ArtefactError(f"{path} has shape {list(array.shape)}; grey images are [N, H, W].")
    return Artefact("adv-pt", f"grey images {path}", images=unit_scale(channels_first(array, str(path)), str(path)))


def write(path: Path, images: NDArray[np.float32]) -> None:
    """Write grey images [N, 1, H, W] on [0, 1]."""
    if images.shape[1] != 1:
        raise ArtefactError(
            f"The format adv-pt holds grey images, not {images.shape[1]} channels; choose tuple or png."
        )
    torch_files.save(path, torch.from_numpy(np.ascontiguousarray(images[:, 0], np.float32)))
