"""From a network's outputs to sums of losses: cross-entropy with the classes in front, in float64 sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
Metric = Callable[[Tensor, Tensor], Tensor | float]  # of the caller's own: outputs and targets, a mean over the batch


@dataclass
class Sums:
    """Sums over samples, for P models at once.

    Attributes:
        loss: [P] of each sample's loss; squares: [P] of its square; correct: [P] of right answers; metric:
            [P] of a metric of the caller's own, each batch weighted by its samples. Float64.
    """

    loss: NDArray[np.float64]
    squares: NDArray[np.float64]
    correct: NDArray[np.float64]
    metric: NDArray[np.float64]

    @classmethod
    def zero(cls, points: int) -> Sums:
        """Nothing summed yet."""
        return cls(np.zeros(points), np.zeros(points), np.zeros(points), np.zeros(points))

    def table(self, samples: int, *, spread: bool, classes: bool, metric: bool = False) -> NDArray[np.float64]:
        """[P, 4]: mean loss, accuracy, standard error of the mean loss, and metric; NaN where not defined."""
        mean = self.loss / samples
        error = np.full(len(mean), np.nan)
        if spread and samples > 1:
            with np.errstate(invalid="ignore", over="ignore"):
                variance = np.maximum(self.squares / samples - mean * mean, 0.0)
            error = np.where(np.isfinite(mean), np.sqrt(variance / (samples - 1)), np.nan)
        unknown = np.full(len(mean), np.nan)
        accuracy = self.correct / samples if classes else unknown
        return np.stack([mean, accuracy, error, self.metric / samples if metric else unknown], axis=1)


def add_class_scores(sums: Sums, at: slice, scores: Tensor, labels: Tensor) -> None:
    """Add cross-entropy and right answers of scores [P, C, n], which are spoilt, for class labels [n].

    The same numbers as :func:`torch.nn.functional.cross_entropy`, but with the classes in front, so that a
    processor's wide registers are full whatever the number of classes.
    """
    if scores.dtype in (torch.bfloat16, torch.float16):
        scores = scores.float()
    labels = labels.long()
    where = labels.expand(scores.shape[0], 1, -1)
    wanted = scores.gather(1, where)
    if scores.shape[1] == 1:
        others = torch.full_like(wanted, -torch.inf)
    else:
        others = torch.amax(scores.scatter_(1, where, -torch.inf), dim=1, keepdim=True)
    right = wanted > others
    if bool((wanted == others).any() | (wanted != wanted).any() | (others != others).any()):  # ties and NaN
        right = torch.argmax(scores.scatter(1, where, wanted), dim=1, keepdim=True) == labels
    highest = torch.maximum(wanted, others)
    each = scores.sub_(highest).exp_().sum(dim=1, keepdim=True).add_((wanted - highest).exp_()).log_()
    each = each.add_(highest - wanted)[:, 0].double()
    sums.loss[at] += each.sum(dim=1).cpu().numpy()
    sums.correct[at] += right[:, 0].sum(dim=1).cpu().numpy()
    sums.squares[at] += each.square_().sum(dim=1).cpu().numpy()


def add_scores(sums: Sums, point: int, outputs: Tensor, targets: Tensor) -> None:
    """Add the default loss of one model's outputs for targets of any shape, as the plain version defines it."""
    each = functional.cross_entropy(outputs, targets, reduction="none").double()
    each = each.reshape(len(targets), -1).mean(dim=1)
    sums.loss[point] += float(each.sum())
    sums.squares[point] += float((each * each).sum())


def add_right_answers(sums: Sums, point: int, outputs: Tensor, labels: Tensor) -> None:
    """Count where the largest output is the label's, beside a loss of the caller's own."""
    sums.correct[point] += float((outputs.argmax(dim=1) == labels).sum())


def add_metric(sums: Sums, point: int, outputs: Tensor, targets: Tensor, metric: Metric) -> None:
    """Add a metric of the caller's own, which gets outputs [n, …] of its own and may spoil them."""
    sums.metric[point] += float(metric(outputs.clone(memory_format=torch.contiguous_format), targets)) * len(targets)
