"""The files of Taskonomy (Zamir et al., CVPR 2018): where they lie, who is in which part, and what one view holds."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import DatasetError
from training.data.places import PLACES

DOMAINS = {
    "rgb": ".png",
    "depth_euclidean": ".png",
    "keypoints2d": ".png",
    "segment_unsup2d": ".png",
    "class_scene": ".npy",
}
MASK = "mask_valid"  # taken into account where it is there
VIEW = re.compile(r"point_(\d+)_view_(\d+)(?![0-9])")
DAMAGED = (("newfields", 1070, 8), ("muleshoe", 399, 5))  # whose rgb is known to be broken
MISSING_DEPTH = 65535
DEPTH_UNITS = 512.0  # per metre
DILATION = 5  # pixels across, of missing depth before images are made smaller, as Omnidata does
MAX_NOTES = 200

TINY = {
    "train": "hanson merom klickitat onaga leonardo marstons newfields pinesdale lakeville cosmos benevolence pomaria "
    "tolstoy shelbyville allensville wainscott beechwood coffeen stockman hiteman woodbine lindenwood forkland "
    "mifflinburg ranchester",
    "val": "wiconisco corozal collierville markleeville darden",
    "test": "ihlen muleshoe uvalda noxapater mcdade",
}
"""Buildings of the tiny split, for folders without a table of their own."""

Key = tuple[str, int, int]
"""Building, point and view."""


class UnusableFile(Exception):
    """A file that is left out; one sentence."""


@dataclass
class Notes:
    """What was left out, a sentence each; beyond a limit they are only counted."""

    sentences: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, sentence: str) -> None:
        """Keep a sentence, or count it."""
        if len(self.sentences) < MAX_NOTES:
            self.sentences.append(sentence)
        else:
            self.more += 1

    def told(self) -> tuple[str, ...]:
        """All of them."""
        return (
            (*self.sentences, f"{self.more} more were left out for such reasons.") if self.more else (*self.sentences,)
        )


def is_taskonomy(folder: Path) -> bool:
    """Whether a folder holds domains of Taskonomy, and no parts of classes as other folders of images do."""
    return any((folder / name).is_dir() for name in DOMAINS) and not (folder / "train").is_dir()


def list_views(folder: Path, buildings: set[str], notes: Notes) -> dict[Key, dict[str, Path]]:
    """Files of every view of these buildings that has all five domains, by domain, in the order of the keys.

    Both layouts are known: ``DOMAIN/taskonomy/BUILDING/…`` and ``DOMAIN/BUILDING/…``.
    """
    present = [name for name in DOMAINS if (folder / name).is_dir()]
    if not present:
        raise DatasetError(f"{folder} is not Taskonomy: it has none of the folders {', '.join(DOMAINS)}.")
    if len(present) < len(DOMAINS):
        lacking = ", ".join(name for name in DOMAINS if name not in present)
        raise DatasetError(f"{folder} lacks the domain {lacking}; all of {', '.join(DOMAINS)} are needed.")
    found: dict[Key, dict[str, Path]] = {}
    for domain, suffix in DOMAINS.items():
        for key, path in _files(folder, domain, suffix, buildings, notes):
            found.setdefault(key, {}).setdefault(domain, path)
    masks = dict(_files(folder, MASK, ".png", buildings, notes)) if (folder / MASK).is_dir() else {}
    complete = {}
    for key in sorted(found):
        lacking = ", ".join(domain for domain in DOMAINS if domain not in found[key])
        if key in DAMAGED:
            notes.add(f"{_called(key)} is left out: its rgb is known to be damaged.")
        elif lacking:
            notes.add(f"{_called(key)} is left out: it has no {lacking}.")
        else:
            complete[key] = found[key] | ({MASK: masks[key]} if key in masks else {})
    return complete


def _files(folder: Path, domain: str, suffix: str, buildings: set[str], notes: Notes) -> Iterator[tuple[Key, Path]]:
    root = folder / domain
    root = root / "taskonomy" if (root / "taskonomy").is_dir() else root
    for place in sorted(p for p in root.iterdir() if p.is_dir() and p.name in buildings):
        for path in sorted(place.iterdir()):
            if path.name.startswith("."):
                continue
            match = VIEW.match(path.name)
            if match is None or path.suffix.lower() != suffix:
                notes.add(f"{path.relative_to(folder)} is left out: it is not called point_P_view_V…{suffix}.")
            else:
                yield (place.name, int(match[1]), int(match[2])), path


def _called(key: Key) -> str:
    return f"View {key[2]} of point {key[1]} in {key[0]}"


def present_buildings(folder: Path) -> set[str]:
    """Names of the buildings in any domain."""
    found = set()
    for domain in DOMAINS:
        root = folder / domain / "taskonomy" if (folder / domain / "taskonomy").is_dir() else folder / domain
        if root.is_dir():
            found |= {p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")}
    return found


def read_split(folder: Path) -> dict[str, set[str]]:
    """Buildings of ``train``, ``val`` and ``test``, from a table with the columns id, train, val and test.

    It lies in the folder or one below, and its name holds ``tiny`` where there are several; without one, the tiny
    split is taken.

    Raises:
        DatasetError: A building in two parts.
    """
    tables = sorted(folder.glob("*.csv")) + sorted(folder.glob("*/*.csv"))
    for path in sorted(tables, key=lambda p: "tiny" not in p.name):
        try:
            rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))  # lines may end with a bare CR
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
        if not rows or not {"id", *TINY} <= set(rows[0]):
            continue
        parts = {part: {row["id"] for row in rows if _is_true(row[part])} for part in TINY}
        for one, two in (("train", "val"), ("train", "test"), ("val", "test")):
            if both := sorted(parts[one] & parts[two]):
                raise DatasetError(
                    f"{path} puts the building {both[0]} into both {one} and {two}; parts must not share a building."
                )
        return parts
    return {part: set(names.split()) for part, names in TINY.items()}


def _is_true(value: str | None) -> bool:
    return (value or "").strip().lower() in ("1", "1.0", "true", "yes")


def read_scene(path: Path) -> NDArray[np.float64]:
    """Probabilities of the classes of Places [365]."""
    try:
        values = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header can make any layer fail in its own way
        raise UnusableFile(f"{path} is left out: it is not a readable .npy file ({_brief(error)}).") from None
    if not isinstance(values, np.ndarray) or values.size != PLACES or values.dtype.kind not in "fiu":
        raise UnusableFile(f"{path} is left out: it does not hold {PLACES} probabilities.")
    flat = values.reshape(-1).astype(np.float64)
    if not np.isfinite(flat).all() or flat.min() < 0 or flat.max() <= 0:
        raise UnusableFile(f"{path} is left out: its probabilities are not finite and positive.")
    return flat


@dataclass(frozen=True, eq=False)
class View:
    """What the files of one view hold, at the size asked for.

    Attributes:
        rgb: [H, W, 3], 8 bits. depth: [H, W] metres, NaN where missing. keypoints: [H, W] as stored.
        segments: [H, W] ids.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    segments: NDArray[np.int16]


