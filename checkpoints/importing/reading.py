"""The import itself: one checkpoint at a time, examined and written straight into a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from checkpoints.container import write_sealed
from checkpoints.durable import replacing
from checkpoints.errors import CheckpointError
from checkpoints.importing.finding import Numbered, Plan, find_checkpoints
from checkpoints.importing.fitting import Fit, capture, compare, layout_of, not_finite, untied, wide
from checkpoints.importing.metrics import MetricTable, Place, match_metrics, read_metrics
from checkpoints.importing.report import FileReport, ImportReport
from checkpoints.importing.states import State, read_state
from checkpoints.layout import StateLayout
from checkpoints.packing import FINITE, KIND, checksum, verify_rows

OnFile = Callable[[int, int], None]  # (files done, files in all)


@dataclass(frozen=True)
class Like:
    """The order of another run's parameters: its name, and theirs."""

    run: str
    parameters: tuple[str, ...]


def examine_checkpoints(
    places: Path | Sequence[Path],
    *,
    order: Path | None = None,
    metrics: Path | None = None,
    layout: StateLayout | None = None,
    like: Like | None = None,
    on_file: OnFile | None = None,
) -> ImportReport:
    """Read every checkpoint of a run, one at a time, and tell what was understood; nothing is written.

    Args:
        places: A folder of checkpoints, or the files themselves.
        order: A list of names, see :func:`find_checkpoints`.
        metrics: A CSV table, see :func:`read_metrics`.
        layout: Of the model (``checkpoints.tensors.layout_of``): decides what is trainable, and the order. Without one
            the first file does.
        like: Where there is no layout: the parameters in the order of another run, which has the same ones.
        on_file: Called after each file.

    Raises:
        CheckpointError: There are no checkpoints, or their order cannot be told. What is wrong with single files is
            in the report.
    """
    reading = _Reading(find_checkpoints(places, order=order), places, layout, metrics, like)
    for _ in reading.run(on_file, strict=False):
        pass
    return reading.report


def first_layout(
    places: Path | Sequence[Path], *, order: Path | None = None, layout: StateLayout | None = None
) -> StateLayout:
    """The layout that a run would have, from its first checkpoint alone. Arguments as in :func:`examine_checkpoints`.

    Raises:
        CheckpointError: There are no checkpoints, or the first cannot be imported.
    """
    reading = _Reading(find_checkpoints(places, order=order), places, layout, None, None)
    next(reading.run(None, strict=True))
    return reading.layout


def import_checkpoints(
    places: Path | Sequence[Path],
    target: Path,
    *,
    order: Path | None = None,
    metrics: Path | None = None,
    layout: StateLayout | None = None,
    like: Like | None = None,
    metadata: Mapping[str, Any] | None = None,
    on_file: OnFile | None = None,
) -> ImportReport:
    """Import the checkpoints of one run into the run file ``target``, which is verified before it gets its name.

    Holds one checkpoint in memory at a time. Arguments as in :func:`examine_checkpoints`; ``metadata`` is kept with the
    run beside what was understood.

    Raises:
        CheckpointError: A file cannot be imported, or the target exists or cannot be written; nothing is left behind.
    """
    if target.exists():
        raise CheckpointError(f"{target} exists already; choose another path or remove it.")
    plan = find_checkpoints(places, order=order)
    reading = _Reading(plan, places, layout, metrics, like)
    rows = reading.run(on_file, strict=True)
    first = next(rows)  # also tells the layout
    tables, found = reading.tables(), reading.layout
    header: dict[str, Any] = {"layout": found.to_json(), "metrics": list(reading.metric_names)}
    header["metadata"] = {**(metadata or {}), "imported": reading.origin()}

    checksums: list[int] = []

    def body() -> Iterator[NDArray[Any]]:
        for i, (vector, rest, step, epoch) in enumerate(_chain(first, rows)):
            tables["digests"][i] = np.frombuffer(hashlib.sha256(vector.data).digest(), np.uint8)
            tables["others"][i], tables["steps"][i], tables["epochs"][i] = rest, step, epoch
            tables[FINITE][i] = found.is_finite(vector, rest)
            checksums.append(checksum(vector))
            yield vector
        for k, name in enumerate(reading.metric_names):
            tables[f"metrics/{k}"][:] = [values.get(name, np.nan) for values in reading.report.match.rows]

    shape = (len(plan.files), found.parameters.size, found.vector_dtype, body())
    with replacing(target) as temporary:
        write_sealed(temporary, kind=KIND, header=header, arrays=tables, body=shape, late=tuple(tables))
        verify_rows(temporary, target, checksums)
    return reading.report


Row = tuple[NDArray[Any], NDArray[np.uint8], int, float]  # vector, everything else, step, epoch


