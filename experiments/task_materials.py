"""What one task of an experiment of several is measured on: its samples, its view of a run's network, its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from checkpoints import Run
from experiments.experiment import Experiment
from experiments.materials import Sample, as_sample, dataset_of, network_for_run, pick
from experiments.spec import ExperimentSpec
from experiments.tasks import image_size, packed_targets, require_task, tasks_of
from training import Dataset
from training.models import MultiTaskNet
from training.tasks import FIXED, task_loss

BATCH = 100  # images that go through all heads at once


def task_sample(
    experiment: Experiment,
    on: str,
    task: str | None,
    samples: int = 0,
    *,
    seed: int = 0,
    batch_size: int = BATCH,
    download: bool = False,
) -> Sample:
    """Data to measure a task on, as :func:`experiments.materials.sample` picks them: the same images for every task.

    Batches are images and packed targets; class indices for the scene, so that its accuracy is known. The sample
    carries the task's own loss.

    Args:
        on: ``clean``, ``test``, ``poisoned`` or an arm's name.
        task: None for all tasks, with packed targets.
        samples, batch_size: 0 for all.
    """
    if task is not None:
        require_task(experiment.spec, task)
    picked = pick(experiment, on, seed=seed, samples=samples, download=download)
    dataset = dataset_of(experiment.spec)
    loss = None if task is None else loss_of_task(experiment.spec, dataset, task)
    if task == "scene":
        return replace(as_sample(picked, torch.from_numpy(picked.targets), batch_size), loss=loss)
    targets = packed_targets(dataset, picked.targets, picked.chosen, test=picked.test)
    return replace(as_sample(picked, targets, batch_size), loss=loss)


def task_network(spec: ExperimentSpec, dataset: Dataset, run: Run, name: str, task: str | None) -> MultiTaskNet:
    """The network of a run, checked against it, whose output is that of ``task``; None for all heads side by side."""
    names = tasks_of(spec).names
    model = network_for_run(spec, dataset, run, name, task=task or names[0])
    assert isinstance(model, MultiTaskNet)
    model.task = task
    return model


def loss_of_task(
    spec: ExperimentSpec, dataset: Dataset, task: str, *, seed: int = FIXED
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The loss of ``task`` for batches of :func:`task_sample`; None is cross-entropy, the default everywhere.

    Args:
        seed: Of the pixels that the segments' loss pairs, the same for every image and call.
    """
    require_task(spec, task)
    legacy = tasks_of(spec).legacy
    return None if task == "scene" and not legacy else task_loss(task, image_size(dataset), legacy=legacy, seed=seed)
