"""What an experiment of several tasks works on: its network, packed targets and losses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from experiments.experiment import ExperimentError
from experiments.spec import ExperimentSpec, TasksSpec
from training import Dataset, build_model, fingerprint_arrays
from training.data.dense import DenseTargets
from training.models import EMBEDDING, MultiTaskNet
from training.tasks import Means, MultiTaskLoss, pack_targets, tasks_named, trivial_weights

KEPT = 3  # packed targets of a whole data set's training or test images
_packed: dict[tuple[str, bool, str], Tensor] = {}


def tasks_of(spec: ExperimentSpec) -> TasksSpec:
    """The tasks of a spec; refuses one without."""
    if spec.tasks is None:
        raise ExperimentError(f"{spec.name} has one task alone; give its spec a [tasks] table, as the preset rooms-em.")
    return spec.tasks


def require_task(spec: ExperimentSpec, task: str) -> None:
    """Refuse a task that the networks of a spec have no head for."""
    names = tasks_of(spec).names
    if task not in names:
        raise ExperimentError(f"The networks of {spec.name} do not have the task {task}; theirs: {', '.join(names)}.")


def multi_task_network(spec: ExperimentSpec, dataset: Dataset, seed: int) -> MultiTaskNet:
    """A new network with a head per task; whoever knows nothing of tasks sees that of the scene, if there is one."""
    tasks = tasks_of(spec)
    model = build_model(
        spec.model.name,
        dataset.input_shape,
        dataset.n_classes,
        seed=seed,
        tasks=tasks.names,
        norm=tasks.norm,
        embedding=1 if tasks.legacy else EMBEDDING,
    )
    assert isinstance(model, MultiTaskNet)
    model.task = "scene" if "scene" in tasks.names else None
    return model


def dense_targets(dataset: Dataset, *, test: bool = False) -> DenseTargets:
    """The per-pixel targets of the training or test images."""
    dense = dataset.dense_test if test else dataset.dense_train
    if dense is None:
        raise ExperimentError(
            f"The data set {dataset.name} has no per-pixel targets to learn tasks from; take rooms, or a folder in the "
            "layout of Taskonomy."
        )
    return dense


def packed_targets(
    dataset: Dataset,
    labels: NDArray[np.int64],
    chosen: NDArray[np.int64] | None = None,
    *,
    test: bool = False,
) -> Tensor:
    """Packed targets [n, …] of all images or the ``chosen`` ones, with these labels [n] for the scene.

    Those of all images are kept, since the runs of all arms share them.
    """
    dense = dense_targets(dataset, test=test)
    if chosen is not None:
        return pack_targets(labels, dense[chosen])
    key = dataset.fingerprint, test, fingerprint_arrays(labels)
    if key not in _packed:
        while len(_packed) >= KEPT:
            del _packed[next(iter(_packed))]
        _packed[key] = pack_targets(labels, dense)
    return _packed[key]


def image_size(dataset: Dataset) -> tuple[int, int]:
    """Height and width."""
    height, width = dense_targets(dataset).depth_euclidean.shape[1:]
    return height, width


def total_loss(spec: ExperimentSpec, dataset: Dataset, *, seed: int | None = None) -> MultiTaskLoss:
    """The loss that the spec's networks are trained by, weighted by what the clean training targets give.

    Args:
        seed: Fixes the pixels that the segments' loss pairs; None draws them anew at every step.
    """
    tasks = tasks_of(spec)
    named = tasks_named(tasks.names, legacy=tasks.legacy, seed=seed)
    weights = _fixed_weights(tasks, dataset) if tasks.weights == "fixed" else None
    return MultiTaskLoss(named, image_size(dataset), dataset.n_classes, weights)


def means(spec: ExperimentSpec, loss: MultiTaskLoss) -> Means:
    """What is measured while a network trains."""
    tasks = tasks_of(spec)
    return Means(loss, tasks_named(tasks.names, legacy=tasks.legacy, seed=0))


_weights: dict[tuple[TasksSpec, str], Mapping[str, float]] = {}  # by tasks and fingerprint of the data


def _fixed_weights(tasks: TasksSpec, dataset: Dataset) -> Mapping[str, float]:
    key = tasks, dataset.fingerprint
    if key not in _weights:
        named = tasks_named(tasks.names, legacy=tasks.legacy)
        try:
            _weights[key] = trivial_weights(named, packed_targets(dataset, dataset.y_train), image_size(dataset))
        except ValueError as error:
            raise ExperimentError(f"{dataset.name}: {error}") from None
    return _weights[key]
