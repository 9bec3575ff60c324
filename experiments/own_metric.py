"""What a metric of the user's own is called in pictures and tables, and under which names a run stores it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from numpy.typing import NDArray

from experiments.spec import is_own
from landscape.figure_data import BUILT_IN

# As of losses, that of the test data first; without any of them, a metric is taken for that of training.
PARTS = ("test_", "eval_", "val_", "train_", "")
_IN_WORDS = {"test": "test ", "eval": "evaluation ", "val": "validation ", "train": "training "}


def metric_label(name: object) -> str:
    """What a metric of the user's own is called in pictures: its function; empty where there is none."""
    return str(name).rpartition(":")[2] if is_own(str(name)) else ""


def own_label(name: object) -> str:
    """The same, but empty where it is called as what every run may record, so that nothing tells the two apart."""
    label = metric_label(name)
    return "" if label in BUILT_IN else label


def stored_names(label: str, held: Container[str]) -> list[str]:
    """The names under which a run stores a metric, among those that it holds, that of the test data first.

    Loggers write ``val_margin`` or ``val/margin``.
    """
    known = (f"{part}{label}" for part in PARTS)
    names = dict.fromkeys(name for one in known for name in (one, one.replace("_", "/", 1) if one != label else one))
    return [name for name in names if label and name in held]


def part_of(stored: str, label: str) -> str:
    """The data that a stored metric is of, by its name: ``test`` or ``train``."""
    return "test" if stored.removesuffix(label)[:-1] in ("test", "eval", "val") else "train"


def spoken(stored: str, label: str) -> str:
    """A stored name in words: ``test margin``, ``validation margin``, ``training margin``, ``margin``."""
    return f"{_IN_WORDS.get(stored.removesuffix(label)[:-1], '')}{label}"


def under_its_name(arrays: Mapping[str, NDArray[Any]], name: object) -> dict[str, NDArray[Any]]:
    """The arrays of a surface file with the metric's called as it is: ``margin``, ``path/clean-s0/true_margin``.

    Where another array has that name already, all stay as they are.
    """
    label = metric_label(name)
    if not label or label in arrays or "metric" not in arrays:
        return dict(arrays)
    return {_renamed(key, "metric", label): array for key, array in arrays.items()}


def back_again(arrays: Mapping[str, NDArray[Any]], name: object) -> dict[str, NDArray[Any]]:
    """Undo :func:`under_its_name`."""
    label = metric_label(name)
    if not label or label not in arrays or "metric" in arrays:
        return dict(arrays)
    return {_renamed(key, label, "metric"): array for key, array in arrays.items()}


def _renamed(key: str, old: str, new: str) -> str:
    last = key.rpartition("/")[2]
    return key.removesuffix(old) + new if key == old or last in (f"true_{old}", f"in_plane_{old}") else key


__all__ = [
    "BUILT_IN",
    "PARTS",
    "back_again",
    "metric_label",
    "own_label",
    "part_of",
    "spoken",
    "stored_names",
    "under_its_name",
]
