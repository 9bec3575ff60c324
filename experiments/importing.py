"""Experiments made of runs that somebody recorded, or saved as checkpoints, in a loop of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from checkpoints import copy_run, open_run, write_bytes
from checkpoints.importing import ImportReport, Like, examine_checkpoints, import_checkpoints
from checkpoints.layout import StateLayout
from checkpoints.tensors import layout_of
from experiments.experiment import SPEC_FILE, Experiment, ExperimentError, versions
from experiments.importing_adding import imported_there, lead_of, merged, new_names, placed, title_of
from experiments.importing_networks import shared_order
from experiments.importing_sources import Source, find_sources
from experiments.importing_surfaces import (
    SurfaceFiles,
    import_surfaces,
    options_of,
    origins,
    roles_of,
    split_places,
)
from experiments.materials import dataset_of, network, network_for_run
from experiments.own import check_fit
from experiments.progress import Progress, Silent
from experiments.spec import (
    CLEAN_METHOD,
    IMPORTED_METHOD,
    ArmSpec,
    DataSpec,
    ExperimentSpec,
    ModelSpec,
    SalSpec,
    own_names,
    parse_run_name,
)
from experiments.spec_toml import load_spec, spec_to_toml
from experiments.trust import for_now, grant


def import_runs(
    path: Path,
    recordings: Sequence[Path],
    *,
    clean: str | None = None,
    model: str = "",
    data: str = "",
    loss: str | None = None,
    metric: str | None = None,
    own_code: bool = False,
    order: Path | None = None,
    metrics: Sequence[Path] = (),
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> Experiment:
    """Make the experiment folder ``path`` from runs of one network; each becomes an arm.

    Args:
        path: The folder to make.
        recordings: Recorded runs, folders of checkpoints (one run each), or checkpoint files (one run together); beside
            them files of surfaces, see ``experiments.importing_surfaces``.
        clean: The one to compare the others with (default: the first).
        model, data: Without them only what is stored can be shown, and the first checkpoint decides which
            parameters there are, in which order.
        loss, metric: See :class:`experiments.spec.ExperimentSpec`.
        own_code: Model, data, loss and metric may be functions of the user's own, who named them at the terminal; the
            experiment may run them from now on.
        order: A list of checkpoints, see ``checkpoints.importing.find_checkpoints``.
        metrics: CSV tables, one for each run that is made of checkpoints, in their order.
        say: Called with notes about what was imported.

    Raises:
        ExperimentError, checkpoints.CheckpointError: One of them cannot be imported; nothing is left behind.
    """
    sources, surfaces, there = _given(recordings, metrics, path)
    given = _allowed(_spec(path, sources, clean, (model, data, loss, metric), surfaces, there), own_code)
    spec = merged(there, given, clean) if there else given
    new = new_names(there, sources) if there else []
    layout = _layout(spec, sources, surfaces)
    written = {s.run: _run_path(path, s) for s in sources if _run_path(path, s).is_file()}
    likes = _likes(sources, there, order=order, layout=layout, written=written)
    notes: list[str] = []
    if new and there:
        notes.append(f"added {', '.join(new)} beside {', '.join(there.run_names())}; surfaces that are there stay")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=_parent(path)) as folder:
        staged = Experiment.create(spec, Path(folder) / path.name)
        staged.run_path("x").parent.mkdir()
        for source in sources:
            target = _run_path(staged.path, source)
            if source.run in written:
                target.symlink_to(written[source.run].resolve())
            else:
                notes += _import(source, target, order, layout, likes.get(source.run), progress or Silent())
        if layout is not None and own_names(spec):
            for source in sources:
                network_for_run(spec, dataset_of(spec), staged.open_run(source.run), source.run)
        notes += import_surfaces(staged, surfaces) if surfaces else []
        with _whole_or_not(path, spec, spec.title if there else None) as moved:
            for kind in ("runs", "surfaces") if there else ():  # before the spec names them
                _move(staged.path / kind, path / kind, moved)
            experiment = Experiment.create(spec, path)
            for kind in ("runs", "surfaces"):
                _move(staged.path / kind, experiment.path / kind, moved)
        if own_names(given) and set(own_names(experiment.spec)) <= set(own_names(given)):
            grant(path, experiment.spec)
    for note in notes:
        say(note)
    return experiment


@contextmanager
def _whole_or_not(path: Path, spec: ExperimentSpec, title: str | None) -> Iterator[list[Path]]:
    """Note network, data, loss and metric in an experiment that was imported without; what it knows stays.

    Gives a list for the files that the block brings. Where the block fails, the experiment is as it was.
    """
    moved: list[Path] = []
    if not (path / SPEC_FILE).is_file():
        yield moved
        return
    bytes_before = (path / SPEC_FILE).read_bytes()
    before = load_spec(path / SPEC_FILE)
    known = replace(
        before,
        data=before.data if before.data.name else spec.data,
        model=before.model if before.model.name else spec.model,
        loss=before.loss if before.loss is not None else spec.loss,
    )
    if before.data.name and before.model.name:
        known = before
    metric = before.metric if before.metric is not None else spec.metric
    known = replace(known, metric=metric, title=before.title if title is None else title)
    if known != before:
        write_bytes(path / SPEC_FILE, spec_to_toml(known, made_by=versions()).encode())
    try:
        yield moved
    except BaseException:
        for file in moved:
            file.unlink(missing_ok=True)
        if (path / SPEC_FILE).read_bytes() != bytes_before:
            write_bytes(path / SPEC_FILE, bytes_before)
        raise


def _move(source: Path, target: Path, moved: list[Path]) -> None:
    """Give staged files their place, and list them; what is there already stays."""
    for file in sorted(source.glob("*.h5")):
        try:
            target.mkdir(exist_ok=True)
            if not (target / file.name).exists():
                os.replace(file, target / file.name)
                moved.append(target / file.name)
        except OSError as error:
            raise ExperimentError(f"{target / file.name} cannot be written: {error.strerror or error}.") from None


def _likes(
    sources: Sequence[Source],
    there: Experiment | None,
    *,
    order: Path | None,
    layout: StateLayout | None,
    written: Mapping[str, Path],
    strict: bool = True,
) -> dict[str, Like]:
    """What :func:`shared_order` says, where runs are added beside a run of the experiment that is there."""
    lead = [lead_of(there)] if there else []
    beside = [source for source in sources if source.run not in {one.run for one in lead}]
    files = {one.run: one.places[0] for one in lead} | dict(written)
    return shared_order([*lead, *beside], order=order, layout=layout, written=files, strict=strict)


def examine_runs(
    recordings: Sequence[Path],
    *,
    into: Path | None = None,
    model: str = "",
    data: str = "",
    loss: str | None = None,
    metric: str | None = None,
    own_code: bool = False,
    order: Path | None = None,
    metrics: Sequence[Path] = (),
    progress: Progress | None = None,
) -> list[tuple[Source, ImportReport | None]]:
    """What an import would understand, without writing anything; None for what was recorded by ``Recorder``.

    ``into``: the experiment's folder; a run of it that others would be added to comes first.
    """
    sources, surfaces, there = _given(recordings, metrics, into)
    named = (model, data, loss, metric)
    spec = _allowed(_spec(into or Path("examined"), sources, None, named, surfaces, there), own_code)
    spec = merged(there, spec, None) if there else spec
    if there:
        new_names(there, sources)
    layout = _layout(spec, sources, surfaces)
    likes = _likes(sources, there, order=order, layout=layout, written={}, strict=False)
    progress = progress or Silent()
    found: list[tuple[Source, ImportReport | None]] = [(lead_of(there), None)] if there else []
    for source in sources:
        if source.recorded:
            with open_run(source.places[0]) as run:
                if layout is not None and own_names(spec):
                    network_for_run(spec, dataset_of(spec), run, source.run)
            found.append((source, None))
            continue
        count = _counter(progress, f"reading {source.run}")
        report = examine_checkpoints(
            source.given,
            order=order,
            metrics=source.metrics,
            layout=layout,
            like=likes.get(source.run),
            on_file=count,
        )
        found.append((source, report))
    return found


def _given(
    recordings: Sequence[Path], metrics: Sequence[Path], path: Path | None
) -> tuple[list[Source], SurfaceFiles, Experiment | None]:
    """The runs among what was given, the surfaces, and the experiment that runs alone can be added to."""
    places, surfaces = split_places(recordings)
    sources = find_sources(places, metrics)
    there = imported_there(path) if path is not None and places == list(recordings) else None
    return (placed(sources, there) if there else sources + origins(surfaces, sources)), surfaces, there


def _run_path(path: Path, source: Source) -> Path:
    return Experiment(path).run_path(source.run)


def _parent(path: Path) -> Path:
    """The folder that will hold the experiment, made if needed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"The folder {path.parent} cannot be written: {error.strerror or error}.") from None
    return path.parent


