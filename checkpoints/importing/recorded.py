"""What is understood of a recorded run before it is taken in, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.errors import CheckpointError
from checkpoints.factories import factories_of
from checkpoints.importing.report import printable, size, some
from checkpoints.run import Run, open_run


@dataclass
class RecordedReport:
    """A run that ``Recorder`` wrote, or that was imported before.

    Attributes:
        source: The file, or the folder of a recording that goes on (``live``). bytes: How large it is on disk.
        steps: Of every checkpoint. epochs: The first and the last that are known.
        parameters, tensors: Trainable scalars that are stored, and the tensors they belong to.
        storage: The type weights were rounded to; empty where they are exact. rounding: Its largest error.
        left_out: Trainable parameters of the model that were not recorded.
        buffers: Frozen parameters and buffers. tied: {name: name it is tied to}.
        factories: Names of network, data, loss and metric that the run remembers; nothing of them is run.
        metrics: {name: checkpoints that have a value}.
        not_finite: Steps whose weights are NaN or infinite.
        problems: Why it cannot be imported; empty when it can.
    """

    source: Path
    live: bool
    bytes: int
    steps: list[int]
    epochs: list[float]
    parameters: int
    tensors: int
    storage: str
    rounding: float | None
    left_out: tuple[str, ...]
    buffers: tuple[str, ...]
    tied: dict[str, str]
    factories: dict[str, str]
    metrics: dict[str, int]
    not_finite: list[int]
    problems: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What is imported and may surprise."""
        found = []
        if self.not_finite:
            found.append(
                f"NaN or infinite weights at {len(self.not_finite)} of {len(self.steps)} checkpoints "
                f"(first: step {self.not_finite[0]}); nothing is computed of them"
            )
        if self.left_out:
            n = len(self.left_out)
            words = "parameter of the model was" if n == 1 else "parameters of the model were"
            found.append(f"{n} {words} not recorded: {some(self.left_out)}")
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"source": str(self.source), "checkpoints": len(self.steps), "warnings": self.warnings}

    def as_text(self) -> str:
        """Lines for a terminal."""
        return "\n".join(map(printable, self._lines()))

    def _lines(self) -> Iterator[str]:
        count = f"{len(self.steps)} checkpoint{'s' * (len(self.steps) != 1)}"
        going = ", still being recorded" if self.live else ""
        yield f"{self.source}: a recorded run, {count}, {size(self.bytes)}{going}"
        if self.steps:
            epochs = f", epochs {span(self.epochs)}" if self.epochs else ", epochs not recorded"
            yield f"  steps {span(self.steps)}{epochs}"
        stored = f"stored as {self.storage}" if self.storage else "stored exactly"
        if self.rounding is not None:
            stored += f" (off by at most {self.rounding:.2g})"
        yield f"  {self.parameters:,} trainable parameters in {self.tensors} tensors, {stored}"
        if self.buffers:
            yield f"  {len(self.buffers)} frozen parameters and buffers: {some(self.buffers)}"
        if self.tied:
            yield f"  tied: {some([f'{a} is {b}' for a, b in self.tied.items()])}"
        yield f"  metrics {', '.join(map(self._metric, self.metrics))}" if self.metrics else "  no metrics"
        if self.factories:
            named = " ".join(f"--{key.replace('_factory', '')} {name}" for key, name in self.factories.items())
            yield f"  it names {named} (nothing of it is run)"
        yield from (f"  WARNING: {warning}" for warning in self.warnings)
        yield from (f"  CANNOT BE IMPORTED: {problem}" for problem in self.problems)

    def _metric(self, name: str) -> str:
        known = self.metrics[name]
        return name if known == len(self.steps) else f"{name} (at {known} of {len(self.steps)})"


def span(values: list[int] | list[float]) -> str:
    """First and last, as people say them."""
    first, last = (str(value) if isinstance(value, int) else f"{value:g}" for value in (values[0], values[-1]))
    return first if len(values) == 1 or first == last else f"{first} to {last}"


def describe_recorded(place: Path, *, verify: bool = True) -> RecordedReport:
    """Read a recorded run as an import would, and tell what it is; nothing is written.

    Args:
        place: A run file, or the folder of a recording.
        verify: Whether every checkpoint is read, to see that none is damaged.

    Raises:
        CheckpointError: It cannot be opened. What is wrong with a checkpoint is in the report.
    """
    with open_run(place) as run:
        report = _report(run)
        for i in range(len(run) if verify else 0):
            try:
                run.vector(i)
            except CheckpointError as error:
                report.problems.append(str(error))
                break
        return report


def _report(run: Run) -> RecordedReport:
    files = [run.path] if run.path.is_file() else [one for one in run.path.rglob("*") if one.is_file()]
    epochs = run.epochs[np.isfinite(run.epochs)]
    rounding = run.metrics.get("rounding_absolute") if run.storage else None
    return RecordedReport(
        source=run.path,
        live=run.is_live,
        bytes=sum(file.stat().st_size for file in files),
        steps=[int(step) for step in run.steps],
        epochs=[float(epochs[0]), float(epochs[-1])] if len(epochs) else [],
        parameters=sum(map(math.prod, run.parameters.shapes)),
        tensors=len(run.parameters.names),
        storage=run.storage,
        rounding=float(np.nanmax(rounding)) if rounding is not None and np.isfinite(rounding).any() else None,
        left_out=run.left_out,
        buffers=run.buffers,
        tied=run.tied,
        factories=factories_of(run.metadata),
        metrics={name: int(np.isfinite(values).sum()) for name, values in sorted(run.metrics.items())},
        not_finite=[int(run.steps[i]) for i in run.not_finite],
        problems=[] if len(run) else [f"The recording {run.path} holds no checkpoint; record at least one."],
    )
