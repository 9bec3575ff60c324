"""Noise of REM and SEM: ``<name>-fin-def-noise.pkl``, a pickled int8 array [N, 3, H, W] in 8-bit units.

Fu, He, Liu, Shen and Tao, *Robust Unlearnable Examples* (ICLR 2022), and methods that share its code. A pickle is a
program; this one is read as data. Its instructions are listed first, and anything but those that rebuild one array is
refused before a single one has run. What then runs builds objects of this file alone, never numpy's own.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints import write_bytes
from training.artefacts.artefact import MAX_BYTES, Artefact, ArtefactError, channels_first, checked_file

PACKAGES = ("numpy.core.multiarray", "numpy._core.multiarray")
GLOBALS = {(package, name) for package in PACKAGES for name in ("_reconstruct", "scalar")} | {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
OPCODES = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "MARK"),
        *("TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE"),
        *("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    )
)
MAX_OPCODES = 400  # an array takes about forty
TYPES = {"i1": np.dtype(np.int8), "u1": np.dtype(np.uint8)}
PROTOCOL = 4  # the last one whose arrays need nothing but the globals above


def read(path: Path) -> Artefact:
    """Read the noise. Raises :class:`ArtefactError`; no code in the file is ever executed."""
    if checked_file(path).stat().st_size > MAX_BYTES:
        raise ArtefactError(f"{path} is larger than {MAX_BYTES >> 30} GiB; give a smaller file.")
    noise = unpickle_array(path.read_bytes(), str(path))
    if noise.dtype != np.int8:
        raise ArtefactError(f"{path} holds {noise.dtype} where int8 noise in 8-bit units is promised.")
    return Artefact("pkl", f"int8 noise {path}", delta=channels_first(noise, str(path)))


def write(path: Path, levels: NDArray[np.int8]) -> None:
    """Write noise [N, C, H, W] as REM does."""
    write_bytes(path, pickle.dumps(np.ascontiguousarray(levels), protocol=PROTOCOL))


def unpickle_array(data: bytes, where: str) -> NDArray[Any]:
    """Rebuild the one int8 or uint8 array that a pickle describes.

    Raises:
        ArtefactError: It describes anything else; the sentence names what.
    """
    _inspect(data, where)
    try:
        built = _ArrayUnpickler(io.BytesIO(data), where).load()
        array = built.array
    except ArtefactError:
        raise
    except Exception:  # instructions that are allowed one by one and make no array together
        raise ArtefactError(f"{where} is no pickled int8 array; save it with numpy.save instead.") from None
    if not isinstance(array, np.ndarray):
        raise ArtefactError(f"{where} is no pickled int8 array; save it with numpy.save instead.")
    return array


def _inspect(data: bytes, where: str) -> None:
    """Look at every instruction without following any."""
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                _check_global(module, name, where)
            if opcode.name not in OPCODES:
                raise ArtefactError(f"{where} is refused: the pickle holds {opcode.name}, which no int8 array needs.")
            index = argument if opcode.name in ("LONG_BINPUT", "LONG_BINGET") else 0
            if count >= MAX_OPCODES or (isinstance(index, int) and index > MAX_OPCODES):
                raise ArtefactError(f"{where} is refused: the pickle is longer than that of one int8 array.")
    except ArtefactError:
        raise
    except Exception:  # pickletools fails in many ways on what is no pickle
        raise ArtefactError(f"{where} is damaged or no pickle; save the noise again.") from None


def _check_global(module: str, name: str, where: str) -> None:
    if (module, name) not in GLOBALS:
        raise ArtefactError(
            f"{where} is refused: the pickle asks for {module}.{name}, and only int8 arrays of numpy are read; nothing "
            "in it was executed."
        )


class _ArrayUnpickler(pickle.Unpickler):
    """Maps the few names to stand-ins made for this one file, so that nothing it does to them outlives it."""

    def __init__(self, file: io.BytesIO, where: str) -> None:
        super().__init__(file)
        self._where = where

    def find_class(self, module: str, name: str) -> Any:
        _check_global(module, name, self._where)
        return {"_reconstruct": self._reconstruct, "scalar": self._scalar, "dtype": self._dtype}.get(name, object())

    def _reconstruct(self, *_: Any) -> _Array:
        return _Array(self._where)

    def _dtype(self, code: Any, *_: Any) -> _Type:
        if code not in TYPES:
            raise ArtefactError(f"{self._where} holds {code!r} values where int8 noise in 8-bit units is promised.")
        return _Type(TYPES[code])

    def _scalar(self, *_: Any) -> Any:
        raise ArtefactError(f"{self._where} holds a single number; an int8 array [N, C, H, W] is needed.")


class _Type:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment, which a byte has not."""


class _Array:
    """Stands in for ``numpy.ndarray``: takes the state numpy writes, and checks it."""

    def __init__(self, where: str) -> None:
        self.array: NDArray[Any] | None = None
        self._where = where

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if (
            not isinstance(kind, _Type)
            or not isinstance(data, bytes)
            or not all(type(n) is int and n >= 0 for n in shape)
        ):
            raise ArtefactError(f"{self._where} is no pickled int8 array; save it with numpy.save instead.")
        if math.prod(shape) != len(data):
            raise ArtefactError(f"{self._where} declares {list(shape)} values but holds {len(data)}; save it again.")
        self.array = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if fortran else "C").copy()
