"""Cutout: erase one square of every training image.

DeVries and Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout* (arXiv 1708.04552, 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from training.defences.base import Defence, chance, check_number, require_images
from training.defences.boxes import random_boxes


@dataclass(frozen=True)
class Cutout(Defence):
    """Set a square of ``size`` pixels a side to 0, its centre uniform over the pixels, clipped at the borders."""

    size: int = 16

    def __post_init__(self) -> None:
        check_number("The size of cutout", self.size, 1, whole=True)

    @property
    def description(self) -> str:
        """The defence in words."""
        return f"cutout of {self.size}×{self.size} pixels"

    def batch(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, *, generator: torch.Generator, epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Images with a black square each."""
        require_images("cutout", inputs)
        sides = np.full(len(inputs), self.size)
        boxes = random_boxes(chance(generator), sides, sides, *inputs.shape[2:])
        return inputs.masked_fill(boxes.to(inputs.device), 0.0), targets
