"""Rooms as a folder of Taskonomy's shape."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import DatasetError
from training.rooms.generator import BUILDINGS, RoomImage, building_names, render_part

TABLE = Path("splits_taskonomy") / "train_val_test_rooms.csv"


def write_rooms(
    folder: Path,
    *,
    n_train: int = 4000,
    n_val: int = 400,
    n_test: int = 1000,
    size: int = 64,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write rooms as ``DOMAIN/taskonomy/BUILDING/point_P_view_V_domain_DOMAIN.png`` (or ``.npy``, ``.json``).

    The domains are rgb, depth_euclidean, keypoints2d, segment_unsup2d, class_scene, mask_valid and point_info; a table
    names the buildings of each part. The folder appears when it is whole, under its name, or not at all.

    Args:
        folder: Must not exist, or be empty.
        n_train, n_val, n_test: Images of each part.
        size: Pixels of a side.
        seed: Decides everything.
        progress: Told the number of images written.

    Raises:
        DatasetError: A folder that holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} exists and is not an empty folder; give another name.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written: {error.strerror}.") from None
    try:
        done = 0
        for part, count in (("train", n_train), ("val", n_val), ("test", n_test)):
            for image in render_part(part, count, size=size, seed=seed):
                _write(partial, image)
                done += 1
                if progress is not None:
                    progress(done)
        _write_table(partial)
        partial.chmod(0o755)
        os.replace(partial, folder)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, image: RoomImage) -> None:
    pixels: dict[str, NDArray[Any]] = {
        "rgb": image.rgb,
        "depth_euclidean": image.depth,
        "keypoints2d": image.keypoints,
        "segment_unsup2d": image.segments,
        "mask_valid": image.mask_valid,
    }
    from PIL import Image

    for domain, array in pixels.items():
        Image.fromarray(array).save(_path(folder, domain, image, "png"))
    np.save(_path(folder, "class_scene", image, "npy"), image.class_scene)
    _path(folder, "point_info", image, "json").write_text(json.dumps(image.point_info, indent=1) + "\n")


def _path(folder: Path, domain: str, image: RoomImage, suffix: str) -> Path:
    place = folder / domain / "taskonomy" / image.building
    place.mkdir(parents=True, exist_ok=True)
    return place / f"{image.name}_domain_{domain}.{suffix}"


def _write_table(folder: Path) -> None:
    """Which building is in which part, in the form of Taskonomy's own tables."""
    lines = ["id," + ",".join(BUILDINGS)]
    for part in BUILDINGS:
        flags = ",".join(str(int(part == other)) for other in BUILDINGS)
        lines += [f"{name},{flags}" for name in building_names(part)]
    path = folder / TABLE
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n")
