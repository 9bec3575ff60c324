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
Loss = Callable[[Tensor, Tensor], Tensor]
Batches = Sequence[tuple[Tensor, Tensor]]
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
        inputs, targets: [N, …] and [N], the training data; targets [N, …] for a loss that takes them.
        epochs, batch_size: The last batch of an epoch may be smaller.
        lr, momentum, weight_decay: Of SGD. lr_milestones: epochs after which lr is multiplied by ``lr_decay``.
        checkpoint_every: Steps between checkpoints; None records after every epoch. The initial weights and the
            last step are always recorded.
        augmentation: ``"none"``, or ``"crop-flip"`` for images (padding of 4 for colour, 2 for grey).
        defences: Their ``batch`` changes every training batch, in order, after augmentation; ``inputs`` are prepared.
        seed: Decides everything random.
        recorder: Where checkpoints go. A recording with checkpoints is resumed.
        evaluation: Named batches, as ``train`` and ``test``; what ``measure`` finds on each is recorded under the
            names ``train_loss``, ``test_accuracy`` and so on.
        loss: ``loss(outputs, targets)``, a mean over the batch; default cross-entropy. Parameters of its own, if it is
            a module, are trained with the network's.
        measure: ``measure(model, batches)`` gives named numbers; default loss and accuracy, in full passes.
        also: Further named numbers to record.
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
        evaluation: Mapping[str, Batches],
        loss: Loss | None = None,
        measure: Callable[[nn.Module, Batches], Mapping[str, float]] | None = None,
        also: Callable[[], Mapping[str, float]] | None = None,
        before_step: Callable[[], None] | None = None,
    ) -> None:
        _check(inputs, targets, epochs, batch_size, lr, checkpoint_every, augmentation, seed)
        self.model, self.inputs, self.targets = model, inputs, targets
        self.epochs, self.batch_size, self.lr = epochs, batch_size, lr
        self.lr_milestones, self.lr_decay = tuple(lr_milestones), lr_decay
        self.augmentation, self.defences, self.seed = augmentation, tuple(defences), seed
        self.recorder, self.evaluation, self.before_step = recorder, evaluation, before_step
        self.loss: Loss = loss or functional.cross_entropy
        self.measure, self.also = measure or _loss_and_accuracy, also
        self.loss_parameters = dict(loss.named_parameters()) if isinstance(loss, nn.Module) else {}
        self.steps_per_epoch = -(-len(targets) // batch_size)
        self.total_steps = epochs * self.steps_per_epoch
        self.checkpoint_every = checkpoint_every or self.steps_per_epoch
        trained = [*model.parameters(), *self.loss_parameters.values()]
        self.optimiser = torch.optim.SGD(trained, lr=lr, momentum=momentum, weight_decay=weight_decay)

    @property
    def total_checkpoints(self) -> int:
        """Checkpoints of the finished run, the initial weights included."""
        return 1 + -(-self.total_steps // self.checkpoint_every)

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs besides the weights: SGD's momentum, by parameter number, and the loss's own."""
        found = {f"loss/{name}": parameter.detach() for name, parameter in self.loss_parameters.items()}
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
            torch.autograd.backward(self.loss(self.model(inputs), targets))
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
            metrics |= {f"{name}_{key}": value for key, value in self.measure(self.model, batches).items()}
        metrics |= self.also() if self.also is not None else {}
        self.recorder.record(step, epoch=step / self.steps_per_epoch, **metrics)

    def _resume(self) -> int | None:
        point = self.recorder.restore()
        if point is None:
            return None
        for i, parameter in enumerate(self._parameters()):
            buffer = point.state.get(f"momentum/{i}")
            if buffer is not None:
                self.optimiser.state[parameter]["momentum_buffer"] = buffer.reshape(parameter.shape).to(parameter)
        with torch.no_grad():
            for name, parameter in self.loss_parameters.items():
                if f"loss/{name}" in point.state:
                    parameter.copy_(point.state[f"loss/{name}"].reshape(parameter.shape))
        self._set_lr(max(point.step - 1, 0) // self.steps_per_epoch)
        return point.step

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]


def _loss_and_accuracy(model: nn.Module, batches: Batches) -> dict[str, float]:
    loss, accuracy = mean_loss(model, batches)
    return {"loss": loss, "accuracy": accuracy}


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
    if augmentation != "none" and targets.dim() != 1:
        raise ValueError("crop-flip moves images, but not targets of their pixels; leave the augmentation at 'none'.")
    if seed < 0:
        raise ValueError(f"The seed must be 0 or more, not {seed}.")
