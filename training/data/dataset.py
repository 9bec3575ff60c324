"""What a data set is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from training.data.dense import DenseTargets

MAX_CLASSES = 10_000
CHANNELS = (1, 2, 3, 4)  # what is taken for the channels of an image


class DatasetError(ValueError):
    """Data that cannot be used; one sentence with the remedy."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test data, of a classification task where not said otherwise.

    Attributes:
        name: What to call it.
        x_train: [N, features] or [N, C, H, W] float32; images lie in [0, 1].
        y_train: [N] int64 in 0 … n_classes − 1.
        x_test, y_test: Likewise.
        n_classes: K.
        kind: ``"features"`` or ``"image"``.
        eight_bit: Whether images are exact multiples of 1/255.
        dense_train, dense_test: Per-pixel targets of the images, where the data set has them.
        class_names: What each class is, where it is known.
        left_out: One sentence for each file or image that could not be used.
        task: ``"classification"``; other ones come from ``training.own_data.as_dataset`` alone, with targets of
            other shapes and types.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    n_classes: int
    kind: str
    eight_bit: bool = False
    dense_train: DenseTargets | None = None
    dense_test: DenseTargets | None = None
    class_names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    task: str = "classification"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that depend on the four arrays, and on per-pixel targets where there are any."""
        dense = [array for part in (self.dense_train, self.dense_test) if part is not None for array in part.arrays()]
        return fingerprint_arrays(self.x_train, self.y_train, self.x_test, self.y_test, *dense)

    def subset(self, n: int, seed: int) -> Dataset:
        """Keep ``n`` training samples, every class in proportion, in their order; test data stay as they are."""
        available = len(self.y_train)
        if not 1 <= n <= available:
            raise DatasetError(
                f"{self.name} has {available} training samples; a subset holds 1 to {available}, not {n}."
            )
        chosen = stratified(self.y_train, n, seed)
        return replace(
            self,
            name=f"{self.name}-{n}",
            x_train=self.x_train[chosen],
            y_train=self.y_train[chosen],
            dense_train=None if self.dense_train is None else self.dense_train[chosen],
        )


def stratified(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Indices of ``n`` of the labels [N], every class in proportion, drawn by the seed, in ascending order."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[np.arange(n) * len(labels) // n])


def batches(inputs: ArrayLike, targets: ArrayLike, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Cut inputs [N, …] and targets [N] into batches in their order; the last one may be smaller."""
    x, y = torch.as_tensor(inputs), torch.as_tensor(targets)
    if batch_size < 1 or len(x) != len(y):
        raise DatasetError(f"Cannot cut {len(x)} inputs and {len(y)} targets into batches of {batch_size}.")
    return [(x[i : i + batch_size], y[i : i + batch_size]) for i in range(0, len(y), batch_size)]


def fingerprint_arrays(*arrays: ArrayLike) -> str:
    """Hash of shapes, types and values, the same on every machine."""
    digest = hashlib.sha256()
    for given in arrays:
        array = np.ascontiguousarray(given)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{array.dtype.kind}{array.dtype.itemsize}{array.shape}".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()[:32]


def make_dataset(
    name: str, x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike, y_test: ArrayLike, *, where: str
) -> Dataset:
    """Check four arrays and bring them into the house's form.

    Images may be [N, H, W], [N, H, W, C] or [N, C, H, W]; 8-bit ones are divided by 255, others must lie in [0, 1].
    """
    inputs = {"x_train": np.asarray(x_train), "x_test": np.asarray(x_test)}
    labels = {"y_train": np.asarray(y_train), "y_test": np.asarray(y_test)}
    for key, array in (inputs | labels).items():
        if array.dtype.kind not in "biuf":
            raise DatasetError(f"{where}: {key} must hold numbers, not {array.dtype}.")
        if array.ndim == 0 or array.size == 0:
            raise DatasetError(f"{where}: {key} is empty; give at least one sample of at least one value.")
    for part in ("train", "test"):
        if len(inputs[f"x_{part}"]) != len(labels[f"y_{part}"]):
            raise DatasetError(
                f"{where}: x_{part} has {len(inputs[f'x_{part}'])} samples, y_{part} has {len(labels[f'y_{part}'])}."
            )
    if inputs["x_train"].shape[1:] != inputs["x_test"].shape[1:]:
        raise DatasetError(
            f"{where}: training samples have shape {list(inputs['x_train'].shape[1:])}, test samples "
            f"{list(inputs['x_test'].shape[1:])}; they must agree."
        )
    checked = {key: _labels(array, key, where) for key, array in labels.items()}
    n_classes = int(checked["y_train"].max()) + 1
    if checked["y_test"].max() >= n_classes:
        raise DatasetError(
            f"{where}: the test label {int(checked['y_test'].max())} never occurs in training (labels there are 0 to "
            f"{n_classes - 1})."
        )
    if len(np.unique(checked["y_train"])) < 2:
        raise DatasetError(f"{where}: all training labels are equal; a classifier needs at least two classes.")
    eight_bit = all(array.dtype == np.uint8 for array in inputs.values())
    train, test = _inputs(inputs["x_train"], "x_train", where), _inputs(inputs["x_test"], "x_test", where)
    kind = "image" if train.ndim == 4 else "features"
    return Dataset(
        name, train, checked["y_train"], test, checked["y_test"], n_classes, kind, eight_bit and kind == "image"
    )


def _labels(array: NDArray[np.generic], key: str, where: str) -> NDArray[np.int64]:
    if array.ndim != 1 and array.size == len(array):
        array = array.reshape(-1)
    if array.ndim != 1:
        raise DatasetError(f"{where}: {key} must be a list of class indices, not of shape {list(array.shape)}.")
    values = array.astype(np.float64)
    if not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise DatasetError(f"{where}: {key} holds labels that are not whole numbers; use class indices 0, 1, 2, ….")
    if values.min() < 0 or values.max() >= MAX_CLASSES:
        wrong = int(values.min()) if values.min() < 0 else int(values.max())
        raise DatasetError(f"{where}: {key} holds the label {wrong}; labels must lie in 0 to {MAX_CLASSES - 1}.")
    return values.astype(np.int64)


def _inputs(array: NDArray[np.generic], key: str, where: str) -> NDArray[np.float32]:
    if array.ndim not in (2, 3, 4):
        raise DatasetError(
            f"{where}: {key} has shape {list(array.shape)}; give features [N, F] or images [N, H, W], [N, H, W, C] or "
            "[N, C, H, W]."
        )
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused as that
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise DatasetError(f"{where}: {key} holds NaN or infinite values; remove those samples.")
    if array.ndim == 2:
        return np.ascontiguousarray(values)
    if array.dtype == np.uint8:
        values = values / np.float32(255)
    elif values.min() < 0 or values.max() > 1:
        raise DatasetError(
            f"{where}: {key} holds pixels from {values.min():g} to {values.max():g}; save images as uint8, or as "
            "numbers from 0 to 1."
        )
    if array.ndim == 3:
        values = values[:, None]
    elif values.shape[1] not in CHANNELS:
        if values.shape[3] not in CHANNELS:
            raise DatasetError(
                f"{where}: {key} has shape {list(array.shape)}, where neither [N, C, H, W] nor [N, H, W, C] gives an "
                "image of 1 to 4 channels."
            )
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values)
