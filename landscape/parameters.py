"""Parameter vectors and blocks: how a model's trainable parameters line up in one flat vector of length D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BlockSelection = str | Sequence[str] | Sequence[int] | NDArray[np.integer] | None


@dataclass(frozen=True)
class ParameterLayout:
    """Where each trainable parameter lies in the flat vector: model order, each tensor row by row.

    Tied parameters appear once, under their first name, as in ``named_parameters``.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def from_model(cls, model: nn.Module) -> ParameterLayout:
        """Read the layout of ``model``'s trainable parameters (``requires_grad``)."""
        named = [(n, tuple(p.shape)) for n, p in model.named_parameters() if p.requires_grad]
        return cls(tuple(n for n, _ in named), tuple(s for _, s in named))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of scalars of each parameter tensor."""
        return tuple(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes)

    @property
    def size(self) -> int:
        """D, the number of trainable scalars."""
        return sum(self.sizes)

    @property
    def slices(self) -> dict[str, slice]:
        """The range of the flat vector that each parameter tensor fills."""
        ends = np.cumsum((0, *self.sizes))
        return {n: slice(int(a), int(b)) for n, a, b in zip(self.names, ends[:-1], ends[1:], strict=True)}

    def scalar_name(self, index: int) -> str:
        """Name one scalar of the flat vector, as ``fc3.weight[4, 17]``."""
        if not 0 <= index < self.size:
            raise ValueError(f"parameter index {index} is outside 0…{self.size - 1}")
        for (name, where), shape in zip(self.slices.items(), self.shapes, strict=True):
            if where.start <= index < where.stop:
                position = np.unravel_index(index - where.start, shape) if shape else ()
                return f"{name}[{', '.join(str(int(i)) for i in position)}]"
        raise AssertionError("slices cover the vector")

    def vector(self, model: nn.Module) -> Tensor:
        """Copy the trainable parameters of ``model`` into one detached float64 CPU vector [D]."""
        parameters = dict(model.named_parameters())
        parts = [parameters[name].detach().reshape(-1).to("cpu", torch.float64) for name in self.names]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)

    def load(self, model: nn.Module, vector: Tensor | NDArray[np.floating]) -> None:
        """Write a flat vector [D] into the trainable parameters of ``model``, in place."""
        flat = torch.as_tensor(vector)
        if flat.shape != (self.size,):
            raise ValueError(f"expected a vector of {self.size} parameters, got shape {tuple(flat.shape)}")
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for (name, where), shape in zip(self.slices.items(), self.shapes, strict=True):
                parameters[name].copy_(flat[where].reshape(shape))

    def unflatten(self, vector: Tensor | NDArray[np.floating]) -> dict[str, Tensor]:
        """Split a flat vector [D] into tensors by parameter name (views where possible)."""
        flat = torch.as_tensor(vector)
        if flat.shape != (self.size,):
            raise ValueError(f"expected a vector of {self.size} parameters, got shape {tuple(flat.shape)}")
        return {
            name: flat[where].reshape(shape)
            for (name, where), shape in zip(self.slices.items(), self.shapes, strict=True)
        }

    def select(self, block: BlockSelection) -> NDArray[np.int64]:
        """Turn a block selection into sorted flat indices.

        ``None`` is everything; a string is a parameter name (``fc3.weight``) or a module prefix (``fc3``); a
        sequence of strings is their union; integers are flat indices.
        """
        if block is None:
            return np.arange(self.size)
        if isinstance(block, str):
            block = [block]
        items = list(block)
        if not items:
            raise ValueError("an empty block was selected; name a layer or pass None for all parameters")
        if all(isinstance(item, str) for item in items):
            ranges: list[NDArray[np.int64]] = []
            for item in items:
                found = [r for n, r in self.slices.items() if n == item or n.startswith(f"{item}.")]
                if not found:
                    raise ValueError(f"no parameter is called {item!r}; choose from {', '.join(self.names)}")
                ranges.extend(np.arange(r.start, r.stop) for r in found)
            return np.unique(np.concatenate(ranges))
        indices = np.unique(np.asarray(items, dtype=np.int64))
        if indices[0] < 0 or indices[-1] >= self.size:
            raise ValueError(f"block indices must lie in 0…{self.size - 1}")
        return indices


@dataclass(frozen=True)
class Block:
    """A set of scalars of one weight tensor that is moved together: a layer, one unit of it, or one scalar."""

    name: str
    parameter: str
    start: int  # flat range within the parameter tensor, row by row
    stop: int

    @property
    def size(self) -> int:
        """Number of scalars in the block."""
        return self.stop - self.start


def model_blocks(model: nn.Module, granularity: str = "layer") -> list[Block]:
    """List the blocks SAL is measured on: the ``weight`` of every Conv2d and Linear, whole or in parts.

    ``"layer"``: one block per weight tensor (Ye et al. 2025); ``"unit"``: one per output filter or neuron;
    ``"parameter"``: one per scalar. Biases and normalisation layers never count. Frozen weights are left out.
    Order: ``named_parameters``. A tied weight counts once.
    """
    if granularity not in ("layer", "unit", "parameter"):
        raise ValueError(f"blocks must be 'layer', 'unit' or 'parameter', not {granularity!r}")
    weights = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    blocks: list[Block] = []
    for name, parameter in model.named_parameters():
        if id(parameter) not in weights or not parameter.requires_grad:
            continue
        layer = name.removesuffix(".weight")
        n, units = parameter.numel(), parameter.shape[0]
        if granularity == "layer":
            blocks.append(Block(layer, name, 0, n))
        elif granularity == "unit":
            width = n // units
            blocks.extend(Block(f"{layer}[{u}]", name, u * width, (u + 1) * width) for u in range(units))
        else:
            shape = tuple(parameter.shape)
            for i in range(n):
                position = ", ".join(str(int(k)) for k in np.unravel_index(i, shape))
                blocks.append(Block(f"{layer}[{position}]", name, i, i + 1))
    return blocks


def uncounted_weights(model: nn.Module) -> list[str]:
    """Weights that are no block, by name: trainable tensors of two or more dimensions that no Conv2d or Linear holds.

    Such as the packed projections of an attention layer, an embedding, or a convolution over time. SAL says nothing of
    them, and #LP and UD do not count them.
    """
    counted = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    return [n for n, p in model.named_parameters() if p.requires_grad and p.ndim >= 2 and id(p) not in counted]
