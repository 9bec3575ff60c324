"""The cross-task step: every run's measures of every task on the clean test images, and SAL under every task's loss.

A folder ``cross-task/`` of the experiment holds, each file named after what determines it: ``base/`` (the trivial
predictors and some test images with their truth), ``scores/`` (one file a run: measures of every test image, and
predictions for those images), ``batchnorm/`` (the same with BatchNorm statistics of clean images), ``sal/<task>/`` and
``surfaces/``. What exists is not measured again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from checkpoints import Run, write_result
from experiments.cross_task_names import BASE, BASE_KIND, BATCHNORM, SCORES, SCORES_KIND
from experiments.engine import Here, Where
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.materials import Sample, choose, dataset_of, same_data
from experiments.progress import Progress, Silent, Stopwatch
from experiments.sal_step import compute_sal
from experiments.spec import SalSpec, content_key, run_name
from experiments.surface_step import compute_surface
from experiments.task_materials import task_network, task_sample
from experiments.tasks import image_size, packed_targets, tasks_of
from training.batchnorm import batchnorm_layers, reestimate_batchnorm
from training.tasks import Task, image_metrics, predictions, tasks_named, unpack_targets

CLEAN_IMAGES = 500  # training images at most that BatchNorm statistics are measured anew on
EXAMPLES = 6  # test images whose predictions are kept
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Measured:
    """Where the results of a measurement are: of all runs, and SAL by task; and {run: why it has no SAL}.

    ``batchnorm`` is empty for networks without BatchNorm.
    """

    base: Path
    scores: tuple[Path, ...]
    batchnorm: tuple[Path, ...]
    sal: Mapping[str, tuple[Path, ...]]
    problems: Mapping[str, str]


def sal_options(experiment: Experiment, *, samples: int | None = None, every: int | None = None) -> SalSpec:
    """How SAL is measured under a task's loss: the experiment's own settings, by the gradient, a block per layer."""
    own = replace(experiment.spec.sal, method="gradient", blocks="layer")
    return replace(own, samples=own.samples if samples is None else samples, every=every or own.every)


def measure_cross_task(
    experiment: Experiment,
    options: SalSpec | None = None,
    *,
    progress: Progress | None = None,
    download: bool = False,
    where: Where | None = None,
) -> Measured:
    """Measure what is missing, run by run; a stop costs at most the part of one run.

    Args:
        options: Of SAL under each task's loss; :func:`sal_options` when not given.

    Raises:
        ExperimentError: An experiment of one task, without a clean arm, or without a finished run.
    """
    progress, where = progress or Silent(), where or Where()
    names = require_runs(experiment)
    tasks = tasks_of(experiment.spec).names
    dataset_of(experiment.spec, download=download)
    base = _base(experiment, progress)
    scores = _scores(experiment, names, progress, where)
    batchnorm = _scores(experiment, names, progress, where, anew=True) if _has_batchnorm(experiment, names[0]) else ()
    options = options or sal_options(experiment)
    problems = {name: why for name in names if (why := _no_sal(experiment, name))}
    kept = [name for name in names if name not in problems]
    sal: dict[str, list[Path]] = {task: [] for task in tasks if kept}
    for name in kept:  # run by run, as what takes longest is to make a run's training data again
        for task in tasks:
            sal[task] += compute_sal(experiment, options, task=task, runs=[name], progress=progress, where=where)
    return Measured(base, scores, batchnorm, {task: tuple(paths) for task, paths in sal.items()}, problems)


def _diverged(run: Run) -> bool:
    """Whether the last weights are NaN or infinite; weights that once are so stay so."""
    return not np.isfinite(run.vector(-1)).all()


def _no_sal(experiment: Experiment, name: str) -> str:
    """Why a run has no SAL, which is not defined where weights are NaN or infinite."""
    if not _diverged(experiment.open_run(name)):
        return ""
    return (
        f"SAL of {name} is not measured: its training diverged, and its last weights are NaN or infinite; train with a "
        "smaller learning rate."
    )


def require_runs(experiment: Experiment) -> list[str]:
    """The finished runs of an experiment of several tasks; refuses one that has nothing to compare."""
    tasks_of(experiment.spec)
    if experiment.spec.clean_arm is None or not experiment.spec.poisoned_arms:
        raise ExperimentError(
            f"{experiment.name} needs a clean arm and another one; damage compares the two on every task."
        )
    names = [name for name in experiment.finished_runs() if experiment.arm_of(name) in experiment.spec.arms]
    if not names:
        raise ExperimentError(f"{experiment.name} has no finished run yet; train it first: train {experiment.path}")
    return names


def tasks_in(experiment: Experiment) -> tuple[Task, ...]:
    """The tasks of an experiment, in order."""
    own = tasks_of(experiment.spec)
    return tasks_named(own.names, legacy=own.legacy)


# What all runs share ---------------------------------------------------------------------------------------


def _base(experiment: Experiment, progress: Progress) -> Path:
    """Measures of the trivial predictors on the test images, and examples with their truth."""
    spec, dataset = experiment.spec, dataset_of(experiment.spec)
    own = tasks_of(spec)
    content = {"kind": BASE_KIND, "version": 1, "data": dataset.fingerprint, "tasks": own.names, "legacy": own.legacy}
    target = experiment.path / BASE / f"{content_key(content)}.h5"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    tasks, size = tasks_in(experiment), image_size(dataset)
    train = unpack_targets(packed_targets(dataset, dataset.y_train), size)
    test = unpack_targets(packed_targets(dataset, dataset.y_test, test=True), size)
    progress.start("predictors that ignore the image", len(tasks))
    arrays: Arrays = {}
    for task in tasks:
        found = task.trivial(train.of(task.name), test.of(task.name))
        arrays |= {f"trivial/{task.name}/{metric}": values for metric, values in found.items()}
        progress.advance()
    chosen = choose(dataset.y_test, EXAMPLES)
    arrays |= {"examples": chosen, "rgb": np.rint(255 * dataset.x_test[chosen]).astype(np.uint8)}
    arrays |= {f"truth/{task.name}": test.of(task.name)[torch.from_numpy(chosen)].numpy() for task in tasks}
    header = {
        "tasks": list(own.names),
        "legacy": own.legacy,
        "classes": list(dataset.class_names) or [f"class {k}" for k in range(dataset.n_classes)],
        "images": len(dataset.y_test),
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "versions": versions(),
    }
    write_result(target, kind=BASE_KIND, header=header, arrays=arrays)
    return target


# Runs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreWork:
    """One run to measure, as work that any process can do; fingerprints say of which run and data.

    ``anew``: with BatchNorm statistics of clean training images.
    """

    experiment: str
    run: str
    fingerprints: tuple[str, str]
    target: str
    anew: bool = False


def score_key(experiment: Experiment, run: Run, measured_on: Sample, *, anew: bool = False) -> str:
    """Hash of everything that determines a run's measures on the test images."""
    # the training images are told apart by the data set's fingerprint, as they decide the statistics
    statistics = {"batchnorm": [CLEAN_IMAGES, dataset_of(experiment.spec).fingerprint]} if anew else {}
    own = tasks_of(experiment.spec)
    return content_key(
        {
            "kind": SCORES_KIND,
            "version": 1,
            "run": run.fingerprint,
            "data": measured_on.fingerprint,
            "tasks": own.names,
            "legacy": own.legacy,
            "examples": EXAMPLES,
        }
        | statistics
    )


