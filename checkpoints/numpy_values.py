"""NumPy's numbers in files of ``torch.save``, such as ``np.float64(0.93)`` beside the weights, as plain Python values.

A pickle of such a number calls two constructors of NumPy. They stand for the two below, which take a number's type and
bytes and nothing else, so that nothing from a file reaches NumPy's own, which know objects, fields and sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

_TYPES = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|U[0-9]{1,4}")


class NumpyType:
    """Stands for ``numpy.dtype``: the type of a number, of a truth value or of a short text."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not isinstance(code, str) or not _TYPES.fullmatch(code):
            raise ValueError("not the type of a number")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the order of bytes from what NumPy writes of a type, and nothing else."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("not the state of a number's type")
        self.order = state[1]


def number(kind: NumpyType, data: bytes) -> Any:
    """Stands for the constructor of NumPy's scalars: one value of a type from its bytes."""
    if not isinstance(kind, NumpyType) or not isinstance(data, bytes):
        raise ValueError("not a number")
    if kind.code[0] == "U":
        return data.decode("utf-32-be" if kind.order == ">" else "utf-32-le").rstrip("\0")
    (value,) = np.frombuffer(data, np.dtype(kind.order + kind.code))
    return value.item()


STAND_INS: tuple[tuple[Callable[..., Any], str], ...] = (
    (NumpyType, "numpy.dtype"),
    (number, "numpy._core.multiarray.scalar"),
    (number, "numpy.core.multiarray.scalar"),  # of NumPy 1
)
