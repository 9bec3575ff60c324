"""Which files are checkpoints, and in which order: by the number in the name, or by a list."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from checkpoints.errors import CheckpointError
from checkpoints.importing.shards import INDEXES, shards_of

TORCH = (".pt", ".pth", ".pth.tar", ".ckpt", ".t7", ".bin")  # .pth.tar: of PyTorch's ImageNet example, and no archive
SAFETENSORS = ".safetensors"
ENDINGS = (*TORCH, SAFETENSORS)
WHOLE = ("model.safetensors", "pytorch_model.bin")
INNER = (*WHOLE, *INDEXES)  # of a folder for each checkpoint, as Hugging Face's trainer writes
MAX_FILES = 100_000
MAX_LIST = 16 << 20  # bytes
_STEP = re.compile(r"(?<![a-z])(?:global[-_ ]?)?(?:steps?|iter(?:ation)?s?)[-_= ]*(\d+)", re.IGNORECASE)
_EPOCH = re.compile(r"(?<![a-z])(?:epochs?|ep)[-_= ]*(\d+)", re.IGNORECASE)
_OTHERS = re.compile(r"optim|^opt_state|scheduler|rng_state|training_args|(?<![a-z])scaler", re.IGNORECASE)
_PART = re.compile(r"-\d{5}-of-\d{5}")


@dataclass(frozen=True)
class Numbered:
    """A checkpoint file with its place in training, as far as its name or a list tells."""

    path: Path
    label: str  # what to call it: its name within the folder
    step: int | None = None
    epoch: float | None = None
    guessed: bool = False  # the step is a number in the name that is not called so


@dataclass(frozen=True)
class Plan:
    """Checkpoint files in order, how the order was found, and what was left out and why."""

    files: tuple[Numbered, ...]
    order: str
    left_out: tuple[str, ...] = ()


def find_checkpoints(places: Path | Sequence[Path], *, order: Path | None = None) -> Plan:
    """Find the checkpoint files of one run and put them in order.

    Args:
        places: A folder, or files.
        order: A text file with a line for each checkpoint: its name, optionally followed by its step and its epoch,
            with commas between them. Without steps they count from 0.

    Raises:
        CheckpointError: There are none, numbers occur twice, or the order cannot be told.
    """
    given = [places] if isinstance(places, Path) else list(places)
    found: list[Numbered] = []
    left_out: list[str] = []
    for place in given:
        if place.is_dir():
            files, others = _in_folder(place)
            found += files
            left_out += others
        elif not place.is_file():
            raise CheckpointError(f"There is no file or folder {place}.")
        else:
            found.append(Numbered(place, place.name))
    where = str(given[0]) if len(given) == 1 else f"{len(given)} files"
    if order is not None:
        return _by_list(found, order, left_out)
    if not found:
        raise CheckpointError(_nothing(given, left_out))
    if len(found) > MAX_FILES:
        raise CheckpointError(f"{where} holds more than {MAX_FILES} checkpoints; import a part of them.")
    return _by_number(found, where, left_out)


def ending_of(name: str) -> str:
    """Which of ``ENDINGS`` a file's name has, as it is written there; empty without one."""
    found = [name[-len(ending) :] for ending in ENDINGS if name.lower().endswith(ending)]
    return max(found, key=len, default="")


def is_part(name: str) -> bool:
    """Whether a file's name is that of one part of a model in several files."""
    return _PART.search(name) is not None


def _in_folder(folder: Path) -> tuple[list[Numbered], list[str]]:
    found: list[Numbered] = []
    left_out: list[str] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read ({error.strerror or error}).") from None
    # One model in several files: its index stands for them all, unless the model lies there as one file, too.
    whole = any((folder / name).is_file() for name in WHOLE)
    index = None if whole else next((folder / name for name in INDEXES if (folder / name).is_file()), None)
    parts = set(shards_of(index).values()) if index is not None else set()
    if index is not None:
        found.append(Numbered(index, folder.resolve().name))
    for entry in entries:
        if entry.name.startswith(".") or entry in parts:
            continue
        if entry.is_dir():
            inner = next((entry / name for name in INNER if (entry / name).is_file()), None)
            if inner is not None:
                found.append(Numbered(inner, entry.name))
        elif ending_of(entry.name) and entry.is_file():
            if is_part(entry.name):
                if whole or index is not None:
                    left_out.append(f"{entry.name}: a part of a model that lies beside it as another file or files")
                    continue
                raise CheckpointError(
                    f"{entry} is one part of a model in several files, whose index is not beside it "
                    f"({' or '.join(INDEXES)}); copy it there, or save the model as one file."
                )
            if _OTHERS.search(entry.name):
                left_out.append(f"{entry.name}: its name says that it is no model")
            else:
                found.append(Numbered(entry, entry.name))
    alone = [one for one in found if one.path.parent == folder]
    if alone and len(alone) < len(found):  # beside folders of checkpoints, the final model once more
        left_out += [f"{one.label}: lies beside folders that hold checkpoints" for one in alone]
        found = [one for one in found if one.path.parent != folder]
    return found, left_out


def _nothing(given: Sequence[Path], left_out: Sequence[str]) -> str:
    folder = given[0]
    if left_out:
        return f"{folder} holds no checkpoint of a model; left out: {'; '.join(left_out[:3])}."
    below = [p.name for p in sorted(folder.iterdir()) if p.is_dir() and _in_folder(p)[0]]
    if below:
        return f"{folder} holds no checkpoint itself, but its folders {', '.join(below[:6])} do; give those."
    return f"{folder} holds no checkpoint; its files should end in {', '.join(ENDINGS)}."