def _has_batchnorm(experiment: Experiment, name: str) -> bool:
    """Whether the networks keep statistics that another training set could have spoiled."""
    model = task_network(experiment.spec, dataset_of(experiment.spec), experiment.open_run(name), name, None)
    return bool(batchnorm_layers(model))


def _scores(
    experiment: Experiment, names: Sequence[str], progress: Progress, where: Where, *, anew: bool = False
) -> tuple[Path, ...]:
    measured_on = _test_sample(str(experiment.path.resolve()))
    folder = experiment.path / (BATCHNORM if anew else SCORES)
    folder.mkdir(parents=True, exist_ok=True)
    targets, items = [], []
    for name in names:
        run = experiment.open_run(name)
        if len(run) == 0:
            raise ExperimentError(f"The run {name} holds no checkpoint yet; train it first.")
        target = folder / f"{name}-{score_key(experiment, run, measured_on, anew=anew)}.h5"
        targets.append(target)
        if not target.is_file():
            prints = (run.fingerprint, measured_on.fingerprint)
            items.append(ScoreWork(str(experiment.path.resolve()), name, prints, str(target.resolve()), anew))
    label = "the same with BatchNorm of clean images" if anew else "tasks on the test images"
    progress.start(label, len(names), len(names) - len(items))
    for _ in _measured(items, where):
        progress.advance()
    return tuple(targets)