def read_view(files: dict[str, Path], size: int | None) -> View:
    """Read one view, scaled to ``size``×``size`` pixels where that is given.

    Colours and key points are averaged over areas (bilinear where they grow); depth and ids are those of the nearest
    pixel, and missing depth is widened before it is made smaller, because what lies beside it is not to be trusted.

    Raises:
        UnusableFile: A file that cannot be read or does not fit the others.
    """
    rgb = _image(files["rgb"], "RGB")
    depth, keypoints, ids = (
        _image(files[name], None) for name in ("depth_euclidean", "keypoints2d", "segment_unsup2d")
    )
    missing = depth == MISSING_DEPTH
    if MASK in files:
        mask = _image(files[MASK], None)
        _same_size(files, rgb, mask, MASK)
        missing |= mask == 0
    for name, array in (("depth_euclidean", depth), ("keypoints2d", keypoints), ("segment_unsup2d", ids)):
        _same_size(files, rgb, array, name)
    if rgb.shape[0] != rgb.shape[1]:
        raise UnusableFile(
            f"{files['rgb']} is left out: it has {rgb.shape[1]}×{rgb.shape[0]} pixels, and images must be square."
        )
    if missing.all():
        raise UnusableFile(f"{files['depth_euclidean']} is left out: no pixel of it is valid.")
    if ids.max() > np.iinfo(np.int16).max:
        raise UnusableFile(f"{files['segment_unsup2d']} is left out: its ids exceed {np.iinfo(np.int16).max}.")
    if size is not None and size != rgb.shape[0]:
        if size < rgb.shape[0]:
            missing = _dilated(missing)
        rgb, keypoints = _resized(rgb, size, smooth=True), _resized(keypoints, size, smooth=True)
        depth, ids = _resized(depth, size, smooth=False), _resized(ids, size, smooth=False)
        missing = _resized(missing.astype(np.float32), size, smooth=False) > 0
        if missing.all():
            raise UnusableFile(f"{files['depth_euclidean']} is left out: no pixel of it is valid.")
    metres = np.where(missing, np.float32(np.nan), depth / np.float32(DEPTH_UNITS))
    return View(rgb.astype(np.uint8), metres.astype(np.float32), keypoints, ids.astype(np.int16))


def _image(path: Path, mode: str | None) -> NDArray[Any]:
    """An image as 8-bit colours [H, W, 3], or grey of any depth as float32 [H, W]."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if mode is not None:
                return np.asarray(image.convert(mode))
            array = np.asarray(image)
    except Exception as error:  # decoders fail each in their own way
        raise UnusableFile(f"{path} is left out: it is not a readable image ({_brief(error)}).") from None
    if array.ndim == 3:  # some tables of files call grey images coloured
        array = array[..., 0]
    return array.astype(np.float32)


def _same_size(files: dict[str, Path], rgb: NDArray[Any], other: NDArray[Any], name: str) -> None:
    if rgb.shape[:2] != other.shape[:2]:
        raise UnusableFile(
            f"{files[name]} is left out: it has {other.shape[1]}×{other.shape[0]} pixels, its rgb "
            f"{rgb.shape[1]}×{rgb.shape[0]}."
        )


def _resized(array: NDArray[Any], size: int, *, smooth: bool) -> NDArray[Any]:
    from PIL import Image

    methods = Image.Resampling
    grows = size > array.shape[0]
    method = (methods.BILINEAR if grows else methods.BOX) if smooth else methods.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize((size, size), method))


def _dilated(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    wider: NDArray[np.bool_] = binary_dilation(missing, np.ones((DILATION, DILATION), bool))
    return wider


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
