"""SEP: self-ensemble protection (Chen, Yuan, Cheng, Gong, Qin, Wang and Huang, ICLR 2023).

*Self-Ensemble Protection: Training Checkpoints Are Good Data Protectors*: adversarial perturbations towards a wrong
class by the mean gradient over checkpoints of one clean training run, δ = argmin mean_c CE(f_c(x + δ), (y + ⌊K/2⌋) mod
K), ‖δ‖∞ ≤ ε, from zero. This is the paper's SEP; its variants on features (SEP-FA) and with reduced variance (VR) need
the inside of a network and are not made here.

The authors train a ResNet-18 for 120 epochs, take 30 checkpoints and 30 steps of 1/255 within 2/255 (8/255 in later
comparisons). By default there are 8 epochs, 4 checkpoints and 6 steps of 0.3 ε, which suits small networks and a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

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
    checkpoints: int = 4,
    steps: int = 6,
    step: float = 0.3,
    lr: float = 0.05,
) -> Perturbation:
    """Move every sample to where the checkpoints of a training run see another class.

    Args:
        strength: ε as in :func:`linf_budget` (authors: 2/255).
        surrogate: A registered network; default by the data.
        device: Where to compute.
        epochs, lr: Clean training of the surrogate (authors: 120 epochs at 0.1).
        checkpoints: How many, evenly spaced over the epochs, the last among them (authors: 30).
        steps, step: Signed steps and their length as a share of ε (authors: 30 of 0.5).
    """
    check_counts("sep", epochs=epochs, checkpoints=checkpoints, steps=steps)
    check_step("sep", step)
    if checkpoints > epochs:
        raise ValueError(f"sep keeps one checkpoint per epoch; {epochs} epochs cannot give {checkpoints}.")
    task = make_task(dataset, seed=seed, strength=strength, surrogate=surrogate, device=device)
    chunks = task.chunks(BATCH)
    tick = Ticker((epochs + checkpoints * steps) * len(chunks), progress)
    kept = evenly_spaced(epochs, checkpoints)
    models = train_clean(task, epochs=epochs, lr=lr, batch_size=BATCH, tick=tick, keep=kept)
    delta = torch.zeros_like(task.inputs)
    with frozen(*models):
        for chunk in chunks:
            wrong = (task.targets[chunk] + task.n_classes // 2) % task.n_classes
            loss = ensemble_loss(models, wrong)
            delta[chunk] = descend(task, task.inputs[chunk], delta[chunk], loss, steps=steps, step=step)
            tick(checkpoints * steps)
    method = f"self-ensemble protection ({checkpoints} checkpoints of {task.surrogate})"
    return Perturbation(on_cpu(delta), method, task.budget, task.strength)


def evenly_spaced(epochs: int, count: int) -> list[int]:
    """Numbers of ``count`` epochs from 0, evenly spaced, the last epoch among them."""
    return [int(i) for i in np.round(np.arange(1, count + 1) * epochs / count).astype(int) - 1]


def ensemble_loss(models: Sequence[nn.Module], targets: Tensor) -> Callable[[Tensor], Tensor]:
    """The mean over the networks of the summed cross-entropy, as a function of the inputs."""
    losses = [cross_entropy(model, targets) for model in models]
    return lambda points: torch.stack([loss(points) for loss in losses]).mean()
