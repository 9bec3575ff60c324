"""How a model's state is stored: trainable parameters as one vector, everything else as raw bytes, aliases by name.

Who only reads needs no PyTorch: to and from its tensors goes ``checkpoints.tensors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

EXACT_IN_FLOAT32 = {"torch.float32", "torch.float16", "torch.bfloat16"}
FLOATING = {"torch.float64": 8, "torch.float32": 4, "torch.float16": 2, "torch.bfloat16": 2}  # bytes of a number
BYTES = FLOATING | {"torch.int64": 8, "torch.int32": 4, "torch.int16": 2, "torch.int8": 1, "torch.uint8": 1}
BYTES |= {"torch.bool": 1}
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
        return sum(n * BYTES[d] for n, d in zip(self.sizes, self.dtypes, strict=True))


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

    @property
    def vector_dtype(self) -> np.dtype[Any]:
        """float32 where that is exact for every parameter, else float64; or what ``storage`` asks for."""
        if self.storage:
            return STORED[self.storage]
        exact = set(self.parameters.dtypes) <= EXACT_IN_FLOAT32
        return np.dtype(np.float32 if exact else np.float64)

    def decode(self, vector: NDArray[Any]) -> NDArray[Any]:
        """A stored vector, or a table of such, as the numbers it stands for: float32, or float64 where kept so."""
        if self.storage == "bfloat16":
            return (vector.astype(np.uint32) << 16).view(np.float32)
        return vector.astype(np.float32) if self.storage else vector

    def is_finite(self, vector: NDArray[Any], rest: NDArray[np.uint8]) -> bool:
        """Whether all stored parameters and buffers of a checkpoint are finite numbers."""
        for start in range(0, len(vector), _PIECE):
            if not _all_finite(vector[start : start + _PIECE], self.storage == "bfloat16"):
                return False
        start = 0
        for dtype, size in zip(self.others.dtypes, self.others.sizes, strict=True):
            stop = start + size * BYTES[dtype]
            if size and dtype in FLOATING:
                kind = dtype.removeprefix("torch.")
                values = np.array(rest[start:stop]).view(STORED.get(kind, kind))
                if not _all_finite(values, kind == "bfloat16"):
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


def _all_finite(values: NDArray[Any], bfloat16: bool) -> bool:
    if bfloat16:
        return not ((values & _BFLOAT16_EXPONENT) == _BFLOAT16_EXPONENT).any()
    return bool(np.isfinite(values).all())


def _tensors(table: Mapping[str, Any]) -> Tensors:
    names, shapes, dtypes = table["names"], table["shapes"], table["dtypes"]
    if not len(names) == len(shapes) == len(dtypes) <= MAX_TENSORS:
        raise ValueError("lengths")
    for name, shape, dtype in zip(names, shapes, dtypes, strict=True):
        if not isinstance(name, str) or dtype not in BYTES:
            raise ValueError("types")
        if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 40 for n in shape):
            raise ValueError("shapes")
    return Tensors(tuple(names), tuple(tuple(s) for s in shapes), tuple(dtypes))
