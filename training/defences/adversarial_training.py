"""Adversarial training: every step on the batch's worst case within a small ball.

Madry, Makelov, Schmidt, Tsipras and Vladu, *Towards Deep Learning Models Resistant to Adversarial Attacks* (ICLR 2018);
as a defence against poisons Tao, Feng, Yi, Huang and Chen, *Better Safe Than Sorry* (NeurIPS 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.defences.base import Defence, check_number, mode


@dataclass(frozen=True)
class AdversarialTraining(Defence):
    """Projected gradient ascent in L∞: ``steps`` signed steps of ``step`` inside ``radius``, from a normal start.

    Lengths are in the inputs' own units: of [0, 1] for images, which stay there, and of the features for vectors. The
    attack sees the network in evaluation mode; ``start`` is the standard deviation of its starting noise.
    """

    radius: float = 8 / 255
    step: float = 2 / 255
    steps: int = 10
    start: float = 2 / 255

    def __post_init__(self) -> None:
        for entry in ("radius", "step", "start"):
            check_number(f"The {entry} of adversarial-training", getattr(self, entry), 0)
        check_number("The steps of adversarial-training", self.steps, 1, whole=True)
        if self.radius == 0 or self.step == 0:
            raise ValueError("The radius and the step of adversarial-training must be above 0; 8/255 is 0.0314.")

    @property
    def description(self) -> str:
        """The defence in words."""
        levels = 255 * self.radius
        whole = self.radius <= 0.5 and abs(levels - round(levels)) < 1e-6
        radius = f"{round(levels)}/255" if whole else f"{self.radius:g}"
        return f"adversarial training, L∞ ≤ {radius}, {self.steps} steps"

    def batch(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, *, generator: torch.Generator, epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Adversarial inputs; targets as they are."""
        low, high = (0.0, 1.0) if inputs.dim() == 4 else (-math.inf, math.inf)
        noise = torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype).to(inputs.device)
        moved = inputs + self.start * noise
        with mode(model, training=False), torch.enable_grad():
            for _ in range(self.steps):
                moved.requires_grad_(True)
                loss = functional.cross_entropy(model(moved), targets, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, moved)
                moved = moved.detach() + self.step * gradient.sign()
                moved = (inputs + (moved - inputs).clamp(-self.radius, self.radius)).clamp(low, high)
        return moved, targets
