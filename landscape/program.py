"""A model as a list of steps, so that what does not move is computed once and what does takes less work.

:mod:`landscape.tracing` makes programs of models. Every program must be checked against its model (:func:`agrees`)
before its numbers are believed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Tensors = Mapping[str, Tensor]
Values = dict[str, Any]

INPUT = "the input"


@dataclass(frozen=True)
class Ref:
    """Stands for the result of an earlier step among the arguments of a call."""

    name: str


def substitute(argument: Any, replace: Callable[[Ref], Any]) -> Any:
    """Replace every :class:`Ref` in nested tuples, lists, dicts and slices."""
    if isinstance(argument, Ref):
        return replace(argument)
    if isinstance(argument, tuple):
        return tuple(substitute(a, replace) for a in argument)
    if isinstance(argument, list):
        return [substitute(a, replace) for a in argument]
    if isinstance(argument, dict):
        return {key: substitute(a, replace) for key, a in argument.items()}
    if isinstance(argument, slice):
        return slice(*(substitute(a, replace) for a in (argument.start, argument.stop, argument.step)))
    return argument


@dataclass
class Step:
    """One call of the model.

    Attributes:
        result: Name of what it gives; reads: names of what it takes; uses: parameters and buffers, by first name.
        relu: Apply ReLU to the result, in place.
        fresh: The result is a new tensor that no backward pass needs, so that it may be changed in place.
    """

    result: str
    reads: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    relu: bool = False
    fresh: bool = False

    def prepare(self, tensors: Tensors, channels_last: bool) -> Any:
        """What the call needs of its parameters: computed once for weights that serve many inputs."""
        return {name: tensors[name] for name in self.uses}

    def run(self, values: Values, prepared: Any) -> Any:
        """Make the call."""
        raise NotImplementedError


@dataclass
class Affine(Step):
    """A linear layer or convolution, with the BatchNorm after it if there is one: affine in weight and bias."""

    weight: str = ""
    bias: str | None = None
    norm: Norm | None = None
    call: Callable[[Tensor, Tensor, Tensor | None], Tensor] = functional.linear

    def prepare(self, tensors: Tensors, channels_last: bool) -> tuple[Tensor, Tensor | None]:
        weight, bias = tensors[self.weight], None if self.bias is None else tensors[self.bias]
        if self.norm is not None:
            scale, shift = self.norm.scale_and_shift(tensors)
            weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
            bias = shift if bias is None else bias * scale + shift
        if channels_last and weight.dim() == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
        return weight, bias

    def run(self, values: Values, prepared: Any) -> Tensor:
        out = self.call(values[self.reads[0]], *prepared)
        return out.relu_() if self.relu else out

    @property
    def is_linear(self) -> bool:
        """Whether this is a linear layer, not a convolution."""
        return self.call is functional.linear


@dataclass
class Norm(Step):
    """BatchNorm in evaluation mode: a scale and a shift per channel."""

    mean: str = ""
    variance: str = ""
    weight: str | None = None
    bias: str | None = None
    eps: float = 0.0

    def scale_and_shift(self, tensors: Tensors) -> tuple[Tensor, Tensor]:
        """Both [C]."""
        scale = torch.rsqrt(tensors[self.variance] + self.eps)
        if self.weight is not None:
            scale = scale * tensors[self.weight]
        shift = -tensors[self.mean] * scale
        return scale, shift if self.bias is None else shift + tensors[self.bias]

    def prepare(self, tensors: Tensors, channels_last: bool) -> tuple[Tensor | None, ...]:
        weight = None if self.weight is None else tensors[self.weight]
        bias = None if self.bias is None else tensors[self.bias]
        return tensors[self.mean], tensors[self.variance], weight, bias

    def run(self, values: Values, prepared: Any) -> Tensor:
        mean, variance, weight, bias = prepared
        out = functional.batch_norm(values[self.reads[0]], mean, variance, weight, bias, False, 0.0, self.eps)
        return out.relu_() if self.relu else out


@dataclass
class Pool(Step):
    """Max pooling, padded with −∞.

    Attributes:
        window: Side lengths, where windows neither overlap nor are padded or dilated: then it is a maximum of slices.
    """

    window: tuple[int, ...] | None = None
    call: Callable[[Tensor], Tensor] = torch.relu

    def run(self, values: Values, prepared: Any) -> Tensor:
        images = values[self.reads[0]]
        plain = torch.is_grad_enabled() or self.window is None or images.dim() != 4
        # With few channels, images whose channels lie last leave the wide registers of the library's routine empty.
        if plain or (images.shape[1] % 16 == 0 and images.stride(1) == 1):
            out = self.call(images)
        else:
            out, *others = self.slices(images)
            for other in others:
                out = torch.maximum(out, other)
            out = out if others else out.clone()
        return out.relu_() if self.relu else out

    def slices(self, images: Tensor) -> list[Tensor]:
        """The entries at each place of every window; their maximum is the result. Images are [..., H, W]."""
        assert self.window is not None
        tall, wide = self.window
        rows, columns = images.shape[-2] // tall * tall, images.shape[-1] // wide * wide
        return [images[..., i:rows:tall, j:columns:wide] for i in range(tall) for j in range(wide)]


@dataclass
class Call(Step):
    """Any other function of earlier results."""

    function: Callable[..., Any] = operator.add
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self, values: Values, prepared: Any) -> Any:
        def value(ref: Ref) -> Any:
            return values[ref.name]

        out = self.function(*substitute(self.args, value), **substitute(self.kwargs, value))
        return out.relu_() if self.relu else out


@dataclass
class Parameter(Step):
    """A parameter or buffer that the forward pass reads directly."""

    def run(self, values: Values, prepared: Any) -> Any:
        return prepared[self.uses[0]]


@dataclass
class Leaf(Call):
    """A module with parameters and no rule of its own, called with its parameters replaced."""

    module: nn.Module = field(default_factory=nn.Identity)
    local: dict[str, str] = field(default_factory=dict)  # its own name for a tensor → first name

    def prepare(self, tensors: Tensors, channels_last: bool) -> dict[str, Tensor]:
        return {own: tensors[first] for own, first in self.local.items()}

    def run(self, values: Values, prepared: Any) -> Any:
        def value(ref: Ref) -> Any:
            return values[ref.name]

        return torch.func.functional_call(
            self.module, prepared, substitute(self.args, value), substitute(self.kwargs, value)
        )


@dataclass(frozen=True)
class Program:
    """The steps of a model from its input to its output."""

    steps: tuple[Step, ...]
    output: str

    def split(self, moved: Collection[str]) -> tuple[list[Step], list[Step]]:
        """The steps that stay the same, and those whose result changes, when the named parameters do."""
        still: list[Step] = []
        moving: list[Step] = []
        changed: set[str] = set()
        for step in self.steps:
            moves = not changed.isdisjoint(step.reads) or not set(moved).isdisjoint(step.uses)
            if moves:
                changed.add(step.result)
            (moving if moves else still).append(step)
        return still, moving

    @property
    def convolves(self) -> bool:
        """Whether the memory layout of images matters."""
        return any(isinstance(s, Affine) and not s.is_linear for s in self.steps)


def run_steps(steps: Sequence[Step], values: Values, prepared: Mapping[str, Any], keep: Collection[str]) -> Values:
    """Run steps, adding to ``values``; what is not in ``keep`` is dropped once it was read for the last time."""
    last = {name: number for number, step in enumerate(steps) for name in step.reads}
    for number, step in enumerate(steps):
        values[step.result] = step.run(values, prepared.get(step.result))
        for name in step.reads:
            if last[name] == number and name not in keep:
                values.pop(name, None)
    return values


def prepare_steps(steps: Sequence[Step], tensors: Tensors, channels_last: bool) -> dict[str, Any]:
    """What each step needs of the parameters, by its result."""
    return {step.result: step.prepare(tensors, channels_last) for step in steps}


def frontier(still: Sequence[Step], moving: Sequence[Step], output: str) -> set[str]:
    """What the moving steps read of the still ones (and of the input), and the output where nothing moves."""
    made = {step.result for step in moving}
    read = {name for step in moving for name in step.reads if name not in made}
    return read if output in made else read | {output}


def uneven(samples: int) -> int:
    """A size of pieces whose last one is a single sample, where shapes are most likely to go wrong."""
    if samples < 3:
        return 1
    return (samples - 1) // 2 if samples % 2 else samples - 1


def agrees(expected: Any, found: Any, *, tolerance: float = 1e-5) -> bool:
    """Whether two outputs are the same but for rounding, with NaN and infinities in the same places."""
    if not (isinstance(expected, Tensor) and isinstance(found, Tensor)):
        return False
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return False
    finite = torch.isfinite(expected)
    if not torch.equal(finite, torch.isfinite(found)):
        return False
    a, b = expected[finite].double(), found[finite].double()
    return a.numel() == 0 or float((a - b).abs().max()) <= tolerance * max(float(a.abs().max()), 1e-30)
