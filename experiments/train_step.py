"""The training step: every planned run, clean and poisoned side by side, recorded and resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from checkpoints import Recorder
from experiments.control import Gate
from experiments.experiment import Experiment, versions
from experiments.materials import MEASURE_BATCH, TrainingData, arm_inputs, build_defences, choose, dataset_of, network
from experiments.own import check_fit, is_plain, loss_of, metric_of
from experiments.own_metric import BUILT_IN, metric_label
from experiments.progress import Progress, Silent
from experiments.spec import ExperimentSpec, run_name
from experiments.spec_toml import without_labels
from experiments.tasks import means, packed_targets, total_loss
from training import Dataset, Trainer, fingerprint_arrays
from training.models import AllHeads, MultiTaskNet
from training.own_losses import mean_over

TASKS_BATCH = 100  # images that go through all heads at once
FOLLOWED = 400  # training images that several tasks are measured on at every checkpoint, spread over the classes


@dataclass(frozen=True)
class RunInTraining:
    """One run while it trains, as an observer sees it after each checkpoint."""

    name: str
    arm: str
    seed: int
    model: nn.Module
    inputs: NDArray[np.float32]  # [N, …] this run's own training inputs
    targets: NDArray[np.int64]  # [N] its own labels
    dataset: Dataset
    recorder: Recorder
    trainer: Trainer


Observer = Callable[[RunInTraining], None]


def train_experiment(
    experiment: Experiment,
    *,
    progress: Progress | None = None,
    download: bool = False,
    observe: Observer | None = None,
    gate: Gate | None = None,
    only: Sequence[str] | None = None,
) -> list[str]:
    """Train every run of the spec that is not finished, or those named in ``only``; return the names of all runs.

    The runs of one seed advance in turn, checkpoint by checkpoint, so that they can be watched side by side; each
    has its own generators, so taking turns changes no bit. A stop (any exception) leaves every acknowledged
    checkpoint in place, and the next call goes on from there. A ``gate`` lets a viewer pause, step and pace it.
    """
    progress = progress or Silent()
    spec = experiment.spec
    dataset = dataset_of(spec, download=download)
    for seed in spec.seeds:
        wanted = [arm for arm in spec.arms if only is None or run_name(arm, seed) in only]
        arms = [arm for arm in wanted if not experiment.run_path(run_name(arm, seed)).is_file()]
        if not arms:
            continue
        with ExitStack() as stack:
            runs = [_prepare(experiment, dataset, arm, seed, stack, progress, gate) for arm in arms]
            total = sum(run.trainer.total_checkpoints for run in runs)
            progress.start(_label(experiment, seed, len(runs)), total, sum(len(run.recorder.steps) for run in runs))
            if observe:
                for run in runs:
                    if run.recorder.steps:
                        observe(run)
            for run in _in_turn(runs, gate):
                if observe:
                    observe(run)
                progress.advance()
    return experiment.planned_runs()


def _label(experiment: Experiment, seed: int, runs: int) -> str:
    """What is done and what is counted."""
    seeds = f", seed {seed}" if len(experiment.spec.seeds) > 1 else ""
    return f"training {experiment.name}{seeds}, checkpoints of {f'{runs} runs' if runs > 1 else 'one run'}"


def _prepare(
    experiment: Experiment,
    dataset: Dataset,
    arm: str,
    seed: int,
    stack: ExitStack,
    progress: Progress,
    gate: Gate | None,
) -> RunInTraining:
    spec, schedule = experiment.spec, experiment.spec.training
    data = arm_inputs(experiment, dataset, arm, seed, progress=progress)
    model = network(spec, dataset, seed)
    metadata: dict[str, Any] = {
        "experiment": experiment.name,
        "arm": arm,
        "seed": seed,
        "spec": without_labels(spec),
        "model": spec.model.name,
        "data_fingerprint": dataset.fingerprint,
        "inputs_fingerprint": fingerprint_arrays(data.inputs, data.targets),
        "poison": data.description,
        "versions": versions(),
    }

    def resume_state() -> dict[str, Tensor]:
        return trainer.state()

    path = experiment.run_path(run_name(arm, seed))
    path.parent.mkdir(exist_ok=True)
    recorder = stack.enter_context(Recorder(path, model, metadata=metadata, resume_state=resume_state))
    goal = _tasks(spec, dataset, data, model) if isinstance(model, MultiTaskNet) else _classes(dataset, data, model)
    if not is_plain(spec):
        goal |= _own(spec, dataset, model)
    trainer = Trainer(
        inputs=torch.from_numpy(data.inputs),
        epochs=schedule.epochs,
        batch_size=schedule.batch_size,
        lr=schedule.lr,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
        lr_milestones=schedule.lr_milestones,
        lr_decay=schedule.lr_decay,
        checkpoint_every=schedule.checkpoint_every or None,
        augmentation=schedule.augmentation,
        defences=build_defences(spec, arm),
        seed=seed,
        recorder=recorder,
        before_step=None if gate is None else gate.before_step,
        **goal,
    )
    return RunInTraining(run_name(arm, seed), arm, seed, model, data.inputs, data.targets, dataset, recorder, trainer)


def _classes(dataset: Dataset, data: TrainingData, model: nn.Module) -> dict[str, Any]:
    """What a trainer is told of a network that learns classes."""
    targets = torch.from_numpy(data.targets)
    return {
        "model": model,
        "targets": targets,
        "evaluation": {
            "train": _batches(data.inputs, targets, MEASURE_BATCH),
            "test": _batches(dataset.x_test, torch.from_numpy(dataset.y_test), MEASURE_BATCH),
        },
    }


def _own(spec: ExperimentSpec, dataset: Dataset, model: nn.Module) -> dict[str, Any]:
    """What a trainer is told besides, of a network, data, a loss or a metric of the user's own."""
    check_fit(spec, dataset, model)
    loss, metric, label = loss_of(spec, dataset), metric_of(spec), metric_label(spec.metric)

    def measure(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        found = mean_over(model, batches, loss, metric=metric)
        own = found.pop("metric", None)
        return found if own is None or label in BUILT_IN else found | {label: own}

    return {"loss": loss, "measure": measure}


def _tasks(spec: ExperimentSpec, dataset: Dataset, data: TrainingData, model: MultiTaskNet) -> dict[str, Any]:
    """What a trainer is told of a network of several tasks; some training images are enough to follow it."""
    targets, loss = packed_targets(dataset, data.targets), total_loss(spec, dataset)
    some = choose(dataset.y_train, FOLLOWED)
    return {
        "model": AllHeads(model),
        "targets": targets,
        "loss": loss,
        "measure": means(spec, loss),
        "also": lambda: {f"weight_{task}": weight for task, weight in loss.weights().items()},
        "evaluation": {
            "train": _batches(data.inputs[some], targets[some], TASKS_BATCH),
            "test": _batches(dataset.x_test, packed_targets(dataset, dataset.y_test, test=True), TASKS_BATCH),
        },
    }


def _batches(inputs: NDArray[np.float32], targets: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    x = torch.from_numpy(inputs)
    return [(x[i : i + size], targets[i : i + size]) for i in range(0, len(targets), size)]


def _in_turn(runs: list[RunInTraining], gate: Gate | None) -> Iterator[RunInTraining]:
    """Advance the runs round-robin by one checkpoint each until all are finished."""
    active = [(run, iter(run.trainer.steps())) for run in runs]
    while active:
        if gate is not None:
            gate.before_round()
        still = []
        for run, steps in active:
            if next(steps, None) is not None:
                yield run
                still.append((run, steps))
        active = still