def _spec(
    path: Path,
    sources: Sequence[Source],
    clean: str | None,
    named: tuple[str, str, str | None, str | None],
    surfaces: SurfaceFiles,
    there: Experiment | None,
) -> ExperimentSpec:
    model, data, loss, metric = named
    shown = {parsed: role for run, role in roles_of(surfaces).items() if (parsed := parse_run_name(run))}
    roles = {arm: role for (arm, _), role in shown.items()}
    names = list(dict.fromkeys([*(source.name for source in sources), *roles]))
    if not names:
        raise ExperimentError("No run was given; a surface of Li et al.'s tool needs the folder of its checkpoints.")
    clean = clean or (names[0] if sources else next((n for n in names if roles[n] == "clean"), names[0]))
    if clean not in names and not (there and clean in there.spec.arms):
        raise ExperimentError(f"{clean!r} is none of the recordings {', '.join(names)}.")
    arms = {
        name: ArmSpec(
            method=CLEAN_METHOD if name == clean else IMPORTED_METHOD,
            control=name != clean and roles.get(name) == "control",
        )
        for name in sorted(names, key=lambda name: name != clean)
    }
    data = str(Path(data).resolve()) if data.endswith(".npz") else data
    return ExperimentSpec(
        name=path.name,
        title=title_of(tuple(arms)),
        seeds=tuple(sorted({source.seed for source in sources} | {seed for _, seed in shown})),
        data=DataSpec(data),
        model=ModelSpec(model),
        arms=arms,
        sal=SalSpec(method="gradient", blocks="layer"),
        surface=options_of(surfaces),
        loss=loss,
        metric=metric,
    )


