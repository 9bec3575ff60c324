"""EM, class-wise: one error-minimising pattern per class (Huang, Ma, Erfani, Bailey and Wang, ICLR 2021).

The objective is that of ``em.py`` with one δ_k for all samples of class k. After every batch, δ_k becomes the mean over
the batch's members of the perturbation after one signed step each, clipped to ε. As in the authors' code the noise
is fitted on a fifth of the data, newly shuffled in each round. They take a ResNet-18, learning rate 0.1, and stop at
99 % accuracy; by default there are at most 30 rounds here.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from training.data import Dataset
from training.unlearnable.em import BATCH, KNOWN, perturbed_accuracy
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.surrogate import (
    Descent,
    Report,
    Task,
    Ticker,
    build,
    check_counts,
    check_step,
    cross_entropy,
    descend,
    frozen,
    make_task,
    on_cpu,
    orders,
)

FITTED = 0.2  # share of the data that the noise is fitted on in a round


def perturb(
    dataset: Dataset,
    *,
    seed: int,
    strength: float | None = None,
    progress: Report | None = None,
    surrogate: str | None = None,
    device: str = "cpu",
    max_rounds: int = 30,
    train_batches: int = 10,
    step: float = 0.1,
    lr: float = 0.05,
) -> Perturbation:
    """Craft one perturbation per class.

    Args:
        strength: ε as in :func:`linf_budget`.
        surrogate: A registered network; default by the data.
        device: Where to compute.
        max_rounds: Rounds at most; the authors set no limit.
        train_batches: SGD steps of the surrogate in a round.
        step: Length of a signed step as a share of ε, one for every batch.
        lr: Learning rate of the surrogate (authors: 0.1).
    """
    check_counts("em-class", max_rounds=max_rounds, train_batches=train_batches)
    check_step("em-class", step)
    task = make_task(dataset, seed=seed, strength=strength, surrogate=surrogate, device=device)
    tick = Ticker(max_rounds, progress)
    model = build(task)
    descent = Descent(model, lr=lr, seed=seed)
    patterns = task.inputs.new_zeros((task.n_classes, *task.inputs.shape[1:]))
    stream = (chosen for epoch in itertools.count() for chosen in orders(task, 2 * epoch, BATCH))
    for number in range(max_rounds):
        for chosen in itertools.islice(stream, train_batches):
            targets = task.targets[chosen]
            descent.step(task.inputs[chosen] + patterns[targets], targets)
        fitted = -(-int(FITTED * len(task.targets)) // BATCH) or 1
        with frozen(model):
            for chosen in itertools.islice(orders(task, 2 * number + 1, BATCH), fitted):
                _fit(task, model, patterns, chosen, step)
        tick()
        if perturbed_accuracy(task, model, patterns[task.targets]) >= KNOWN:
            break
    tick.finish()
    found = on_cpu(patterns)
    if dataset.eight_bit:
        found = np.floor(found * 255 + 0.5) / 255  # whole grey levels, so that rounding treats a class's images alike
    method = f"class-wise error-minimising noise (surrogate {task.surrogate})"
    return Perturbation(found[dataset.y_train], method, task.budget, task.strength)


def _fit(task: Task, model: torch.nn.Module, patterns: Tensor, chosen: Tensor, step: float) -> None:
    """Move each class's pattern [K, …] in place by one signed step, averaged over its members of a batch."""
    x, targets = task.inputs[chosen], task.targets[chosen]
    moved = descend(task, x, patterns[targets], cross_entropy(model, targets), steps=1, step=step)
    for k in torch.unique(targets):
        patterns[k] = task.within(moved[targets == k].mean(dim=0, keepdim=True))[0]
