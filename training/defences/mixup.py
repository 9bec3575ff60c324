"""MixUp: train on mixtures of two samples and of their labels.

Zhang, Cissé, Dauphin and Lopez-Paz, *mixup: Beyond Empirical Risk Minimization* (ICLR 2018). The partner comes from a
permutation of the batch; λ ~ Beta(α, α) is drawn for each sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.defences.base import Defence, chance, check_number, probabilities


@dataclass(frozen=True)
class MixUp(Defence):
    """x ← λx + (1 − λ)x′ and y ← λy + (1 − λ)y′, with λ ~ Beta(``alpha``, ``alpha``); 1 is uniform."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number("The alpha of mixup", self.alpha, 1e-3)

    @property
    def description(self) -> str:
        """The defence in words."""
        return f"MixUp, α = {self.alpha:g}"

    def batch(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, *, generator: torch.Generator, epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Mixed inputs of any shape and probabilities [B, K]."""
        rng = chance(generator)
        soft = probabilities(model, inputs, targets)
        partner = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
        share = torch.from_numpy(rng.beta(self.alpha, self.alpha, size=len(inputs))).to(inputs)
        by_sample = share.reshape(-1, *[1] * (inputs.dim() - 1))
        by_target = share[:, None].to(soft.dtype)
        return by_sample * inputs + (1 - by_sample) * inputs[partner], by_target * soft + (1 - by_target) * soft[
            partner
        ]