def _allowed(spec: ExperimentSpec, own_code: bool) -> ExperimentSpec:
    """The spec, with leave to run what it names if the user named it."""
    names = own_names(spec)
    if names and not own_code:
        raise ExperimentError(
            f"{', '.join(names)} is code of your own, which is named at the terminal alone: import … --model … --data …"
        )
    return for_now(spec) if names else spec


def _layout(spec: ExperimentSpec, sources: Sequence[Source], surfaces: SurfaceFiles) -> StateLayout | None:
    """The layout of the network that was named, or of an exported one: what in a checkpoint is trainable."""
    own = bool(own_names(spec))  # tried even where it is not needed yet: better now than later
    if own and spec.grant.root is None:  # of an experiment that runs are added to: they have the network of its runs
        return None
    if not (spec.model.name and spec.data.name) or (all(source.recorded for source in sources) and not own):
        return surfaces.folders[0].layout if surfaces.folders else None
    dataset = dataset_of(spec)
    model = network(spec, dataset, seed=0)
    if own:
        check_fit(spec, dataset, model)
    return layout_of(model)


def _import(
    source: Source,
    target: Path,
    order: Path | None,
    layout: StateLayout | None,
    like: Like | None,
    progress: Progress,
) -> Iterator[str]:
    """Import one run; gives what is to be said about it."""
    if source.recorded:
        with open_run(source.places[0]) as run:
            if len(run) == 0:
                raise ExperimentError(f"The recording {source.places[0]} holds no checkpoint; record at least one.")
        copy_run(source.places[0], target)
        return
    count = _counter(progress, f"importing {source.run}")
    report = import_checkpoints(
        source.given,
        target,
        order=order,
        metrics=source.metrics,
        layout=layout,
        like=like,
        on_file=count,
    )
    yield from report.highlights(source.run)


def _counter(progress: Progress, label: str) -> Callable[[int, int], None]:
    """What a loop over files calls, as progress of one phase."""

    def on_file(done: int, total: int) -> None:
        if done == 1:
            progress.start(label, total)
        progress.advance()

    return on_file
