"""One checkpoint file as a state dict: where in it that was found, which prefix its names had, what lies beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.errors import CheckpointError
from checkpoints.importing.finding import SAFETENSORS
from checkpoints.importing.shards import INDEX, merge, shards_of
from checkpoints.layout import MAX_TENSORS
from checkpoints.torch_files import MAX_BYTES, load_torch

# Keys under which people keep a model's state, best known first.
NESTINGS = ("state_dict", "model_state_dict", "model", "net", "network", "model_state", "module", "weights", "params")
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")  # of DataParallel, torch.compile and FSDP
PREFIXES = (*WRAPPERS, "model.", "net.", "network.")
INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # may stand anywhere in a name
DEPTH = 3
STEP_KEYS, EPOCH_KEYS = ("global_step", "step", "iteration", "iter"), ("epoch",)
_KIB = 1 << 10
_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, eq=False)
class State:
    """A model's state as a file holds it.

    Attributes:
        tensors: By name, without the prefix; tensors that share their storage are one object.
        nesting: Keys that lead to it, as ``checkpoint.state_dict``; empty when it is the file itself.
        prefix: What was taken off every name.
        step, epoch: Numbers that lay beside it.
        beside: Other keys of the file, and entries that are no tensors.
        removed: Names that safetensors left out because they are tied: {name: name it is tied to}.
    """

    tensors: dict[str, Tensor]
    nesting: str = ""
    prefix: str = ""
    step: int | None = None
    epoch: float | None = None
    beside: tuple[str, ...] = ()
    removed: Mapping[str, str] = field(default_factory=dict)


def read_state(path: Path, *, wanted: Collection[str] = ()) -> State:
    """Read the state dict in a file of ``torch.save`` or of safetensors. Nothing in the file is executed.

    ``wanted``: names that the model has; a prefix that belongs to them stays. Raises :class:`CheckpointError`.
    """
    held, metadata, size = _read(path)
    nesting, found, beside, numbers = _find(held, path)
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    beside += tuple(f"{name} ({type(v).__name__})" for name, v in found.items() if not isinstance(v, Tensor))
    _check(tensors, path, size)
    tensors = _one_object_each(tensors)
    prefix, named = _strip(tensors, frozenset(wanted))
    removed = {k: v for k, v in metadata.items() if v in tensors and k not in tensors}
    numbers = {**{k: int(v) for k, v in metadata.items() if _DIGITS.fullmatch(v)}, **numbers}
    step, epoch = _number(numbers, STEP_KEYS), _number(numbers, EPOCH_KEYS)
    return State(named, ".".join(nesting), prefix, None if step is None else int(step), epoch, beside, removed)


def _read(path: Path) -> tuple[Any, Mapping[str, str], int]:
    """What a file holds, what it says of itself beside that, and its size in bytes; of an index, of all its files."""
    if path.name.endswith(INDEX):
        shards = shards_of(path)
        held: dict[Path, Mapping[str, Any]] = {}
        said: dict[str, str] = {}
        size = 0
        for file in dict.fromkeys(shards.values()):
            content, metadata, bytes_here = _read(file)
            if not isinstance(content, Mapping):
                raise CheckpointError(f"{file} holds {_article(content)}, where a part of a state dict is needed.")
            held[file], said, size = content, {**said, **metadata}, size + bytes_here
        return merge(path, shards, held), said, size
    if path.suffix.lower() == SAFETENSORS:
        return *_read_safetensors(path), path.stat().st_size
    return load_torch(path), {}, path.stat().st_size


def read_metadata(path: Path) -> Mapping[str, str]:
    """What a safetensors file says of itself beside its tensors. Raises :class:`CheckpointError`."""
    return _read_safetensors(path, tensors=False)[1]


def _read_safetensors(path: Path, *, tensors: bool = True) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    from safetensors import SafetensorError, safe_open  # few imports need it

    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(f"{path} is larger than {MAX_BYTES >> 30} GiB; give a smaller file.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys() if tensors else ()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except PermissionError:
        raise CheckpointError(f"{path} may not be read; change its permissions.") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError):
        raise CheckpointError(f"{path} is damaged or no safetensors file; save it again.") from None


def _find(held: Any, path: Path) -> tuple[tuple[str, ...], Mapping[str, Any], tuple[str, ...], Mapping[str, Any]]:
    """The nesting, the state dict, names of what lies beside it, and the plain values there."""
    nesting: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    numbers: dict[str, Any] = {}
    for _ in range(DEPTH + 1):
        if not isinstance(held, Mapping):
            raise CheckpointError(
                f"{path} holds {_article(held)}, where a state dict is needed; save model.state_dict()."
            )
        if {"state", "param_groups"} <= held.keys():
            raise CheckpointError(f"{path} holds an optimizer's state, not a model's; give the file with the weights.")
        if held and _share(held) > 0.5:
            return nesting, {str(k): v for k, v in held.items()}, beside, numbers | {str(k): v for k, v in held.items()}
        inner = _inner(held)
        if inner is None:
            what = ", ".join(str(k) for k in list(held)[:6]) or "nothing"
            raise CheckpointError(f"{path} holds no state dict; it holds {what}.")
        beside += tuple(str(k) for k in held if k != inner)
        numbers |= {str(k): v for k, v in held.items() if k != inner}
        nesting, held = (*nesting, inner), held[inner]
    raise CheckpointError(f"{path} nests its state dict too deeply; save model.state_dict() alone.")


def _inner(held: Mapping[Any, Any]) -> str | None:
    """The key under which the state dict lies: a known one, else the only one that fits."""

    def fits(key: Any) -> bool:
        value = held[key]
        return isinstance(value, Mapping) and bool(value) and not {"state", "param_groups"} <= value.keys()

    known = [key for key in NESTINGS if key in held and fits(key)]
    if known:
        return known[0]
    others = [key for key in held if isinstance(key, str) and fits(key) and _share(held[key]) > 0.5]
    return others[0] if len(others) == 1 else None


def _share(held: Mapping[Any, Any]) -> float:
    return sum(isinstance(value, Tensor) for value in held.values()) / len(held) if held else 0.0


def _article(held: Any) -> str:
    name = type(held).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _check(tensors: Mapping[str, Tensor], path: Path, size: int) -> None:
    """Refuse what no model's state holds, and shapes that a little memory is stretched to."""
    if len(tensors) > MAX_TENSORS:
        raise CheckpointError(f"{path} holds more than {MAX_TENSORS} tensors.")
    seen, total = set(), 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
            raise CheckpointError(f"{name} in {path} is sparse, complex, quantised or without values; save it dense.")
        needed = prod(tensor.shape) * tensor.element_size()
        if needed > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{name} in {path} declares {list(tensor.shape)} values but holds fewer; save it with .contiguous()."
            )
        if _place(tensor) not in seen:
            seen.add(_place(tensor))
            total += needed
    if total > size + _KIB:
        raise CheckpointError(f"{path} declares more values than it holds; save each tensor with .clone().")


