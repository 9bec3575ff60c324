"""Mean losses of many parameter vectors on fixed data, accumulated in float64; the caller's model stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from landscape.parameters import ParameterLayout
from landscape.program import INPUT, Program, agrees, prepare_steps, run_steps, uneven
from landscape.scoring import Loss, Metric
from landscape.tracing import trace

Batches = Iterable[tuple[Tensor, Tensor]]
CHUNK = 128  # samples whose intermediate results fit a processor's cache
CHECKED = 23


@dataclass(frozen=True, eq=False)
class Losses:
    """Mean losses of N models.

    Attributes:
        loss: [N] in nats for cross-entropy.
        accuracy: [N] in [0, 1], or None where targets are no class indices.
        standard_error: [N] of the mean loss over samples, or None for a loss of the caller's own.
        samples: Samples behind each mean.
        metric: [N] of the caller's own metric, or None where there is none.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    standard_error: NDArray[np.float64] | None
    samples: int
    metric: NDArray[np.float64] | None = None


def evaluate_points(
    model: nn.Module,
    vectors: Iterable[ArrayLike],
    batches: Batches,
    *,
    loss: Loss | None = None,
    metric: Metric | None = None,
) -> Losses:
    """Mean loss at each parameter vector [D], with the model's own buffers; evaluation mode.

    Goes through the traced model where that gives the same numbers but for rounding, piece by piece.

    Raises ValueError for empty batches, labels out of range, or vectors of another size.
    """
    evaluator = Evaluator(model, batches, loss, metric, traced=True)
    with evaluator.borrowed(model):
        return evaluator.collect(evaluator.at(np.asarray(v, dtype=np.float64)) for v in vectors)


def evaluate_states(
    model: nn.Module,
    states: Iterable[Mapping[str, Tensor]],
    batches: Batches,
    *,
    loss: Loss | None = None,
    metric: Metric | None = None,
) -> Losses:
    """Mean loss of each full state dict, with its own buffers (the true loss along a path); evaluation mode."""
    evaluator = Evaluator(model, batches, loss, metric, traced=True)

    def measured() -> Iterator[Measured]:
        for state in states:
            model.load_state_dict(state)
            yield evaluator.measure()

    with evaluator.borrowed(model):
        return evaluator.collect(measured())


Measured = tuple[float, float, float, float]  # mean loss, accuracy, standard error, metric; NaN where not defined


