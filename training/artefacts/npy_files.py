"""Single arrays: int8 noise in a ``.npy`` file, and pairs of images and labels.

Pairs are ``x_train_*.npy`` with ``y_train_*.npy`` (NTGA: Yuan and Wu, ICML 2021; floats [N, H, W, C] on [0, 1], labels
one-hot, in a shuffled order of their own) and ``poisoned_training_data.npy`` with ``poisoned_training_labels.npy`` (the
numpy export of TAP: Fowl et al., NeurIPS 2021; floats on 0 … 255).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.artefacts.arrays import read_npy, write_npy
from training.artefacts.artefact import Artefact, ArtefactError, channels_first, class_indices, unit_scale

PAIRS = (("x_", "y_"), ("poisoned_training_data", "poisoned_training_labels"))


def read(path: Path) -> Artefact:
    """Read noise (integers) or a pair (floats or uint8). Raises :class:`ArtefactError`."""
    array = read_npy(path)
    if array.dtype in (np.int8, np.int16):
        return Artefact("npy", f"{array.dtype} noise {path}", delta=channels_first(array, str(path)))
    if array.dtype.kind == "f" and array.ndim > 1 and _labels_beside(path) is None and np.nanmin(array) < 0:
        raise ArtefactError(
            f"{path} holds {array.dtype} with negative values where int8 noise in 8-bit units is promised; "
            "round 255 δ to int8, or save floats with torch.save as perturbation.pt."
        )
    return _pair(path, array)


def read_noise(path: Path) -> Artefact:
    """Read int8 noise and nothing else. Raises :class:`ArtefactError`."""
    array = read_npy(path)
    if array.dtype not in (np.int8, np.int16):
        raise ArtefactError(f"{path} holds {array.dtype} where int8 noise in 8-bit units is promised.")
    return Artefact("npy", f"{array.dtype} noise {path}", delta=channels_first(array, str(path)))


def read_pair(path: Path) -> Artefact:
    """Read images with the labels that lie beside them. Raises :class:`ArtefactError`."""
    return _pair(path, read_npy(path))


def write_noise(path: Path, levels: NDArray[np.int8]) -> None:
    """Write noise [N, C, H, W] in 8-bit units, REM's layout without the pickle."""
    write_npy(path, levels)


def write_pair(path: Path, images: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int) -> None:
    """Write images [N, C, H, W] on [0, 1] as [N, H, W, C] with one-hot labels beside them.

    Labels go first: where both files are new, images are never there without them.
    """
    beside = _partner(path)
    if beside is None:
        raise ArtefactError(
            f"{path.name} must begin with x_, as x_train_digits.npy, so that y_train_digits.npy can lie by it."
        )
    write_npy(beside, np.eye(n_classes, dtype=np.float32)[labels])
    write_npy(path, images.transpose(0, 2, 3, 1).astype(np.float32))


def _pair(path: Path, array: NDArray[np.generic]) -> Artefact:
    beside = _labels_beside(path)
    if beside is None:
        wanted = _partner(path)
        missing = f"lacks its labels {wanted.name}" if wanted else "is no pair x_… and y_…"
        raise ArtefactError(f"{path} {missing}; put images and labels side by side as x_train_*.npy and y_train_*.npy.")
    last = array.ndim == 4 and array.shape[3] in (1, 3, 4)  # the family keeps channels last, however small images are
    images = np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if last else array
    return Artefact(
        "npy-pair",
        f"images {path} with labels {beside.name}",
        images=unit_scale(channels_first(images, str(path)), str(path)),
        labels=class_indices(read_npy(beside), str(beside)),
    )


def _partner(path: Path) -> Path | None:
    for images, labels in PAIRS:
        if path.name.startswith(images):
            return path.with_name(labels + path.name[len(images) :])
    return None


def _labels_beside(path: Path) -> Path | None:
    partner = _partner(path)
    return partner if partner is not None and partner.is_file() else None
