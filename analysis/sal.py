"""Sharpness-Aware Learnability (SAL) of every block of a network (Ye, Su and Qian 2025, Definition 1).

SAL(θ_l) = max over ‖v‖_p ≤ ε‖θ_l‖_p of |L(θ_l + v) − L(θ_l)|, all other parameters frozen.

The values depend on how they are measured: the batches, their order, and for the search on its steps and learning
rate. State them beside every number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from analysis.gradient import gradient_sal
from analysis.guard import borrowed
from analysis.objective import Level, Objective, StagedObjective
from analysis.projected import project_block
from analysis.search import Extremes, search_block
from landscape import Block, model_blocks
from landscape.program import agrees, uneven
from landscape.tracing import trace

Batches = Iterable[tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
METHODS = ("search", "projected", "gradient")
NORMS = (1, 2, math.inf)
CHECKED_SAMPLES = 15
AGREEMENT = 1e-4  # rounding that rewriting a network may cause, relative


@dataclass(frozen=True)
class BlockSal:
    """SAL of one block.

    Attributes:
        name: The block, such as ``conv1``, ``conv1[3]`` or ``fc[2, 7]``.
        loss: Mean loss at the checkpoint, in nats for cross-entropy.
        accuracy: At the checkpoint, in [0, 1]; None where targets are no class indices.
        s_max: Largest increase of the loss found within the ball; s_min: largest decrease. Both 0 or more.
        sal: The larger of the two.
        sal_accuracy: Change of accuracy of the larger magnitude, among the drop at the largest loss and the rise at
            the smallest (signed as Ye et al. log it); None for ``method="gradient"`` and without class indices.
        size: Scalars in the block.
    """

    name: str
    loss: float
    accuracy: float | None
    s_max: float
    s_min: float
    sal: float
    sal_accuracy: float | None
    size: int


def sharpness_aware_learnability(
    model: nn.Module,
    batches: Batches,
    *,
    loss: Loss | None = None,
    epsilon: float = 0.05,
    steps: int = 10,
    lr: float = 0.1,
    p: float = 2,
    blocks: str = "layer",
    method: str = "search",
    baseline: str | float = "measured",
    progress: Callable[[int, int], None] | None = None,
) -> list[BlockSal]:
    """Measure SAL of every block of a model at its present weights.

    ``method="search"`` is the procedure of the authors' code (Algorithm 1): for each block two independent searches,
    one down and one up the loss. A pass takes one plain gradient step of size ``lr`` after every batch; after the
    pass the displacement is scaled back to the ball if it left it, and the mean loss over all samples is taken. Steps
    within a pass may leave the ball, as in that code. What lies before a block is computed once, and the rest on pieces
    of the data that fit the processor's cache: the same numbers but for rounding. ``method="projected"`` searches the
    same maximum with normalised gradients of the whole mean loss, straight to the edge of the ball: fewer steps, and
    mostly larger values. ``method="gradient"`` is the first-order estimate ε‖θ‖_p‖∇L‖_q with the dual norm q: one
    backward pass for all blocks.

    Args:
        model: Any module; it is in evaluation mode meanwhile and untouched afterwards, also after an exception.
        batches: ``(inputs, targets)`` pairs, iterable repeatedly in the same order.
        loss: ``loss(outputs, targets)``, a mean over the batch; default cross-entropy.
        epsilon: Radius relative to the block's own p-norm.
        steps: Passes of the search each way; at most as many gradients each way when projected.
        lr: Step size of the search.
        p: 1, 2 or infinity. The search scales back by the p-norm for every p.
        blocks: ``"layer"`` (the authors'), ``"unit"`` or ``"parameter"``; see :func:`landscape.model_blocks`.
        method: ``"search"``, ``"projected"`` or ``"gradient"``.
        baseline: ``"measured"``, or a number to use as the loss at the checkpoint (the authors' script passes the
            running training loss).
        progress: Called as ``progress(done, total)`` after each block of a search.

    Returns:
        One :class:`BlockSal` per block, in model order. A non-finite loss met within the ball is a result: s_max is
        infinite then. Tied weights form one block that moves in all its places.

    Raises:
        ValueError: Settings, data or model do not allow the measurement; the message says which and what to do.
    """
    meter = SharpnessMeter(
        model,
        batches,
        loss=loss,
        epsilon=epsilon,
        steps=steps,
        lr=lr,
        p=p,
        blocks=blocks,
        method=method,
        baseline=baseline,
    )
    return meter.measure(progress=progress)


class SharpnessMeter:
    """SAL of a model at its present weights, some blocks at a time; settings as for the function of that name.

    Attributes:
        blocks: All blocks, in model order.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        loss: Loss | None = None,
        epsilon: float = 0.05,
        steps: int = 10,
        lr: float = 0.1,
        p: float = 2,
        blocks: str = "layer",
        method: str = "search",
        baseline: str | float = "measured",
    ) -> None:
        _check_settings(epsilon, steps, lr, p, method, baseline)
        self.model, self.method, self.baseline = model, method, baseline
        self.epsilon, self.steps, self.lr, self.p = epsilon, steps, lr, float(p)
        self.blocks = model_blocks(model, blocks)
        if not self.blocks:
            raise ValueError("The model has no trainable Conv2d or Linear weight, so there is no block to measure.")
        _check_weights(model, self.blocks)
        data = list(batches)
        if not data or sum(len(targets) for _, targets in data) == 0:
            raise ValueError("There are no samples to measure SAL on; give at least one batch.")
        with borrowed(model):
            _check_labels(model, data, loss)
        self._objective = Objective(model, data, loss)
        self._start: Level | None = None
        self._faster: _Faster | None = None

    def measure(
        self, only: Sequence[int] | None = None, *, progress: Callable[[int, int], None] | None = None
    ) -> list[BlockSal]:
        """Measure all blocks, or those with the given numbers; the weights must be as they were."""
        chosen = [self.blocks[i] for i in (range(len(self.blocks)) if only is None else only)]
        with borrowed(self.model):
            if self.method == "gradient":
                return _by_gradient(self._objective, chosen, self.epsilon, self.p, self.baseline)
            if self._start is None or self._faster is None:
                self._start = self._objective.evaluate()
                self._faster = _Faster(self._objective, self._start)
            start = self._start
            measured = start.loss if self.baseline == "measured" else float(self.baseline)
            results = []
            for number, block in enumerate(chosen):
                on = self._faster.objective(block.parameter)
                results.append(_result(block, measured, start, self._search(on, block, start, measured)))
                if progress is not None:
                    progress(number + 1, len(chosen))
            return results

    def _search(self, on: Objective, block: Block, start: Level, measured: float) -> Extremes:
        ball = {"epsilon": self.epsilon, "p": self.p}
        if self.method == "search":
            return search_block(on, block, start, measured, steps=self.steps, lr=self.lr, **ball)
        return project_block(on, block, start, measured, steps=self.steps, **ball)


