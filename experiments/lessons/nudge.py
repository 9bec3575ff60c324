"""Lesson 5, what SAL measures: one layer moved by hand within its ball, beside the library's search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from analysis import sharpness_aware_learnability
from experiments.lessons.short_run import Schedule, ShortRun, sample, short_run, small_data
from landscape import ParameterLayout, evaluate_points

SCHEDULE = Schedule("mlp", epochs=3, lr=0.05)
LAYERS = {"first layer": "1", "second layer": "3"}  # as the network's own names
SAMPLES = 500
POINTS = 41
ANSWERS = ("by less than 5 %", "by 5 to 25 %", "by 25 to 100 %", "it more than doubles")
METHODS = ("gradient", "search", "projected")


@dataclass(frozen=True, eq=False)
class Nudge:
    """The loss along the gradient of one layer, and SAL by the library.

    Attributes:
        layer: Its words; epsilon: radius of the ball, relative to the layer's norm; norm: of the layer's weights.
        start: Loss in nats where training ended.
        shares: [P] steps along the gradient in radii of the ball, from −1 (down) to 1 (up); losses: [P] in nats.
        sal: {method: SAL in nats}, the largest change of the loss within the ball that each method finds.
    """

    layer: str
    epsilon: float
    norm: float
    start: float
    shares: NDArray[np.float64]
    losses: NDArray[np.float64]
    sal: dict[str, float]

    @property
    def best_by_hand(self) -> float:
        """The largest change of the loss on the line, in nats."""
        return float(np.abs(self.losses - self.start).max())


@lru_cache(maxsize=2)
def trained(seed: int) -> ShortRun:
    """A small network, trained on the digits for a few epochs."""
    return short_run(small_data("digits"), SCHEDULE, seed=seed)


def nudge_layer(layer: str, epsilon: float, seed: int = 0) -> Nudge:
    """Train a small network on the digits, then move one layer along its gradient within the ball ε‖θ‖."""
    run = trained(seed)
    batches = sample(small_data("digits"), SAMPLES)
    direction, norm = _direction(run, LAYERS[layer])
    shares = np.linspace(-1.0, 1.0, POINTS)
    end = run.vectors[-1].astype(np.float64)
    found = evaluate_points(run.model, [end + share * epsilon * norm * direction for share in shares], batches)
    sal = {}
    for method in METHODS:
        blocks = sharpness_aware_learnability(run.model, batches, epsilon=epsilon, method=method)
        sal[method] = next(block.sal for block in blocks if block.name == LAYERS[layer])
    return Nudge(layer, epsilon, norm, float(found.loss[POINTS // 2]), shares, found.loss, sal)


def loss_after(layer: str, epsilon: float, share: float, seed: int = 0) -> float:
    """Loss in nats after one step by hand: ``share`` of the ball's radius along the gradient."""
    run = trained(seed)
    direction, norm = _direction(run, LAYERS[layer])
    point = run.vectors[-1].astype(np.float64) + share * epsilon * norm * direction
    return float(evaluate_points(run.model, [point], sample(small_data("digits"), SAMPLES)).loss[0])


def answer(nudge: Nudge) -> str:
    """Which of ``ANSWERS`` holds for the largest rise on the line."""
    rise = float(nudge.losses.max()) / nudge.start - 1
    return ANSWERS[0 if rise < 0.05 else 1 if rise < 0.25 else 2 if rise <= 1 else 3]


def _direction(run: ShortRun, layer: str) -> tuple[NDArray[np.float64], float]:
    """The unit gradient of the loss in one layer's weights, zero elsewhere [D], and the norm of these weights."""
    ((inputs, targets),) = sample(small_data("digits"), SAMPLES)
    run.model.eval()
    weight = dict(run.model.named_parameters())[f"{layer}.weight"]
    (gradient,) = torch.autograd.grad(functional.cross_entropy(run.model(inputs), targets), weight)
    layout = ParameterLayout.from_model(run.model)
    direction = np.zeros(layout.size)
    direction[layout.slices[f"{layer}.weight"]] = gradient.double().reshape(-1).numpy()
    return direction / np.linalg.norm(direction), float(torch.linalg.vector_norm(weight.detach()))
