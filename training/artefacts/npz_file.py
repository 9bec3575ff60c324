"""``.npz`` files: ``delta`` in 8-bit units with ``index``, or images ``x_train`` with labels ``y_train``.

The first is what ``poison import`` writes; the second is a data file whose training part is poisoned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.artefacts.arrays import read_npz, write_npz
from training.artefacts.artefact import Artefact, ArtefactError, channels_first, class_indices, unit_scale
from training.data import Dataset

INTEGERS = (np.int8, np.int16)  # int16 for poisons, as OPS, that change a pixel by more than 127


def read(path: Path) -> Artefact:
    """Read whichever of the two it holds. Raises :class:`ArtefactError`."""
    found = read_npz(path, ("delta", "index", "x_train", "y_train", "x", "y"))
    if "delta" in found:
        return _delta(path, found)
    for images, labels in (("x_train", "y_train"), ("x", "y")):
        if images in found:
            return _images(path, found[images], found.get(labels))
    raise ArtefactError(f"{path} holds neither delta (int8, 8-bit units) nor x_train and y_train.")


def read_delta(path: Path) -> Artefact:
    """Read perturbations and nothing else. Raises :class:`ArtefactError`."""
    found = read_npz(path, ("delta", "index"))
    if "delta" not in found:
        raise ArtefactError(f"{path} holds no array delta (int8, 8-bit units).")
    return _delta(path, found)


def write_delta(path: Path, levels: NDArray[Any], index: NDArray[np.int64] | None) -> None:
    """Write perturbations [N, C, H, W] in 8-bit units, and the positions of samples in the full set where given."""
    arrays: dict[str, NDArray[Any]] = {"delta": levels}
    write_npz(path, arrays if index is None else arrays | {"index": index})


def write_data(path: Path, x_train: NDArray[Any], y_train: NDArray[np.int64], dataset: Dataset) -> None:
    """Write a data file: poisoned training data, and the test data as they are; 8-bit images as uint8."""
    x_test = np.rint(dataset.x_test * np.float32(255)).astype(np.uint8) if dataset.eight_bit else dataset.x_test
    write_npz(path, {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": dataset.y_test})


def _delta(path: Path, found: dict[str, NDArray[Any]]) -> Artefact:
    delta, index = found["delta"], found.get("index")
    if delta.dtype not in INTEGERS:
        raise ArtefactError(
            f"delta of {path} is {delta.dtype} where int8 in 8-bit units is promised; store round(255 δ) as int8."
        )
    if index is not None and index.dtype.kind not in "iu":
        raise ArtefactError(f"index of {path} is {index.dtype}; positions are whole numbers.")
    return Artefact(
        "npz-delta",
        f"{delta.dtype} perturbations {path}",
        delta=channels_first(delta, f"delta of {path}"),
        index=None if index is None else index.astype(np.int64),
    )


def _images(path: Path, images: NDArray[Any], labels: NDArray[Any] | None) -> Artefact:
    held: NDArray[Any]
    if images.ndim == 2:
        if images.dtype.kind not in "biuf":
            raise ArtefactError(f"{path} holds {images.dtype} values; features are numbers.")
        held = images.astype(np.float32)
    else:
        held = unit_scale(channels_first(images, str(path)), str(path))
    given = None if labels is None else class_indices(labels, f"labels of {path}")
    return Artefact("npz", f"training data {path}", images=held, labels=given)
