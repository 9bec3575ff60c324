"""What a task is: a loss to learn it by, measures of how well it is done, and the prediction that needs no image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Values = dict[str, NDArray[np.float64]]


class Task(ABC):
    """One task.

    Args:
        legacy: Take Mod-Squad's loss (Chen et al., CVPR 2023) for replication: unmasked means, and ids of segments as
            if they were numbers.
        seed: Fixes what the loss draws, so that it is a function; None draws anew each time, from the global state.

    Attributes:
        name: As in :data:`~training.tasks.packing.TASKS`.
        title: For people.
        headline: The measure to report first, and whether more of it is better.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    headline: ClassVar[tuple[str, bool]]

    def __init__(self, *, legacy: bool = False, seed: int | None = None) -> None:
        self.legacy, self.seed = legacy, seed

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over images of each image's loss, so that pieces of a batch average to the whole.

        Args:
            outputs: Of this task's head, [N, …].
            targets: The field of :class:`~training.tasks.packing.TaskTargets` of this name, [N, …].
        """

    @abstractmethod
    def predicted(self, outputs: Tensor) -> Tensor:
        """Outputs of the head in the targets' own units."""

    @abstractmethod
    def metrics(self, outputs: Tensor, targets: Tensor) -> Values:
        """Measures [N] of every image by name; NaN where an image allows none."""

    @abstractmethod
    def _trivial_outputs(self, train: Tensor) -> Tensor:
        """What the head would give [1, …] if it ignored the image and knew the training targets [N, …]."""

    def trivial(self, train: Tensor, test: Tensor) -> Values:
        """The measures [N] of test images that a predictor gets without looking at them."""
        outputs = self._trivial_outputs(train)
        return self.metrics(outputs.expand(len(test), *outputs.shape[1:]), test)

    def trivial_loss(self, train: Tensor) -> float:
        """The mean training loss of the predictor that does not look at the images."""
        outputs = self._trivial_outputs(train)
        total = 0.0
        for some in torch.split(train, 256):
            total += float(self.loss(outputs.expand(len(some), *outputs.shape[1:]), some)) * len(some)
        return total / len(train)


def as_values(values: Tensor) -> NDArray[np.float64]:
    """A measure of each image as an array."""
    return values.detach().double().cpu().numpy()


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation [N] over the pixels of maps [N, H, W]; 0 where one of both is constant."""
    a, b = (x.flatten(1).double() for x in (a, b))
    constant = (a == a[:, :1]).all(dim=1) | (b == b[:, :1]).all(dim=1)
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (a, b))
    scale = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    return torch.where(constant | (scale == 0), 0.0, (a * b).sum(dim=1) / scale)