def _measured(items: Sequence[ScoreWork], where: Where) -> Iterator[tuple[ScoreWork, None]]:
    """Do the first run here to see how long it takes, and the others where that pays."""
    if not items:
        return
    watch = Stopwatch()
    yield from Here().run(measure_scores, items[:1])
    yield from where.engine(watch.seconds * (len(items) - 1)).run(measure_scores, items[1:])


def measure_scores(work: ScoreWork) -> None:
    """Measure one run at its last checkpoint and write its file, in whatever process this is."""
    place = Experiment.open(work.experiment)
    run = place.open_run(work.run)
    if run.fingerprint != work.fingerprints[0]:
        raise ExperimentError(f"A worker sees another run {work.run} under {place.path} than this machine does.")
    measured_on = _test_sample(work.experiment)
    same_data(measured_on, work.fingerprints[1])
    spec, dataset = place.spec, dataset_of(place.spec)
    tasks = tasks_in(place)
    model = task_network(spec, dataset, run, work.run, None)
    model.load_state_dict(run.state_dict(len(run) - 1))
    if work.anew:
        clean = dataset.x_train[choose(dataset.y_train, CLEAN_IMAGES)]
        reestimate_batchnorm(model, torch.from_numpy(np.ascontiguousarray(clean)))
    shape: dict[str, Any] = {"size": image_size(dataset), "n_classes": dataset.n_classes}
    found = image_metrics(model, measured_on.batches, tasks, **shape)
    arrays: Arrays = {f"metric/{task}/{m}": values for task, by in found.items() for m, values in by.items()}
    chosen = choose(dataset.y_test, EXAMPLES)
    shown = predictions(model, torch.from_numpy(np.ascontiguousarray(dataset.x_test[chosen])), tasks, **shape)
    arrays |= {f"example/{task}": values for task, values in shown.items()}
    header = {
        "run": work.run,
        "arm": place.arm_of(work.run),
        "seed": place.seed_of(work.run),
        "role": place.role_of(work.run),
        "fingerprint": run.fingerprint,
        "step": int(run.steps[-1]),
        "measured_on": measured_on.label,
        "samples": measured_on.samples,
        "data_fingerprint": measured_on.fingerprint,
        "dataset": dataset.fingerprint,
        "diverged": _diverged(run),
        "versions": versions(),
        **({"batchnorm_images": min(CLEAN_IMAGES, len(dataset.y_train))} if work.anew else {}),
    }
    write_result(Path(work.target), kind=SCORES_KIND, header=header, arrays=arrays)


@lru_cache(maxsize=1)
def _test_sample(experiment: str) -> Sample:
    return task_sample(Experiment.open(experiment), "test", None)


# Surfaces --------------------------------------------------------------------------------------------------


def compute_task_surfaces(
    experiment: Experiment, *, progress: Progress | None = None, where: Where | None = None
) -> dict[str, Path]:
    """The loss of every task on one plane, with the paths of the first seed that has a clean and a poisoned run."""
    names = require_runs(experiment)
    spec = experiment.spec
    poisoned = [arm for arm in spec.poisoned_arms if not spec.arms[arm].control] or list(spec.poisoned_arms)
    pairs = [(run_name(str(spec.clean_arm), seed), run_name(arm, seed)) for seed in spec.seeds for arm in poisoned]
    runs = next((pair for pair in pairs if set(pair) <= set(names)), None)
    if runs is None:
        raise ExperimentError(f"{experiment.name} has no clean and poisoned run of one seed; train them first.")
    return {
        task: compute_surface(experiment, runs=runs, progress=progress, where=where, task=task)
        for task in tasks_of(spec).names
    }


__all__: Sequence[str] = [
    "EXAMPLES",
    "Measured",
    "compute_task_surfaces",
    "measure_cross_task",
    "require_runs",
    "sal_options",
    "tasks_in",
]
