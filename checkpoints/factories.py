"""The functions that make a run's network and data again, its loss and metric: kept as names, never run here.

A name is ``package.module:function``, as the command line takes it. What a file names may come from a stranger: it is
shown, and run only where the user names it too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from checkpoints.errors import CheckpointError

OWN_PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
LOSSES = ("cross-entropy", "next-token", "mse", "l1", "bce")  # that need no function: training.own_losses has them
FACTORIES = ("model_factory", "data_factory", "loss", "metric")  # keys of a run's metadata
LONGEST = 200  # letters of a name
Named = str | Callable[..., Any]


def is_own(name: Any) -> bool:
    """Whether this is a name ``package.module:function``."""
    return isinstance(name, str) and len(name) <= LONGEST and OWN_PATTERN.match(name) is not None


def with_factories(metadata: Mapping[str, Any], **given: Named | None) -> dict[str, Any]:
    """Metadata with the names of what was given under the keys ``FACTORIES``; each checked, nothing imported.

    Raises:
        CheckpointError: One has no name that it can be imported by, or the metadata name something else.
    """
    found = dict(metadata)
    for key, value in given.items():
        if value is None:
            continue
        name = _checked(key, value) if isinstance(value, str) else _name_of(key, value)
        if found.setdefault(key, name) != name:
            raise CheckpointError(f"{key} is {name!r}, but the metadata say {found[key]!r}; give it once.")
    return found


def factories_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The names that a run's metadata hold, by the keys ``FACTORIES``; what is no such name is left out."""
    named = {key: metadata.get(key) for key in FACTORIES}
    return {key: str(name) for key, name in named.items() if is_own(name) or (key == "loss" and name in LOSSES)}


def _checked(key: str, name: str) -> str:
    if key == "loss" and name in LOSSES:
        return name
    if not is_own(name):
        others = f", or one of {', '.join(LOSSES)}" if key == "loss" else ""
        raise CheckpointError(f"{key} is {name!r}; it must be a function or its package.module:function{others}.")
    module_name, _, attribute = name.partition(":")
    module = sys.modules.get(module_name)  # of one that is not loaded, nothing can be said without running it
    if module is not None and not callable(_attribute(module, attribute)):
        raise CheckpointError(f"{key} is {name!r}, but the module {module_name} has no function {attribute}.")
    return name


def _name_of(key: str, function: Any) -> str:
    """The name by which a function, or a class, is imported again."""
    module_name = getattr(function, "__module__", None)
    attribute = getattr(function, "__qualname__", None)
    if not callable(function) or not isinstance(module_name, str) or not isinstance(attribute, str):
        raise CheckpointError(
            f"{key} is a {type(function).__name__}; it must be a function with a name, or its package.module:function."
        )
    if _attribute(sys.modules.get(module_name), attribute) is not function:
        raise CheckpointError(
            f"{key} is {attribute}, which cannot be imported by its name; give a function that stands at the top of a "
            "module."
        )
    name = f"{_importable(module_name)}:{attribute}"
    if not is_own(name):
        raise CheckpointError(f"{key} is {attribute}, which is in no file that can be imported; put it into a module.")
    return name


def _importable(module_name: str) -> str:
    """A module's name; that of the running script goes by its file, seen from the present directory if it is below."""
    if module_name != "__main__":
        return module_name
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:  # python -m
        return str(main.__spec__.name)  # type: ignore[union-attr]
    file = getattr(main, "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve().with_suffix("")
    here = Path.cwd().resolve()
    return ".".join(path.relative_to(here).parts) if path.is_relative_to(here) else path.name


def _attribute(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module
