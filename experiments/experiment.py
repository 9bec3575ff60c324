"""An experiment on disk: its folder, resolved spec, runs and results."""

from __future__ import annotations

import dataclasses
import importlib.util
import platform
import runpy
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from checkpoints import CheckpointError, Result, Run, open_run, read_result, write_bytes
from experiments.spec import IMPORTED_METHOD, ExperimentSpec, SpecError, parse_run_name, run_name
from experiments.spec_toml import load_spec, spec_to_toml, without_labels
from experiments.trust import granted
from landscape.style import OWN

SPEC_FILE = "experiment.toml"
LIVE_SUFFIX = ".live"


class ExperimentError(ValueError):
    """An experiment that cannot do what was asked; the message is one sentence with the remedy."""


def gone(folder: Path) -> ExperimentError:
    """What is said where an experiment's folder went while it was being worked on."""
    return ExperimentError(
        f"{folder.name} was deleted or moved while it was worked on; put it back and go on, or start it again."
    )


def versions() -> dict[str, str]:
    """Versions of what computes the numbers, stored with every result."""
    return {
        "python": platform.python_version(),
        "torch": _torch_version(),
        "torchvision": metadata.version("torchvision"),
        "pillow": metadata.version("pillow"),
        "numpy": np.__version__,
        "scikit-learn": metadata.version("scikit-learn"),
        "h5py": h5py.__version__,
    }


def _torch_version() -> str:
    """``torch.__version__`` with its build, which the package's metadata lack; loading PyTorch for it takes seconds."""
    found = importlib.util.find_spec("torch")
    file = Path(found.origin).with_name("version.py") if found is not None and found.origin else None
    if "torch" not in sys.modules and file is not None and file.is_file():
        return str(runpy.run_path(str(file))["__version__"])
    import torch

    return str(torch.__version__)


