"""Reading files of ``torch.save`` that hold tensors and plain values, and nothing else: no code in them ever runs."""

from __future__ import annotations

import pickletools
import re
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from checkpoints.errors import CheckpointError
from checkpoints.numpy_values import STAND_INS

MAX_BYTES = 64 << 30
_LISTED = 16 << 20  # bytes of a plain pickle that are looked through for what it asks for
_ONE_AT_A_TIME = threading.Lock()  # what is allowed is a setting of the whole process


def load_torch(path: Path, *, limit: int = MAX_BYTES) -> Any:
    """What ``torch.load`` gives for tensors and plain containers, on the CPU whatever device they were saved from.

    Single numbers of NumPy become plain ones; everything else that is neither tensor nor plain is refused.

    ``limit``: bytes of the file and of what it unpacks to. An archive that unpacks to more than it holds is refused
    before it is read: ``torch.save`` does not compress.

    Raises:
        CheckpointError: No such file, a damaged one, or one that asks for code, which is never run.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    _check_archive(path, limit)
    try:
        with _ONE_AT_A_TIME, torch.serialization.safe_globals(list(STAND_INS)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch names its own source file; what matters is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make any layer of the format fail in its own way
        if isinstance(error, PermissionError):
            raise CheckpointError(f"{path} may not be read; change its permissions.") from None
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise CheckpointError(f"{path} needs more memory than there is for it; give a smaller file.") from None
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        asked = found[1] if found else _asked(path)
        if asked:
            raise CheckpointError(
                f"{path} is refused: it asks for {asked}, and only tensors are read; nothing in it was executed."
            ) from None
        raise _damaged(path) from None


def _asked(path: Path) -> str:
    """What a plain pickle, which torch does not read at all, asks for first; empty where it is none or asks nothing.

    The pickle is only listed, as a disassembler does; nothing is made of it.
    """
    texts: list[str] = []  # the last two of them name what STACK_GLOBAL asks for
    memo: list[str] = []
    try:
        if zipfile.is_zipfile(path):
            return ""
        with path.open("rb") as file:
            for operation, argument, _ in pickletools.genops(file.read(_LISTED)):
                name = operation.name
                if name in ("GLOBAL", "INST"):
                    return _printable(str(argument).replace(" ", "."))
                if name == "STACK_GLOBAL":
                    return _printable(".".join(texts[-2:]))
                if name == "MEMOIZE":
                    memo.append(texts[-1] if texts else "")
                elif name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
                    texts.append(memo[argument] if argument < len(memo) else "")
                elif isinstance(argument, str):
                    texts.append(argument)
    except Exception:  # a damaged one; that is said by whoever asked
        return ""
    return ""


def _printable(name: str) -> str:
    return re.sub(r"[^\w.]", "_", name)[:80]


def _check_archive(path: Path, limit: int) -> None:
    size = path.stat().st_size
    too_large = CheckpointError(f"{path} is larger than {limit >> 30} GiB; give a smaller file.")
    if size > limit:
        raise too_large
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except Exception as error:
        if isinstance(error, PermissionError):
            raise CheckpointError(f"{path} may not be read; change its permissions.") from None
        raise _damaged(path) from None
    if unpacked > limit:
        raise CheckpointError(f"{path} unpacks to more than {limit >> 30} GiB; give a smaller file.")
    if unpacked > size:
        raise CheckpointError(f"{path} is refused: it unpacks to more than it holds, which torch.save never makes.")


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or no file of torch.save that holds tensors alone.")
