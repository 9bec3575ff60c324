"""TAP: targeted adversarial poison (Fowl, Goldblum, Chiang, Geiping, Czaja and Goldstein, NeurIPS 2021).

*Adversarial Examples Make Strong Poisons*: a network is trained on clean data, then every sample is moved, within ε,
to where that network sees the next class: δ = argmin CE(f(x + δ), (y + 1) mod K). Labels stay, so that features of one
class are learned as another. ``untargeted`` maximises CE(f(x + δ), y) instead, which is less stable.

The authors train a ResNet-18 for 40 epochs and take 250 steps of ε/20 from noise N(0, ε²) cut off at ±ε, every step
under a random shift of up to 8 pixels and flip, and keep the best of 8 restarts by the mean final loss. By default
there are 8 epochs, 20 steps of ε/5, no shifts and one start, which suits small networks and a CPU. Inputs are not
standardised, as networks here take them in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.shifts import random_shift
from training.unlearnable.surrogate import (
    START,
    Report,
    Task,
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
    untargeted: bool = False,
    epochs: int = 8,
    steps: int = 20,
    step: float = 0.2,
    lr: float = 0.05,
    shift: int = 0,
    restarts: int = 1,
) -> Perturbation:
    """Move every sample to where a trained network sees another class.

    Args:
        strength: ε as in :func:`linf_budget`.
        surrogate: A registered network; default by the data.
        device: Where to compute.
        untargeted: Away from the sample's own class instead of towards the next one.
        epochs, lr: Clean training of the surrogate (authors: 40 epochs at 0.1).
        steps, step: Signed steps and their length as a share of ε (authors: 250 of 0.05).
        shift: Largest random shift in pixels before each step, with flips; 0 leaves images as they are (authors: 8).
        restarts: Starts, of which the one of the smallest mean loss is kept (authors: 8).
    """
    check_counts("tap", epochs=epochs, steps=steps, restarts=restarts)
    check_step("tap", step)
    task = make_task(dataset, seed=seed, strength=strength, surrogate=surrogate, device=device)
    if shift and (dataset.kind != "image" or not 0 < shift < min(dataset.input_shape[1:])):
        raise ValueError(f"A shift of {shift} pixels does not fit samples of shape {list(dataset.input_shape)}; use 0.")
    chunks = task.chunks(BATCH)
    tick = Ticker((epochs + restarts * steps) * len(chunks), progress)
    (model,) = train_clean(task, epochs=epochs, lr=lr, batch_size=BATCH, tick=tick)
    best, least = torch.zeros_like(task.inputs), float("inf")
    with frozen(model):
        for restart in range(restarts):
            delta, total = _gaussian_start(task, restart), 0.0
            for number, chunk in enumerate(chunks):
                x, y = task.inputs[chunk], task.targets[chunk]
                loss = _loss(model, y, task.n_classes, untargeted)
                seen = _shifted(loss, shift, np.random.default_rng([seed, START, 1, restart, number]))
                delta[chunk] = descend(task, x, delta[chunk], seen, steps=steps, step=step)
                with torch.inference_mode():
                    total += float(loss(task.inside(x + delta[chunk])))
                tick(steps)
            if restart == 0 or total < least:
                best, least = delta, total
    kind = "untargeted" if untargeted else "targeted"
    method = f"{kind} adversarial poison (surrogate {task.surrogate})"
    return Perturbation(on_cpu(best), method, task.budget, task.strength)


def _loss(model: torch.nn.Module, targets: Tensor, n_classes: int, untargeted: bool) -> Callable[[Tensor], Tensor]:
    if untargeted:
        own = cross_entropy(model, targets)
        return lambda points: -own(points)
    return cross_entropy(model, (targets + 1) % n_classes)


def _gaussian_start(task: Task, restart: int) -> Tensor:
    rng = np.random.default_rng([task.seed, START, 0, restart])
    noise = torch.from_numpy(rng.standard_normal(tuple(task.inputs.shape), dtype=np.float32)).to(task.inputs.device)
    return task.within(noise * task.radius)


def _shifted(loss: Callable[[Tensor], Tensor], shift: int, rng: np.random.Generator) -> Callable[[Tensor], Tensor]:
    return (lambda points: loss(random_shift(points, shift, rng))) if shift else loss
