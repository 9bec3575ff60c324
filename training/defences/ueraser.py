"""UEraser: train on the hardest of several strong augmentations of every image.

Qin, Gao, Zhao, Ye and Xu, *Learning the Unlearnable: Adversarial Augmentations Suppress Unlearnable Example Attacks*
(arXiv 2303.15127, 2023). An augmentation is plasma brightness, plasma contrast, a shuffle of the channels, and one
operation of TrivialAugment; of R of them each image keeps the one with the largest loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.defences.base import Defence, chance, check_number, mode, require_images
from training.defences.plasma import plasma
from training.defences.trivial_augment import trivial_augment

MODES = ("lite", "standard", "max")
ROUGHNESS = (0.3, 0.7)
INTENSITY = (0.5, 1.0)


@dataclass(frozen=True)
class UEraser(Defence):
    """Strong augmentations, and the hardest of them.

    Attributes:
        mode: ``"lite"`` draws one augmentation, ``"max"`` takes the hardest of ``candidates`` throughout,
            ``"standard"`` does so in the first ``epochs`` epochs and then draws one.
        candidates: R.
        epochs: Of the adversarial part in mode ``"standard"``.
        plasma: Probability of plasma brightness, and of plasma contrast, for each image.
        shuffle: Probability that the channels of an image are shuffled.
    """

    mode: str = "standard"
    candidates: int = 5
    epochs: int = 50
    plasma: float = 0.5
    shuffle: float = 0.5

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"The mode of ueraser must be one of {', '.join(MODES)}, not {self.mode!r}.")
        check_number("The candidates of ueraser", self.candidates, 1, whole=True)
        check_number("The epochs of ueraser", self.epochs, 0, whole=True)
        check_number("The probability plasma of ueraser", self.plasma, 0, 1)
        check_number("The probability shuffle of ueraser", self.shuffle, 0, 1)

    @property
    def description(self) -> str:
        """The defence in words."""
        hardest = f", hardest of {self.candidates}" if self.mode != "lite" else ""
        until = f" for {self.epochs} epochs" if self.mode == "standard" else ""
        return f"UEraser ({self.mode}){hardest}{until}"

    def batch(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, *, generator: torch.Generator, epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Augmented images; targets as they are."""
        require_images("ueraser", inputs, (1, 3))
        rng = chance(generator)
        chosen = self.augment(rng, inputs)
        if self.mode == "lite" or (self.mode == "standard" and epoch >= self.epochs) or self.candidates == 1:
            return chosen, targets
        largest = losses(model, chosen, targets, rng)
        for _ in range(self.candidates - 1):
            other = self.augment(rng, inputs)
            loss = losses(model, other, targets, rng)
            harder = loss > largest
            chosen = torch.where(harder[:, None, None, None], other, chosen)
            largest = torch.where(harder, loss, largest)
        return chosen, targets

    def augment(self, rng: np.random.Generator, images: Tensor) -> Tensor:
        """One random augmentation of every image [B, C, H, W]; values stay in [0, 1]."""
        n, channels, height, width = images.shape

        def some(probability: float) -> Tensor:
            return torch.from_numpy(rng.random(n) < probability)[:, None, None, None].to(images.device)

        def fractal() -> Tensor:
            return torch.from_numpy(plasma(rng, rng.uniform(*ROUGHNESS, n), channels, height, width)).to(images)

        intensity = torch.from_numpy(rng.uniform(*INTENSITY, n)).to(images)[:, None, None, None]
        brighter = (images + intensity * (2 * fractal() - 1)).clamp(0.0, 1.0)
        images = torch.where(some(self.plasma), brighter, images)
        contrasted = ((images - 0.5) * 4 * fractal() + 0.5).clamp(0.0, 1.0)
        images = torch.where(some(self.plasma), contrasted, images)
        order = torch.from_numpy(rng.permuted(np.tile(np.arange(channels), (n, 1)), axis=1)).to(images.device)
        shuffled = images.gather(1, order[:, :, None, None].expand_as(images))
        return trivial_augment(rng, torch.where(some(self.shuffle), shuffled, images))


def losses(model: nn.Module, inputs: Tensor, targets: Tensor, rng: np.random.Generator) -> Tensor:
    """Cross-entropy [B] of every sample with the network as it trains; its buffers change on a copy.

    The published method maximises the very losses it trains on, so batch normalisation uses the batch's statistics.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), mode(model, training=True):
        torch.default_generator.manual_seed(int(rng.integers(1 << 62)))
        outputs = torch.func.functional_call(model, buffers, (inputs,))
        return functional.cross_entropy(outputs, targets, reduction="none")
