"""What REM and SEM share: error-minimising noise that lasts under transformations and small changes of the input.

min over θ of Σ min_{‖δ_i‖∞ ≤ ε} E_t [adv_{‖e‖∞ ≤ ε/2} CE(f_θ(t(x_i + δ_i) + e), y_i)]: an adversarially trained
surrogate, for every batch of which the noise is crafted anew. ``adv`` is a maximum for REM and one random draw for SEM;
the surrogate is trained against the maximum in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.shifts import random_crop
from training.unlearnable.surrogate import (
    START,
    Descent,
    Report,
    Task,
    Ticker,
    build,
    cross_entropy,
    descend,
    frozen,
    input_gradient,
    make_task,
    on_cpu,
    orders,
)

BATCH = 128
SHARE = 0.5  # of the adversary's radius in the noise's


@dataclass(frozen=True)
class Setting:
    """How much work is done.

    Attributes:
        epochs: Training of the surrogate; ``iterations`` counts SGD steps instead where it is given.
        lr: Learning rate of the surrogate, a tenth of it after two fifths and a hundredth after four fifths.
        steps, step: Signed steps that craft the noise, and their length as a share of ε.
        samples: Transformations averaged over in each of them.
        adversary_steps, adversary_step: Steps of the adversary, and their length as a share of its radius.
        adversary: The adversary's radius as a share of ε.
        transform: Whether images are cropped at random, and colour ones flipped.
        clean_epochs: Training on clean data beforehand. Without it a LeNet-5 never leaves the loss of guessing, since
            noise around a network that knows nothing holds nothing to learn.
        carried: Whether a sample's noise starts from what was last crafted for it (at first 0), as in EM, instead of at
            random. The surrogate then gets to know the noise in far fewer steps.
        iterations: SGD steps of the surrogate; None goes by ``epochs``.
    """

    epochs: int
    lr: float
    steps: int
    step: float
    samples: int
    adversary_steps: int
    adversary_step: float
    adversary: float = SHARE
    transform: bool = True
    clean_epochs: int = 0
    carried: bool = False
    iterations: int | None = None

    def sgd_steps(self, n: int) -> int:
        """SGD steps on ``n`` samples."""
        return self.iterations or self.epochs * -(-n // BATCH)


FULL = Setting(epochs=0, iterations=5000, lr=0.1, steps=10, step=0.2, samples=5, adversary_steps=10, adversary_step=0.2)


def craft_robust(
    dataset: Dataset,
    setting: Setting,
    *,
    random_adversary: bool,
    seed: int,
    strength: float | None,
    progress: Report | None,
    surrogate: str | None,
    device: str,
    name: str,
) -> Perturbation:
    """Train the surrogate on noise crafted for every batch, then craft the noise of all samples with it once more."""
    task = make_task(dataset, seed=seed, strength=strength, surrogate=surrogate, device=device)
    chunks = task.chunks(BATCH)
    total = setting.sgd_steps(len(task.targets))
    tick = Ticker((setting.clean_epochs + 1) * len(chunks) + total, progress)
    model = build(task)
    descent = Descent(model, lr=setting.lr, seed=seed)
    for epoch in range(setting.clean_epochs):
        for chosen in orders(task, epoch, BATCH):
            descent.step(task.inputs[chosen], task.targets[chosen])
            tick()
    rng = np.random.default_rng([seed, START])
    noise = torch.zeros_like(task.inputs)
    epoch, taken = setting.clean_epochs, 0
    while taken < total:
        for chosen in orders(task, epoch, BATCH):
            if taken == total:
                break
            inputs, targets = task.inputs[chosen], task.targets[chosen]
            with frozen(model):
                start = noise[chosen] if setting.carried else None
                delta = craft(
                    task, model, inputs, targets, setting, rng, random_adversary=random_adversary, start=start
                )
                noise[chosen] = delta
                seen = transformed(task, task.inside(inputs + delta), setting, rng)
                seen = attacked(task, model, seen, targets, setting, rng)
            descent.step(seen, targets, share=0.1 ** (5 * taken // total // 2))
            taken += 1
            tick()
        epoch += 1
    with frozen(model):
        for chunk in chunks:
            inputs, targets = task.inputs[chunk], task.targets[chunk]
            start = noise[chunk] if setting.carried else None
            noise[chunk] = craft(
                task, model, inputs, targets, setting, rng, random_adversary=random_adversary, start=start
            )
            tick()
    return Perturbation(on_cpu(noise), f"{name} (surrogate {task.surrogate})", task.budget, task.strength)


def craft(
    task: Task,
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    setting: Setting,
    rng: np.random.Generator,
    *,
    random_adversary: bool,
    start: Tensor | None = None,
) -> Tensor:
    """Noise [n, …] of a batch, from a random start unless one is given.

    The adversarial change e is held fixed where the gradient is taken (straight through), and the gradient goes back
    through the transformation.
    """

    def loss(points: Tensor) -> Tensor:
        losses = []
        for _ in range(setting.samples):
            seen = transformed(task, points, setting, rng)
            if random_adversary:
                moved = task.inside(seen.detach() + setting.adversary * _uniform(task, seen, rng))
            else:
                moved = attacked(task, model, seen.detach(), targets, setting, rng)
            losses.append(cross_entropy(model, targets)(seen + (moved - seen.detach())))
        return torch.stack(losses).sum()

    delta = _uniform(task, inputs, rng) if start is None else start
    return descend(task, inputs, delta, loss, steps=setting.steps, step=setting.step)


def attacked(
    task: Task, model: nn.Module, inputs: Tensor, targets: Tensor, setting: Setting, rng: np.random.Generator
) -> Tensor:
    """Adversarial examples [n, …] of inputs by signed ascent from a random start (Madry et al., ICLR 2018)."""
    if setting.adversary == 0:
        return inputs
    radius = setting.adversary * task.radius
    loss = cross_entropy(model, targets)
    points = task.inside(inputs + setting.adversary * _uniform(task, inputs, rng))
    for _ in range(setting.adversary_steps):
        points = points + setting.adversary_step * radius * input_gradient(loss, points).sign()
        points = task.inside(torch.minimum(torch.maximum(points, inputs - radius), inputs + radius))
    return points


def transformed(task: Task, inputs: Tensor, setting: Setting, rng: np.random.Generator) -> Tensor:
    """Colour images cropped with a padding of 4 and flipped, grey ones cropped with 2, feature vectors as they are."""
    if inputs.dim() != 4 or not setting.transform:
        return inputs
    colour = inputs.shape[1] > 1
    return random_crop(inputs, 4 if colour else 2, flip=colour, rng=rng)


def _uniform(task: Task, like: Tensor, rng: np.random.Generator) -> Tensor:
    draw = rng.random(tuple(like.shape), dtype=np.float32) * 2 - 1
    return torch.from_numpy(draw).to(like.device) * task.radius


def chosen_setting(method: str, setting: str, reduced: Setting) -> Setting:
    """The setting of a name, ``"reduced"`` or ``"full"``; raises ValueError for another."""
    settings = {"reduced": reduced, "full": FULL}
    if setting not in settings:
        raise ValueError(f"setting of {method} must be 'reduced' or 'full', not {setting!r}.")
    return settings[setting]
