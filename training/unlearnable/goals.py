"""What error-minimising noise makes easy: the class alone, or the losses of several tasks of a network with heads.

Noise against a multi-task network may be made from the scene's loss, as it is for classification; from one per-pixel
task; or from the mean over all tasks of L_t / L_t(trivial), which brings their units together. A surrogate that
minimises summed losses learns the tasks with a cheap shortcut first; the labels and per-pixel targets are those of the
clean images throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from training.data import Dataset
from training.models import BACKBONES
from training.tasks import TASKS, MultiTaskLoss, pack_targets, task_loss, tasks_named, trivial_weights
from training.unlearnable.surrogate import Loss, Task, build, chance, cross_entropy

ALL = "all"
GOALS = ("", *TASKS, ALL)
DRAWS = 1 << 22  # what the losses of perturbations draw follows no training step of the surrogate


@dataclass(frozen=True, eq=False)
class Goal:
    """A surrogate's targets and loss.

    Attributes:
        targets: [N, …], of all training images.
        loss: Of the surrogate's outputs and targets, a mean over the batch; None for the cross-entropy of classes.
        heads: Tasks of the surrogate; none for a network of classes.
        words: For descriptions.
    """

    targets: Tensor
    loss: Loss | None = None
    heads: tuple[str, ...] = ()
    words: str = ""

    @property
    def is_class(self) -> bool:
        """Whether the outputs are scores of classes."""
        return self.targets.dim() == 1

    def build(self, task: Task) -> nn.Module:
        """The untrained surrogate; with one head it gives that head's output."""
        model = build(task, self.heads)
        if len(self.heads) == 1:
            setattr(model, "task", self.heads[0])  # noqa: B010  (a module to mypy, which knows no task)
        return model

    def at(self, task: Task, model: nn.Module, chosen: slice, number: int) -> Callable[[Tensor], Tensor]:
        """The summed loss of some samples as a function of their inputs; ``number`` fixes what it draws."""
        targets = self.targets[chosen]
        if self.loss is None:
            return cross_entropy(model, targets)
        loss = self.loss

        def summed(points: Tensor) -> Tensor:
            with chance(task.seed, DRAWS + number, points.device):
                return loss(model(points), targets) * len(targets)

        return summed


def make_goal(dataset: Dataset, task: Task, tasks: str) -> Goal:
    """The goal called ``tasks``: empty for the class by a plain network, the name of a task, or ``"all"``.

    Raises:
        ValueError: Another name, a surrogate without heads, or data without per-pixel targets.
    """
    if tasks not in GOALS:
        raise ValueError(f"tasks of em is {', '.join(map(repr, GOALS))}, not {tasks!r}.")
    if tasks == "":
        return Goal(task.targets)
    if task.surrogate not in BACKBONES:
        raise ValueError(f"Noise for tasks takes a surrogate out of {', '.join(BACKBONES)}, not {task.surrogate!r}.")
    if tasks == "scene":
        return Goal(task.targets, heads=("scene",), words=" for the scene")
    if dataset.dense_train is None:
        raise ValueError(f"The data set {dataset.name} has no per-pixel targets to make noise for; leave out tasks.")
    packed = pack_targets(dataset.y_train, dataset.dense_train)
    size = dataset.x_train.shape[2], dataset.x_train.shape[3]
    where = task.inputs.device
    if tasks != ALL:
        return Goal(
            packed.to(where), task_loss(tasks, size, seed=None), (tasks,), f" for {tasks_named([tasks])[0].title}"
        )
    named = tasks_named()
    loss = MultiTaskLoss(named, size, dataset.n_classes, trivial_weights(named, packed, size))
    return Goal(packed.to(where), loss, TASKS, " for all tasks")
