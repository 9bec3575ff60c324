"""DeepConfuse (Feng, Cai and Zhou, NeurIPS 2019, *Learning to Confuse*): a generator of noise, for 28×28 grey images.

An auto-encoder g makes δ = ε · g(x) without knowing the label. It learns to make the data that a victim learns from
harmful: the victim takes one differentiable SGD step on the perturbed batch, and g ascends that victim's loss on the
clean batch. So that g does not chase its own changes, the victim itself is trained on what a copy of g makes, which
is renewed after every outer epoch, when the victim starts afresh.

Networks and settings are the authors' for MNIST (ε = 0.3, batches of 64, victim's learning rate 0.01, Adam 10⁻⁴ for g,
one pass over the data per outer epoch), with two reductions: they run up to 1000 outer epochs and keep the generator
whose freshly trained victim does worst on test data; here there are ``epochs`` outer ones and the last generator is
kept, which leaves test data alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.surrogate import (
    PASS,
    WEIGHTS,
    Report,
    Task,
    Ticker,
    check_counts,
    make_task,
    on_cpu,
    orders,
)

BATCH = 64
VICTIM_LR, GENERATOR_LR = 0.01, 1e-4


def perturb(
    dataset: Dataset,
    *,
    seed: int,
    strength: float | None = None,
    progress: Report | None = None,
    device: str = "cpu",
    epochs: int = 3,
    generator_lr: float = GENERATOR_LR,
) -> Perturbation:
    """Train the generator and perturb every sample with it.

    Args:
        strength: ε as in :func:`linf_budget`.
        device: Where to compute.
        epochs: Outer epochs, each with a fresh victim (authors: up to 1000).
        generator_lr: Learning rate of the generator's Adam (authors: 10⁻⁴).

    Raises:
        ValueError: Data other than grey images of 28×28.
    """
    if dataset.input_shape != (1, 28, 28):
        raise ValueError(
            f"DeepConfuse makes noise for grey images of 28×28 pixels, not for samples of shape "
            f"{list(dataset.input_shape)}; choose another method, such as em or tap."
        )
    check_counts("deepconfuse", epochs=epochs)
    if not (np.isfinite(generator_lr) and generator_lr > 0):
        raise ValueError(f"The generator's learning rate must be a positive number, not {generator_lr}.")
    task = make_task(dataset, seed=seed, strength=strength, surrogate=None, device=device)
    tick = Ticker(epochs * -(-len(task.targets) // BATCH), progress)
    generator = _seeded(task, 0, Generator)
    adam = torch.optim.Adam(generator.parameters(), lr=generator_lr)
    for epoch in range(epochs):
        fixed = copy.deepcopy(generator).eval()
        victim = _seeded(task, epoch + 1, lambda: make_victim(task.n_classes)).train()
        for chosen in orders(task, epoch, BATCH):
            if len(chosen) > 1:  # BatchNorm has no variance of one sample
                _inner_step(task, generator, adam, fixed, victim, chosen)
            tick()
    delta = generate(task, generator)
    return Perturbation(on_cpu(delta), "DeepConfuse", task.budget, task.strength)


def generate(task: Task, generator: nn.Module) -> Tensor:
    """The noise ε · g(x) of all samples, [N, 1, 28, 28]."""
    generator.eval()
    with torch.inference_mode():
        return torch.cat([task.radius * generator(task.inputs[chunk]) for chunk in task.chunks(PASS)])


def _inner_step(
    task: Task, generator: nn.Module, adam: torch.optim.Adam, fixed: nn.Module, victim: nn.Module, chosen: Tensor
) -> None:
    """One step of the generator through the victim's next step, and one step of the victim on the copy's data."""
    inputs, targets = task.inputs[chosen], task.targets[chosen]
    generator.train()
    weights = {name: p.detach().requires_grad_(True) for name, p in victim.named_parameters()}
    statistics = {name: b.clone() for name, b in victim.named_buffers()}  # BatchNorm's own, which looking ahead keeps
    perturbed = task.inside(inputs + task.radius * generator(inputs))
    loss = functional.cross_entropy(functional_call(victim, (weights, statistics), (perturbed,)), targets)
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    ahead = {name: w - VICTIM_LR * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
    harm = functional.cross_entropy(functional_call(victim, (ahead, statistics), (inputs,)), targets)
    adam.zero_grad(set_to_none=True)
    ascent = torch.autograd.grad(-harm, list(generator.parameters()))
    for parameter, gradient in zip(generator.parameters(), ascent, strict=True):
        parameter.grad = gradient
    adam.step()
    with torch.inference_mode():
        given = task.inside(inputs + task.radius * fixed(inputs))
    own = list(victim.parameters())
    descent = torch.autograd.grad(functional.cross_entropy(victim(given.clone()), targets), own)
    with torch.no_grad():
        for parameter, gradient in zip(own, descent, strict=True):
            parameter.sub_(gradient, alpha=VICTIM_LR)


def _seeded(task: Task, number: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A network with initial weights of a stream of their own; the global random state stays."""
    state = np.random.SeedSequence([task.seed, WEIGHTS, number]).generate_state(1, np.uint32)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(state[0]))
        return make().to(task.inputs.device)


class Generator(nn.Sequential):
    """The authors' auto-encoder for MNIST: [n, 1, 28, 28] to [n, 1, 28, 28] in (−1, 1), by way of [n, 64, 2, 2]."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 16, 3, stride=3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2, stride=1)),
            *(nn.ConvTranspose2d(64, 128, 3, stride=2), nn.BatchNorm2d(128), nn.ReLU()),
            *(nn.ConvTranspose2d(128, 64, 5, stride=3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.ConvTranspose2d(64, 1, 2, stride=2, padding=1), nn.BatchNorm2d(1), nn.Tanh()),
        )


def make_victim(n_classes: int) -> nn.Module:
    """The authors' victim for MNIST: two convolutions and two dense layers, each with BatchNorm."""
    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.BatchNorm2d(20), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(20, 50, 5), nn.BatchNorm2d(50), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.BatchNorm1d(500), nn.ReLU()),
        *(nn.Linear(500, n_classes), nn.BatchNorm1d(n_classes)),
    )
