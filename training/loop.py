"""The training loop: plain SGD, every step determined by the seed, every checkpoint recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.defences.base import Defence

AUGMENTATIONS = ("none", "crop-flip")
# random streams besides the batch order, whose number is the epoch
AUGMENT, LAYERS, DEFEND = 1 << 20, (1 << 20) + 1, (1 << 20) + 2


class RecorderLike(Protocol):
    """What the loop needs of :class:`checkpoints.Recorder`."""

    def record(self, step: int, *, epoch: float | None = None, **metrics: float) -> None:
        """Store the model's present state."""

    def restore(self) -> ResumePointLike | None:
        """Load the newest checkpoint into the model."""


class ResumePointLike(Protocol):
    """Where a recording left off."""

    @property
    def step(self) -> int:
        """Steps taken."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """What :meth:`Trainer.state` gave."""


class Trainer:
    """Trains one model and records it.

    The order of the samples depends on seed and epoch alone, augmentation, defences and the network's own chance (as
    in dropout) on seed and step, so that runs of one seed see the same batches, and a resumed run takes the very steps
    of an uninterrupted one. The global random state is as before after every step.

    Args:
        model: Trained in place.
        inputs, targets: [N, …] and [N], the training data.
        epochs, batch_size: The last batch of an epoch may be smaller.
        lr, momentum, weight_decay: Of SGD. lr_milestones: epochs after which lr is multiplied by ``lr_decay``.
        checkpoint_every: Steps between checkpoints; None records after every epoch. The initial weights and the
            last step are always recorded.
        augmentation: ``"none"``, or ``"crop-flip"`` for images (padding of 4 for colour, 2 for grey).
        defences: Their ``batch`` changes every training batch, in order, after augmentation; ``inputs`` are prepared.
        seed: Decides everything random.
        recorder: Where checkpoints go. A recording with checkpoints is resumed.
        evaluation: Named batches, as ``train`` and ``test``; their loss and accuracy are recorded, in full passes.
        before_step: Called before every optimiser step; it may wait, or raise to end the training.

    Raises:
        ValueError: A setting that makes no training; one sentence.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        *,
        epochs: int,
        batch_size: int,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        lr_milestones: Sequence[int] = (),
        lr_decay: float = 0.1,
        checkpoint_every: int | None = None,
        augmentation: str = "none",
        defences: Sequence[Defence] = (),
        seed: int,
        recorder: RecorderLike,
        evaluation: Mapping[str, Sequence[tuple[Tensor, Tensor]]],
        before_step: Callable[[], None] | None = None,
    ) -> None:
        _check(inputs, targets, epochs, batch_size, lr, checkpoint_every, augmentation, seed)
        self.model, self.inputs, self.targets = model, inputs, targets
        self.epochs, self.batch_size, self.lr = epochs, batch_size, lr
        self.lr_milestones, self.lr_decay = tuple(lr_milestones), lr_decay
        self.augmentation, self.defences, self.seed = augmentation, tuple(defences), seed
        self.recorder, self.evaluation, self.before_step = recorder, evaluation, before_step
        self.steps_per_epoch = -(-len(targets) // batch_size)
        self.total_steps = epochs * self.steps_per_epoch
        self.checkpoint_every = checkpoint_every or self.steps_per_epoch
        self.optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)

    @property
    def total_checkpoints(self) -> int:
        """Checkpoints of the finished run, the initial weights included."""
        return 1 + -(-self.total_steps // self.checkpoint_every)

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs besides the weights: SGD's momentum, by parameter number."""
        found = {}
        for i, parameter in enumerate(self._parameters()):
            buffer = self.optimiser.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                found[f"momentum/{i}"] = buffer
        return found

    def steps(self) -> Iterator[int]:
        """Train to the end, yielding the step after each checkpoint that is recorded.

        A non-finite loss does not stop training: the checkpoints that follow are part of what happened.
        """
        done = self._resume()
        if done is None:
            done = 0
            self._record(0)
            yield 0
        order: np.ndarray | None = None
        while done < self.total_steps:
            if self.before_step is not None:
                self.before_step()
            epoch, position = divmod(done, self.steps_per_epoch)
            if order is None or position == 0:
                order = np.random.default_rng([self.seed, epoch]).permutation(len(self.targets))
                self._set_lr(epoch)
            chosen = torch.from_numpy(order[position * self.batch_size : (position + 1) * self.batch_size])
            inputs = self._augment(self.inputs[chosen], done)
            self._step(*self._defend(inputs, self.targets[chosen], done, epoch), done)
            done += 1
            if done % self.checkpoint_every == 0 or done == self.total_steps:
                self._record(done)
                yield done

    def _defend(self, inputs: Tensor, targets: Tensor, step: int, epoch: int) -> tuple[Tensor, Tensor]:
        if self.defences:
            generator = torch.Generator().manual_seed(_stream(self.seed, DEFEND, step))
            for defence in self.defences:
                inputs, targets = defence.batch(self.model, inputs, targets, generator=generator, epoch=epoch)
        return inputs, targets

    def _step(self, inputs: Tensor, targets: Tensor, step: int) -> None:
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        with _chance(self.seed, step):
            torch.autograd.backward(functional.cross_entropy(self.model(inputs), targets))
        self.optimiser.step()

    def _set_lr(self, epoch: int) -> None:
        decays = sum(epoch >= milestone for milestone in self.lr_milestones)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * self.lr_decay**decays

    def _augment(self, inputs: Tensor, step: int) -> Tensor:
        if self.augmentation == "none":
            return inputs
        rng = np.random.default_rng([self.seed, AUGMENT, step])
        pad = 4 if inputs.shape[1] == 3 else 2
        height, width = inputs.shape[2:]
        padded = functional.pad(inputs, (pad, pad, pad, pad))
        shifts = rng.integers(0, 2 * pad + 1, size=(len(inputs), 2))
        flips = rng.random(len(inputs)) < 0.5
        pieces = [
            (image[:, y : y + height, x : x + width].flip(2) if flip else image[:, y : y + height, x : x + width])
            for image, (y, x), flip in zip(padded, shifts, flips, strict=True)
        ]
        return torch.stack(pieces)

    def _record(self, step: int) -> None:
        metrics = {"learning_rate": float(self.optimiser.param_groups[0]["lr"])}
        for name, batches in self.evaluation.items():
            metrics[f"{name}_loss"], metrics[f"{name}_accuracy"] = mean_loss(self.model, batches)
        self.recorder.record(step, epoch=step / self.steps_per_epoch, **metrics)

    def _resume(self) -> int | None:
        point = self.recorder.restore()
        if point is None:
            return None
        for i, parameter in enumerate(self._parameters()):
            buffer = point.state.get(f"momentum/{i}")
            if buffer is not None:
                self.optimiser.state[parameter]["momentum_buffer"] = buffer.to(parameter)
        self._set_lr(max(point.step - 1, 0) // self.steps_per_epoch)
        return point.step

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]


def mean_loss(model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Mean cross-entropy in nats (float64) and accuracy in [0, 1] over all samples, in evaluation mode.

    Non-finite losses are passed on as they are. Raises ValueError when there is no sample.
    """
    training = model.training
    model.eval()
    total = correct = 0.0
    samples = 0
    with torch.inference_mode():
        for inputs, targets in batches:
            outputs = model(inputs)
            total += float(functional.cross_entropy(outputs, targets, reduction="none").double().sum())
            correct += float((outputs.argmax(dim=1) == targets).sum())
            samples += len(targets)
    model.train(training)
    if samples == 0:
        raise ValueError("There are no samples to measure the loss on; give at least one batch.")
    return total / samples, correct / samples


@contextmanager
def _chance(seed: int, step: int) -> Iterator[None]:
    """Give layers that draw, as dropout does, a stream of their own, and put the global one back."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_stream(seed, LAYERS, step))
        yield


def _stream(seed: int, purpose: int, step: int) -> int:
    """A seed for what one step draws for one purpose."""
    return int(np.random.SeedSequence([seed, purpose, step]).generate_state(1, np.uint64)[0]) >> 1


def _check(
    inputs: Tensor,
    targets: Tensor,
    epochs: int,
    batch_size: int,
    lr: float,
    checkpoint_every: int | None,
    augmentation: str,
    seed: int,
) -> None:
    if len(inputs) != len(targets) or len(targets) == 0:
        raise ValueError(f"Training needs as many targets as inputs, not {len(targets)} for {len(inputs)}.")
    if min(epochs, batch_size) < 1:
        raise ValueError(f"Epochs ({epochs}) and batch size ({batch_size}) must be at least 1.")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"The learning rate must be a positive number, not {lr}.")
    if checkpoint_every is not None and checkpoint_every < 1:
        raise ValueError(f"Checkpoints are at least 1 step apart, not {checkpoint_every}; None is once per epoch.")
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"augmentation must be 'none' or 'crop-flip', not {augmentation!r}.")
    if augmentation != "none" and inputs.dim() != 4:
        raise ValueError("crop-flip is for images; this data set holds feature vectors.")
    if seed < 0:
        raise ValueError(f"The seed must be 0 or more, not {seed}.")
