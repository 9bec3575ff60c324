"""Data that a function of the user's own gives: training and test parts of arrays, tensors or a torch ``Dataset``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data import Dataset as TorchDataset

from training.data import Dataset, DatasetError

MAX_BYTES = 8 << 30  # of one part's inputs or targets in memory
WANTED = "return (train, test), each a pair (inputs, targets) of arrays or a torch Dataset of such pairs"


def as_dataset(name: str, given: Any, *, real_targets: bool = False) -> Dataset:
    """Bring what a data factory returned into the house's form, its values unchanged.

    Args:
        name: What to call the data set and whom to blame.
        given: A :class:`Dataset`, or ``(train, test)``: each a pair of inputs [N, …] and targets [N, …], or a torch
            ``Dataset`` of ``(input, target)`` pairs (of a ``DataLoader`` its ``dataset``).
        real_targets: Take whole-numbered targets for real numbers, as a loss such as mse wants them.

    Returns:
        The data set. Its ``task`` follows from the targets: ``regression`` for real numbers; for whole numbers
        ``classification`` [N], ``language`` where inputs [N, T] are whole numbers as well, else ``segmentation``.

    Raises:
        DatasetError: It is something else, too large, uneven, empty or not finite; one sentence.
    """
    if isinstance(given, Dataset):
        return given
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise DatasetError(f"The data factory {name} returned {_kind(given)}; {WANTED}.")
    parts = [_part(f"the {part} part of {name}", one) for part, one in zip(("training", "test"), given, strict=True)]
    (x_train, y_train), (x_test, y_test) = [(x, _real(y) if real_targets else y) for x, y in parts]
    for what, a, b in (("inputs", x_train, x_test), ("targets", y_train, y_test)):
        if a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
            raise DatasetError(
                f"{name}: training {what} are {a.dtype} of shape {list(a.shape[1:])}, test {what} {b.dtype} of shape "
                f"{list(b.shape[1:])}; they must agree."
            )
    task = _task(x_train, y_train)
    whole = [a for a in (y_train, y_test, x_train, x_test) if a.dtype == np.int64]
    n_classes = 1 + max(int(a.max()) for a in whole) if y_train.dtype == np.int64 else math.prod(y_train.shape[1:])
    kind = "tokens" if x_train.dtype == np.int64 else "image" if x_train.ndim == 4 else "features"
    return Dataset(name, x_train, y_train, x_test, y_test, max(n_classes, 1), kind, task=task)


def _task(inputs: NDArray[Any], targets: NDArray[Any]) -> str:
    if targets.dtype != np.int64:
        return "regression"
    if targets.ndim == 1:
        return "classification"
    return "language" if inputs.dtype == np.int64 and inputs.shape == targets.shape else "segmentation"


def _part(where: str, given: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs and targets of one part, checked."""
    if isinstance(given, DataLoader):
        given = given.dataset
    if isinstance(given, IterableDataset):
        raise DatasetError(f"{where} is an IterableDataset, whose length is not known; give one with a length.")
    if isinstance(given, TorchDataset):
        inputs, targets = _stacked(where, given)
    elif isinstance(given, (tuple, list)) and len(given) == 2:
        inputs, targets = _array(f"{where}: inputs", given[0]), _array(f"{where}: targets", given[1])
    else:
        raise DatasetError(f"{where} is {_kind(given)}; {WANTED}.")
    for what, array in (("inputs", inputs), ("targets", targets)):
        if array.ndim == 0 or array.size == 0:
            raise DatasetError(f"{where}: {what} are empty; give at least one sample of at least one value.")
        _check_size(f"{where}: {what}", array.size)
    if len(inputs) != len(targets):
        raise DatasetError(f"{where} has {len(inputs)} inputs and {len(targets)} targets; they must be as many.")
    if inputs.dtype in (np.uint8, np.bool_):
        raise DatasetError(
            f"{where}: inputs are {inputs.dtype}; return them as the network takes them, such as x / 255 in float32."
        )
    if targets.dtype.kind in "bui" and targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    inputs, targets = _plain(inputs), _plain(targets)
    for what, array in (("inputs", inputs), ("targets", targets)):
        if not np.isfinite(array).all():
            raise DatasetError(f"{where}: {what} hold NaN or infinite values; remove those samples.")
    return inputs, targets


def _stacked(where: str, data: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """All samples of a torch ``Dataset``, one by one, within the limit."""
    try:
        n = len(data)
    except TypeError:
        raise DatasetError(f"{where} does not say how long it is; give a torch Dataset with __len__.") from None
    rows: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    for i in range(n):
        try:
            pair = data[i]
        except Exception as error:  # the user's own code may fail in any way
            raise DatasetError(
                f"{where}: sample {i} cannot be had: {type(error).__name__}: {one_line(error)}"
            ) from None
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise DatasetError(f"{where}: sample {i} is {_kind(pair)}, not a pair of an input and a target.")
        for what, value, kept in zip(("input", "target"), pair, rows, strict=True):
            kept.append(_array(f"{where}: the {what} of sample {i}", value))
            if i == 0:
                _check_size(f"{where}: {what}s", n * kept[0].size)
            elif kept[i].shape != kept[0].shape:
                raise DatasetError(
                    f"{where}: the {what} of sample {i} has shape {list(kept[i].shape)}, that of sample 0 "
                    f"{list(kept[0].shape)}; crop or pad them to one shape."
                )
    if n == 0:
        raise DatasetError(f"{where} is empty; give at least one sample.")
    return np.stack(rows[0]), np.stack(rows[1])


def _array(where: str, value: Any) -> NDArray[Any]:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
    elif not isinstance(value, (np.ndarray, np.generic, int, float, Sequence)) or isinstance(value, str):
        raise DatasetError(f"{where} is {_kind(value)}; give numbers as an array or a tensor (ToTensor for images).")
    try:
        array = np.asarray(value)
    except ValueError:
        raise DatasetError(f"{where} has rows of different lengths; crop or pad them to one shape.") from None
    if array.dtype.kind not in "buif":
        raise DatasetError(f"{where} must hold numbers, not {array.dtype}.")
    return array


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Real numbers in float32, whole ones in int64."""
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused as that
        return np.ascontiguousarray(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))


def _real(targets: NDArray[Any]) -> NDArray[Any]:
    return targets.astype(np.float32)


def _check_size(where: str, values: int) -> None:
    if values * 4 > MAX_BYTES:
        raise DatasetError(f"{where} take more than {MAX_BYTES >> 30} GiB of memory; return fewer samples.")


def one_line(error: BaseException) -> str:
    """The message of any exception, short and in one line."""
    text = " ".join(str(error).split()) or "no message"
    return text if len(text) <= 300 else f"{text[:299]}…"


def _kind(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
