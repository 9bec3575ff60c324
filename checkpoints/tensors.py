"""From a model to the bytes of a checkpoint and back to tensors, in the layout of ``checkpoints.layout``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from checkpoints.errors import CheckpointError
from checkpoints.layout import BYTES, STORED, StateLayout, Tensors


def torch_dtype(name: str) -> torch.dtype:
    """The type that a layout calls ``torch.float32``."""
    found = getattr(torch, name.removeprefix("torch."))
    assert isinstance(found, torch.dtype)
    return found


def layout_of(model: nn.Module, *, only: Sequence[str] = (), storage: str = "") -> StateLayout:
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
        if str(tensor.dtype) not in BYTES or tensor.layout != torch.strided:
            raise CheckpointError(
                f"{name} is {tensor.dtype}, {tensor.layout}; only dense real tensors can be recorded."
            )
    for name, tensor in trainable.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"The trainable parameter {name} is {tensor.dtype}, not floating point.")
    return StateLayout(_describe(trainable), _describe(others), aliases, storage, left_out)


def capture(layout: StateLayout, model: nn.Module) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Copy a model's state: the vector [D] as it is stored, and the bytes of everything else [S]."""
    state = model.state_dict(keep_vars=True)
    exact = torch.float64 if layout.vector_dtype == np.float64 else torch.float32
    target = torch_dtype(layout.storage) if layout.storage else exact
    pieces = [
        _checked(state, name, shape).reshape(-1).to("cpu", target)
        for name, shape in zip(layout.parameters.names, layout.parameters.shapes, strict=True)
    ]
    rest = [
        _raw(_checked(state, name, shape))
        for name, shape in zip(layout.others.names, layout.others.shapes, strict=True)
    ]
    vector = torch.cat(pieces)
    stored = vector.view(torch.uint16) if layout.storage == "bfloat16" else vector
    return stored.numpy(), np.concatenate(rest) if rest else np.zeros(0, np.uint8)


def rounding(layout: StateLayout, model: nn.Module, stored: NDArray[Any]) -> tuple[float, float]:
    """Largest absolute error of a stored vector [D], and largest error relative to a weight's own size.

    Raises :class:`CheckpointError` where a finite weight is too large for the smaller form.
    """
    state = model.state_dict(keep_vars=True)
    kept, start, absolute, relative = layout.decode(stored), 0, 0.0, 0.0
    for name, size in zip(layout.parameters.names, layout.parameters.sizes, strict=True):
        true = state[name].detach().reshape(-1).to("cpu", torch.float64).numpy()
        with np.errstate(invalid="ignore"):  # infinite weights stay so
            off = np.abs(kept[start : start + size] - true)
        start += size
        if (np.isfinite(true) & ~np.isfinite(off)).any():
            raise CheckpointError(
                f"{name} holds {np.abs(true[np.isfinite(true)]).max():.3g}, too large for {layout.storage}; record "
                "with storage='bfloat16', or without."
            )
        finite, size_of = np.isfinite(true), np.abs(true)
        absolute = max(absolute, float(off[finite].max(initial=0.0)))
        nonzero = finite & (size_of > 0)
        relative = max(relative, float((off[nonzero] / size_of[nonzero]).max(initial=0.0)))
    return absolute, relative


def state_dict(layout: StateLayout, vector: NDArray[Any], rest: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Rebuild the full state dict, every tensor in its own type and under all its names."""
    vector = layout.decode(vector)
    state: dict[str, Tensor] = {}
    start = 0
    parts, others = layout.parameters, layout.others
    for name, shape, dtype, size in zip(parts.names, parts.shapes, parts.dtypes, parts.sizes, strict=True):
        piece = np.array(vector[start : start + size])
        state[name] = torch.from_numpy(piece).to(torch_dtype(dtype)).reshape(shape)
        start += size
    start = 0
    for name, shape, dtype, size in zip(others.names, others.shapes, others.dtypes, others.sizes, strict=True):
        length = size * BYTES[dtype]
        piece = np.array(rest[start : start + length])
        state[name] = torch.from_numpy(piece).view(torch_dtype(dtype)).reshape(shape) if length else torch.empty(shape)
        start += length
    for alias, name in layout.aliases.items():
        state[alias] = state[name]
    return state


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


def _checked(state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = state.get(name)
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
        raise CheckpointError(f"The model changed while it was recorded: {name} is gone or has another shape.")
    return tensor.detach()


def _raw(tensor: Tensor) -> NDArray[np.uint8]:
    plain = tensor.to("cpu").contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().copy() if plain.numel() else np.zeros(0, np.uint8)
