"""The first-order estimate of SAL: ε‖θ_l‖_p‖∇_l L‖_q, with 1/p + 1/q = 1, for all blocks from one backward pass."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.objective import Level, Objective
from landscape import Block

DUAL = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}


def gradient_sal(
    objective: Objective, blocks: list[Block], *, epsilon: float, p: float
) -> tuple[Level, NDArray[np.float64]]:
    """Loss at the checkpoint and the estimate [L] for every block.

    For small ε the loss changes by at most ε‖θ_l‖_p‖∇_l L‖_q within the ball, up and down alike (Hölder's inequality,
    with equality along the steepest direction).
    """
    level, gradients = _mean_gradients(objective, list(dict.fromkeys(block.parameter for block in blocks)))
    values = np.empty(len(blocks))
    weights = {name: objective.parameters[name].detach().double().reshape(-1) for name in gradients}
    scalar = {name: (weights[name].abs() * gradients[name].abs()).cpu().numpy() for name in gradients}
    for i, block in enumerate(blocks):
        if block.size == 1:  # the product of absolute values, whatever p
            values[i] = scalar[block.parameter][block.start]
            continue
        span = slice(block.start, block.stop)
        radius = torch.linalg.vector_norm(weights[block.parameter][span], ord=p)
        values[i] = float(radius * torch.linalg.vector_norm(gradients[block.parameter][span], ord=DUAL[p]))
    return level, epsilon * values


def _mean_gradients(objective: Objective, names: list[str]) -> tuple[Level, dict[str, torch.Tensor]]:
    """Gradient of the mean loss over all samples, each flat in float64."""
    parameters = [objective.parameters[name] for name in names]
    sums = [torch.zeros(q.numel(), dtype=torch.float64, device=q.device) for q in parameters]
    total = correct = 0.0
    for inputs, targets in objective.batches:
        with torch.enable_grad():
            outputs = objective.model(inputs)
            value = objective.loss(outputs, targets)
            found = torch.autograd.grad(value, parameters, allow_unused=True)
        total += float(value.detach()) * len(targets)
        if objective.classes:
            correct += float((outputs.detach().argmax(dim=1) == targets).sum())
        for accumulated, gradient in zip(sums, found, strict=True):
            if gradient is not None:
                accumulated += gradient.reshape(-1).double() * len(targets)
    n = objective.samples
    level = Level(total / n, correct / n if objective.classes else None)
    return level, {name: accumulated / n for name, accumulated in zip(names, sums, strict=True)}
