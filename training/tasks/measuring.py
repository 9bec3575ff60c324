"""How well a multi-task network does: measures of each image, their means while it trains, and its predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.tasks.base import Task, Values
from training.tasks.packing import SEGMENTS, TaskTargets, unpack_outputs, unpack_targets
from training.tasks.weighting import MultiTaskLoss

Batches = Iterable[tuple[Tensor, Tensor]]
CLUSTERED = 64  # images whose segments are measured after every epoch


def image_metrics(
    model: nn.Module, batches: Batches, tasks: Sequence[Task], *, size: tuple[int, int], n_classes: int
) -> dict[str, Values]:
    """Each task's measures [N] of every image.

    Args:
        model: A multi-task network; back in its own state afterwards.
        batches: Images and packed targets.
        tasks: All of the network's, in its order.
    """
    found: dict[str, list[Values]] = {task.name: [] for task in tasks}
    names = [task.name for task in tasks]
    for outputs, packed in _outputs(model, batches):
        heads, targets = unpack_outputs(outputs, size, n_classes, names), unpack_targets(packed, size)
        for task in tasks:
            found[task.name].append(task.metrics(heads[task.name], targets.of(task.name)))
    return {
        name: {metric: np.concatenate([values[metric] for values in rows]) for metric in rows[0]}
        for name, rows in found.items()
    }


class Means:
    """Mean losses and measures over a part of the data, by the names under which a run records them.

    ``loss`` is the total, ``accuracy`` that of the scene; others are named as ``depth_euclidean_abs_rel``. The pixels
    that the segments' loss pairs are fixed, and only the first 64 images' segments are measured.

    Args:
        loss: As in training.
        tasks: The same tasks with fixed draws.
    """

    def __init__(self, loss: MultiTaskLoss, tasks: Sequence[Task]) -> None:
        self.loss, self.tasks = loss, tuple(tasks)

    def __call__(self, model: nn.Module, batches: Batches) -> dict[str, float]:
        """Measure the model; raises ValueError where there is no sample."""
        samples = 0
        losses = {task.name: 0.0 for task in self.tasks}
        measured: dict[str, list[NDArray[np.float64]]] = {}
        for outputs, packed in _outputs(model, batches):
            heads, targets = self.loss.unpack(outputs), unpack_targets(packed, self.loss.size)
            for task in self.tasks:
                losses[task.name] += float(task.loss(heads[task.name], targets.of(task.name))) * len(packed)
                few = max(0, CLUSTERED - samples) if task.name == SEGMENTS else len(packed)
                for metric, values in _some(task, heads, targets, few).items():
                    measured.setdefault(f"{task.name}_{metric}", []).append(values)
            samples += len(packed)
        if samples == 0:
            raise ValueError("There are no samples to measure the loss on; give at least one batch.")
        parts = {name: torch.tensor(total / samples, dtype=torch.float64) for name, total in losses.items()}
        found = {"loss": float(self.loss.total(parts).detach())}
        means = {name: _mean(np.concatenate(values)) for name, values in measured.items()}
        if "scene_accuracy" in means:
            found["accuracy"] = means["scene_accuracy"]
        return found | {f"{name}_loss": float(part) for name, part in parts.items()} | means


def predictions(
    model: nn.Module, inputs: Tensor, tasks: Sequence[Task], *, size: tuple[int, int], n_classes: int, batch: int = 100
) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """What a multi-task network says of images [N, C, H, W], by task and in the targets' units.

    Probabilities [N, K] of the scene, key points [N, H, W], metres [N, H, W], ids of segments [N, H, W].
    """
    names = [task.name for task in tasks]
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for outputs, _ in _outputs(model, ((some, some) for some in torch.split(inputs, batch))):
        heads = unpack_outputs(outputs, size, n_classes, names)
        for task in tasks:
            found[task.name].append(task.predicted(heads[task.name]).cpu())
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


def _some(task: Task, heads: dict[str, Tensor], targets: TaskTargets, few: int) -> Values:
    """The measures of the first few images."""
    if few == 0:
        return {}
    values = task.metrics(heads[task.name][:few], targets.of(task.name)[:few])
    return {name: each for name, each in values.items() if name != "valid"}  # which says nothing of the network


def _mean(values: NDArray[np.float64]) -> float:
    """Over the images that allow the measure."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _outputs(model: nn.Module, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """All heads' outputs of each batch, beside its targets; in evaluation mode, without gradients."""
    for inputs, targets in batches:
        with _all_heads(model), torch.inference_mode():
            outputs = model(inputs)
        yield outputs, targets


@contextmanager
def _all_heads(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and with all its heads, and then as it was."""
    training, task = model.training, getattr(model, "task", None)
    model.eval()
    setattr(model, "task", None)  # noqa: B010  (any module; only multi-task networks read it)
    try:
        yield
    finally:
        model.train(training)
        setattr(model, "task", task)  # noqa: B010
