"""One model in several files, as Hugging Face saves it: an index says which file holds which tensor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from checkpoints.errors import CheckpointError
from checkpoints.layout import MAX_TENSORS

INDEX = ".index.json"
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MAX_INDEX = 64 << 20  # bytes
MAX_SHARDS = 10_000


def shards_of(index: Path) -> dict[str, Path]:
    """Which file holds each tensor of a model: {name of the tensor: file}; all of them lie beside the index.

    Raises:
        CheckpointError: The index cannot be read, names a file elsewhere, or one that is missing.
    """
    ending = Path(index.name.removesuffix(INDEX)).suffix
    found: dict[str, Path] = {}
    for name, file in _weight_map(index).items():
        if not file or file in (".", "..") or "/" in file or "\\" in file or "\0" in file:
            raise CheckpointError(
                f"{index} is refused: it names {file[:80]!r}, and only files beside it are read; save the model again."
            )
        if Path(file).suffix != ending:
            raise CheckpointError(f"{index} names {file[:80]!r}, which does not end in {ending}; save the model again.")
        found[name] = index.parent / file
    files = dict.fromkeys(found.values())
    if len(files) > MAX_SHARDS:
        raise CheckpointError(f"{index} names more than {MAX_SHARDS} files.")
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CheckpointError(
            f"{index.parent} lacks {', '.join(missing[:3])}{more}, which its {index.name} names; copy what is missing "
            "beside it."
        )
    return found


def _weight_map(index: Path) -> Mapping[str, str]:
    try:
        if index.stat().st_size > MAX_INDEX:
            raise CheckpointError(f"{index} is larger than {MAX_INDEX >> 20} MiB, which no index of a model is.")
        held = json.loads(index.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{index} cannot be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{index} is damaged: it is no JSON; save the model again.") from None
    listed = held.get("weight_map") if isinstance(held, dict) else None
    if not isinstance(listed, dict) or not listed or not all(isinstance(file, str) for file in listed.values()):
        raise CheckpointError(
            f"{index} has no weight_map that says which file holds which tensor; save the model again."
        )
    if len(listed) > MAX_TENSORS:
        raise CheckpointError(f"{index} lists more than {MAX_TENSORS} tensors.")
    return listed


def merge(index: Path, shards: Mapping[str, Path], held: Mapping[Path, Mapping[str, Any]]) -> dict[str, Tensor]:
    """The tensors that an index lists, in its order, from what each file holds.

    Args:
        shards: Of :func:`shards_of`. held: What each of its files holds.

    Raises:
        CheckpointError: A file lacks one of its tensors.
    """
    merged: dict[str, Tensor] = {}
    for name, file in shards.items():
        tensor = held[file].get(name)
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{file} does not hold {name}, which {index.name} says it does; the files are not of one model."
            )
        merged[name] = tensor
    return merged
