"""Orthogonal projection: remove from the training inputs what a linear model learns from them.

Sandoval-Segura, Singla, Geiping, Goldblum and Goldstein, *What Can We Learn from Unlearnable Datasets?* (NeurIPS 2023):
a bias-free softmax regression on the raw poisoned inputs, W [K, D]; Q from the QR decomposition of Wᵀ; x ← x − Q Qᵀ x.
Made for class-wise shortcuts, and for data sets like CIFAR-10: on a few hundred samples the defaults make a few dozen
steps, which leave part of the shortcut; lower ``batch_size`` there. Test inputs are not projected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.defences.base import Defence, check_number

_STREAM = 11  # random stream of this defence
_AT_ONCE = 4096  # samples


@dataclass(frozen=True)
class OrthogonalProjection(Defence):
    """SGD with ``lr``, which falls to a tenth after half and after three quarters of the ``epochs``; then project."""

    epochs: int = 20
    lr: float = 0.1
    batch_size: int = 1024

    def __post_init__(self) -> None:
        check_number("The epochs of orthogonal-projection", self.epochs, 1, whole=True)
        check_number("The lr of orthogonal-projection", self.lr, 1e-12)
        check_number("The batch_size of orthogonal-projection", self.batch_size, 1, whole=True)

    @property
    def description(self) -> str:
        """The defence in words."""
        return f"orthogonal projection, {self.epochs} epochs"

    def prepare(self, inputs: NDArray[np.float32], targets: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
        """Projected inputs of any shape, not clipped: pixels may leave [0, 1]."""
        flat = torch.from_numpy(np.ascontiguousarray(inputs.reshape(len(inputs), -1)))
        classes = int(targets.max()) + 1
        if classes >= flat.shape[1]:
            raise ValueError(
                f"orthogonal-projection would leave nothing of {flat.shape[1]} values a sample with {classes} classes; "
                "it needs more values than classes."
            )
        weights = self.fit(flat, torch.from_numpy(targets), classes, seed)
        basis = torch.linalg.qr(weights.double().T).Q
        projected = torch.empty_like(flat)
        for start in range(0, len(flat), _AT_ONCE):
            part = flat[start : start + _AT_ONCE].double()
            projected[start : start + _AT_ONCE] = part - (part @ basis) @ basis.T
        return projected.numpy().reshape(inputs.shape)

    def fit(self, flat: Tensor, targets: Tensor, classes: int, seed: int) -> Tensor:
        """Weights [K, D] of the linear model on inputs [N, D]."""
        rng = np.random.default_rng([seed, _STREAM])
        bound = 1 / math.sqrt(flat.shape[1])  # PyTorch's initial weights of a linear layer
        weights = torch.from_numpy(rng.uniform(-bound, bound, size=(classes, flat.shape[1]))).to(flat.dtype)
        for epoch in range(self.epochs):
            rate = self.lr * 0.1 ** ((2 * epoch >= self.epochs) + (4 * epoch >= 3 * self.epochs))
            order = torch.from_numpy(rng.permutation(len(flat)))
            for start in range(0, len(flat), self.batch_size):
                chosen = order[start : start + self.batch_size]
                x = flat[chosen]
                error = functional.softmax(x @ weights.T, dim=1) - functional.one_hot(targets[chosen], classes)
                weights -= rate * (error.T @ x) / len(x)
        if not torch.isfinite(weights).all():
            raise ValueError(f"The linear model of orthogonal-projection diverged with lr {self.lr:g}; lower it.")
        return weights
