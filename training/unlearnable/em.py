"""EM: error-minimising noise, sample-wise (Huang, Ma, Erfani, Bailey and Wang, ICLR 2021, *Unlearnable Examples*).

min over θ and δ of Σ CE(f_θ(x_i + δ_i), y_i), ‖δ_i‖∞ ≤ ε: rounds of a few SGD steps on the perturbed data and a pass of
signed steps on all perturbations, until a surrogate that has hardly been trained knows 99 % of the perturbed data.

The authors take a ResNet-18, learning rate 0.1, 10 batches of 512 (128 in their notebook) and 20 steps of ε/10 in a
round, as many rounds as it takes (10 for CIFAR-10). Here batches hold 128, and by default there are fewer and longer
steps and at most 6 rounds, which suits small networks and a CPU. Batches follow one order that is shuffled once, so
that data sorted by class do no harm.

``tasks`` makes the noise with a multi-task surrogate instead: see :mod:`training.unlearnable.goals`. The noise is then
known, and the rounds end, only where it is made for the scene.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from training.data import Dataset
from training.unlearnable.goals import make_goal
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.surrogate import (
    PASS,
    Descent,
    Report,
    Task,
    Ticker,
    accuracy,
    check_counts,
    check_step,
    descend,
    frozen,
    make_task,
    on_cpu,
    orders,
)

BATCH = 128
KNOWN = 0.99  # accuracy on perturbed data at which the surrogate has learned the noise


def perturb(
    dataset: Dataset,
    *,
    seed: int,
    strength: float | None = None,
    progress: Report | None = None,
    surrogate: str | None = None,
    device: str = "cpu",
    max_rounds: int = 6,
    train_batches: int = 10,
    steps: int = 5,
    step: float = 0.2,
    lr: float = 0.05,
    tasks: str = "",
) -> Perturbation:
    """Craft one perturbation per sample.

    Args:
        strength: ε as in :func:`linf_budget`.
        surrogate: A registered network; default by the data.
        device: Where to compute.
        max_rounds: Rounds at most; the authors set no limit.
        train_batches: SGD steps of the surrogate in a round.
        steps, step: Signed steps in a round and their length as a share of ε (authors: 20 of 0.1).
        lr: Learning rate of the surrogate (authors: 0.1).
        tasks: Empty: the class, by a plain network. Else the surrogate has heads, and the noise is made for the loss of
            one task by name, such as ``"scene"``, or for ``"all"``.
    """
    check_counts("em", max_rounds=max_rounds, train_batches=train_batches, steps=steps)
    check_step("em", step)
    task = make_task(dataset, seed=seed, strength=strength, surrogate=surrogate, device=device)
    goal = make_goal(dataset, task, tasks)
    chunks = task.chunks(BATCH)
    tick = Ticker(max_rounds * len(chunks), progress)
    model = goal.build(task)
    descent = Descent(model, lr=lr, seed=seed, loss=goal.loss or functional.cross_entropy)
    delta = torch.zeros_like(task.inputs)
    stream = _endless(task)
    for _ in range(max_rounds):
        for _ in range(train_batches):
            chosen = next(stream)
            descent.step(task.inputs[chosen] + delta[chosen], goal.targets[chosen])
        with frozen(model):
            for chunk in chunks:
                loss = goal.at(task, model, chunk, tick.done)
                delta[chunk] = descend(task, task.inputs[chunk], delta[chunk], loss, steps=steps, step=step)
                tick()
        if goal.is_class and perturbed_accuracy(task, model, delta) >= KNOWN:
            break
    tick.finish()
    words = f"error-minimising noise{goal.words} (surrogate {task.surrogate})"
    return Perturbation(on_cpu(delta), words, task.budget, task.strength)


def _endless(task: Task) -> Iterator[Tensor]:
    """Batches in one fixed order, again and again."""
    while True:
        yield from orders(task, 0, BATCH)


def perturbed_accuracy(task: Task, model: torch.nn.Module, delta: Tensor) -> float:
    """Accuracy in [0, 1] of the surrogate on all perturbed training data; delta [N, …]."""
    right = 0.0
    for chunk in task.chunks(PASS):
        targets = task.targets[chunk]
        right += accuracy(model, task.inside(task.inputs[chunk] + delta[chunk]), targets) * len(targets)
    return right / len(task.targets)
