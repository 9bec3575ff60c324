"""What a poison read from a file is, before anything is known about the data set it belongs to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import CHANNELS

MAX_BYTES = 8 << 30  # of one artefact in memory
Progress = Callable[[int, int], None]


class ArtefactError(ValueError):
    """An artefact that cannot be read, does not fit its data set, or breaks its promise; one sentence."""


@dataclass(frozen=True, eq=False)
class Artefact:
    """A published poison: either final images or perturbations.

    Attributes:
        kind: The format, one of ``training.artefacts.FORMATS``.
        source: What it is and where it lies, in words.
        images: [N, C, H, W] poisoned images, uint8, or float32 on the scale [0, 1]; [N, F] float32 for feature vectors.
        delta: [N, C, H, W] one perturbation for each sample, or [K, C, H, W] one for each class; [P, N or K, C, H, W]
            holds P alternatives. Integers are in 8-bit units (1/255), float32 is on the scale [0, 1].
        labels: [N] int64, where labels were shipped.
        index: [N] int64, position of each entry in the full data set it was made for, where that was shipped.
        by_class: Entries are grouped by class, and lie in the data set's order within each class.
    """

    kind: str
    source: str
    images: NDArray[Any] | None = None
    delta: NDArray[Any] | None = None
    labels: NDArray[np.int64] | None = None
    index: NDArray[np.int64] | None = None
    by_class: bool = False

    def __post_init__(self) -> None:
        if (self.images is None) == (self.delta is None):
            raise ArtefactError(f"{self.source} must hold either images or perturbations.")
        for name, given in (("labels", self.labels), ("index", self.index)):
            if given is not None and given.shape != (self.entries,):
                raise ArtefactError(
                    f"{self.source} ships {name} of shape {list(given.shape)} for {self.entries} entries; "
                    "there must be one for each."
                )
        if self.index is not None:
            values, counts = np.unique(self.index, return_counts=True)
            if (counts > 1).any():
                raise ArtefactError(f"{self.source} names sample {int(values[counts > 1][0])} twice in its index.")
            if len(values) and values[0] < 0:
                raise ArtefactError(f"{self.source} names sample {int(values[0])} in its index; positions start at 0.")

    @property
    def values(self) -> NDArray[Any]:
        """The images, or the perturbations."""
        held = self.images if self.images is not None else self.delta
        assert held is not None
        return held

    @property
    def alternatives(self) -> int:
        """P, how many perturbations there are of each sample or class."""
        return len(self.values) if self.values.ndim == 5 else 1

    @property
    def entries(self) -> int:
        """Number of samples, or of classes for class-wise perturbations."""
        return int(self.values.shape[1 if self.values.ndim == 5 else 0])

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one entry."""
        return tuple(self.values.shape[2 if self.values.ndim == 5 else 1 :])

    @property
    def whole_levels(self) -> bool:
        """Whether values are integers in 8-bit units."""
        return self.values.dtype.kind in "iu"


def channels_first(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Bring [N, H, W], [N, H, W, C] or [N, C, H, W] into the form [N, C, H, W]; a 5-D array is taken as it is.

    Raises:
        ArtefactError: No axis can be that of 1 to 4 channels, or there is nothing in it.
    """
    if array.size == 0:
        raise ArtefactError(f"{where} is empty.")
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 5 and array.shape[2] in CHANNELS:
        return array
    if array.ndim == 4 and array.shape[1] in CHANNELS:
        return array
    if array.ndim == 4 and array.shape[3] in CHANNELS:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    raise ArtefactError(
        f"{where} has shape {list(array.shape)}, where neither [N, C, H, W] nor [N, H, W, C] gives images of 1 to 4 "
        "channels."
    )


def unit_scale(array: NDArray[Any], where: str) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Images as uint8 or as float32 on the scale [0, 1]; floats that reach above 1 are taken to be on 0 … 255.

    NaN and values outside the range stay, for the verification to name.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise ArtefactError(f"{where} holds {array.dtype} values; images are uint8, or floats from 0 to 1 or 255.")
    values = array.astype(np.float32)
    top = float(np.nanmax(values)) if not np.isnan(values).all() else 0.0
    if 2 < top <= 255 and np.nanmin(values) >= 0:
        levels = np.rint(values)
        if np.array_equal(levels, values):  # TAP's numpy export: whole grey levels kept as floats
            return levels.astype(np.uint8)
        return values / np.float32(255)
    return values


def class_indices(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Labels [N] from class indices [N] or [N, 1], or from one-hot rows [N, K]."""
    if array.dtype.kind not in "biuf":
        raise ArtefactError(f"{where} holds {array.dtype} labels; give class indices or one-hot rows.")
    values = array.astype(np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2:
        one_hot = np.isin(values, (0.0, 1.0)).all() and (values.sum(axis=1) == 1).all()
        if not one_hot:
            raise ArtefactError(f"{where} has labels [N, {values.shape[1]}] that are not one-hot; one class per row.")
        return np.asarray(values.argmax(axis=1), np.int64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values != np.floor(values)).any() or (values < 0).any():
        raise ArtefactError(f"{where} holds labels that are no class indices; use 0, 1, 2, … or one-hot rows.")
    return values.astype(np.int64)


def check_size(shape: tuple[int, ...], itemsize: int, where: str) -> None:
    """Refuse an array that would take too much memory, before any is taken."""
    if math.prod(shape) * itemsize > MAX_BYTES:
        raise ArtefactError(
            f"{where} declares {list(shape)} values, more than {MAX_BYTES >> 30} GiB; give a smaller file."
        )


def checked_file(path: Path) -> Path:
    """The path, if a file is there."""
    if not path.is_file():
        raise ArtefactError(f"There is no file {path}.")
    return path
