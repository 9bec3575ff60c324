"""Whether the runs of an import are of one network, and the order of parameters that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from checkpoints import CheckpointError, open_run
from checkpoints.importing import ImportReport, Like, first_layout
from checkpoints.importing.fitting import Fit
from checkpoints.layout import StateLayout
from experiments.experiment import ExperimentError
from experiments.importing_sources import Source

Shapes = dict[str, list[int]]  # of the trainable parameters, in order


def shared_order(
    sources: Sequence[Source],
    *,
    order: Path | None = None,
    layout: StateLayout | None = None,
    written: Mapping[str, Path] | None = None,
    strict: bool = True,
) -> dict[str, Like]:
    """Compare the networks of runs by their first checkpoints alone, before anything is imported.

    Safetensors sorts names, so that one network saved in two ways has its parameters in two orders. Where names and
    shapes are the same, a run of checkpoints takes the order of the first run; that of the first recording, if there
    is one, since recordings stay as they are.

    Args:
        order, layout: As :func:`checkpoints.importing.import_checkpoints` takes them.
        written: Files of runs that are imported already, by name; they stay as they are, too.
        strict: A run that cannot be read or is of another network is an error; else it is passed over.

    Returns:
        For each run that must be put in another order than its own: whose order, and that.

    Raises:
        ExperimentError, CheckpointError: See ``strict``.
    """
    if len(sources) < 2:
        return {}
    fixed = {source.run: source.places[0] for source in sources if source.recorded} | dict(written or {})
    known: dict[str, Shapes] = {}
    for source in sources:
        try:
            known[source.run] = _network(source, fixed.get(source.run), order, layout)
        except CheckpointError:
            if strict:
                raise
    if not known:
        return {}
    lead = next((run for run in known if run in fixed), next(iter(known)))
    found: dict[str, Like] = {}
    for run, shapes in known.items():
        if run not in fixed and shapes == known[lead] and list(shapes) != list(known[lead]):
            found[run] = Like(lead, tuple(known[lead]))
            known[run] = known[lead]
    problems = _differences(known)
    if strict and problems:
        raise ExperimentError(problems[0])
    return found


def different_networks(found: Sequence[tuple[Source, ImportReport | None]]) -> list[str]:
    """What :func:`examine_runs` found that is of another network than the first run, a sentence for each run."""
    known: dict[str, Shapes] = {}
    for source, report in found:
        if report is None:
            known[source.run] = _network(source, source.places[0], None, None)
        elif report.layout is not None:  # else no file could be read, which is said elsewhere
            known[source.run] = _shapes(report.layout.parameters.names, report.layout.parameters.shapes)
    return _differences(known)


def _network(source: Source, file: Path | None, order: Path | None, layout: StateLayout | None) -> Shapes:
    """Of the run in a file of the store, or of the first checkpoint."""
    if file is not None:
        with open_run(file) as run:
            return _shapes(run.parameters.names, run.parameters.shapes)
    found = first_layout(source.given, order=order, layout=layout).parameters
    return _shapes(found.names, found.shapes)


def _shapes(names: Sequence[str], shapes: Sequence[Sequence[int]]) -> Shapes:
    return {name: list(shape) for name, shape in zip(names, shapes, strict=True)}


def _differences(known: Mapping[str, Shapes]) -> list[str]:
    """How networks differ from the first, in names, shapes or order."""
    found = []
    for name, mine in list(known.items())[1:]:
        first_name, first = next(iter(known.items()))
        fit = Fit(
            missing=tuple(n for n in first if n not in mine),
            extra=tuple(n for n in mine if n not in first),
            misshapen=tuple(f"{n} {mine[n]} for {first[n]}" for n in first if n in mine and mine[n] != first[n]),
        )
        if fit and list(first) == list(mine):
            continue
        if fit:
            found.append(
                f"{name} has the parameters of {first_name} in another order, and recorded runs stay as they are; give "
                "one of them as its folder of checkpoints, which is put in the order of the other."
            )
        else:
            found.append(
                f"{name} is another network than {first_name}: parameters {fit.sentence()}; import runs of one network "
                "together."
            )
    return found
