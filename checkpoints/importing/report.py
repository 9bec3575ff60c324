"""What an import understood, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from checkpoints.importing.metrics import Match
from checkpoints.layout import StateLayout

SHOWN = 12  # files that are listed one by one


@dataclass
class FileReport:
    """One checkpoint file. ``problem`` is the sentence for which it cannot be imported; empty when it can."""

    name: str
    step: int | None = None
    epoch: float | None = None
    nesting: str = ""
    prefix: str = ""
    tensors: int = 0
    bytes: int = 0
    dtypes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    not_finite: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        place = [] if self.step is None else [f"step {self.step}"]
        place += [] if self.epoch is None or self.epoch != self.epoch else [f"epoch {self.epoch:g}"]
        parts = [", ".join(place) or "no number"]
        if self.tensors:
            parts.append(f"{self.tensors} tensors, {size(self.bytes)}, {' and '.join(self.dtypes)}")
        parts += [f"found under {self.nesting}"] if self.nesting else []
        parts += [f"prefix {self.prefix} taken off"] if self.prefix else []
        parts += list(self.notes)
        if self.not_finite:
            parts.append(
                f"WARNING: NaN or infinite values in {len(self.not_finite)} tensor{'s' * (len(self.not_finite) > 1)} "
                f"({self.not_finite[0]})"
            )
        parts += [f"CANNOT BE IMPORTED: {self.problem}"] if self.problem else []
        return f"{self.name}: " + "; ".join(parts)


@dataclass
class ImportReport:
    """What was understood of the checkpoints of one run.

    Attributes:
        source: The folder or files. order: How the order was found.
        files: In order. left_out: Other files, each with the reason.
        layout: Parameters, buffers and ties; None when no file could be read.
        of_model: Whether names, order and what is trainable come from a model, or from the first file.
        like: The run whose order of parameters is taken; empty for one of its own.
        metrics: Metric names from the table. match: Which rows of it belong to the checkpoints.
    """

    source: Path
    order: str
    files: list[FileReport] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    layout: StateLayout | None = None
    of_model: bool = False
    like: str = ""
    metrics: tuple[str, ...] = ()
    match: Match = field(default_factory=lambda: Match("", (), ""))

    @property
    def matched(self) -> int:
        """Checkpoints that have a row in the table of metrics."""
        return sum(map(bool, self.match.rows))

    @property
    def problems(self) -> list[str]:
        """Why this cannot be imported; empty when it can."""
        return [one.problem for one in self.files if one.problem]

    @property
    def warnings(self) -> list[str]:
        """What is imported and may surprise."""
        found = [
            f"{one.name} holds NaN or infinite weights ({one.not_finite[0]})" for one in self.files if one.not_finite
        ]
        return found + ([f"metrics: {self.match.doubt}"] if self.match.doubt else [])

    def as_text(self) -> str:
        """Lines for a terminal."""
        return "\n".join(map(printable, self._lines()))

    def highlights(self, name: str) -> Iterator[str]:
        """The few lines that are worth saying after an import of the run ``name``."""
        first = self.files[0]
        found = [f"{len(self.files)} checkpoints in order {self.order}"]
        found += [f"found under {first.nesting}"] if first.nesting else []
        found += [f"prefix {first.prefix} taken off"] if first.prefix else []
        yield f"{name}: " + "; ".join([*found, *first.notes])
        if self.like:
            yield f"{name}: its parameters are put in the order of {self.like}, which has the same ones"
        if self.metrics and self.matched < len(self.files):
            yield f"{name}: metrics {self.match.said}"
        for word, lines in (("left out", list(self.left_out)), ("WARNING:", self.warnings)):
            for line in lines[:3]:
                yield f"{name}: {word} {line}"
            if len(lines) > 3:
                yield f"{name}: {word} {len(lines) - 3} more"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        layout = self.layout
        return {
            "source": str(self.source),
            "order": self.order,
            "files": [asdict(one) | {"epoch": _finite(one.epoch)} for one in self.files],
            "left_out": list(self.left_out),
            "parameters": None if layout is None else layout.parameters.size,
            "parameter_names": [] if layout is None else list(layout.parameters.names),
            "buffers": [] if layout is None else list(layout.others.names),
            "tied": {} if layout is None else dict(layout.aliases),
            "of_model": self.of_model,
            "order_of_parameters_like": self.like,
            "metrics": list(self.metrics),
            "matched": self.matched,
            "matched_by": self.match.by,
            "problems": self.problems,
            "warnings": self.warnings,
        }

    def _lines(self) -> Iterator[str]:
        count = f"{len(self.files)} checkpoint{'s' * (len(self.files) != 1)}"
        yield f"{self.source}: {count}, {size(sum(one.bytes for one in self.files))}, in order {self.order}"
        usual = str(self.files[0]).partition(": ")[2].partition("; ")[2] if self.files else ""
        hidden = 0
        for i, one in enumerate(self.files):
            special = one.problem or one.not_finite or str(one).partition(": ")[2].partition("; ")[2] != usual
            if len(self.files) <= SHOWN or i < SHOWN - 4 or i >= len(self.files) - 2 or special:
                if hidden:
                    yield f"  … {hidden} more like these …"
                hidden = 0
                yield f"  {one}"
            else:
                hidden += 1
        if self.layout is not None:
            yield from self._layout_lines(self.layout)
        if self.metrics:
            yield f"  metrics {', '.join(self.metrics)}: {self.match.said}"
            if self.match.doubt:
                yield f"    WARNING: {self.match.doubt}"
        for line in self.left_out[:SHOWN]:
            yield f"  left out: {line}"
        if len(self.left_out) > SHOWN:
            yield f"  left out: {len(self.left_out) - SHOWN} more"

    def _layout_lines(self, layout: StateLayout) -> Iterator[str]:
        trainable, others = layout.parameters, layout.others
        source = f"put in the order of {self.like}" if self.like else "in the order of the first file"
        source = "as the model has them" if self.of_model else source
        yield f"  {trainable.size:,} trainable parameters in {len(trainable.names)} tensors, {source}"
        if not self.of_model:
            yield "    (a state dict does not say what is trainable: all but buffers, known by name and type)"
        if others.names:
            word = "frozen parameters and buffers" if self.of_model else "buffers"
            yield f"  {len(others.names)} {word}: {some(others.names)}"
        if layout.aliases:
            yield f"  tied: {some([f'{a} is {b}' for a, b in layout.aliases.items()])}"


def size(count: int) -> str:
    """Bytes as people say them."""
    if count < 1 << 20:
        return f"{count / (1 << 10):.1f} KiB"
    return f"{count / (1 << 20):.1f} MiB" if count < 1 << 30 else f"{count / (1 << 30):.2f} GiB"


def printable(line: str) -> str:
    """A line with names from files that may be a stranger's: nothing in it moves a terminal's cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def some(names: Any) -> str:
    """The first few names, and how many there are."""
    listed = list(names)
    return ", ".join(listed[:4]) + (f", … ({len(listed)} in all)" if len(listed) > 4 else "")


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value else value
