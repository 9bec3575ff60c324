"""The search of Ye, Su and Qian (2025, Algorithm 1): gradient steps up and down within a ball around one block."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from landscape import Block


@dataclass(frozen=True)
class Level:
    """Mean loss over all samples and accuracy in [0, 1], or None where targets are no class indices."""

    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class Extremes:
    """What a pair of searches found: changes against the baseline."""

    s_max: float
    s_min: float
    sal_accuracy: float | None


class Objective:
    """The mean loss of a model over fixed batches, and its gradient."""

    def __init__(
        self, model: nn.Module, batches: list[tuple[Tensor, Tensor]], loss: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self.model, self.batches, self.loss = model, batches, loss
        self.samples = sum(len(targets) for _, targets in batches)
        self.classes = all(not t.is_floating_point() and t.dim() == 1 for _, t in batches)
        self.parameters = dict(model.named_parameters())

    def evaluate(self) -> Level:
        """Mean loss over all samples, accumulated in float64."""
        total = correct = 0.0
        with torch.no_grad():
            for inputs, targets in self.batches:
                outputs = self.model(inputs)
                total += float(self.loss(outputs, targets)) * len(targets)
                correct += self._correct(outputs, targets)
        return self._level(total, correct)

    def full_batch(self, parameter: Tensor) -> tuple[Level, Tensor]:
        """Loss, accuracy and gradient from one forward and backward pass, where all samples are one batch."""
        ((inputs, targets),) = self.batches
        with torch.enable_grad():
            outputs = self.model(inputs)
            value = self.loss(outputs, targets)
            (gradient,) = torch.autograd.grad(value, parameter)
        total, correct = float(value.detach()) * len(targets), self._correct(outputs.detach(), targets)
        return self._level(total, correct), gradient

    def gradient(self, inputs: Tensor, targets: Tensor, parameter: Tensor) -> Tensor:
        """Gradient of one batch's mean loss with respect to one parameter."""
        with torch.enable_grad():
            value = self.loss(self.model(inputs), targets)
            (gradient,) = torch.autograd.grad(value, parameter)
        return gradient

    def _correct(self, outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.argmax(dim=1) == targets).sum()) if self.classes else 0.0

    def _level(self, total: float, correct: float) -> Level:
        return Level(total / self.samples, correct / self.samples if self.classes else None)


def search_block(
    objective: Objective,
    block: Block,
    start: Level,
    baseline: float,
    *,
    epsilon: float,
    steps: int,
    lr: float,
    p: float,
) -> Extremes:
    """Search one block down and up from its present weights, which are restored afterwards."""
    parameter = objective.parameters[block.parameter]
    others = [q for q in objective.parameters.values() if q is not parameter and q.requires_grad]
    for other in others:  # the backward pass then ends at the block
        other.requires_grad_(False)
    origin = parameter.detach().clone()
    reached: list[Level] = []
    try:
        for sign in (-1.0, 1.0):
            reached += _one_way(objective, parameter, origin, block, sign * lr, epsilon, steps, p)
            with torch.no_grad():
                parameter.copy_(origin)
    finally:
        with torch.no_grad():
            parameter.copy_(origin)
        for other in others:
            other.requires_grad_(True)
    return _extremes(reached, Level(baseline, start.accuracy))


def _one_way(
    objective: Objective,
    parameter: nn.Parameter,
    origin: Tensor,
    block: Block,
    step: float,
    epsilon: float,
    steps: int,
    p: float,
) -> list[Level]:
    """Levels after each pass of one direction; ``step`` is −lr to go down, +lr to go up."""
    flat, start = parameter.data.view(-1)[block.start : block.stop], origin.view(-1)[block.start : block.stop]
    radius = epsilon * torch.linalg.vector_norm(start, ord=p)
    merged = len(objective.batches) == 1
    levels: list[Level] = []
    for number in range(steps):
        if merged:
            # The forward of a pass over one full batch is also the evaluation after the pass before it.
            level, gradient = objective.full_batch(parameter)
            if number:
                levels.append(level)
            flat += step * gradient.view(-1)[block.start : block.stop]
        else:
            for inputs, targets in objective.batches:
                gradient = objective.gradient(inputs, targets, parameter)
                flat += step * gradient.view(-1)[block.start : block.stop]
        moved = flat - start
        length = torch.linalg.vector_norm(moved, ord=p)
        if length > radius:
            flat.copy_(start + moved * (radius / length))
        if not merged:
            levels.append(objective.evaluate())
    if merged:
        levels.append(objective.evaluate())
    return levels


def _extremes(reached: list[Level], start: Level) -> Extremes:
    """Largest and smallest loss met, the start included, and the accuracies that belong to them.

    A loss that is NaN or infinite counts as infinitely large: it was met within the ball.
    """
    highest = lowest = start
    for level in reached:
        loss = level.loss if math.isfinite(level.loss) else math.inf
        if loss > highest.loss:
            highest = Level(loss, level.accuracy)
        if loss < lowest.loss:
            lowest = level
    accuracy = None
    if start.accuracy is not None and highest.accuracy is not None and lowest.accuracy is not None:
        drop, rise = start.accuracy - highest.accuracy, lowest.accuracy - start.accuracy
        accuracy = drop if abs(drop) > abs(rise) else rise
    return Extremes(highest.loss - start.loss, start.loss - lowest.loss, accuracy)
