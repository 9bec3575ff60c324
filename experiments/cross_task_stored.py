"""What the cross-task step left in an experiment, as far as it belongs to the runs and the data as they are now.

A run that was trained anew leaves the files of its former self behind, and so does a data set that changed; these are
passed over. The data set itself is not loaded, as results are looked at where it may not be: the newest file of what
all runs share says which one is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from checkpoints import CheckpointError, Result, read_result
from experiments.cross_task_names import BACKBONE, BASE, BASE_KIND, SCORES, SCORES_KIND
from experiments.experiment import Experiment, ExperimentError
from experiments.spec import SalSpec
from experiments.stored import SalSeries, read_sal, sal_folder
from experiments.tasks import tasks_of


@dataclass(frozen=True)
class StoredSal:
    """SAL of the shared backbone, all by the same settings.

    Attributes:
        by_task: {task: {run: SAL}}. options: The settings; None where nothing is measured by them.
        missing: {task: finished runs without it}.
    """

    by_task: Mapping[str, Mapping[str, SalSeries]]
    options: SalSpec | None
    missing: Mapping[str, tuple[str, ...]]


def finished_prints(experiment: Experiment) -> dict[str, str]:
    """{finished run of an arm: its fingerprint}; empty where results came without their runs.

    That of a run whose file is damaged is empty, so that no result fits it.
    """
    prints = {}
    for name in experiment.finished_runs():
        if experiment.arm_of(name) in experiment.spec.arms:
            try:
                prints[name] = experiment.open_run(name).fingerprint
            except CheckpointError:
                prints[name] = ""
    return prints


def of_present_runs(experiment: Experiment, header: Mapping[str, object]) -> bool:
    """Whether a result over several runs is of these as they are now; true where results came without any run.

    Args:
        header: With ``fingerprints``, {run: fingerprint}.
    """
    if not experiment.finished_runs():
        return True
    known = header.get("fingerprints")
    if not isinstance(known, Mapping):
        return False
    try:
        return all(experiment.open_run(str(name)).fingerprint == own for name, own in known.items())
    except (CheckpointError, ExperimentError):
        return False


def read_base(experiment: Experiment) -> Result | None:
    """The newest readable file of what all runs share."""
    return next(_readable(experiment, BASE, BASE_KIND), None)


def read_scores(
    experiment: Experiment, prints: Mapping[str, str], base: Result, folder: str = SCORES
) -> dict[str, Result]:
    """The newest measures of each run as it is now, all on the same test images.

    Args:
        prints: As :func:`finished_prints` finds them.
        base: What all runs share; measures on another data set are passed over.
        folder: ``BATCHNORM`` for those with BatchNorm statistics of clean images.
    """
    found: dict[str, Result] = {}
    images: str | None = None
    for result in _readable(experiment, folder, SCORES_KIND):
        header = result.header
        if not _fits(header, prints, base):
            continue
        images = images or str(header["data_fingerprint"])
        if header["data_fingerprint"] == images:
            found.setdefault(str(header["run"]), result)
    return found


def stored_sal(
    experiment: Experiment, options: SalSpec | None, prints: Mapping[str, str], base: Result | None
) -> StoredSal:
    """SAL of runs as they are now.

    Args:
        options: The settings that most tasks and runs are measured by when not given, of several the newest.
        prints, base: As for :func:`read_scores`.

    Raises:
        ExperimentError: As :func:`shared_blocks`.
    """
    tasks = tasks_of(experiment.spec).names
    found: dict[SalSpec, dict[str, dict[str, SalSeries]]] = {}
    newest: dict[SalSpec, int] = {}
    for task in tasks:
        for path in experiment.result_files(sal_folder(task)):
            try:
                series = read_sal(path)
                settings = SalSpec(**series.header["options"])
            except (CheckpointError, KeyError, TypeError):
                continue
            if not _fits(series.header, prints, base):
                continue
            found.setdefault(settings, {}).setdefault(task, {})[series.run] = series
            newest[settings] = max(newest.get(settings, 0), path.stat().st_mtime_ns)
    if options is None and found:
        options = max(found, key=lambda one: (sum(map(len, found[one].values())), newest[one]))
    if options is None or options not in found:
        return StoredSal({}, None, {task: tuple(prints) for task in tasks if prints})
    kept = {
        task: {run: shared_blocks(series, task) for run, series in runs.items()}
        for task, runs in found[options].items()
    }
    lacking = {task: tuple(run for run in prints if run not in kept.get(task, {})) for task in tasks}
    return StoredSal(kept, options, {task: runs for task, runs in lacking.items() if runs})


def shared_blocks(series: SalSeries, task: str) -> SalSeries:
    """SAL of the backbone's blocks alone.

    Raises:
        ExperimentError: A block of another task's head does not have SAL 0, as the loss does not depend on it. SAL
            that is not finite, of a run that diverged, is none of it.
    """
    mine = np.array([block.startswith(BACKBONE) for block in series.blocks])
    own = np.array([block.startswith(f"heads.{task}.") for block in series.blocks])
    others = series.sal[:, ~(mine | own)]
    if (others[np.isfinite(others)] != 0).any():
        raise ExperimentError(
            f"SAL of {series.run} under the loss of {task} is not 0 in the head of another task; measure it anew with "
            "cross-task after deleting its file."
        )
    kept = tuple(block for block, keep in zip(series.blocks, mine, strict=True) if keep)
    return SalSeries(
        series.run,
        series.header,
        kept,
        series.sizes[mine],
        series.steps,
        series.epochs,
        series.sal[:, mine],
        series.loss,
        series.metrics,
    )


def _fits(header: Mapping[str, object], prints: Mapping[str, str], base: Result | None) -> bool:
    """Whether a result is of a run as it is now and of the data set that ``base`` is of, as far as that is known."""
    if prints and header.get("fingerprint") != prints.get(str(header["run"])):
        return False
    return base is None or header.get("dataset") in (None, base.header["data_fingerprint"])


def _readable(experiment: Experiment, folder: str, kind: str) -> Iterator[Result]:
    """Newest first."""
    for path in reversed(experiment.result_files(folder)):
        try:
            yield read_result(path, kind=kind)
        except CheckpointError:
            continue