def _place(tensor: Tensor) -> tuple[Any, ...]:
    if tensor.numel() == 0:
        return (id(tensor),)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def _one_object_each(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tied weights, which share their storage, as one object."""
    first: dict[tuple[Any, ...], Tensor] = {}
    return {name: first.setdefault(_place(tensor), tensor) for name, tensor in tensors.items()}


def _strip(tensors: Mapping[str, Tensor], wanted: frozenset[str]) -> tuple[str, dict[str, Tensor]]:
    """Take off what wrappers put in front of every name, as long as that does not lead away from the model's names."""
    named, taken = dict(tensors), ""
    for mark in INSIDE:
        inside = {name.replace(mark, ""): tensor for name, tensor in named.items()}
        if len(inside) == len(named) and inside.keys() != named.keys() and not wanted & named.keys():
            named, taken = inside, taken + mark
    while True:
        prefix = next((p for p in PREFIXES if named and all(n.startswith(p) for n in named)), None)
        if prefix is None or wanted & named.keys():
            full, short = next(zip(tensors, named, strict=True), ("", ""))
            return full.removesuffix(short) if full.endswith(short) else taken, named
        named, taken = {name.removeprefix(prefix): tensor for name, tensor in named.items()}, taken + prefix


def _number(numbers: Mapping[str, Any], keys: Collection[str]) -> float | None:
    for key in keys:
        value = numbers.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1 << 62:
            return float(value)
    return None
