"""Classroom mode: what a class may start on a shared server, in one place.

``app --classroom`` sets an environment variable; pages and jobs ask :func:`limits`, which is None outside a class.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.catalogue import find_experiment, home, load_preset_or_file, preset_names
from experiments.experiment import ExperimentError
from experiments.spec import ExperimentSpec
from experiments.spec_toml import override

CLASSROOM_VARIABLE = "UNLEARNSCAPE_CLASSROOM"
JOBS_VARIABLE = "UNLEARNSCAPE_JOBS"
DEFAULT_JOBS = 2  # that run at a time in a class
MEASURING = ("surface", "sal", "ud", "curvature", "cross-task")  # commands on runs that exist


class ClassroomError(ExperimentError):
    """Something that is not done in a class; one sentence that says what may be done instead."""


@dataclass(frozen=True)
class Limits:
    """What a class may start.

    Attributes:
        presets: Offered on the Live page.
        epochs, seeds: The most of a training. lr: The largest learning rate.
        data: Data sets, all of which ship with the project: nothing is downloaded.
        networks: Those that train in seconds to minutes.
        grid: The most points along one axis of a surface.
        long_methods: Whether poisons that train a network of their own may be made.
        benchmarks: Whether benchmarks may be started.
        files: Whether a poison may be read from a file that is named by its path.
        uploads: Whether files of a browser may become an experiment.
        keep_bookmarks: Whether bookmarks may be added, renamed and deleted.
        deleting: Whether experiments may be deleted and restored.
    """

    presets: tuple[str, ...] = ("toy-ops", "toy-random", "digits-ops", "digits-random")
    epochs: int = 20
    seeds: int = 3
    lr: float = 1.0
    data: tuple[str, ...] = ("toy", "digits")
    networks: tuple[str, ...] = ("linear", "mlp", "lenet5", "cnn-small", "resnet-small")
    grid: int = 51
    long_methods: bool = False
    benchmarks: bool = False
    files: bool = False
    uploads: bool = False
    keep_bookmarks: bool = False
    deleting: bool = False


def limits() -> Limits | None:
    """The limits of a class, or None where there is no class."""
    return Limits() if os.environ.get(CLASSROOM_VARIABLE) == "1" else None


def check_job(arguments: Sequence[str]) -> None:
    """Refuse a job that goes beyond the limits of a class; outside a class anything may be started.

    Args:
        arguments: Of ``cli.py``, as :func:`experiments.jobs.start` takes them.

    Raises:
        ClassroomError: What is refused, and what may be done instead.
    """
    allowed = limits()
    if allowed is None:
        return
    command = arguments[0] if arguments else ""
    if command == "bench" and not allowed.benchmarks:
        raise ClassroomError("Benchmarks take too long for a class; look at one that is finished.")
    if command == "poison" and not allowed.long_methods:
        raise ClassroomError("In class only poisons are made that need no network; choose OPS, LSP or class-random.")
    if "--download" in arguments:
        raise ClassroomError("Nothing is downloaded in class; choose a data set that ships with the project.")
    if command not in ("run", *MEASURING) or len(arguments) < 2:
        raise ClassroomError(f"The command “{command}” is not for a class; train a preset or look at its results.")
    check_spec(_spec_of(arguments), allowed)


def check_spec(spec: ExperimentSpec, allowed: Limits) -> None:
    """Refuse a training that takes too long for a class, in one sentence."""
    if spec.data.name not in allowed.data:
        raise ClassroomError(f"The data set {spec.data.name} is not for a class; choose {' or '.join(allowed.data)}.")
    if spec.model.name not in allowed.networks:
        raise ClassroomError(
            f"The network {spec.model.name} takes too long for a class; choose one of {', '.join(allowed.networks)}."
        )
    if spec.training.epochs > allowed.epochs:
        raise ClassroomError(f"A class trains at most {allowed.epochs} epochs, not {spec.training.epochs}.")
    if spec.training.lr > allowed.lr:
        raise ClassroomError(f"In class the learning rate is at most {allowed.lr:g}, not {spec.training.lr:g}.")
    if len(spec.seeds) > allowed.seeds:
        raise ClassroomError(f"A class trains at most {allowed.seeds} seeds, not {len(spec.seeds)}.")
    if spec.surface.grid > allowed.grid:
        raise ClassroomError(f"In class a surface has at most {allowed.grid} points along an axis.")


def without_paths(text: str) -> str:
    """A text as a class may read it: the server's folders are left out of paths, names below them stay.

    Outside a class nothing changes: there, whoever reads is whoever serves.
    """
    if limits() is None:
        return text
    folders = {str(home()), str(home().absolute()), str(home().resolve()), str(Path(__file__).resolve().parents[1])}
    for folder in sorted(folders - {"."}, key=len, reverse=True):
        text = text.replace(f"{folder.rstrip('/')}/", "").replace(folder, Path(folder).name)
    return text


def free_name(name: str, folder: Path) -> str:
    """A name that no experiment in a folder has yet: the name itself, else with a number that counts up.

    In a class nobody's results are set aside or overwritten; a further student's run gets the next number.
    """
    number, found = 1, name
    while (folder / found).exists():
        number += 1
        found = f"{name}-{number}"
    return found


def _spec_of(arguments: Sequence[str]) -> ExperimentSpec:
    command, target = arguments[:2]
    preset = command == "run" and target in preset_names()  # as the command itself reads it
    spec = load_preset_or_file(target) if preset else find_experiment(target).spec
    changes = [value for flag, value in itertools.pairwise(arguments) if flag == "--set"]
    return override(spec, changes)
