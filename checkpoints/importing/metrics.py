"""Metrics of a run from a CSV file, matched by step or epoch."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from checkpoints.errors import CheckpointError

MAX_BYTES = 256 << 20
STEP, EPOCH = ("step", "global_step", "iteration"), ("epoch",)


@dataclass(frozen=True)
class MetricTable:
    """Rows of named numbers by step, by epoch, or both; ``{key: {metric: value}}``."""

    path: Path
    names: tuple[str, ...]
    by_step: dict[float, dict[str, float]]
    by_epoch: dict[float, dict[str, float]]

    def at(self, step: int, epoch: float) -> dict[str, float]:
        """The metrics of a checkpoint: those of its step, else those of its epoch; empty when there is no row."""
        return self.by_step.get(float(step)) or self.by_epoch.get(round(epoch, 6), {})


def read_metrics(path: Path) -> MetricTable:
    """Read a CSV file with a header, a column ``step`` or ``epoch``, and columns of numbers; empty cells are left out.

    Rows of one step belong together, as loggers write training and validation apart. Raises :class:`CheckpointError`.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} is larger than {MAX_BYTES >> 20} MiB; give a smaller table.")
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no CSV text in UTF-8"
        raise CheckpointError(f"The metrics {path} cannot be read ({reason}).") from None
    names = [name.strip() for name in rows[0]] if rows else []
    if len(set(names)) < len(names):
        raise CheckpointError(f"{path} has a column twice in its first line; name each once.")
    step = next((names.index(n) for n in STEP if n in names), None)
    epoch = next((names.index(n) for n in EPOCH if n in names), None)
    if step is None and epoch is None:
        raise CheckpointError(f"{path} has no column called step or epoch in its first line; name one so.")
    table = MetricTable(path, tuple(n for i, n in enumerate(names) if n and i not in (step, epoch)), {}, {})
    for number, row in enumerate(rows[1:], start=2):
        values = _numbers(row, names, f"line {number} of {path}")
        found = {name: values[name] for name in table.names if name in values}
        for place, kept in ((step, table.by_step), (epoch, table.by_epoch)):
            if place is not None and names[place] in values:
                kept.setdefault(round(values[names[place]], 6), {}).update(found)
    return table


def _numbers(row: list[str], names: list[str], where: str) -> dict[str, float]:
    if len(row) > len(names):
        raise CheckpointError(f"{where} has {len(row)} cells where the first line has {len(names)}.")
    values = {}
    for name, cell in zip(names, row, strict=False):
        if not cell.strip() or not name:
            continue
        try:
            values[name] = float(cell)
        except ValueError:
            raise CheckpointError(f"{where} holds {cell.strip()[:40]!r} for {name}, which is no number.") from None
        if name in (*STEP, *EPOCH) and not np.isfinite(values[name]):
            raise CheckpointError(f"{where} has {cell.strip()} as its {name}.")
    return values
