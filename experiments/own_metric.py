"""What a metric of the user's own is called in pictures and tables, and under which names a run stores it."""

from __future__ import annotations

from collections.abc import Container

from experiments.spec import is_own

PARTS = ("test_", "train_", "")  # as of losses; without either, a metric is taken for that of training
BUILT_IN = ("loss", "accuracy")  # have their own names and units wherever they are shown


def metric_label(name: object) -> str:
    """What a metric of the user's own is called in pictures: its function; empty where there is none."""
    return str(name).rpartition(":")[2] if is_own(str(name)) else ""


def stored_names(label: str, held: Container[str]) -> list[str]:
    """The names under which a run stores a metric, among those that it holds, that of the test data first."""
    return [f"{part}{label}" for part in PARTS if label and f"{part}{label}" in held]
