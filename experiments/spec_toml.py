"""Specifications in and out of TOML: unknown entries and wrong types are refused by name."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from experiments.spec import (
    ArmSpec,
    DataSpec,
    DefenceSpec,
    ExperimentSpec,
    ModelSpec,
    SalSpec,
    SpecError,
    SurfaceSpec,
    TasksSpec,
    TrainingSpec,
)

PARTS: dict[str, type] = {
    "data": DataSpec,
    "model": ModelSpec,
    "training": TrainingSpec,
    "sal": SalSpec,
    "surface": SurfaceSpec,
}


def load_spec(path: Path) -> ExperimentSpec:
    """Read and check a TOML file. Raises :class:`SpecError` with one sentence."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"There is no file {path}; give a preset or the path of a TOML file.") from None
    except IsADirectoryError:
        raise SpecError(f"{path} is a folder; give the path of a TOML file.") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not valid TOML: {error}.") from None
    return spec_from_table(table, where=str(path))


def spec_from_table(table: Mapping[str, Any], *, where: str = "specification") -> ExperimentSpec:
    """Build a spec from nested tables, refusing unknown entries and wrong types by name."""
    table = dict(table)
    table.pop("made_by", None)
    arms = build_parts(ArmSpec, table.pop("arms", {}), "arms", where)
    defences = build_parts(DefenceSpec, table.pop("defences", {}), "defences", where)
    parts = {key: build_part(kind, table.pop(key, {}), key, where) for key, kind in PARTS.items()}
    if "tasks" in table:  # its absence means something
        parts["tasks"] = build_part(TasksSpec, table.pop("tasks"), "tasks", where)
    if "name" not in table:
        raise SpecError(f"{where}: the entry name is missing.")
    top = _build_arguments(ExperimentSpec, table, "", where, skip={"arms", "defences", *parts})
    try:
        return ExperimentSpec(**top, **parts, arms=arms, defences=defences)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def spec_to_table(spec: ExperimentSpec) -> dict[str, Any]:
    """Turn a spec into nested tables that TOML and JSON can hold; the inverse of :func:`spec_from_table`."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            table: dict[str, Any] = {}
            for entry in dataclasses.fields(value):
                if not entry.metadata.get("stored", True):
                    continue
                item = getattr(value, entry.name)
                if entry.name == "options":
                    table.update(plain(item))
                elif item is not None:
                    table[entry.name] = plain(item)
            return table
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return [plain(item) for item in value]
        return value

    table = plain(spec)
    assert isinstance(table, dict)
    return table


def spec_to_toml(spec: ExperimentSpec, *, made_by: Mapping[str, str] | None = None) -> str:
    """Write the resolved spec as TOML, with the versions that made it."""
    table = spec_to_table(spec)
    if made_by:
        table["made_by"] = dict(made_by)
    return tomli_w.dumps(table)


def override(spec: ExperimentSpec, assignments: Sequence[str]) -> ExperimentSpec:
    """Apply ``key=value`` assignments such as ``training.lr=0.05`` or ``seeds=[0,1,2]``.

    Values are read as TOML; anything that is not TOML is taken as a string.
    """
    table = spec_to_table(spec)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key.strip():
            raise SpecError(f"--set {assignment!r} is not of the form key=value, such as training.lr=0.05.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        *parents, last = key.strip().split(".")
        target = table
        for parent in parents:
            child = target.setdefault(parent, {})
            if not isinstance(child, dict):
                raise SpecError(f"--set {assignment!r}: {parent} is a value, not a table.")
            target = child
        target[last] = value
    return spec_from_table(table, where="--set")


def _as_table(value: Any, entry: str, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SpecError(f"{where}: {entry} must be a table, not {value!r}.")
    return dict(value)


def build_parts(kind: type, tables: Any, entry: str, where: str) -> dict[str, Any]:
    """Build one ``kind`` from each of the named tables below an entry, as ``[arms.NAME]``."""
    if not isinstance(tables, Mapping):
        raise SpecError(f"{where}: {entry} must be tables such as [{entry}.NAME].")
    return {name: build_part(kind, one, f"{entry}.{name}", where) for name, one in tables.items()}


def build_part(kind: type, table: Any, entry: str, where: str, **made: Any) -> Any:
    """Build a ``kind`` from a table, whose entries are checked, and from parts that are made already."""
    arguments = _build_arguments(kind, _as_table(table, entry, where), entry, where, skip={"options"})
    try:
        return kind(**arguments, **made)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _build_arguments(kind: type, table: dict[str, Any], entry: str, where: str, *, skip: set[str]) -> dict[str, Any]:
    fields = {f.name: f for f in dataclasses.fields(kind) if f.metadata.get("stored", True)}
    takes_options = "options" in fields
    arguments: dict[str, Any] = {}
    options: dict[str, Any] = dict(table.pop("options", {})) if takes_options else {}
    for key, value in table.items():
        name = f"{entry}.{key}" if entry else key
        if key in fields and key not in skip:
            arguments[key] = _convert(value, str(fields[key].type), name, where)
        elif takes_options:
            options[key] = value
        else:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {close[0]}?" if close else "known are " + ", ".join(sorted(fields)) + "."
            raise SpecError(f"{where}: {name} is not an entry of a specification; {hint}")
    if takes_options:
        arguments["options"] = options
    return arguments


def _convert(value: Any, annotation: str, name: str, where: str) -> Any:
    def wrong(wanted: str) -> SpecError:
        return SpecError(f"{where}: {name} is {value!r}; it must be {wanted}.")

    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation.startswith("str"):
        if not isinstance(value, str):
            raise wrong("text")
        return value
    if annotation == "bool":
        if not isinstance(value, bool):
            raise wrong("true or false")
        return value
    if annotation == "int":
        if not number or not float(value).is_integer():
            raise wrong("a whole number")
        return int(value)
    if annotation.startswith("float"):
        if value is None and "None" in annotation:
            return None
        if not number or value != value:
            raise wrong("a number")
        return float(value)
    if annotation.startswith("tuple[int"):
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in items):
            raise wrong("a list of whole numbers")
        return tuple(items)
    if annotation.startswith("tuple[str"):
        names = list(value) if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(name, str) for name in names):
            raise wrong("a list of names")
        return tuple(names)
    raise AssertionError(f"no rule for {annotation}")


def without_labels(spec: ExperimentSpec) -> dict[str, Any]:
    """The part of a spec that determines training: no names or texts, nothing that only measures."""
    table = spec_to_table(spec)
    for label in ("name", "title", "description", "sal", "surface", "metric"):
        table.pop(label, None)
    return table
