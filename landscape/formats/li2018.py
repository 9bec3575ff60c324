"""The HDF5 files of the tool of Li, Xu, Taylor, Studer and Goldstein.

Li et al., *Visualizing the Loss Landscape of Neural Nets*, NeurIPS 2018.

Direction files: groups ``xdirection`` and ``ydirection`` of datasets ``"0"``, ``"1"``, … in tensor order and shape; a
PCA file adds ``explained_variance_ratio_``, ``singular_values_`` and ``explained_variance_``. Surface files:
``dir_file``, ``xcoordinates``, ``ycoordinates`` and losses and accuracies (percent), where −1 is a value that was not
computed. Their buffer is y-major although the declared shape is (nx, ny). Projection files: ``proj_xcoord``,
``proj_ycoord``; those that we write also hold, in a group ``path`` that their tool passes over, what else is known of
the path.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from checkpoints import CheckpointError
from checkpoints.container import MAGIC, Guard

NOT_COMPUTED = -1.0
PCA_KEYS = ("explained_variance_ratio_", "singular_values_", "explained_variance_")
VALUES = ("train_loss", "train_acc", "test_loss", "test_acc")
MAX_COUNT = 1_000_000  # samples of which an accuracy can be told to be a share
MAX_TEXT = 4096
MAX_HEAP = 1 << 16
_REFERENCE, _OBJECT = struct.Struct("<IQI"), struct.Struct("<HHIQ")  # a string's length and place; a heap's entry
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Directions:
    """One or two directions: for each a tensor per parameter, in model order. ``pca``: what a PCA file adds."""

    axes: tuple[tuple[NDArray[Any], ...], ...]
    pca: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def flat(self, shapes: Sequence[tuple[int, ...]], where: str) -> NDArray[np.float64]:
        """The axes [2, D] of a network with these parameter shapes. Raises :class:`CheckpointError`."""
        rows = []
        for tensors in self.axes:
            there = [tuple(t.shape) for t in tensors]
            if there != [tuple(s) for s in shapes]:
                k = next((i for i, (a, b) in enumerate(zip(there, shapes, strict=False)) if a != tuple(b)), None)
                what = f"{len(there)} tensors where the network has {len(shapes)}"
                if k is not None:
                    what = f"tensor {k} is {list(there[k])} where the network has {list(shapes[k])}"
                raise CheckpointError(f"{where} holds directions of another network: {what}.")
            rows.append(np.concatenate([t.reshape(-1) for t in tensors]).astype(np.float64))
        if len(rows) != 2:
            raise CheckpointError(f"{where} holds one direction; a plane needs two.")
        return np.stack(rows)


@dataclass(frozen=True, eq=False)
class GridFile:
    """A surface file: coordinates [nx] and [ny], and values [nx, ny] at (x_i, y_j) by their name in the file."""

    xcoordinates: NDArray[np.float64]
    ycoordinates: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]
    dir_file: str = ""


def kind_of(path: Path) -> str | None:
    """``directions``, ``surface`` or ``projection``; None for any other file, such as a sealed one of ours."""
    try:
        with path.open("rb") as raw:
            if raw.read(len(MAGIC)) == MAGIC:
                return None
        with h5py.File(path, "r") as file:
            names = set(file)
    except Exception:  # a damaged file can make any layer of the format fail in its own way
        return None
    marks = {"directions": "xdirection", "surface": "xcoordinates", "projection": "proj_xcoord"}
    return next((kind for kind, mark in marks.items() if mark in names), None)


def read_directions(path: Path) -> Directions:
    """Read a direction file. Raises :class:`CheckpointError`."""

    def read(guard: Guard) -> Directions:
        axes = [_tensors(guard, name) for name in ("xdirection", "ydirection") if name in guard.file]
        return Directions(tuple(axes), {key: guard.load(guard.file, key) for key in PCA_KEYS if key in guard.file})

    return _reading(path, read)


def write_directions(directions: Directions) -> bytes:
    """The bytes of a direction file."""
    arrays: dict[str, NDArray[Any]] = {}
    for group, tensors in zip(("xdirection", "ydirection"), directions.axes, strict=False):
        arrays |= {f"{group}/{k}": tensor for k, tensor in enumerate(tensors)}
    return _write(arrays | dict(directions.pca))


def read_surface(path: Path, also: Sequence[str] = ()) -> GridFile:
    """Read a surface file; values of −1, which were not computed, stay. ``also``: further values, if it holds them.

    Raises :class:`CheckpointError`.
    """

    def read(guard: Guard) -> GridFile:
        x = guard.load(guard.file, "xcoordinates").astype(np.float64)
        if "ycoordinates" not in guard.file:
            raise guard.refuse("it is a line, not a surface: it has no ycoordinates")
        y = guard.load(guard.file, "ycoordinates").astype(np.float64)
        if x.ndim != 1 or y.ndim != 1 or min(len(x), len(y)) < 2 or not (_ascends(x) and _ascends(y)):
            raise guard.refuse("its coordinates are no two ascending lists of numbers")
        values = {
            name: guard.load(guard.file, name).astype(np.float64) for name in (*VALUES, *also) if name in guard.file
        }
        if "train_loss" not in values and "test_loss" not in values:
            raise guard.refuse("it holds neither train_loss nor test_loss")
        for name, raw in values.items():
            if raw.size != len(x) * len(y):
                raise guard.refuse(f"its {name} has {raw.size} values for {len(x)}×{len(y)} points")
        grids = {name: np.ascontiguousarray(raw.reshape(len(y), len(x)).T) for name, raw in values.items()}
        return GridFile(x, y, grids, _text(guard, "dir_file"))

    return _reading(path, read)


def write_surface(surface: GridFile) -> bytes:
    """The bytes of a surface file."""
    shape = (len(surface.xcoordinates), len(surface.ycoordinates))
    arrays = {name: np.ascontiguousarray(grid.T).reshape(shape) for name, grid in surface.values.items()}
    arrays |= {"xcoordinates": surface.xcoordinates, "ycoordinates": surface.ycoordinates}
    return _write(arrays, {"dir_file": surface.dir_file})


def read_projection(path: Path) -> NDArray[np.float64]:
    """Coordinates [T, 2] of a projection file. Raises :class:`CheckpointError`."""

    def read(guard: Guard) -> NDArray[np.float64]:
        x, y = (guard.load(guard.file, name).astype(np.float64) for name in ("proj_xcoord", "proj_ycoord"))
        if x.ndim != 1 or x.shape != y.shape:
            raise guard.refuse("its coordinates are no two lists of one length")
        return np.stack([x, y], axis=1)

    return _reading(path, read)


def read_path(path: Path) -> dict[str, NDArray[Any]]:
    """What a projection file of ours holds of its path beside the coordinates, by name; empty for one of Li et al.

    Raises :class:`CheckpointError`.
    """
    return _reading(path, lambda guard: guard.arrays("path") if "path" in guard.file else {})


def write_projection(coordinates: NDArray[np.float64], path: Mapping[str, NDArray[Any]] | None = None) -> bytes:
    """The bytes of a projection file for coordinates [T, 2]. ``path``: what else is known of the path, by name."""
    columns = np.ascontiguousarray(coordinates, dtype=np.float64)
    more = {f"path/{name}": array for name, array in sorted((path or {}).items())}
    return _write({"proj_xcoord": columns[:, 0].copy(), "proj_ycoord": columns[:, 1].copy(), **more})


def to_percent(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracies in [0, 1] as Li's files have them."""
    return np.asarray(100.0 * accuracy)