class Evaluator:
    """A model, fixed data, a loss and perhaps a metric, ready to be measured at many points.

    With ``traced``, the model's program takes its place where both agree on a few samples.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        loss: Loss | None,
        metric: Metric | None = None,
        *,
        traced: bool = False,
    ) -> None:
        self._traced = traced
        self._program: Program | None = None
        self.model, self.loss, self.metric = model, loss, metric
        self.layout = ParameterLayout.from_model(model)
        self.batches = [(inputs, targets) for inputs, targets in batches]
        self.samples = sum(len(targets) for _, targets in self.batches)
        if self.samples == 0:
            raise ValueError("There are no samples to evaluate on; give at least one batch.")
        self.classes = all(not t.is_floating_point() and t.dim() == 1 for _, t in self.batches)
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._checked = False

    @contextmanager
    def borrowed(self, model: nn.Module) -> Iterator[None]:
        """Use the model in evaluation mode; put back every weight, buffer and mode afterwards, come what may."""
        modes = {module: module.training for module in model.modules()}
        saved = {name: tensor.detach().clone() for name, tensor in _tensors(model).items()}
        model.eval()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in _tensors(model).items():
                    tensor.copy_(saved[name])
            for module, training in modes.items():
                module.training = training

    def at(self, vector: NDArray[np.float64]) -> Measured:
        """Measure at one parameter vector [D]."""
        self.move(vector)
        return self.measure()

    def move(self, vector: NDArray[np.float64]) -> None:
        """Put the model at a parameter vector [D]."""
        if vector.shape != (self.layout.size,):
            raise ValueError(f"The model has {self.layout.size} parameters, but a point has shape {vector.shape}.")
        flat = torch.from_numpy(vector)
        start = 0
        with torch.no_grad():
            for parameter in self._parameters:
                parameter.copy_(flat[start : start + parameter.numel()].view(parameter.shape))
                start += parameter.numel()

    def measure(self) -> Measured:
        """Measure the model as it stands: sample means in float64."""
        total = correct = squares = measured = 0.0
        with torch.inference_mode():
            if self._traced:
                self._traced, self._program = False, self._checked_program()
            for inputs, targets in self.batches:
                outputs = self._outputs(inputs)
                if self.loss is not None:
                    total += float(self.loss(outputs, targets)) * len(targets)
                else:
                    self.check_labels(outputs, targets)
                    wide = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
                    each = functional.cross_entropy(wide, targets, reduction="none").double()
                    each = each.reshape(len(targets), -1).mean(dim=1)
                    total += float(each.sum())
                    squares += float((each * each).sum())
                if self.classes:
                    correct += float((outputs.argmax(dim=1) == targets).sum())
                if self.metric is not None:
                    measured += float(self.metric(outputs, targets)) * len(targets)  # last: it may spoil the outputs
        n = self.samples
        mean = total / n
        spread = max(squares / n - mean * mean, 0.0) if self.loss is None and np.isfinite(mean) else np.nan
        error = float(np.sqrt(spread / (n - 1))) if n > 1 else float("nan")
        nan = float("nan")
        return mean, correct / n if self.classes else nan, error, nan if self.metric is None else measured / n

    def _outputs(self, inputs: Any) -> Tensor:
        """The network's outputs, by its program while that works."""
        if self._program is not None:
            try:
                return self._through(self._program, inputs, CHUNK)
            except RuntimeError:  # a piece of another size than any that was checked, say
                self._program = None
        outputs: Tensor = self.model(inputs)
        return outputs

    def _checked_program(self) -> Program | None:
        inputs = self.batches[0][0]
        cut = all(isinstance(x, Tensor) and len(x) == len(t) for x, t in self.batches)
        program = trace(self.model) if cut and len(inputs) >= 3 else None
        if program is None:
            return None
        try:
            few = inputs[:CHECKED]
            found = self._through(program, few, uneven(len(few)))
        except Exception:  # whatever the program stumbles over, the model itself still runs
            return None
        return program if agrees(self.model(few), found, tolerance=3e-5) else None

    def _through(self, program: Program, inputs: Tensor, chunk: int) -> Tensor:
        """The model's outputs by its program, some samples at a time."""
        last = program.convolves
        prepared = prepare_steps(program.steps, _tensors(self.model), last)
        found = []
        for start in range(0, len(inputs), chunk):
            piece = inputs[start : start + chunk]
            if last and piece.dim() == 4:
                piece = piece.contiguous(memory_format=torch.channels_last)
            found.append(run_steps(program.steps, {INPUT: piece}, prepared, {program.output})[program.output])
        return torch.cat(found)

    def collect(self, measured: Iterable[Measured]) -> Losses:
        """Arrange measurements as arrays."""
        table = np.array(list(measured), dtype=np.float64).reshape(-1, 4)
        return Losses(
            table[:, 0],
            table[:, 1] if self.classes else None,
            table[:, 2] if self.loss is None else None,
            self.samples,
            None if self.metric is None else table[:, 3],
        )

    def check_labels(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse class labels that the outputs do not cover (with the default loss)."""
        if self.loss is not None or self._checked or targets.is_floating_point():
            return
        for _, labels in self.batches:
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= outputs.shape[1]:
                wrong = low if low < 0 else high
                raise ValueError(
                    f"The label {wrong} does not fit a model with {outputs.shape[1]} outputs; labels must be 0 to "
                    f"{outputs.shape[1] - 1}."
                )
        self._checked = True


def _tensors(model: nn.Module) -> dict[str, Any]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