class _Faster:
    """Staged objectives of a traced model, each checked against the model itself before it is used."""

    def __init__(self, objective: Objective, start: Level) -> None:
        self.plain, self.start = objective, start
        whole = all(isinstance(x, Tensor) and len(x) == len(t) for x, t in objective.batches)
        self._samples = min(CHECKED_SAMPLES, len(objective.batches[0][1]))
        whole = whole and (self._samples >= 3 or objective.samples == self._samples)
        self.program = trace(objective.model) if whole else None
        self._last: tuple[str, Objective] | None = None
        self._few = [(x[:CHECKED_SAMPLES], t[:CHECKED_SAMPLES]) for x, t in objective.batches[:1]] if whole else []

    def objective(self, parameter: str) -> Objective:
        """What to search a parameter's blocks on."""
        if self._last is None or self._last[0] != parameter:
            self._last = None  # frees what the one before kept
            self._last = (parameter, self._checked(parameter))
        return self._last[1]

    def _checked(self, parameter: str) -> Objective:
        if self.program is None:
            return self.plain
        model, batches, loss = self.plain.model, self.plain.batches, self.plain.own_loss
        try:
            staged = StagedObjective(model, batches, loss, self.program, parameter)
            small = StagedObjective(model, self._few, loss, self.program, parameter, pieces=uneven(self._samples))
            weight = self.plain.parameters[parameter]
            expected = Objective(model, self._few, loss).gradient(0, weight)[1]
            close = agrees(expected, small.gradient(0, weight)[1], tolerance=AGREEMENT)
            level = staged.evaluate()
        except Exception:  # whatever the program stumbles over, the model itself still runs
            return self.plain
        same = np.isclose(level.loss, self.start.loss, rtol=AGREEMENT, atol=1e-6, equal_nan=True)
        return staged if close and same else self.plain


def _result(block: Block, measured: float, start: Level, met: Extremes) -> BlockSal:
    return BlockSal(
        name=block.name,
        loss=measured,
        accuracy=start.accuracy,
        s_max=met.s_max,
        s_min=met.s_min,
        sal=met.s_max if met.s_max > met.s_min else met.s_min,
        sal_accuracy=met.sal_accuracy,
        size=block.size,
    )


def _by_gradient(
    objective: Objective, found: list[Block], epsilon: float, p: float, baseline: str | float
) -> list[BlockSal]:
    start, values = gradient_sal(objective, found, epsilon=epsilon, p=float(p))
    measured = start.loss if baseline == "measured" else float(baseline)
    return [
        BlockSal(block.name, measured, start.accuracy, float(v), float(v), float(v), None, block.size)
        for block, v in zip(found, values, strict=True)
    ]


def _check_settings(epsilon: float, steps: int, lr: float, p: float, method: str, baseline: str | float) -> None:
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"epsilon must be a positive number, not {epsilon}.")
    if steps < 1 or int(steps) != steps:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps}.")
    if not (np.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a positive number, not {lr}.")
    if p not in NORMS:
        raise ValueError(f"p must be 1, 2 or infinity, not {p}.")
    if method not in METHODS:
        raise ValueError(f"method must be 'search', 'projected' or 'gradient', not {method!r}.")
    if isinstance(baseline, str) and baseline != "measured":
        raise ValueError(f"baseline must be 'measured' or a number, not {baseline!r}.")


def _check_weights(model: nn.Module, found: list[Block]) -> None:
    parameters = dict(model.named_parameters())
    for name in dict.fromkeys(block.parameter for block in found):
        if not torch.isfinite(parameters[name]).all():
            raise ValueError(
                f"{name} holds NaN or infinite weights; SAL is not defined there, choose another checkpoint."
            )


def _check_labels(model: nn.Module, data: list[tuple[Tensor, Tensor]], loss: Loss | None) -> None:
    if loss is not None or any(targets.is_floating_point() for _, targets in data):
        return
    with torch.no_grad():
        outputs = model(data[0][0][:1]).shape[1]
    for _, targets in data:
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= outputs:
            raise ValueError(
                f"The label {low if low < 0 else high} does not fit a model with {outputs} outputs; labels must be 0 "
                f"to {outputs - 1}."
            )
