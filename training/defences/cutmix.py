"""CutMix: paste a rectangle of another image, and mix the labels by area.

Yun, Han, Oh, Chun, Choe and Yoo, *CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
Features* (ICCV 2019). The partner comes from a permutation of the batch; λ ~ Beta(α, α) is drawn for each sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from training.defences.base import Defence, chance, check_number, probabilities, require_images
from training.defences.boxes import random_boxes


@dataclass(frozen=True)
class CutMix(Defence):
    """Paste a rectangle with √(1 − λ) of each side, λ ~ Beta(``alpha``, ``alpha``); labels follow the area it has."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number("The alpha of cutmix", self.alpha, 1e-3)

    @property
    def description(self) -> str:
        """The defence in words."""
        return f"CutMix, α = {self.alpha:g}"

    def batch(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, *, generator: torch.Generator, epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Images with a rectangle of another each, and probabilities [B, K]."""
        require_images("cutmix", inputs)
        rng = chance(generator)
        soft = probabilities(model, inputs, targets)
        partner = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
        side = np.sqrt(1 - rng.beta(self.alpha, self.alpha, size=len(inputs)))
        height, width = inputs.shape[2:]
        heights, widths = (np.rint(side * length).astype(np.int64) for length in (height, width))
        boxes = random_boxes(rng, heights, widths, height, width).to(inputs.device)
        pasted = boxes.to(soft.dtype).mean(dim=(1, 2, 3))[:, None]
        return torch.where(boxes, inputs[partner], inputs), (1 - pasted) * soft + pasted * soft[partner]
