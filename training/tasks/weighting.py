"""How the losses of several tasks become one: fixed weights, or learned ones.

Fixed: the mean over tasks of L_t / L_t(trivial), so that every task begins near 1 whatever its units. Learned:
Σ 0.5 · L_t / p_t² + ln(1 + p_t²) with a trained p_t, initially 1 (Liebel and Körner 2018, after Kendall, Gal and
Cipolla, CVPR 2018; as Mod-Squad's code has it). Learned weights react to a poison: an easy scene loss changes what the
other tasks count for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from training.tasks.base import Task
from training.tasks.packing import TaskTargets, unpack_outputs, unpack_targets


class MultiTaskLoss(nn.Module):
    """The loss of packed outputs and targets; its parameters, if weights are learned, are trained with the network's.

    Args:
        tasks: In the order of the network's heads.
        size: Height and width of the maps.
        n_classes: K of the scene.
        weights: By task, fixed; None learns them.
    """

    def __init__(
        self, tasks: Sequence[Task], size: tuple[int, int], n_classes: int, weights: Mapping[str, float] | None
    ) -> None:
        super().__init__()
        self.tasks, self.size, self.n_classes = tuple(tasks), size, n_classes
        self.fixed = None if weights is None else {task.name: float(weights[task.name]) for task in tasks}
        self.scales = nn.ParameterDict()
        if weights is None:
            self.scales = nn.ParameterDict({task.name: nn.Parameter(torch.ones(())) for task in tasks})

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(task.name for task in self.tasks)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar, of outputs [N, …] of a network of these tasks and targets as :func:`pack_targets` gives them."""
        return self.total(self.parts(self.unpack(outputs), unpack_targets(targets, self.size)))

    def unpack(self, outputs: Tensor) -> dict[str, Tensor]:
        """Each head's own output."""
        return unpack_outputs(outputs, self.size, self.n_classes, self.names)

    def parts(self, outputs: Mapping[str, Tensor], targets: TaskTargets) -> dict[str, Tensor]:
        """Each task's own loss, a scalar."""
        return {task.name: task.loss(outputs[task.name], targets.of(task.name)) for task in self.tasks}

    def total(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The tasks' losses as one."""
        if self.fixed is not None:
            return torch.stack([self.fixed[name] * part for name, part in parts.items()]).mean()
        terms = []
        for name, part in parts.items():
            square = self.scales[name].square()
            terms.append(0.5 * part / square + torch.log1p(square))
        return torch.stack(terms).sum()

    def weights(self) -> dict[str, float]:
        """What each task's loss is multiplied by at present."""
        if self.fixed is not None:
            return {name: weight / len(self.fixed) for name, weight in self.fixed.items()}
        return {name: 0.5 / float(scale.detach()) ** 2 for name, scale in self.scales.items()}


def trivial_weights(tasks: Sequence[Task], targets: Tensor, size: tuple[int, int]) -> dict[str, float]:
    """1 / L_t(trivial) of each task, over packed training targets [N, …].

    Raises:
        ValueError: A task whose trivial predictor makes no error, so that there is nothing to learn.
    """
    unpacked = unpack_targets(targets, size)
    weights = {}
    for task in tasks:
        loss = task.trivial_loss(unpacked.of(task.name))
        if not loss > 0:
            raise ValueError(
                f"The task {task.name} is the same for all training images, or holds no valid pixel; leave it out."
            )
        weights[task.name] = 1 / loss
    return weights
