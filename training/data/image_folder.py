"""A folder of images: one folder a class in ``train``, and in ``test`` or ``val``, as ImageNet is laid out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import MAX_CLASSES, Dataset, DatasetError, make_dataset, stratified

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TEST_FOLDERS = ("test", "val")
MAX_BYTES = 16 << 30  # of all images as float32


def load_image_folder(
    folder: Path,
    *,
    classes: int | None = None,
    size: int | None = None,
    n_train: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Read ``train/CLASS/…`` and ``test/CLASS/…`` (or ``val``) as 8-bit colour images.

    Classes are numbered by name, and files ordered by name, where numbers in names count as numbers.

    Args:
        folder: Holds the parts.
        classes: Take the first so many classes; ImageNet-100 is ``classes=100`` of ImageNet.
        size: Scale the shorter side to so many pixels (bilinear) and cut out the centre; default: images as they are,
            which must then be of one size.
        n_train: Training images to keep, every class in proportion, drawn by ``seed`` before any is read.

    Raises:
        DatasetError: Missing parts, classes or images, one that cannot be read, or too many; one sentence.
    """
    for option, value in (("classes", classes), ("size", size)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise DatasetError(f"{option} must be a whole number of at least 1, not {value!r}.")
    test = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if not (folder / "train").is_dir() or test is None:
        missing = "test (or val)" if (folder / "train").is_dir() else "train"
        raise DatasetError(
            f"{folder} has no folder {missing}; it must hold train and test (or val), with classes inside."
        )
    names = _classes(folder / "train", classes)
    files, labels = _list(folder / "train", names)
    if n_train is not None:
        if n_train > len(files):
            raise DatasetError(f"{folder} has {len(files)} training images; a subset holds 1 to that, not {n_train}.")
        chosen = stratified(labels, n_train, seed)
        files, labels = [files[i] for i in chosen], labels[chosen]
    test_files, test_labels = _list(test, names)
    x_train, x_test = _read_all([files, test_files], size)
    return make_dataset(folder.name, x_train, labels, x_test, test_labels, where=str(folder))


def _classes(part: Path, count: int | None) -> list[str]:
    names = sorted((p.name for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")), key=_in_order)
    if count is not None and count > len(names):
        raise DatasetError(f"{part} holds {len(names)} classes, not the {count} asked for.")
    names = names[:count]
    if len(names) < 2:
        raise DatasetError(f"{part} gives {len(names)} class folders; a classifier needs at least two.")
    if len(names) > MAX_CLASSES:
        raise DatasetError(f"{part} holds {len(names)} classes; at most {MAX_CLASSES} can be taken.")
    return names


def _list(part: Path, names: list[str]) -> tuple[list[Path], NDArray[np.int64]]:
    """Files of the classes and their labels [N]; every class must have some."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        if not (part / name).is_dir():
            raise DatasetError(f"{part} has no folder for the class {name!r}, which train has.")
        found = [p for p in (part / name).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        if not found:
            raise DatasetError(f"{part / name} holds no image; files must end with {', '.join(SUFFIXES)}.")
        files += sorted(found, key=lambda p: _in_order(p.as_posix()))
        labels += [label] * len(found)
    return files, np.array(labels, dtype=np.int64)


def _in_order(name: str) -> list[tuple[int, int, str]]:
    """A key that puts ``9.png`` before ``10.png``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def _read_all(parts: list[list[Path]], size: int | None) -> list[NDArray[np.uint8]]:
    """Images of every part [N, H, W, 3]."""
    first = _read(parts[0][0], size)
    count = sum(map(len, parts))
    if count * first.size * 4 > MAX_BYTES:
        raise DatasetError(
            f"{count} images of {first.shape[0]}×{first.shape[1]} pixels take more than {MAX_BYTES >> 30} GiB; choose "
            "a smaller n_train, classes or size."
        )
    arrays = []
    for files in parts:
        images = np.empty((len(files), *first.shape), np.uint8)
        for i, path in enumerate(files):
            image = _read(path, size)
            if image.shape != first.shape:
                raise DatasetError(
                    f"{path} has {image.shape[0]}×{image.shape[1]} pixels, where others have "
                    f"{first.shape[0]}×{first.shape[1]}; give size to bring all to one."
                )
            images[i] = image
        arrays.append(images)
    return arrays


def _read(path: Path, size: int | None) -> NDArray[np.uint8]:
    """One image [H, W, 3]."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(_fitted(image.convert("RGB"), size))
    except Exception as error:  # decoders fail each in their own way
        if isinstance(error, PermissionError):
            raise DatasetError(f"{path} may not be read; change its permissions.") from None
        raise DatasetError(f"{path} is not a readable image; remove or replace it.") from None


def _fitted(image: Any, size: int | None) -> Any:
    if size is None:
        return image
    from PIL import Image

    width, height = image.size
    scale = size / min(width, height)
    if scale != 1:
        width, height = max(size, round(width * scale)), max(size, round(height * scale))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
