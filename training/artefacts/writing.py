"""Write a poison in the formats that others read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.artefacts import (
    adversarial_pt,
    image_tuple,
    int8_pickle,
    npy_files,
    npz_file,
    perturbation_pt,
    png_folder,
)
from training.artefacts.alignment import align, applied_delta
from training.artefacts.artefact import Artefact, ArtefactError, Progress
from training.data import Dataset
from training.data.rounding import settle

LEVEL_FORMATS = ("pkl", "npy", "npz-delta")  # whole grey levels
DELTA_FORMATS = ("pt", *LEVEL_FORMATS)
NEARLY = 1e-3  # of a grey level, above the error of float32
IMAGE_FORMATS = ("png", "npy-pair", "npz", "tuple", "adv-pt")


class PoisonedSet(Protocol):
    """What is needed of ``training.Poison``."""

    @property
    def x_train(self) -> NDArray[np.float32]:
        """[N, …] inputs."""

    @property
    def y_train(self) -> NDArray[np.int64]:
        """[N] labels."""


def write_artefact(
    path: Path | str,
    poison: PoisonedSet | Artefact | NDArray[Any],
    dataset: Dataset,
    kind: str,
    *,
    index: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a poison to a file or, for PNG, a folder; it appears under its name only when it is complete.

    Args:
        path: Where to; ``npy-pair`` needs a name that begins with ``x_`` and writes ``y_…`` beside it.
        poison: A made poison, an artefact, or an array: signed integers [N, C, H, W] are perturbations in 8-bit units,
            others are poisoned inputs in the form of the data set's.
        dataset: The clean data.
        kind: One of ``training.artefacts.FORMATS``.
        index: [N] positions of the samples in the full data set, which ``npz-delta`` keeps.
        progress: Called as ``progress(done, total)`` while images are written.

    Raises:
        ArtefactError: The format cannot hold this poison without loss.
        CheckpointError: The place cannot be written.
    """
    if kind not in DELTA_FORMATS + IMAGE_FORMATS:
        raise ArtefactError(f"Poisons are written as {', '.join(IMAGE_FORMATS + DELTA_FORMATS)}, not as {kind!r}.")
    if dataset.kind != "image" and kind != "npz":
        raise ArtefactError(f"{dataset.name} holds feature vectors, which only the format npz takes, not {kind}.")
    target = Path(path).expanduser()
    if kind != "png":
        target.parent.mkdir(parents=True, exist_ok=True)
    if kind in DELTA_FORMATS:
        _write_delta(target, poison, dataset, kind, index)
    else:
        _write_images(target, poison, dataset, kind, progress)
    return target


def _write_delta(
    path: Path, poison: PoisonedSet | Artefact | NDArray[Any], dataset: Dataset, kind: str, index: NDArray[Any] | None
) -> None:
    raw = _raw_delta(poison)
    if raw is not None and raw.dtype.kind == "f" and kind in LEVEL_FORMATS and dataset.eight_bit:
        raw = _whole(raw)
    if isinstance(poison, Artefact) and index is None and poison.delta is not None:
        index = poison.index
    if kind == "pt":
        if raw is None:
            raw = _inputs(poison, dataset)[0] - dataset.x_train
        scale = np.float32(255 if raw.dtype.kind == "i" else 1)
        perturbation_pt.write(path, np.asarray(raw / scale, np.float32))
        return
    levels = raw if raw is not None and raw.dtype.kind == "i" else _levels(poison, dataset, kind)
    if kind == "npz-delta":
        npz_file.write_delta(path, _narrow(levels), index)
        return
    if np.abs(levels.astype(np.int32)).max() > 127:
        raise ArtefactError(f"A change of {int(np.abs(levels).max())}/255 does not fit int8; choose npz-delta or png.")
    writer = int8_pickle.write if kind == "pkl" else npy_files.write_noise
    writer(path, levels.astype(np.int8))


def _write_images(
    path: Path,
    poison: PoisonedSet | Artefact | NDArray[Any],
    dataset: Dataset,
    kind: str,
    progress: Progress | None,
) -> None:
    x_train, y_train = _inputs(poison, dataset)
    if kind == "png":
        if not dataset.eight_bit:
            raise ArtefactError(
                f"The images of {dataset.name} are not 8-bit; PNG would round them, choose tuple or npz."
            )
        if x_train.shape[1] == 2:
            raise ArtefactError("PNG holds 1, 3 or 4 channels, not 2; choose tuple or npz.")
        png_folder.write(path, _eight_bit(x_train), progress)
    elif kind == "npy-pair":
        npy_files.write_pair(path, x_train, y_train, dataset.n_classes)
    elif kind == "npz":
        npz_file.write_data(path, _eight_bit(x_train) if dataset.eight_bit else x_train, y_train, dataset)
    elif kind == "tuple":
        image_tuple.write(path, x_train, y_train)
    else:
        adversarial_pt.write(path, x_train)


def _raw_delta(poison: PoisonedSet | Artefact | NDArray[Any]) -> NDArray[Any] | None:
    """Perturbations before clipping, where the poison is given as such."""
    if isinstance(poison, Artefact):
        return poison.delta
    return poison if isinstance(poison, np.ndarray) and poison.dtype.kind == "i" else None


def _inputs(
    poison: PoisonedSet | Artefact | NDArray[Any], dataset: Dataset
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Poisoned inputs [N, …] in the data set's form and order, and their labels."""
    if isinstance(poison, np.ndarray):
        if poison.dtype.kind == "i":
            poison = Artefact("array", "the array", delta=poison)
        else:
            poison = Artefact(
                "array", "the array", images=poison if poison.dtype == np.uint8 else poison.astype(np.float32)
            )
    if not isinstance(poison, Artefact):
        return poison.x_train, poison.y_train
    delta = applied_delta(poison, dataset, align(poison, dataset))
    return settle(dataset.x_train + delta, dataset), dataset.y_train


def _levels(poison: PoisonedSet | Artefact | NDArray[Any], dataset: Dataset, kind: str) -> NDArray[np.int16]:
    """Changes of 8-bit images in grey levels."""
    if not dataset.eight_bit:
        raise ArtefactError(f"The images of {dataset.name} are not 8-bit, which {kind} is for; choose pt or tuple.")
    x_train, _ = _inputs(poison, dataset)
    return _eight_bit(x_train).astype(np.int16) - _eight_bit(dataset.x_train)


def _whole(delta: NDArray[Any]) -> NDArray[Any]:
    """Perturbations on [0, 1] as integers in 8-bit units where they are whole but for float32, else unchanged."""
    levels = np.rint(delta * np.float32(255))
    near = np.abs(delta * np.float32(255) - levels).max() < NEARLY
    return np.asarray(levels, np.int16) if near else delta


def _narrow(levels: NDArray[Any]) -> NDArray[Any]:
    return levels.astype(np.int8 if np.abs(levels.astype(np.int32)).max() <= 127 else np.int16)


def _eight_bit(x: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(x * np.float32(255)), np.uint8)
