"""Taskonomy: photographs of rooms with depth, key points and segments (Zamir, Sax, Shen, Guibas, Malik and Savarese,
*Taskonomy: Disentangling Task Transfer Learning*, CVPR 2018), and any folder of that shape.

Files are listed first; which images are wanted is decided from their classes, and only those are decoded. Depth of 0 …
65534 counts 1/512 m, 65535 is missing; key points are clipped at 327.68, as Mod-Squad does (Chen et al., CVPR 2023).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.data.dataset import Dataset, DatasetError, stratified
from training.data.dense import KEYPOINT_CLIP, DenseTargets
from training.data.levels import from_levels
from training.data.places import KEPT
from training.data.taskonomy_files import (
    Key,
    Notes,
    UnusableFile,
    View,
    list_views,
    present_buildings,
    read_scene,
    read_split,
    read_view,
)
from training.data.torchvision_sets import find_file

CLASSES = 8  # kept unless more or fewer are asked for
MAX_BYTES = 16 << 30  # of all images and targets in memory
BYTES_A_PIXEL = 3 * 4 + 4 + 4 + 2
CLIP = KEYPOINT_CLIP * 65535

Views = list[tuple[Key, dict[str, Path], int]]
"""Views with their files and their class of Places."""


def load_taskonomy(
    *,
    folder: str | Path = "",
    size: int | None = None,
    classes: int | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    root: Path | str | None = None,
) -> Dataset:
    """Read the training and test buildings of a folder of Taskonomy's shape.

    The class of an image is the likeliest of the 63 that Taskonomy keeps of Places; the most frequent classes of the
    training images stay, in the order of Places, and images of others are dropped. What is left out, and why, is told
    in ``left_out`` of the data set.

    Args:
        folder: Holds the domains rgb, depth_euclidean, keypoints2d, segment_unsup2d and class_scene (and mask_valid).
        size: Pixels of a side; default as they are, 512 in Taskonomy.
        classes: Classes to keep; default 8, or as many as there are.
        n_train, n_test: Images to keep, every class in proportion, drawn by ``seed`` before any is decoded.
        root: Where a relative folder may also lie.

    Raises:
        DatasetError: A folder that is not Taskonomy, lacks a domain or gives no images or one class only.
    """
    for option, value, least in (("size", size, 8), ("classes", classes, 2), ("n_test", n_test, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise DatasetError(f"{option} must be a whole number of at least {least}, not {value!r}.")
    if not folder:
        raise DatasetError("taskonomy needs the option folder: the path of a folder that holds its domains.")
    path, notes = find_file(str(folder), root), Notes()
    if not path.is_dir():
        raise DatasetError(f"There is no folder {path}; give the one that holds the domains of Taskonomy.")
    train, test = _listed(path, notes)
    kept = _most_frequent(train, classes, path, notes)
    train, test = [v for v in train if v[2] in kept], [v for v in test if v[2] in kept]
    if not test:
        raise DatasetError(f"No test image in {path} has a class of the training images.")
    train = _chosen(train, n_train, seed, f"training images in {path}")
    test = _chosen(test, n_test, seed, f"test images in {path}")
    x_train, y_train, dense_train = _read(train, kept, size, path, notes, len(train) + len(test))
    x_test, y_test, dense_test = _read(test, kept, size, path, notes, len(train) + len(test))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DatasetError(f"Training and test images in {path} differ in size; give size to bring all to one.")
    if len(np.unique(y_train)) < 2:
        raise DatasetError(f"The training images left in {path} are of one class; a classifier needs two.")
    names = tuple(KEPT[place] for place in kept)
    return Dataset(
        path.name, x_train, y_train, x_test, y_test, len(kept), "image", True, dense_train, dense_test, names,
        notes.told(),
    )  # fmt: skip


def assemble_dense(
    keypoints: ArrayLike, metres: NDArray[np.float32], segments: ArrayLike, keys: list[tuple[str, str]]
) -> DenseTargets:
    """Targets from key points as stored [N, H, W], depth in metres, ids, and (building, name) of every image."""
    clipped: NDArray[np.float32] = np.asarray(keypoints, np.float32)
    clipped = (np.minimum(clipped, np.float32(CLIP)) / np.float32(CLIP)).astype(np.float32)
    buildings, names = tuple(key[0] for key in keys), tuple(key[1] for key in keys)
    return DenseTargets(clipped, metres, np.asarray(segments, np.int16), buildings, names)


def to_inputs(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """8-bit images [N, H, W, 3] as [N, 3, H, W] in [0, 1]."""
    return np.ascontiguousarray(from_levels(rgb).transpose(0, 3, 1, 2))


def _listed(folder: Path, notes: Notes) -> tuple[Views, Views]:
    """Views of the training and test buildings, with the classes of those that have a readable one."""
    split, present = read_split(folder), present_buildings(folder)
    list_views(folder, set(), Notes())  # says what the folder lacks before anything else is said
    for stranger in sorted(present - set().union(*split.values())):
        notes.add(f"The building {stranger} is left out: the split does not name it.")
    testing = "test"
    if not split["test"] & present and split["val"] & present:
        testing = "val"
        notes.add("No test building is here: the validation buildings are the test data.")
    parts = []
    for part, word in (("train", "training"), (testing, "test")):
        views = list_views(folder, split[part] & present, notes)
        if not views:
            raise DatasetError(
                f"{folder} holds no complete image of a {word} building ({', '.join(sorted(split[part])[:3])}, …)"
                f"{_first(notes)}."
            )
        parts.append(_labelled(views, notes))
    if not parts[0]:
        raise DatasetError(f"{folder} holds no training image with a readable class{_first(notes)}.")
    return parts[0], parts[1]


def _labelled(views: dict[Key, dict[str, Path]], notes: Notes) -> Views:
    found, places = [], np.array(list(KEPT))
    for key, files in views.items():
        try:
            probabilities = read_scene(files["class_scene"])[places]
        except UnusableFile as reason:
            notes.add(str(reason))
            continue
        found.append((key, files, int(places[probabilities.argmax()])))
    return found


def _most_frequent(train: Views, classes: int | None, folder: Path, notes: Notes) -> list[int]:
    """Indices in Places of the classes that stay, in ascending order."""
    counts = Counter(place for _, _, place in train)
    if len(counts) < 2:
        raise DatasetError(
            f"All training images in {folder} are of one class ({KEPT[next(iter(counts))]}); a classifier needs at "
            "least two."
        )
    if classes is not None and classes > len(counts):
        raise DatasetError(
            f"The training images in {folder} are of {len(counts)} classes, not the {classes} asked for."
        )
    ordered = sorted(counts, key=lambda place: (-counts[place], place))
    kept, dropped = sorted(ordered[: classes or CLASSES]), ordered[classes or CLASSES :]
    if dropped:
        lost = sum(counts[place] for place in dropped)
        notes.add(f"{len(dropped)} rarer classes with {lost} training images are left out, such as {KEPT[dropped[0]]}.")
    return kept


def _chosen(views: Views, count: int | None, seed: int, what: str) -> Views:
    if count is None:
        return views
    if count > len(views):
        option = "n_train" if what.startswith("training") else "n_test"
        raise DatasetError(
            f"There are {len(views)} {what}; {count} were asked for. Set data.{option} to {len(views)} or fewer."
        )
    return [views[i] for i in stratified(np.array([place for _, _, place in views]), count, seed)]


def _read(
    views: Views, kept: list[int], size: int | None, folder: Path, notes: Notes, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], DenseTargets]:
    """Decode the wanted views; those that cannot be used are left out. ``count`` is of all parts."""
    read: list[View] = []
    keys, labels = [], []
    for (building, point, number), files, place in views:
        try:
            view = read_view(files, size)
        except UnusableFile as reason:
            notes.add(str(reason))
            continue
        side = view.rgb.shape[0]
        if not read and count * side * side * BYTES_A_PIXEL > MAX_BYTES:
            raise DatasetError(
                f"{count} images of {side}×{side} pixels take more than {MAX_BYTES >> 30} GiB; choose a smaller size "
                "or n_train and n_test."
            )
        if read and side != read[0].rgb.shape[0]:
            raise DatasetError(
                f"{files['rgb']} has {side}×{side} pixels, where others have {len(read[0].rgb)}×{len(read[0].rgb)}; "
                "give size to bring all to one."
            )
        read.append(view)
        keys.append((building, f"point_{point}_view_{number}"))
        labels.append(kept.index(place))
    if not read:
        raise DatasetError(f"No image of {folder} can be used{_first(notes)}.")
    dense = assemble_dense(
        np.stack([v.keypoints for v in read]),
        np.stack([v.depth for v in read]),
        np.stack([v.segments for v in read]),
        keys,
    )
    return to_inputs(np.stack([v.rgb for v in read])), np.array(labels, np.int64), dense


def _first(notes: Notes) -> str:
    """The last reason, to go into a sentence."""
    return f": {notes.sentences[-1].rstrip('.')}" if notes.sentences else ""
