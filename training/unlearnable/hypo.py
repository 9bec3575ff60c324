"""HYPO: hypocritical perturbations, error-minimising noise for a network that stays fixed.

Tao, Feng, Yi, Huang and Chen, *Better Safe Than Sorry* (NeurIPS 2021); Tao, Feng, Wei, Yi, Huang and Chen, *Can
Adversarial Training Be Manipulated By Non-Robust Features?* (NeurIPS 2022): δ = argmin CE(f(x + δ), y), ‖δ‖∞ ≤ ε, the
opposite sign of an adversarial example. Weak against standard training; its aim is to hurt adversarial training.

The second paper trains a ResNet-18 adversarially (ε/4) for 10 epochs and takes 100 steps of ε/10 from zero under random
shifts and flips; here, as in the first paper, the network is trained on clean data and images are not shifted, and by
default there are 20 longer steps.
"""

from __future__ import annotations

import torch

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.surrogate import (
    Report,
    Ticker,
    check_counts,
    check_step,
    cross_entropy,
    descend,
    frozen,
    make_task,
    on_cpu,
    train_clean,
)

BATCH = 128


def perturb(
    dataset: Dataset,
    *,
    seed: int,
    strength: float | None = None,
    progress: Report | None = None,
    surrogate: str | None = None,
    device: str = "cpu",
    epochs: int = 8,
    steps: int = 20,
    step: float = 0.1,
    lr: float = 0.05,
) -> Perturbation:
    """Move every sample to where a trained network is surest of its own class.

    Args:
        strength: ε as in :func:`linf_budget`.
        surrogate: A registered network; default by the data.
        device: Where to compute.
        epochs, lr: Clean training of the surrogate.
        steps, step: Signed steps and their length as a share of ε (authors: 100 of 0.1).
    """
    check_counts("hypo", epochs=epochs, steps=steps)
    check_step("hypo", step)
    task = make_task(dataset, seed=seed, strength=strength, surrogate=surrogate, device=device)
    chunks = task.chunks(BATCH)
    tick = Ticker((epochs + steps) * len(chunks), progress)
    (model,) = train_clean(task, epochs=epochs, lr=lr, batch_size=BATCH, tick=tick)
    delta = torch.zeros_like(task.inputs)
    with frozen(model):
        for chunk in chunks:
            loss = cross_entropy(model, task.targets[chunk])
            delta[chunk] = descend(task, task.inputs[chunk], delta[chunk], loss, steps=steps, step=step)
            tick(steps)
    return Perturbation(
        on_cpu(delta), f"hypocritical perturbations (surrogate {task.surrogate})", task.budget, task.strength
    )
