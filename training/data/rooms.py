"""``rooms``: generated pictures of simple interiors with depth, key points and segments, in the shape of Taskonomy.

They are made when they are first asked for, in half a minute or less, and kept in the user's data folder as one file
that holds exactly what reading the folder of :func:`training.rooms.folder.write_rooms` would give.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, DatasetError
from training.data.places import KEPT
from training.data.taskonomy import assemble_dense, to_inputs
from training.data.torchvision_sets import data_folder
from training.rooms import SCENES, VERSION, RoomImage, render_part
from training.rooms.targets import DEPTH_UNITS, MISSING

MAX_IMAGES = 100_000
SIZES = (16, 256)

Stored = dict[str, NDArray[Any]]


def load_rooms(
    *, n_train: int = 4000, n_test: int = 1000, size: int = 64, seed: int = 0, root: Path | str | None = None
) -> Dataset:
    """Images of eight kinds of rooms in 20 training and 6 other test buildings, every kind as frequent as any other.

    Args:
        n_train, n_test: Images; those of few are among those of many.
        size: Pixels of a side.
        seed: Decides everything.
        root: Where generated data are kept; default ``$UNLEARNSCAPE_DATA``, else the user's cache folder.

    Raises:
        DatasetError: Options that make no data set.
    """
    least = len(SCENES)
    limits = {"n_train": (n_train, least, MAX_IMAGES), "n_test": (n_test, least, MAX_IMAGES), "size": (size, *SIZES)}
    for option, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise DatasetError(f"{option} of rooms must be a whole number from {low} to {high}, not {value!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DatasetError(f"The seed of rooms must be a whole number of at least 0, not {seed!r}.")
    name = f"v{VERSION}-seed{seed}-size{size}-train{n_train}-test{n_test}.npz"
    path = (Path(root) if root else data_folder()) / "rooms" / name
    stored = _kept(path)
    if stored is None:
        stored = {}
        for part, count in (("train", n_train), ("test", n_test)):
            images = render_part(part, count, size=size, seed=seed)
            stored |= {f"{key}_{part}": array for key, array in _stacked(images).items()}
        _keep(path, stored)
    return _dataset(stored)


def _stacked(images: list[RoomImage]) -> Stored:
    """Images as arrays, in the order in which a folder is read: by building, then by point."""
    numbered = sorted(images, key=lambda image: (image.building, int(image.name.split("_")[1])))
    return {
        "rgb": np.stack([i.rgb for i in numbered]),
        "depth": np.stack([i.depth for i in numbered]),
        "keypoints": np.stack([i.keypoints for i in numbered]),
        "segments": np.stack([i.segments for i in numbered]),
        "place": np.array([int(i.class_scene.argmax()) for i in numbered]),
        "building": np.array([i.building for i in numbered]),
        "name": np.array([i.name for i in numbered]),
    }


def _dataset(stored: Stored) -> Dataset:
    places = [scene.places for scene in SCENES]
    parts: dict[str, tuple[Any, ...]] = {}
    for part in ("train", "test"):
        depth = stored[f"depth_{part}"]
        metres = np.where(depth == MISSING, np.float32(np.nan), depth.astype(np.float32) / np.float32(DEPTH_UNITS))
        keys = list(zip(stored[f"building_{part}"].tolist(), stored[f"name_{part}"].tolist(), strict=True))
        dense = assemble_dense(stored[f"keypoints_{part}"], metres, stored[f"segments_{part}"], keys)
        labels = np.searchsorted(places, stored[f"place_{part}"]).astype(np.int64)
        parts[part] = (to_inputs(stored[f"rgb_{part}"]), labels, dense)
    (x_train, y_train, dense_train), (x_test, y_test, dense_test) = parts["train"], parts["test"]
    names = tuple(KEPT[place] for place in places)
    return Dataset(
        "rooms", x_train, y_train, x_test, y_test, len(places), "image", True, dense_train, dense_test, names
    )


def _kept(path: Path) -> Stored | None:
    """What was kept, or nothing where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _keep(path: Path, stored: Stored) -> None:
    """Keep the arrays under a name that appears when the file is whole; where nothing can be written, do without."""
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".rooms-", delete=False) as file:
            partial = Path(file.name)
            np.savez(file, allow_pickle=False, **stored)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        os.replace(partial, path)
    except OSError:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink()