def _by_number(found: Sequence[Numbered], where: str, left_out: list[str]) -> Plan:
    stems = {one: one.label.removesuffix(ending_of(one.label)) for one in found}
    if len(found) == 1:
        step, epoch = _named(stems[found[0]])
        return Plan((Numbered(found[0].path, found[0].label, step, epoch),), "one checkpoint", tuple(left_out))
    named = {one: _named(stem) for one, stem in stems.items()}
    for kind, which in (("step", 0), ("epoch", 1)):
        having = [one for one in found if named[one][which] is not None]
        if 2 * len(having) > len(found):
            left_out += [f"{one.label}: no {kind} in its name" for one in found if one not in having]
            numbered = [Numbered(one.path, one.label, *named[one]) for one in having]
            return _sorted(numbered, kind, f"by the {kind} in the name", where, left_out)
    return _by_any_number(found, stems, where, left_out)


def _by_any_number(found: Sequence[Numbered], stems: dict[Numbered, str], where: str, left_out: list[str]) -> Plan:
    """Names say neither step nor epoch: the first number that differs in all of them."""
    numbers = {one: [int(n) for n in re.findall(r"\d{1,18}", stem)] for one, stem in stems.items()}
    having = [one for one in found if numbers[one]]
    left_out += [f"{one.label}: no number in its name" for one in found if one not in having]
    if not having:
        raise CheckpointError(
            f"The names of the {len(found)} checkpoints in {where} hold no number; give their order with --order FILE."
        )
    counts = {len(numbers[one]) for one in having}
    if len(counts) > 1:
        raise CheckpointError(
            f"The names of the checkpoints in {where} hold different counts of numbers, as in {having[0].label} and "
            f"{next(o.label for o in having if len(numbers[o]) != len(numbers[having[0]]))}; give their order with "
            "--order FILE."
        )
    columns = list(zip(*(numbers[one] for one in having), strict=True))
    distinct = [i for i, column in enumerate(columns) if len(set(column)) == len(column)]
    varying = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    chosen = distinct[0] if distinct else varying[-1] if varying else 0
    torch7 = all(one.path.suffix.lower() == ".t7" for one in having)  # Li et al. count epochs
    kind = "epoch" if torch7 else "step"
    said = f"by the number in the name, taken as the {kind}"
    if len(varying) > 1:
        said += f" (number {chosen + 1} of {len(columns)} in each)"
    numbered = [
        Numbered(one.path, one.label, None, float(numbers[one][chosen]))
        if torch7
        else Numbered(one.path, one.label, numbers[one][chosen], guessed=True)
        for one in having
    ]
    return _sorted(numbered, kind, said, where, left_out)


def _named(stem: str) -> tuple[int | None, float | None]:
    steps, epochs = _STEP.findall(stem), _EPOCH.findall(stem)
    return int(steps[-1][:18]) if steps else None, float(epochs[-1]) if epochs else None


def _sorted(found: Sequence[Numbered], kind: str, said: str, where: str, left_out: Sequence[str]) -> Plan:
    def key(one: Numbered) -> float:
        value = one.step if kind == "step" else one.epoch
        assert value is not None
        return value

    files = sorted(found, key=key)
    for a, b in itertools.pairwise(files):
        if key(a) == key(b):
            raise CheckpointError(
                f"{a.label} and {b.label} in {where} both have the number {key(a):g}; remove one, or give the order "
                "with --order FILE."
            )
    return Plan(tuple(files), said, tuple(left_out))


def _by_list(found: Sequence[Numbered], order: Path, left_out: Sequence[str]) -> Plan:
    try:
        if order.stat().st_size > MAX_LIST:
            raise CheckpointError(f"{order} is too large for a list of checkpoints.")
        lines = order.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise CheckpointError(f"The list {order} cannot be read ({reason}).") from None
    by_name = {one.label: one for one in found} | {one.path.name: one for one in found if one.label == one.path.name}
    listed: list[Numbered] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            listed.append(_listed(text, by_name, f"line {number} of {order}"))
    if not listed:
        raise CheckpointError(f"The list {order} names no checkpoint; write one name on each line.")
    names = [one.label for one in listed]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice:
        raise CheckpointError(f"The list {order} names {twice} twice; name each checkpoint once.")
    with_step = [one for one in listed if one.step is not None]
    if not with_step:
        listed = [Numbered(one.path, one.label, i, one.epoch) for i, one in enumerate(listed)]
    elif len(with_step) < len(listed):
        raise CheckpointError(
            f"The list {order} gives steps for some checkpoints only; give them for all, or for none."
        )
    for a, b in itertools.pairwise(listed):
        assert a.step is not None
        assert b.step is not None
        if b.step <= a.step:
            raise CheckpointError(
                f"The list {order} is out of order: {b.label} at step {b.step} follows {a.label} at step {a.step}."
            )
    unlisted = [f"{one.label}: not in the list" for one in found if one.label not in names]
    return Plan(tuple(listed), f"by the list {order.name}", (*left_out, *unlisted))


def _listed(text: str, by_name: dict[str, Numbered], where: str) -> Numbered:
    name, *numbers = [part.strip() for part in ([text] if text in by_name else text.split(","))]
    one = by_name.get(name)
    if one is None:
        raise CheckpointError(f"{where} names {name!r}, which is not among the checkpoints.")
    try:
        step = int(numbers[0]) if numbers and numbers[0] else None
        epoch = float(numbers[1]) if len(numbers) > 1 and numbers[1] else None
        if len(numbers) > 2 or (step is not None and not 0 <= step < 1 << 62):
            raise ValueError
    except ValueError:
        raise CheckpointError(f"{where} must be: name, or name,step, or name,step,epoch.") from None
    return Numbered(one.path, one.label, step, epoch)
