"""The same maximum by a better search: steps along the normalised gradient, straight to the edge of the ball.

Up the loss, each step goes to the point of the ball that the gradient at the last one points at (the generalised
power method, Journée et al. 2010), as in sharpness-aware minimisation (Foret et al. 2021) but repeated; after a step
that lost height, earlier gradients have a say. Down the
loss, where the smallest value may lie inside the ball, steps go towards that point only part of the way (Frank and
Wolfe 1956). Every point lies within the ball, and the gradient is that of the mean loss over all samples, so that the
result does not depend on how the data are cut into batches. A direction ends when the last step, or all that the slope
still promises within the ball (the Frank–Wolfe gap), is small beside what was won.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from analysis.objective import Level, Objective
from analysis.search import Extremes, alone, extremes
from landscape import Block

_Height = Callable[[Tensor], Level]  # from a displacement to the level there
_Slope = Callable[[Tensor], tuple[Level, Tensor]]  # the same and its gradient
MEMORY = 0.75  # weight of earlier gradients after a step up that lost height
ENOUGH = 5e-4  # gain of a step, relative to all that was won, below which a direction ends
PROMISING = 5e-5  # the same of what the slope still promises, which the curvature may exceed


def project_block(
    objective: Objective, block: Block, start: Level, baseline: float, *, epsilon: float, steps: int, p: float
) -> Extremes:
    """Search one block up and down within the ball, at most ``steps`` gradients each way; weights are restored."""
    parameter = objective.parameters[block.parameter]
    span = slice(block.start, block.stop)

    def height(moved: Tensor) -> Level:
        flat.copy_(origin + moved)
        return objective.evaluate()

    def slope(moved: Tensor) -> tuple[Level, Tensor]:
        flat.copy_(origin + moved)
        level, found = objective.whole_gradient(parameter)
        return level, found.reshape(-1)[span]

    with alone(objective, parameter):
        flat = parameter.data.view(-1)[span]
        origin = flat.clone()
        radius = epsilon * float(torch.linalg.vector_norm(origin, ord=p))
        _, gradient = objective.whole_gradient(parameter)
        gradient = gradient.reshape(-1)[span].clone()
        up = _climb(height, slope, gradient, radius, steps, p, start.loss)
        down = _descend(height, slope, gradient, radius, steps, p, start.loss)
    return extremes([*up, *down], Level(baseline, start.accuracy))


def farthest(gradient: Tensor, radius: float, p: float) -> Tensor:
    """The point of the p-ball of a radius that lies farthest along a gradient (zero where the gradient is)."""
    if not bool(torch.isfinite(gradient).all()) or not bool(gradient.any()):
        return torch.zeros_like(gradient)
    if p == 2:
        toward: Tensor = gradient * (radius / torch.linalg.vector_norm(gradient))
        return toward
    if math.isinf(p):
        return gradient.sign() * radius
    point = torch.zeros_like(gradient)
    best = torch.argmax(gradient.abs())
    point[best] = gradient[best].sign() * radius
    return point


def _climb(
    height: _Height, slope: _Slope, gradient: Tensor, radius: float, steps: int, p: float, start: float
) -> list[Level]:
    levels: list[Level] = []
    best = start
    heading = _unit(gradient)
    for _ in range(steps - 1):
        place = farthest(heading, radius, p)
        level, found = slope(place)
        levels.append(level)
        if not math.isfinite(level.loss):
            return levels
        gain = level.loss - best
        won = level.loss - start
        promised = float(found @ (farthest(found, radius, p) - place))
        if 0 <= gain <= ENOUGH * won or (gain > 0 and promised <= PROMISING * won):
            return levels
        # Where the loss is rough, single gradients lead astray; their running mean does not.
        heading = _unit(found) if gain > 0 else MEMORY * heading + _unit(found)
        best = max(best, level.loss)
    return [*levels, height(farthest(heading, radius, p))]


def _unit(gradient: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(gradient)
    return gradient / length if length > 0 else gradient


def _descend(
    height: _Height, slope: _Slope, gradient: Tensor, radius: float, steps: int, p: float, start: float
) -> list[Level]:
    levels: list[Level] = []
    best, place = start, torch.zeros_like(gradient)
    share = 1.0
    falling = gradient
    towards = farthest(-gradient, radius, p)
    for _ in range(steps - 1):
        line = towards - place
        moved = place + share * line
        level, found = slope(moved)
        levels.append(level)
        drop = float(falling @ line)  # change of the loss per unit of share, to first order
        curve = (level.loss - best - share * drop) / share**2
        if level.loss < best:
            gain, best, place, falling = best - level.loss, level.loss, moved, found
            towards = farthest(-found, radius, p)
            share = _best_share(place, towards, found, curve)
            promised = -float(found @ (towards - place))
            won = start - best
            if gain <= ENOUGH * won or promised <= PROMISING * won:
                return levels
        else:  # too far: to the lowest point of the parabola through what is known
            share = share * 0.25 if not (curve > 0) else min(max(-drop / (2 * curve), 0.05 * share), 0.5 * share)
    return [*levels, height(place + share * (towards - place))]


def _best_share(place: Tensor, towards: Tensor, gradient: Tensor, curve: float) -> float:
    """How far to go next, by the slope there and the curvature met on the way before."""
    drop = float(gradient @ (towards - place))
    if curve <= 0 or drop >= 0:
        return 1.0
    return min(1.0, max(0.05, -drop / (2 * curve)))
