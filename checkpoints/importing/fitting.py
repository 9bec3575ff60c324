"""Which tensors of a state dict are trainable, and whether another one has the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from checkpoints.errors import CheckpointError
from checkpoints.importing.states import State
from checkpoints.layout import BYTES, StateLayout, Tensors
from checkpoints.tensors import torch_dtype

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
COUNTER = "num_batches_tracked"  # files of before PyTorch 0.4.1 lack it


@dataclass(frozen=True)
class Fit:
    """How a state dict compares with a layout: names, with both shapes where these differ."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not (self.missing or self.extra or self.misshapen)

    def sentence(self) -> str:
        """What differs, shortened."""
        parts = [
            f"{len(names)} {word} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for word, names in (("missing", self.missing), ("extra", self.extra), ("of another shape", self.misshapen))
            if names
        ]
        return ", ".join(parts)


def layout_of(state: State, parameters: Sequence[str] | None = None) -> StateLayout:
    """A layout from a state dict alone.

    The file does not say what is trainable: everything is but buffers, known by their name (running statistics) and
    by their type (whole numbers). Types of less than 32 bits are widened. The order is that of the file.

    Args:
        parameters: Names of what is trainable, in order, where that is known.

    Raises:
        CheckpointError: It holds nothing that could be trained, or a type that cannot be stored.
    """
    first = tuple(parameters or ())
    trainable: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    aliases = dict(state.removed)
    known: dict[int, str] = {}
    for name in (*first, *(name for name in state.tensors if name not in first)):
        tensor = state.tensors[name]
        if id(tensor) in known:
            aliases[name] = known[id(tensor)]
            continue
        known[id(tensor)] = name
        buffer = name.rsplit(".", 1)[-1] in STATISTICS or not tensor.is_floating_point()
        buffer = buffer if parameters is None else name not in first
        (others if buffer else trainable)[name] = tensor
    if not trainable:
        raise CheckpointError("it holds no tensor of floating-point numbers that could be a weight")
    return StateLayout(_described(trainable), _described(others), aliases)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type a tensor is stored in: floating types of less than 32 bits become float32."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype


def _described(tensors: Mapping[str, Tensor]) -> Tensors:
    for name, tensor in tensors.items():
        if str(wide(tensor.dtype)) not in BYTES:
            raise CheckpointError(f"its {name} has the type {tensor.dtype}, which cannot be stored")
    return Tensors(
        tuple(tensors),
        tuple(tuple(t.shape) for t in tensors.values()),
        tuple(str(wide(t.dtype)) for t in tensors.values()),
    )


def compare(layout: StateLayout, state: State, *, of_model: bool) -> Fit:
    """Missing, extra and misshapen tensors of a state dict, against the first file's layout or the model's."""
    expected = dict(zip(layout.parameters.names, layout.parameters.shapes, strict=True))
    expected |= dict(zip(layout.others.names, layout.others.shapes, strict=True))
    missing, misshapen = [], []
    for name, shape in expected.items():
        tensor = _get(layout, state.tensors, name)
        if tensor is None:
            if not (of_model and name.rsplit(".", 1)[-1] == COUNTER):
                missing.append(name)
        elif tuple(tensor.shape) != shape:
            misshapen.append(f"{name}: {list(tensor.shape)} where {list(shape)} is expected")
    extra = [name for name in state.tensors if name not in expected and name not in layout.aliases]
    return Fit(tuple(missing), tuple(extra), tuple(misshapen))


def untied(layout: StateLayout, state: State) -> str | None:
    """A name that is tied to another one in the layout, but has values of its own here."""
    for alias, name in layout.aliases.items():
        mine, other = state.tensors.get(alias), state.tensors.get(name)
        if mine is not None and other is not None and mine is not other:
            same = mine.shape == other.shape and mine.dtype == other.dtype
            if not same or _raw(mine).tobytes() != _raw(other).tobytes():
                return alias
    return None


def capture(layout: StateLayout, state: State) -> tuple[NDArray[np.float32] | NDArray[np.float64], NDArray[np.uint8]]:
    """The vector [D] and the bytes of everything else [S] of a state dict that fits the layout."""
    vector = np.empty(layout.parameters.size, layout.vector_dtype)
    target, start = torch.from_numpy(vector), 0
    for name, size in zip(layout.parameters.names, layout.parameters.sizes, strict=True):
        tensor = _get(layout, state.tensors, name)
        assert tensor is not None
        target[start : start + size].view(tensor.shape).copy_(tensor)
        start += size
    rest = []
    for name, shape, dtype in zip(layout.others.names, layout.others.shapes, layout.others.dtypes, strict=True):
        tensor = _get(layout, state.tensors, name)
        tensor = torch.zeros(shape) if tensor is None else tensor
        rest.append(_raw(tensor.to(torch_dtype(dtype))))
    return vector, np.concatenate(rest) if rest else np.zeros(0, np.uint8)


def not_finite(state: State) -> tuple[str, ...]:
    """Names of tensors that hold NaN or infinite values."""
    return tuple(
        name for name, t in state.tensors.items() if t.is_floating_point() and not torch.isfinite(wide_values(t)).all()
    )


def wide_values(tensor: Tensor) -> Tensor:
    """A tensor in the type it is stored in."""
    return tensor.to(wide(tensor.dtype))


def _get(layout: StateLayout, tensors: Mapping[str, Tensor], name: str) -> Tensor | None:
    """A tensor under its own name, or under another one that is tied to it."""
    if name in tensors:
        return tensors[name]
    return next((tensors[alias] for alias, own in layout.aliases.items() if own == name and alias in tensors), None)


def _raw(tensor: Tensor) -> NDArray[np.uint8]:
    plain = tensor.contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy() if plain.numel() else np.zeros(0, np.uint8)
