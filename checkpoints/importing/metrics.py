"""Metrics of a run from a CSV file, matched by step or by epoch, and by one of them for a whole run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from checkpoints.errors import CheckpointError

MAX_BYTES = 256 << 20
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
STEP, EPOCH = ("step", "global_step", "iteration"), ("epoch",)


@dataclass(frozen=True)
class MetricTable:
    """Rows of named numbers by step, by epoch, or both; ``{key: {metric: value}}``.

    ``repeated``: where some epoch has several rows with different values of one metric, of which the last counts.
    """

    path: Path
    names: tuple[str, ...]
    by_step: dict[float, dict[str, float]]
    by_epoch: dict[float, dict[str, float]]
    repeated: bool = False


@dataclass(frozen=True)
class Place:
    """Where a checkpoint stands in training, and how that is known.

    ``step`` and ``epoch`` are None where nothing tells them; a step that stands in for an epoch is none. ``guessed``:
    the step is a number in the name that is not called so. ``named``: the epoch is in the name or in a list.
    """

    name: str
    step: int | None
    epoch: float | None
    guessed: bool = False
    named: bool = False


@dataclass(frozen=True)
class Match:
    """Which rows belong to the checkpoints of a run.

    Attributes:
        by: ``"step"`` or ``"epoch"``, the one key for all of them; empty where there is none.
        rows: The metrics of each checkpoint, empty without a row.
        said: What was matched, for people.
        doubt: Why it may be wrong; empty where nothing speaks against it.
    """

    by: str
    rows: tuple[dict[str, float], ...]
    said: str
    doubt: str = ""


def match_metrics(table: MetricTable, places: Sequence[Place]) -> Match:
    """Find the row of each checkpoint by one key: equal numbers belong together, and nothing is shifted or rounded.

    Epochs that the names give come first; then steps that are known; epochs from inside of the files; numbers in the
    names that are called neither. A step made up from an epoch is never looked for.
    """
    by = _key(table, places)
    if not by:
        has = " and ".join(key for key, kept in (("step", table.by_step), ("epoch", table.by_epoch)) if kept)
        why = f"the table goes by {has}, which not all checkpoints say" if has else "the table has no row"
        return Match("", tuple({} for _ in places), f"not matched: {why}")
    kept = table.by_step if by == "step" else table.by_epoch
    numbers = [_number(one, by) for one in places]
    rows = tuple(kept.get(number, {}) for number in numbers)
    said = f"matched by {by}, rows for {sum(map(bool, rows))} of {len(rows)} checkpoints"
    said += f" ({by}s {_span(numbers)} of the checkpoints, {_span(list(kept))} in the table)" if kept and rows else ""
    if by == "epoch" and table.repeated:
        said += ", of each epoch the last"
    return Match(by, rows, said, _doubt(by, list(kept), numbers, places) if table.by_epoch else "")


def _key(table: MetricTable, places: Sequence[Place]) -> str:
    epochs = [one.epoch for one in places]
    by_epoch = bool(table.by_epoch) and None not in epochs
    by_step = bool(table.by_step) and all(one.step is not None for one in places)
    if by_epoch and all(one.named for one in places) and len(set(epochs)) == len(epochs):
        return "epoch"
    if by_step and not any(one.guessed for one in places):
        return "step"
    return "epoch" if by_epoch else "step" if by_step else ""


def _number(one: Place, by: str) -> float:
    value = one.step if by == "step" else one.epoch
    assert value is not None
    return round(float(value), 6)


def _doubt(by: str, kept: Sequence[float], numbers: Sequence[float], places: Sequence[Place]) -> str:
    """Signs that equal numbers do not mean the same."""
    if not kept or not numbers:
        return ""
    first, last, begin, end = min(kept), max(kept), min(numbers), max(numbers)
    later, earlier = end == last + 1 and begin > first, begin == first - 1 and end < last
    if by == "epoch" and (later or earlier):
        one = places[0]
        return (
            f"the checkpoints seem to count epochs from {1 if later else 0} and the table from {0 if later else 1}; "
            f"equal numbers were matched, so {one.name} has the row of epoch {one.epoch:g}: if that is wrong, change "
            "the numbers in the table"
        )
    if by == "step" and any(one.guessed for one in places):
        return (
            "the numbers in the names were taken as steps to match the table; if they are epochs, call the files "
            "epoch_N, or give the list --order FILE with lines name,step,epoch"
        )
    return ""


def _span(numbers: Sequence[float]) -> str:
    first, last = min(numbers), max(numbers)
    return f"{first:.15g}" if first == last else f"{first:.15g} to {last:.15g}"


def read_metrics(path: Path) -> MetricTable:
    """Read a CSV file with a header, a column ``step`` or ``epoch``, and columns of numbers; empty cells are left out.

    Cells are apart by commas, semicolons or tabs, whichever make the most of the first line. ``step`` and ``epoch`` may
    be in capitals. Rows of one step belong together, as loggers write training and validation apart.
    Raises :class:`CheckpointError`.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} is larger than {MAX_BYTES >> 20} MiB; give a smaller table.")
        text = path.read_text(encoding="utf-8-sig")
        rows = _rows(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no CSV text in UTF-8"
        raise CheckpointError(f"The metrics {path} cannot be read ({reason}).") from None
    if not rows:
        raise CheckpointError(f"{path} is empty; give a table with the names of its columns in the first line.")
    names = [name.strip() for name in rows[0][1]]
    if len(set(names)) < len(names):
        raise CheckpointError(f"{path} has a column twice in its first line; name each once.")
    plain = [name.lower() for name in names]
    step = next((plain.index(n) for n in STEP if n in plain), None)
    epoch = next((plain.index(n) for n in EPOCH if n in plain), None)
    if step is None and epoch is None:
        seen = ", ".join(name[:40] for name in names[:12] if name) + (", …" if len(names) > 12 else "")
        raise CheckpointError(
            f"{path} has no column called step or epoch in its first line, which names {seen or 'none'}; name one so."
        )
    metrics = tuple(n for i, n in enumerate(names) if n and i not in (step, epoch))
    by_step: dict[float, dict[str, float]] = {}
    by_epoch: dict[float, dict[str, float]] = {}
    repeated = False
    for number, row in rows[1:]:
        values = _numbers(row, names, f"line {number} of {path}")
        found = {name: values[name] for name in metrics if name in values}
        for place, kept in ((step, by_step), (epoch, by_epoch)):
            if place is not None and names[place] in values:
                together = kept.setdefault(round(values[names[place]], 6), {})
                repeated |= kept is by_epoch and any(together.get(name, found[name]) != found[name] for name in found)
                together.update(found)
    return MetricTable(path, metrics, by_step, by_epoch, repeated)


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, each with its number in the file."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]


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
            point = " Write decimals with a point." if _COMMA.fullmatch(cell.strip()) else ""
            raise CheckpointError(
                f"{where} holds {cell.strip()[:40]!r} for {name}, which is no number.{point}"
            ) from None
        if name.lower() in (*STEP, *EPOCH) and not np.isfinite(values[name]):
            raise CheckpointError(f"{where} has {cell.strip()} as its {name}.")
    return values
