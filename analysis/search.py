"""The search of Ye, Su and Qian (2025, Algorithm 1): gradient steps up and down within a ball around one block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.objective import Level, Objective
from landscape import Block


@dataclass(frozen=True)
class Extremes:
    """What a pair of searches found: changes against the baseline."""

    s_max: float
    s_min: float
    sal_accuracy: float | None


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
    reached: list[Level] = []
    with alone(objective, parameter):
        origin = parameter.detach().clone()
        # With one full batch both directions begin with the same gradient.
        first = objective.gradient(0, parameter) if len(objective.batches) == 1 else None
        for sign in (-1.0, 1.0):
            reached += _one_way(objective, parameter, origin, block, sign * lr, epsilon, steps, p, first)
            with torch.no_grad():
                parameter.copy_(origin)
    return extremes(reached, Level(baseline, start.accuracy))


@contextmanager
def alone(objective: Objective, parameter: nn.Parameter) -> Iterator[None]:
    """Let gradients flow to one parameter only, and put it back afterwards."""
    others = [q for q in objective.parameters.values() if q is not parameter and q.requires_grad]
    theirs = parameter.data
    parameter.data = theirs.clone(memory_format=torch.contiguous_format)  # rows in order, whatever the caller's are
    for other in others:  # the backward pass then ends at the block
        other.requires_grad_(False)
    try:
        yield
    finally:
        parameter.data = theirs
        for other in others:
            other.requires_grad_(True)


def _one_way(
    objective: Objective,
    parameter: nn.Parameter,
    origin: Tensor,
    block: Block,
    step: float,
    epsilon: float,
    steps: int,
    p: float,
    first: tuple[Level, Tensor] | None,
) -> list[Level]:
    """Levels after each pass of one direction; ``step`` is −lr to go down, +lr to go up."""
    flat, start = parameter.data.view(-1)[block.start : block.stop], origin.view(-1)[block.start : block.stop]
    radius = epsilon * torch.linalg.vector_norm(start, ord=p)
    levels: list[Level] = []
    for number in range(steps):
        if first is not None:
            # The forward of a pass over one full batch is also the evaluation after the pass before it.
            level, gradient = objective.gradient(0, parameter) if number else first
            if number:
                levels.append(level)
            flat += step * gradient.view(-1)[block.start : block.stop]
        else:
            for batch in range(len(objective.batches)):
                _, gradient = objective.gradient(batch, parameter)
                flat += step * gradient.view(-1)[block.start : block.stop]
        moved = flat - start
        length = torch.linalg.vector_norm(moved, ord=p)
        if length > radius:
            flat.copy_(start + moved * (radius / length))
        if first is None:
            levels.append(objective.evaluate())
    if first is not None:
        levels.append(objective.evaluate())
    return levels


def extremes(reached: Sequence[Level], start: Level) -> Extremes:
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