def _chain(first: Row, rest: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rest


class _Reading:
    """Goes through the files of a plan and notes what it finds."""

    def __init__(
        self,
        plan: Plan,
        places: Path | Sequence[Path],
        layout: StateLayout | None,
        metrics: Path | None,
        like: Like | None,
    ) -> None:
        self._plan, self._layout, self._like = plan, layout, None if layout else like
        self._wanted = {*layout.parameters.names, *layout.others.names, *layout.aliases} if layout else set()
        self._metrics: MetricTable | None = read_metrics(metrics) if metrics else None
        self._places: list[Place] = []
        self._first = ""  # the file that others are compared with
        self._last: tuple[int, str] | None = None
        source = places if isinstance(places, Path) else places[0] if len(places) == 1 else places[0].parent
        self.report = ImportReport(source, plan.order, left_out=plan.left_out, layout=layout, of_model=bool(layout))
        self.report.metrics = self.metric_names
        self.report.like = self._like.run if self._like else ""

    @property
    def layout(self) -> StateLayout:
        """Of the model or the first file that was read."""
        assert self._layout is not None
        return self._layout

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Columns of the table."""
        return self._metrics.names if self._metrics else ()

    def tables(self) -> dict[str, NDArray[Any]]:
        """Empty tables of a run, to be filled while its rows are written."""
        n = len(self._plan.files)
        tables: dict[str, NDArray[Any]] = {
            "steps": np.zeros(n, np.int64),
            "epochs": np.full(n, np.nan),
            "digests": np.zeros((n, 32), np.uint8),
            "others": np.zeros((n, self.layout.others.bytes), np.uint8),
            FINITE: np.zeros(n, np.uint8),
        }
        return tables | {f"metrics/{k}": np.full(n, np.nan) for k in range(len(self.metric_names))}

    def origin(self) -> dict[str, Any]:
        """Where the run comes from, for its metadata; no folder's path, as runs are passed on."""
        first = self.report.files[0]
        return {
            "folder": self.report.source.name,
            "files": [one.label for one in self._plan.files],
            "order": self._plan.order,
            "nesting": first.nesting,
            "prefix": first.prefix,
            "dtypes": list(first.dtypes),
            "names_from": "model" if self.report.of_model else "first file",
        }

    def run(self, on_file: OnFile | None, *, strict: bool) -> Iterator[Row]:
        """The rows of all files that fit; with ``strict`` the first that does not is an error."""
        for i, one in enumerate(self._plan.files):
            entry = FileReport(one.label, one.step, one.epoch)
            self.report.files.append(entry)
            try:
                yield self._read(one, entry)
            except CheckpointError as error:
                entry.problem = str(error)
                if strict:
                    raise
            if on_file is not None:
                on_file(i + 1, len(self._plan.files))
        if self._metrics:
            self.report.match = match_metrics(self._metrics, self._places)

    def _read(self, one: Numbered, entry: FileReport) -> Row:
        state = read_state(one.path, wanted=self._wanted)
        self._describe(entry, state)
        step, epoch = self._place(one, state, entry)
        if self._layout is None:
            try:
                self._layout = self.report.layout = layout_of(state, self._like.parameters if self._like else None)
            except CheckpointError as error:
                raise CheckpointError(f"{one.path} cannot be imported: {error}.") from None
        self._first = self._first or one.label
        fit = compare(self._layout, state, of_model=self.report.of_model)
        entry.missing, entry.extra, entry.misshapen = fit.missing, fit.extra, fit.misshapen
        self._check(one, fit, state, entry)
        vector, rest = capture(self._layout, state)
        entry.not_finite = not_finite(state)
        self._last = (step, one.label)
        return vector, rest, step, epoch

    def _describe(self, entry: FileReport, state: State) -> None:
        own = {id(t): t for t in state.tensors.values()}.values()
        dtypes = [d for d in dict.fromkeys(t.dtype for t in own) if d.is_floating_point]
        entry.nesting, entry.prefix, entry.beside = state.nesting, state.prefix, state.beside
        entry.tensors, entry.bytes = len(state.tensors), sum(t.nbytes for t in own)
        entry.dtypes = tuple(str(d).removeprefix("torch.") for d in dtypes)
        narrow = [d for d in dtypes if wide(d) != d]
        if narrow:
            entry.notes += (f"{' and '.join(str(d).removeprefix('torch.') for d in narrow)} widened to float32",)
        if torch.float64 in dtypes and self._layout is not None and self._layout.vector_dtype == np.float32:
            entry.notes += ("float64 rounded to float32, as the others have it",)

    def _place(self, one: Numbered, state: State, entry: FileReport) -> tuple[int, float]:
        """Step and epoch: from the name or the list, else from inside the file."""
        epoch = one.epoch if one.epoch is not None else state.epoch
        step = one.step if one.step is not None else state.step
        self._places.append(Place(one.label, step, epoch, one.guessed, one.epoch is not None))
        if step is None:
            step = int(epoch) if epoch is not None else 0
        if self._last is not None and step <= self._last[0]:
            raise CheckpointError(
                f"{one.path} has step {step}, but {self._last[1]} before it has {self._last[0]}; steps must grow: give "
                "the order with --order FILE."
            )
        entry.step, entry.epoch = step, epoch
        return step, float("nan") if epoch is None else float(epoch)

    def _check(self, one: Numbered, fit: Fit, state: State, entry: FileReport) -> None:
        assert self._layout is not None
        if self.report.of_model and not (fit.missing or fit.misshapen):
            if fit.extra:
                entry.notes += (f"{len(fit.extra)} tensors that the model lacks left out ({fit.extra[0]})",)
        elif not fit:
            other = "the model" if self.report.of_model else self._first
            raise CheckpointError(
                f"{one.path} does not have the tensors of {other}: {fit.sentence()}; import checkpoints of one network."
            )
        alias = untied(self._layout, state)
        if alias is not None:
            other = "the model" if self.report.of_model else self._first
            raise CheckpointError(
                f"{one.path} has values of its own for {alias}, which in {other} is tied to "
                f"{self._layout.aliases[alias]}."
            )
