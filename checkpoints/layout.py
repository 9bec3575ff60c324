"""How a model's state is stored: trainable parameters as one vector, everything else as raw bytes, aliases by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from checkpoints.errors import CheckpointError

EXACT_IN_FLOAT32 = {"torch.float32", "torch.float16", "torch.bfloat16"}
DTYPES = {str(d): d for d in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}
DTYPES |= {str(d): d for d in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)}
MAX_TENSORS = 100_000


class Parameters(NamedTuple):
    """Names and shapes of the trainable parameters, in model order."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Tensors:
    """A list of named tensors."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Scalars per tensor."""
        return tuple(prod(shape) for shape in self.shapes)

    @property
    def size(self) -> int:
        """Scalars altogether."""
        return sum(self.sizes)

    @property
    def bytes(self) -> int:
        """Bytes altogether."""
        return sum(n * DTYPES[d].itemsize for n, d in zip(self.sizes, self.dtypes, strict=True))


@dataclass(frozen=True)
class StateLayout:
    """The layout of a model's full state.

    ``parameters``: trainable, stored as one vector. ``others``: frozen parameters and persistent buffers, stored as
    raw bytes. ``aliases``: further names in the state dict of tensors that are stored already (tied weights).
    """

    parameters: Tensors
    others: Tensors
    aliases: dict[str, str]

    @classmethod
    def from_model(cls, model: nn.Module) -> StateLayout:
        """Read the layout of a model. Raises :class:`CheckpointError` for what cannot be recorded."""
        trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        if not trainable:
            raise CheckpointError("The model has no trainable parameter; there is nothing to record.")
        others: dict[str, Tensor] = {}
        aliases: dict[str, str] = {}
        known = {id(p): n for n, p in trainable.items()}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if not isinstance(tensor, Tensor):
                raise CheckpointError(f"The state {name!r} is no tensor and cannot be recorded.")
            if name in trainable:
                continue
            if id(tensor) in known:
                aliases[name] = known[id(tensor)]
            else:
                others[name] = tensor
                known[id(tensor)] = name
        for name, tensor in (trainable | others).items():
            if str(tensor.dtype) not in DTYPES or tensor.layout != torch.strided:
                raise CheckpointError(
                    f"{name} is {tensor.dtype}, {tensor.layout}; only dense real tensors can be recorded."
                )
        for name, tensor in trainable.items():
            if not tensor.is_floating_point():
                raise CheckpointError(f"The trainable parameter {name} is {tensor.dtype}, not floating point.")
        return cls(_describe(trainable), _describe(others), aliases)

    @property
    def vector_dtype(self) -> np.dtype[Any]:
        """float32 where that is exact for every parameter, else float64."""
        exact = set(self.parameters.dtypes) <= EXACT_IN_FLOAT32
        return np.dtype(np.float32 if exact else np.float64)

    def capture(self, model: nn.Module) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Copy a model's state: the vector [D] and the bytes of everything else [S]."""
        state = model.state_dict(keep_vars=True)
        target = torch.float32 if self.vector_dtype == np.float32 else torch.float64
        pieces = [
            _checked(state, name, shape).reshape(-1).to("cpu", target)
            for name, shape in zip(self.parameters.names, self.parameters.shapes, strict=True)
        ]
        rest = [
            _raw(_checked(state, name, shape))
            for name, shape in zip(self.others.names, self.others.shapes, strict=True)
        ]
        return torch.cat(pieces).numpy(), np.concatenate(rest) if rest else np.zeros(0, np.uint8)

    def state_dict(self, vector: NDArray[Any], rest: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Rebuild the full state dict, every tensor in its own type and under all its names."""
        state: dict[str, Tensor] = {}
        start = 0
        for name, shape, dtype, size in zip(
            self.parameters.names, self.parameters.shapes, self.parameters.dtypes, self.parameters.sizes, strict=True
        ):
            piece = np.array(vector[start : start + size])
            state[name] = torch.from_numpy(piece).to(DTYPES[dtype]).reshape(shape)
            start += size
        start = 0
        for name, shape, dtype, size in zip(
            self.others.names, self.others.shapes, self.others.dtypes, self.others.sizes, strict=True
        ):
            length = size * DTYPES[dtype].itemsize
            piece = np.array(rest[start : start + length])
            state[name] = torch.from_numpy(piece).view(DTYPES[dtype]).reshape(shape) if length else torch.empty(shape)
            start += length
        for alias, name in self.aliases.items():
            state[alias] = state[name]
        return state

    def to_json(self) -> dict[str, Any]:
        """Plain values for a header."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> StateLayout:
        """Read a header's values, each checked. Raises ValueError, TypeError or KeyError."""
        aliases = table["aliases"]
        if not isinstance(aliases, dict) or not all(isinstance(v, str) for v in aliases.values()):
            raise ValueError("aliases")
        layout = cls(_tensors(table["parameters"]), _tensors(table["others"]), dict(aliases))
        known = {*layout.parameters.names, *layout.others.names}
        if not set(aliases.values()) <= known or len(known) < len(layout.parameters.names) + len(layout.others.names):
            raise ValueError("names")
        return layout


def _describe(tensors: Mapping[str, Tensor]) -> Tensors:
    return Tensors(
        tuple(tensors),
        tuple(tuple(t.shape) for t in tensors.values()),
        tuple(str(t.dtype) for t in tensors.values()),
    )


def _tensors(table: Mapping[str, Any]) -> Tensors:
    names, shapes, dtypes = table["names"], table["shapes"], table["dtypes"]
    if not len(names) == len(shapes) == len(dtypes) <= MAX_TENSORS:
        raise ValueError("lengths")
    for name, shape, dtype in zip(names, shapes, dtypes, strict=True):
        if not isinstance(name, str) or dtype not in DTYPES:
            raise ValueError("types")
        if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 40 for n in shape):
            raise ValueError("shapes")
    return Tensors(tuple(names), tuple(tuple(s) for s in shapes), tuple(dtypes))


def _checked(state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = state.get(name)
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
        raise CheckpointError(f"The model changed while it was recorded: {name} is gone or has another shape.")
    return tensor.detach()


def _raw(tensor: Tensor) -> NDArray[np.uint8]:
    plain = tensor.to("cpu").contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().copy() if plain.numel() else np.zeros(0, np.uint8)
