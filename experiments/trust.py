"""Which experiments may run code of the user's own, remembered outside of them.

An experiment's folder may come from a stranger, and its spec may name any function that Python can import. So what a
spec names is run only where the user named it too, at the terminal: ``import --model …``, ``train --own-code`` or
``trust``. That is kept in ``$XDG_CONFIG_HOME/unlearnscape/own-code.json`` (default: below ``~/.config``) by the
folder's path and a digest of all that the spec names, with the directory that the code is imported from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from checkpoints import write_bytes
from checkpoints.durable import Lock
from experiments.progress import PROGRESS_VARIABLE
from experiments.spec import ExperimentSpec, Grant, own_names

CONFIG_VARIABLE = "XDG_CONFIG_HOME"
CLASSROOM_VARIABLE = "UNLEARNSCAPE_CLASSROOM"
MOST = 1 << 20  # bytes of the file that are read


def trust_file() -> Path:
    """Where grants are kept."""
    return Path(os.environ.get(CONFIG_VARIABLE) or Path.home() / ".config") / "unlearnscape" / "own-code.json"


def at_terminal() -> bool:
    """Whether a command was typed by the user, not started by a page as a job, nor in a class."""
    return not os.environ.get(PROGRESS_VARIABLE) and os.environ.get(CLASSROOM_VARIABLE) != "1"


def grant(folder: Path, spec: ExperimentSpec) -> None:
    """Let the experiment in a folder run what its spec names, imported from the present directory, from now on."""
    file = trust_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(file.with_suffix(".lock"))  # whoever comes at the same moment is told to try again
    try:
        kept = _read(file)
        kept[str(folder.resolve())] = {"digest": _digest(spec), "names": list(own_names(spec)), "root": os.getcwd()}
        write_bytes(file, json.dumps(kept, indent=2, sort_keys=True).encode())
    finally:
        lock.release()


def granted(spec: ExperimentSpec, folder: Path) -> ExperimentSpec:
    """The spec of the experiment in a folder, which knows whether it may run what it names."""
    if not own_names(spec):  # where something is not known, the runs may name it: see experiments.own_notes
        return spec if spec.model.name and spec.data.name else dataclasses.replace(spec, grant=Grant(str(folder)))
    entry = None if os.environ.get(CLASSROOM_VARIABLE) == "1" else _read(trust_file()).get(str(folder.resolve()))
    same = isinstance(entry, dict) and entry.get("digest") == _digest(spec) and isinstance(entry.get("root"), str)
    return dataclasses.replace(spec, grant=Grant(str(folder), entry["root"] if same and entry else None))


def for_now(spec: ExperimentSpec) -> ExperimentSpec:
    """The spec, allowed to run what it names in this process; only for what the user named at the terminal."""
    return dataclasses.replace(spec, grant=Grant(spec.name, os.getcwd()))


def _digest(spec: ExperimentSpec) -> str:
    """What a grant is for: every name, and what the functions are given."""
    named = [spec.model.name, spec.data.name, dict(spec.data.options), spec.loss]
    named += [] if spec.metric is None else [spec.metric]
    return hashlib.sha256(json.dumps(named, sort_keys=True, default=str).encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            found = json.loads(opened.read(MOST))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
