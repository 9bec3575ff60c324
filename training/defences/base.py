"""What a defence is, and what several of them share.

A defence tries to learn from poisoned data all the same. It may change the training inputs once
(:meth:`Defence.prepare`) and every training batch (:meth:`Defence.batch`); it never sees test data and never changes a
label by itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


class Defence(ABC):
    """One defence with its settings, which are the fields of its dataclass; does nothing unless overridden."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The defence and its settings in words."""

    def prepare(self, inputs: NDArray[np.float32], targets: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
        """Change the whole training set once, before training.

        Args:
            inputs: [N, …] float32; images [N, C, H, W] in [0, 1]. Left as they are.
            targets: [N] class indices.
            seed: Decides everything random.

        Raises:
            ValueError: Data the defence cannot be applied to; one sentence.
        """
        del targets, seed
        return inputs

    def batch(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, *, generator: torch.Generator, epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Change one training batch; the model's mode, gradients and buffers stay as they were.

        Args:
            model: The network in training.
            inputs: [B, …], after augmentation.
            targets: [B] class indices, or [B, K] probabilities.
            generator: On the CPU; decides everything random.
            epoch: Counted from 0.

        Returns:
            Inputs [B, …] and targets, which may have become probabilities [B, K].
        """
        del model, generator, epoch
        return inputs, targets


def check_number(what: str, value: Any, low: float, high: float = math.inf, *, whole: bool = False) -> None:
    """Refuse a setting that is no number in [low, high], or not a whole one, in one sentence."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high or math.isinf(value):
        kind = "a whole number" if whole else "a number"
        wanted = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
        raise ValueError(f"{what} must be {kind} {wanted}, not {value!r}.")


def require_images(who: str, inputs: NDArray[np.float32] | Tensor, channels: tuple[int, ...] = ()) -> None:
    """Refuse feature vectors, and images of other than the given numbers of channels (any, when there are none)."""
    if inputs.ndim != 4:
        raise ValueError(f"{who} is for images; these inputs have the shape {list(inputs.shape[1:])}.")
    if channels and inputs.shape[1] not in channels:
        wanted = " or ".join(map(str, channels))
        raise ValueError(f"{who} takes images of {wanted} channels; these have {inputs.shape[1]}.")


def chance(generator: torch.Generator) -> np.random.Generator:
    """A NumPy generator that continues a PyTorch one."""
    return np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Bring every part of a model into training or evaluation mode, and back into its own."""
    before = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, was in before:
            part.training = was


def probabilities(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Class indices [B] as probabilities [B, K]; K is the number of the model's outputs. Others pass as they are."""
    if targets.dim() == 2:
        return targets
    with torch.no_grad(), mode(model, training=False):
        outputs = model(inputs[:1])
    return functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
