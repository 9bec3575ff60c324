"""How a model's state is stored: trainable parameters as one vector, everything else as raw bytes, aliases by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
STORED = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(np.uint16)}  # smaller forms; NumPy knows no bfloat16

_BFLOAT16_EXPONENT = np.uint16(0x7F80)  # all ones: NaN or infinite
_PIECE = 1 << 20  # numbers looked at at a time


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
    ``storage``: ``"float16"`` or ``"bfloat16"`` where the vector is rounded to that; empty where it is exact.
    ``left_out``: trainable parameters that are not recorded.
    """

    parameters: Tensors
    others: Tensors
    aliases: dict[str, str]
    storage: str = field(default="", repr=False)
    left_out: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def from_model(cls, model: nn.Module, *, only: Sequence[str] = (), storage: str = "") -> StateLayout:
        """Read the layout of a model. Raises :class:`CheckpointError` for what cannot be recorded."""
        everything = {n: p for n, p in model.named_parameters() if p.requires_grad}
        if not everything:
            raise CheckpointError("The model has no trainable parameter; there is nothing to record.")
        if storage and storage not in STORED:
            raise CheckpointError(f"storage is {storage!r}; it must be {' or '.join(map(repr, STORED))}.")
        trainable = _chosen(everything, only)
        left_out = tuple(name for name in everything if name not in trainable)
        others: dict[str, Tensor] = {}
        aliases: dict[str, str] = {}
        known = {id(p): n for n, p in trainable.items()}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if not isinstance(tensor, Tensor):
                raise CheckpointError(f"The state {name!r} is no tensor and cannot be recorded.")
            if name in everything:
                continue
            if any(tensor is everything[other] for other in left_out):
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
        return cls(_describe(trainable), _describe(others), aliases, storage, left_out)

    @property
    def vector_dtype(self) -> np.dtype[Any]:
        """float32 where that is exact for every parameter, else float64; or what ``storage`` asks for."""
        if self.storage:
            return STORED[self.storage]
        exact = set(self.parameters.dtypes) <= EXACT_IN_FLOAT32
        return np.dtype(np.float32 if exact else np.float64)

    def capture(self, model: nn.Module) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Copy a model's state: the vector [D] as it is stored, and the bytes of everything else [S]."""
        state = model.state_dict(keep_vars=True)
        exact = torch.float64 if self.vector_dtype == np.float64 else torch.float32
        target = DTYPES[f"torch.{self.storage}"] if self.storage else exact
        pieces = [
            _checked(state, name, shape).reshape(-1).to("cpu", target)
            for name, shape in zip(self.parameters.names, self.parameters.shapes, strict=True)
        ]
        rest = [
            _raw(_checked(state, name, shape))
            for name, shape in zip(self.others.names, self.others.shapes, strict=True)
        ]
        vector = torch.cat(pieces)
        stored = vector.view(torch.uint16) if self.storage == "bfloat16" else vector
        return stored.numpy(), np.concatenate(rest) if rest else np.zeros(0, np.uint8)

    def decode(self, vector: NDArray[Any]) -> NDArray[Any]:
        """A stored vector, or a table of such, as the numbers it stands for: float32, or float64 where kept so."""
        if self.storage == "bfloat16":
            return (vector.astype(np.uint32) << 16).view(np.float32)
        return vector.astype(np.float32) if self.storage else vector

    def rounding(self, model: nn.Module, stored: NDArray[Any]) -> tuple[float, float]:
        """Largest absolute error of a stored vector [D], and largest error relative to a weight's own size.

        Raises :class:`CheckpointError` where a finite weight is too large for the smaller form.
        """
        state = model.state_dict(keep_vars=True)
        kept, start, absolute, relative = self.decode(stored), 0, 0.0, 0.0
        for name, size in zip(self.parameters.names, self.parameters.sizes, strict=True):
            true = state[name].detach().reshape(-1).to("cpu", torch.float64).numpy()
            with np.errstate(invalid="ignore"):  # infinite weights stay so
                off = np.abs(kept[start : start + size] - true)
            start += size
            if (np.isfinite(true) & ~np.isfinite(off)).any():
                raise CheckpointError(
                    f"{name} holds {np.abs(true[np.isfinite(true)]).max():.3g}, too large for {self.storage}; record "
                    "with storage='bfloat16', or without."
                )
            finite, size_of = np.isfinite(true), np.abs(true)
            absolute = max(absolute, float(off[finite].max(initial=0.0)))
            nonzero = finite & (size_of > 0)
            relative = max(relative, float((off[nonzero] / size_of[nonzero]).max(initial=0.0)))
        return absolute, relative

    def state_dict(self, vector: NDArray[Any], rest: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Rebuild the full state dict, every tensor in its own type and under all its names."""
        vector = self.decode(vector)
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

    def is_finite(self, vector: NDArray[Any], rest: NDArray[np.uint8]) -> bool:
        """Whether all stored parameters and buffers of a checkpoint are finite numbers."""
        for start in range(0, len(vector), _PIECE):
            piece = vector[start : start + _PIECE]
            if self.storage == "bfloat16":
                if ((piece & _BFLOAT16_EXPONENT) == _BFLOAT16_EXPONENT).any():
                    return False
            elif not np.isfinite(piece).all():
                return False
        start = 0
        for dtype, size in zip(self.others.dtypes, self.others.sizes, strict=True):
            stop = start + size * DTYPES[dtype].itemsize
            if size and DTYPES[dtype].is_floating_point:
                values = torch.from_numpy(np.array(rest[start:stop])).view(DTYPES[dtype])
                if not torch.isfinite(values).all():
                    return False
            start = stop
        return True

    def to_json(self) -> dict[str, Any]:
        """Plain values for a header."""
        table = asdict(self)
        for name in ("storage", "left_out"):
            if not table[name]:
                del table[name]
        return table

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> StateLayout:
        """Read a header's values, each checked. Raises ValueError, TypeError or KeyError."""
        aliases = table["aliases"]
        if not isinstance(aliases, dict) or not all(isinstance(v, str) for v in aliases.values()):
            raise ValueError("aliases")
        storage, left_out = table.get("storage", ""), tuple(table.get("left_out", ()))
        if (storage and storage not in STORED) or not all(isinstance(name, str) for name in left_out):
            raise ValueError("storage")
        layout = cls(_tensors(table["parameters"]), _tensors(table["others"]), dict(aliases), storage, left_out)
        known = {*layout.parameters.names, *layout.others.names}
        if not set(aliases.values()) <= known or len(known) < len(layout.parameters.names) + len(layout.others.names):
            raise ValueError("names")
        return layout


def difference(theirs: StateLayout, ours: StateLayout) -> str:
    """The first thing by which two layouts differ, in words."""
    for name, shape in zip(theirs.parameters.names, theirs.parameters.shapes, strict=True):
        if name not in ours.parameters.names:
            return f"it has {name}, this one has not"
        here = ours.parameters.shapes[ours.parameters.names.index(name)]
        if here != shape:
            return f"its {name} has shape {list(shape)}, this one's {list(here)}"
    return "their parameters, buffers or types differ"


def _chosen(trainable: dict[str, nn.Parameter], only: Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters of the named blocks: ``layer4`` is ``layer4.weight``, ``layer4.0.weight`` and so on."""
    for block in only:
        if not any(name == block or name.startswith(f"{block}.") for name in trainable):
            raise CheckpointError(f"There is no block {block!r} with trainable parameters in the model.")
    wanted = tuple(f"{block}." for block in only)
    return {n: p for n, p in trainable.items() if not only or f"{n}.".startswith(wanted)}


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