@dataclass(frozen=True)
class Experiment:
    """A folder with ``experiment.toml`` and, as far as they exist, ``runs/``, ``surfaces/`` and ``sal/``."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> Experiment:
        """Open an existing experiment folder. Raises :class:`ExperimentError` when it is none."""
        folder = Path(path)
        if not (folder / SPEC_FILE).is_file():
            raise ExperimentError(
                f"{folder} is not an experiment (no {SPEC_FILE}); make one with: train PRESET --out {folder}"
            )
        experiment = cls(folder)
        _ = experiment.spec
        return experiment

    @classmethod
    def create(cls, spec: ExperimentSpec, path: Path | str) -> Experiment:
        """Make the folder, or open it when it already holds this very spec.

        Entries that do not touch training (titles, and the defaults for SAL and surfaces) may differ, and seeds and
        arms may be added.
        """
        folder = Path(path)
        if (folder / SPEC_FILE).is_file():
            experiment = cls.open(folder)
            before = experiment.spec
            kept = {name: arm for name, arm in spec.arms.items() if name in before.arms}
            more_seeds = set(spec.seeds) > set(before.seeds)
            wider = more_seeds or (len(kept) == len(before.arms) < len(spec.arms))
            same = dataclasses.replace(spec, seeds=before.seeds) if more_seeds else spec
            same = dataclasses.replace(same, arms=kept, defences=before.defences) if wider else same
            difference = _first_difference(without_labels(same), without_labels(before))
            if difference:
                raise ExperimentError(
                    f"{folder} already holds an experiment that differs in {difference}; "
                    "choose another --out or delete the folder."
                )
            if not wider:
                return experiment
            # What exists stays first, so that the same runs keep their place.
            seeds = (*before.seeds, *(s for s in spec.seeds if s not in before.seeds))
            arms, defences = {**before.arms, **spec.arms}, {**before.defences, **spec.defences}
            spec = dataclasses.replace(before, seeds=seeds, arms=arms, defences=defences)
        if folder.exists() and not folder.is_dir():
            raise ExperimentError(f"{folder} is a file; choose another folder with --out.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / SPEC_FILE, spec_to_toml(spec, made_by=versions()).encode())
        except (OSError, CheckpointError) as error:
            if isinstance(error, CheckpointError):
                raise ExperimentError(str(error)) from None
            raise ExperimentError(f"The folder {folder} cannot be written: {error.strerror}.") from None
        return cls(folder)

    @cached_property
    def spec(self) -> ExperimentSpec:
        """The resolved specification."""
        return granted(load_spec(self.path / SPEC_FILE), self.path)

    @property
    def name(self) -> str:
        """The folder's name, by which commands and links refer to the experiment."""
        return self.path.name

    # Runs -------------------------------------------------------------------------------------------------

    def run_path(self, name: str) -> Path:
        """Where a run is stored once it is finished."""
        return self.path / "runs" / f"{name}.h5"

    def planned_runs(self) -> list[str]:
        """Every run the spec asks for, seed by seed, the clean arm first."""
        arms = [a for a in (self.spec.clean_arm,) if a] + list(self.spec.poisoned_arms)
        return [run_name(arm, seed) for seed in self.spec.seeds for arm in arms]

    def run_names(self) -> list[str]:
        """Runs that exist, finished or still training, in the order of the plan, strangers last."""
        folder = self.path / "runs"
        found = {p.name.removesuffix(".h5") for p in folder.glob("*.h5")} if folder.is_dir() else set()
        if folder.is_dir():
            found |= {p.name.removesuffix(f".h5{LIVE_SUFFIX}") for p in folder.glob(f"*.h5{LIVE_SUFFIX}")}
        planned = [name for name in self.planned_runs() if name in found]
        return planned + sorted(found - set(planned))

    def finished_runs(self) -> list[str]:
        """Runs that are packed into one file."""
        return [name for name in self.run_names() if self.run_path(name).is_file()]

    def open_run(self, name: str) -> Run:
        """Open one run by name, finished or not."""
        if name not in self.run_names():
            known = ", ".join(self.run_names()) or "none yet"
            raise ExperimentError(f"{self.name} has no run called {name!r}; its runs are: {known}.")
        return open_run(self.run_path(name))

    def arm_of(self, run: str) -> str:
        """The arm a run belongs to (an imported run is its own arm)."""
        parsed = parse_run_name(run)
        return parsed[0] if parsed and parsed[0] in self.spec.arms else run

    def seed_of(self, run: str) -> int:
        """The seed of a run; imported runs count as seed 0."""
        parsed = parse_run_name(run)
        return parsed[1] if parsed else 0

    def role_of(self, run: str) -> str:
        """``clean``, ``poisoned``, ``control``, or ``other`` where the spec does not know it."""
        arm = self.spec.arms.get(self.arm_of(run))
        if arm is None:
            return "other"
        return "clean" if arm.is_clean else "control" if arm.control else "poisoned"

    def role_in_words(self, run: str) -> str:
        """What a run is called: its role, but a run of one's own is the ``reference`` or ``compared`` with it.

        Nothing says of an imported run that it is clean or poisoned, unless its own name does.
        """
        role, arm, spec = self.role_of(run), self.arm_of(run), self.spec
        imported = any(one.method == IMPORTED_METHOD for one in spec.arms.values()) or not spec.poisoned_arms
        if not imported or role not in ("clean", "poisoned") or role in arm.lower():
            return role
        return "reference" if role == "clean" else "compared"

    @property
    def reference_name(self) -> str:
        """What pictures call the run that others are compared with, ``clean`` or the name of a reference's arm."""
        arm = self.spec.clean_arm
        return "clean" if arm is None or self.role_in_words(arm) == "clean" else arm

    @property
    def has_own_reference(self) -> bool:
        """Whether runs of one's own are compared with one another, of which nothing says clean or poisoned."""
        return self.reference_name != "clean"

    @property
    def the_reference(self) -> str:
        """The run that others are compared with, as part of a sentence."""
        return self.reference_name if self.has_own_reference else "the clean run"

    def drawn_as(self, run: str) -> str:
        """How a run is drawn, a role of ``landscape.style``: runs of one's own have colours and marks of their own.

        The first arm beside the reference is ``compared``, the next ``compared 2``, and so on, and after them runs
        that the spec does not know; after the last begins the first anew.
        """
        word, arm = self.role_in_words(run), self.arm_of(run)
        if word not in ("compared", "other"):
            return word
        own = [one for one in self.spec.arms if self.role_in_words(one) == "compared"]
        if word == "other":
            own += [one for one in self.run_names() if self.role_of(one) == "other"]
        return OWN[(own.index(arm) if arm in own else len(own)) % len(OWN)]

    def data_words(self, label: str) -> str:
        """What measured data are called in pictures: nothing says that training data of runs of one's own are clean.

        Surfaces of before this was asked are labelled ``clean training data`` in their files.
        """
        return label.replace("clean training data", "training data") if self.has_own_reference else label

    def roles_drawn(self, runs: Iterable[str]) -> dict[str, str]:
        """How runs (or arms) and the reference are drawn, by the names they have in pictures."""
        own = {} if self.spec.clean_arm is None else {self.reference_name: self.drawn_as(self.spec.clean_arm)}
        return own | {name: self.drawn_as(name) for name in runs}

    # Results ----------------------------------------------------------------------------------------------

    def result_files(self, folder: str) -> list[Path]:
        """Finished result files of one kind (``surfaces`` or ``sal``), oldest first."""
        files = (self.path / folder).glob("*.h5") if (self.path / folder).is_dir() else iter(())
        finished = [p for p in files if not p.name.endswith((".partial.h5", ".work.h5"))]
        return sorted(finished, key=lambda p: (p.stat().st_mtime_ns, p.name))

    def read(self, path: Path, kind: str) -> Result:
        """Read one result file."""
        return read_result(path, kind=kind)


def _first_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> str | None:
    for key in sorted({*ours, *theirs}):
        a, b = ours.get(key), theirs.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            inner = _first_difference(a, b, f"{prefix}{key}.")
            if inner:
                return inner
        elif a != b:
            return f"{prefix}{key} ({b!r} there, {a!r} here)"
    return None


__all__ = ["SPEC_FILE", "Experiment", "ExperimentError", "SpecError", "versions"]
