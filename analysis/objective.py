"""The mean loss over fixed batches as a function of one weight tensor, and its gradient.

:class:`Objective` runs the model itself: the plain version. :class:`StagedObjective` computes what lies before the
weight once and keeps it, runs the rest on pieces of the data that fit the processor's cache, and gives the same numbers
but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.program import INPUT, Program, Step, frontier, prepare_steps, run_steps

Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
LARGEST_CHUNK = 512  # samples that go through the network together
GPU_CHUNK = 8192
RESULT_BYTES = 10 << 20  # of the largest intermediate result, so that it stays in a processor's cache
CACHE_BYTES = 1 << 30  # for results before the weight


@dataclass(frozen=True)
class Level:
    """Mean loss over samples and accuracy in [0, 1], or None where targets are no class indices."""

    loss: float
    accuracy: float | None


class Objective:
    """The mean loss of a model over fixed batches, and its gradient, by the model itself."""

    def __init__(self, model: nn.Module, batches: Sequence[Batch], loss: Loss | None) -> None:
        self.model, self.batches, self.own_loss = model, list(batches), loss
        self.loss: Loss = loss or functional.cross_entropy
        self.samples = sum(len(targets) for _, targets in batches)
        self.classes = all(not t.is_floating_point() and t.dim() == 1 for _, t in batches)
        self.parameters = dict(model.named_parameters())

    def evaluate(self) -> Level:
        """Mean loss over all samples, accumulated in float64."""
        total = correct = 0.0
        with torch.no_grad():
            for inputs, targets in self.batches:
                outputs = self.model(inputs)
                total += float(self.loss(outputs, targets)) * len(targets)
                correct += self._correct(outputs, targets)
        return self._level(total, correct, self.samples)

    def gradient(self, number: int, parameter: Tensor) -> tuple[Level, Tensor]:
        """Level of one batch, and the gradient of its mean loss with respect to one parameter."""
        inputs, targets = self.batches[number]
        with torch.enable_grad():
            outputs = self.model(inputs)
            value = self.loss(outputs, targets)
            (gradient,) = torch.autograd.grad(value, parameter, allow_unused=True)
        gradient = torch.zeros_like(parameter) if gradient is None else gradient.contiguous()
        total, correct = float(value.detach()) * len(targets), self._correct(outputs.detach(), targets)
        return self._level(total, correct, len(targets)), gradient

    def whole_gradient(self, parameter: Tensor) -> tuple[Level, Tensor]:
        """Level over all samples, and the gradient of the mean loss over all of them."""
        total = torch.zeros_like(parameter, dtype=torch.float64)
        loss = accuracy = 0.0
        for number, (_, targets) in enumerate(self.batches):
            level, gradient = self.gradient(number, parameter)
            share = len(targets) / self.samples
            total += gradient.double() * share
            loss += level.loss * share
            accuracy += (level.accuracy or 0.0) * share
        return Level(loss, accuracy if self.classes else None), total.to(parameter.dtype)

    def _correct(self, outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.argmax(dim=1) == targets).sum()) if self.classes else 0.0

    def _level(self, total: float, correct: float, samples: int) -> Level:
        return Level(total / samples, correct / samples if self.classes else None)


class StagedObjective(Objective):
    """The same objective for one weight of a traced model: what does not depend on it is computed once.

    The weight may move; every other parameter and buffer must stay as it is for as long as this is used.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Batch],
        loss: Loss | None,
        program: Program,
        name: str,
        *,
        pieces: int | None = None,
    ) -> None:
        super().__init__(model, batches, loss)
        self.name, self.parameter = name, self.parameters[name]
        self.output, self.last = program.output, program.convolves
        tensors = [*model.named_parameters(), *model.named_buffers()]
        self._tensors = {key: tensor.detach() for key, tensor in tensors}
        self._still, self._moving = program.split({name})
        self._reads = frontier(self._still, self._moving, program.output)
        self._own: list[Step] = [s for s in self._moving if name in s.uses]
        with torch.no_grad():
            self._prepared = prepare_steps(self._still, self._tensors, self.last)
            self._fixed = prepare_steps([s for s in self._moving if name not in s.uses], self._tensors, self.last)
        self._size = pieces
        self._kept: dict[tuple[int, int], dict[str, Any]] = {}
        self._room = CACHE_BYTES

    def evaluate(self) -> Level:
        total = correct = 0.0
        with torch.no_grad():
            for number, (_, targets) in enumerate(self.batches):
                outputs = self.outputs(number)
                total += float(self.loss(outputs, targets)) * len(targets)
                correct += self._correct(outputs, targets)
        return self._level(total, correct, self.samples)

    def outputs(self, number: int) -> Tensor:
        """The network's outputs for one batch."""
        return torch.cat([self._forward(number, start) for start in self._starts(number)])

    def gradient(self, number: int, parameter: Tensor) -> tuple[Level, Tensor]:
        targets = self.batches[number][1]
        summed: Tensor | None = None
        total = correct = 0.0
        starts = self._starts(number)
        for start in starts:
            piece = targets[start : start + self._chunk(number)]
            with torch.enable_grad():
                outputs = self._forward(number, start)
                value = self.loss(outputs, piece)
                (found,) = torch.autograd.grad(value, self.parameter, allow_unused=True)
            total += float(value.detach()) * len(piece)
            correct += self._correct(outputs.detach(), piece)
            if found is None:
                continue
            if len(starts) == 1:
                summed = found
            else:
                share = found.double() * (len(piece) / len(targets))
                summed = share if summed is None else summed.add_(share)
        gradient = torch.zeros_like(parameter) if summed is None else summed.to(parameter.dtype).contiguous()
        return self._level(total, correct, len(targets)), gradient

    def _chunk(self, number: int) -> int:
        """Samples at once: the whole batch where the loss may not be a mean over samples."""
        inputs, targets = self.batches[number]
        if self.own_loss is not None or not self.classes:
            return len(targets)
        if self._size is None:
            self._size = GPU_CHUNK if inputs.is_cuda else self._fitting_chunk(inputs)
        return self._size

    @torch.no_grad()
    def _fitting_chunk(self, inputs: Tensor) -> int:
        """As many samples as keep the largest result that moves within bounds."""
        values: dict[str, Any] = {INPUT: inputs[:1]}
        names = {step.result for step in (*self._still, *self._moving)}
        prepared = self._prepared | self._fixed | prepare_steps(self._own, self._tensors, self.last)
        run_steps([*self._still, *self._moving], values, prepared, names)
        made = [values[step.result] for step in self._moving]
        largest = max(v.numel() * v.element_size() for v in made if isinstance(v, Tensor))
        return 1 << int(np.clip(np.log2(max(1, RESULT_BYTES // max(1, largest))), 5, np.log2(LARGEST_CHUNK)))

    def _starts(self, number: int) -> range:
        return range(0, len(self.batches[number][1]), self._chunk(number))

    def _forward(self, number: int, start: int) -> Tensor:
        values = dict(self._before(number, start))
        prepared = self._fixed | prepare_steps(self._own, {**self._tensors, self.name: self.parameter}, self.last)
        out: Tensor = run_steps(self._moving, values, prepared, {self.output})[self.output]
        return out

    @torch.no_grad()
    def _before(self, number: int, start: int) -> dict[str, Any]:
        """What the moving steps read, for one piece of the data."""
        kept = self._kept.get((number, start))
        if kept is not None:
            return kept
        inputs = self.batches[number][0][start : start + self._chunk(number)]
        if self.last and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        values = run_steps(self._still, {INPUT: inputs}, self._prepared, self._reads)
        values = {name: values[name] for name in self._reads}
        size = sum(v.numel() * v.element_size() for v in values.values() if isinstance(v, Tensor))
        if size <= self._room:
            self._room -= size
            self._kept[number, start] = values
        return values
