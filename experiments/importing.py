"""Experiments made of runs that somebody recorded in a loop of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from checkpoints import copy_run, open_run
from experiments.experiment import Experiment, ExperimentError
from experiments.spec import (
    CLEAN_METHOD,
    IMPORTED_METHOD,
    NAME_PATTERN,
    ArmSpec,
    DataSpec,
    ExperimentSpec,
    ModelSpec,
    SalSpec,
    run_name,
)


def import_runs(
    path: Path, recordings: Sequence[Path], *, clean: str | None = None, model: str = "", data: str = ""
) -> Experiment:
    """Make the experiment folder ``path`` from recorded runs of one network; each recording becomes an arm.

    ``clean`` names the recording to compare the others with (default: the first). Without ``model`` and ``data``
    only what is stored can be shown. Raises :class:`ExperimentError` or :class:`checkpoints.CheckpointError`.
    """
    names = [recording.name.removesuffix(".live").removesuffix(".h5") for recording in recordings]
    for name in names:
        if not NAME_PATTERN.match(name):
            raise ExperimentError(f"The recording's name {name!r} must be letters, digits, dots, dashes, underscores.")
    if len(set(names)) < len(names):
        raise ExperimentError(f"Two recordings have one name among {', '.join(names)}; rename one of the files.")
    clean = clean or names[0]
    if clean not in names:
        raise ExperimentError(f"{clean!r} is none of the recordings {', '.join(names)}.")
    _check_same_network(recordings, names)
    arms = {
        name: ArmSpec(method=CLEAN_METHOD if name == clean else IMPORTED_METHOD)
        for name in sorted(names, key=lambda name: name != clean)
    }
    data = str(Path(data).resolve()) if data.endswith(".npz") else data
    spec = ExperimentSpec(
        name=path.name,
        title=f"Imported: {', '.join(arms)}",
        data=DataSpec(data),
        model=ModelSpec(model),
        arms=arms,
        sal=SalSpec(method="gradient", blocks="layer"),
    )
    experiment = Experiment.create(spec, path)
    for recording, name in zip(recordings, names, strict=True):
        target = experiment.run_path(run_name(name, 0))
        target.parent.mkdir(exist_ok=True)
        if not target.is_file():
            copy_run(recording, target)
    return experiment


def _check_same_network(recordings: Sequence[Path], names: Sequence[str]) -> None:
    first = None
    for recording, name in zip(recordings, names, strict=True):
        with open_run(recording) as run:
            layout = (tuple(run.parameters.names), tuple(map(tuple, run.parameters.shapes)))
            if len(run) == 0:
                raise ExperimentError(f"The recording {recording} holds no checkpoint.")
        if first is None:
            first = layout
        elif layout != first:
            raise ExperimentError(
                f"{name} is another network than {names[0]}: their parameters differ in names or shapes; "
                "import runs of one network together."
            )
