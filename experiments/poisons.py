"""Poisons, made once: costly ones are kept in a file that every process and every run of the experiment reads."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints import CheckpointError, read_result, write_result
from experiments.bench_spec import BENCH_FILE
from experiments.catalogue import is_gallery
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.progress import Progress, Silent
from experiments.spec import ArmSpec, content_key
from training import UNLEARNABLE, Dataset, Poison, poison
from training.data.levels import from_levels, to_levels
from training.unlearnable import permuted

KIND = "poison"
VERSION = 1  # of what the methods compute; one more whenever the same settings give other bits
COSTLY = 1.0  # seconds after which a poison is kept
LARGEST = 512 << 20  # bytes that a file may hold
LATER = {"tasks": ""}  # options that came when files had been named, with the defaults that change nothing
_HEADER = ("method", "budget", "options", "description")  # of a poison, in its file's header


def poisoned_inputs(
    experiment: Experiment, dataset: Dataset, arm: ArmSpec, seed: int, *, progress: Progress | None = None
) -> Poison:
    """Apply an arm's unlearnable method to the training data, or read what an earlier call made.

    A method that reports its progress is a phase of ``progress``, and stops where that raises.
    """
    options = dict(arm.options)
    permute = options.pop("permute", False)
    if not isinstance(permute, bool):
        raise ExperimentError(f"The option permute of {arm.method} is true or false, not {permute!r}.")
    if permute:  # of what another arm may have made already
        whole = poisoned_inputs(experiment, dataset, replace(arm, options=options), seed, progress=progress)
        return permuted(whole, dataset, seed=seed)
    target = poison_folder(experiment) / f"{poison_key(dataset, arm, seed)}.h5"
    if target.is_file():
        try:
            return _read(target, dataset)
        except CheckpointError:
            pass  # damaged or of another kind: made again, and replaced
    begun = time.monotonic()
    label = f"making the poison {arm.method}, seed {seed}"
    made = poison(
        arm.method,
        dataset,
        seed=seed,
        ratio=arm.ratio,
        strength=arm.strength,
        progress=_watcher(progress or Silent(), label),
        **options,
    )
    if time.monotonic() - begun > COSTLY and not is_gallery(experiment):
        _write(target, dataset, made)
    return made


def poison_key(dataset: Dataset, arm: ArmSpec, seed: int) -> str:
    """Hash of everything that determines an arm's poison, defaults included."""
    method = UNLEARNABLE.get(arm.method)
    parameters = inspect.signature(method).parameters.values() if method else ()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    defaults = {name: value for name, value in defaults.items() if name not in LATER or value != LATER[name]}
    content = defaults | dict(arm.options) | {"strength": arm.strength}
    content.pop("progress", None)
    return content_key(
        {
            "method": arm.method,
            "options": {name: value for name, value in content.items() if name not in ("dataset", "seed")},
            "seed": seed,
            "ratio": float(arm.ratio),
            "data": dataset.fingerprint,
            "version": VERSION,
        }
    )


def poison_folder(experiment: Experiment) -> Path:
    """Where an experiment's poisons lie: beside its siblings on a bench, else with itself."""
    above = experiment.path.resolve().parent
    return (above if (above / BENCH_FILE).is_file() else experiment.path) / "poisons"


def _watcher(progress: Progress, label: str) -> Callable[[int, int], None]:
    """A method's ``progress(done, total)`` as a phase; one that changes its total begins a new phase."""
    seen = [-1, 0]  # total, done

    def watch(done: int, total: int) -> None:
        if total != seen[0]:
            progress.start(label, total, done)
        elif done > seen[1]:
            progress.advance(done - seen[1])
        seen[:] = total, done

    return watch


def _write(target: Path, dataset: Dataset, made: Poison) -> None:
    levels = to_levels(made.x_train) if dataset.eight_bit else None
    exact = levels is not None and np.array_equal(from_levels(levels), made.x_train)
    arrays: dict[str, NDArray[Any]] = {
        "inputs": levels if exact and levels is not None else made.x_train,
        "labels": made.y_train,
        "changed": made.changed,
    }
    if sum(array.nbytes for array in arrays.values()) > LARGEST:
        return
    header = {entry: getattr(made, entry) for entry in _HEADER} | {
        "options": dict(made.options),
        "data_fingerprint": dataset.fingerprint,
        "versions": versions(),
    }
    target.parent.mkdir(exist_ok=True)
    write_result(target, kind=KIND, header=header, arrays=arrays)


def _read(path: Path, dataset: Dataset) -> Poison:
    stored = read_result(path, kind=KIND)
    header, arrays = stored.header, stored.arrays
    missing = {"inputs", "labels", "changed"} - set(arrays) | {*_HEADER} - set(header)
    if missing or arrays["inputs"].shape != dataset.x_train.shape:
        raise CheckpointError(f"{path} does not hold the poison of this data set; delete it.")
    inputs = from_levels(arrays["inputs"]) if arrays["inputs"].dtype == np.uint8 else arrays["inputs"]
    return Poison(
        inputs,
        arrays["labels"],
        inputs - dataset.x_train,
        arrays["changed"].astype(bool),
        **{entry: header[entry] for entry in _HEADER},
    )
