"""The class of the scene, by cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.tasks.base import Task, Values, as_values


class Scene(Task):
    """Logits [N, K] for labels [N]. ``legacy``: mean squared error of the raw outputs against the labels as one-hot."""

    name, title, headline = "scene", "scene class", ("accuracy", True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.legacy:
            return functional.mse_loss(outputs, _one_hot(targets, outputs))
        return functional.cross_entropy(outputs, targets)

    def predicted(self, outputs: Tensor) -> Tensor:
        """Probabilities [N, K]; the raw outputs in ``legacy``, which are trained to be these."""
        return outputs if self.legacy else outputs.softmax(dim=1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> Values:
        """``accuracy`` (0 or 1), ``cross_entropy`` in nats."""
        right = outputs.argmax(dim=1) == targets
        entropy = functional.cross_entropy(outputs, targets, reduction="none")
        return {"accuracy": as_values(right), "cross_entropy": as_values(entropy)}

    def _trivial_outputs(self, train: Tensor) -> Tensor:
        """The frequencies of the classes, whose most frequent one is predicted."""
        shares = torch.bincount(train) / len(train)
        return (shares if self.legacy else shares.clamp(min=1e-9).log())[None]


def _one_hot(targets: Tensor, outputs: Tensor) -> Tensor:
    return functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