def from_percent(percent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracies in [0, 1], as the very numbers they were where they are shares of up to a million samples."""
    return np.asarray([_share(float(p)) for p in percent.ravel()], np.float64).reshape(percent.shape)


def _share(percent: float) -> float:
    plain = percent / 100.0
    if not np.isfinite(plain):
        return plain
    share = Fraction(percent / 100.0).limit_denominator(MAX_COUNT)
    exact = share.numerator / share.denominator
    return exact if 100.0 * exact == percent else plain


def _tensors(guard: Guard, name: str) -> tuple[NDArray[Any], ...]:
    group = guard.child(guard.file, name)
    if not isinstance(group, h5py.Group):
        raise guard.refuse(f"{name!r} is not a group")
    if set(group) != {str(k) for k in range(len(group))}:
        raise guard.refuse(f"the tensors of {name!r} are not numbered from 0")
    return tuple(guard.load(group, str(k)) for k in range(len(group)))


def _text(guard: Guard, name: str) -> str:
    """A scalar string; empty where there is none.

    Found by hand in the file's heap of strings: the library never returns from some damaged heaps.
    """
    held = guard.file.get(name)
    if not isinstance(held, h5py.Dataset) or held.shape != () or h5py.check_string_dtype(held.dtype) is None:
        return ""
    place = held.id.get_offset()
    if place is None or held.id.get_storage_size() != _REFERENCE.size:
        return ""
    with guard.path.open("rb") as file:
        file.seek(place)
        length, address, wanted = _REFERENCE.unpack(file.read(_REFERENCE.size))
        file.seek(address if address < guard.size else guard.size)
        heap = file.read(MAX_HEAP)
    position = 16  # behind the heap's own header
    while heap[:4] == b"GCOL" and position + _OBJECT.size <= len(heap):
        index, _, _, size = _OBJECT.unpack_from(heap, position)
        position += _OBJECT.size
        if index == wanted:
            return heap[position : position + min(length, size, MAX_TEXT)].decode("utf-8", "replace")
        position += size + -size % 8
    return ""


def _ascends(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all() and (np.diff(values) > 0).all())


def _reading(path: Path, read: Callable[[Guard], T]) -> T:
    try:
        with h5py.File(path, "r") as file:
            return read(Guard(path, file))
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except Exception:  # a hostile file can make any layer of the format fail in its own way
        raise CheckpointError(f"{path} is damaged or no HDF5 file of Li et al.'s tool.") from None


def _write(arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, text in (texts or {}).items():
            file.create_dataset(name, data=text)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)
    return buffer.getvalue()
