"""A benchmark cell by cell: each cell trains one run and measures its SAL, in whatever process has time.

A cell that is finished has a record in ``cells/``; whoever continues a benchmark does only what has none. A cell that
was stopped goes on at its last checkpoint and its last measured block.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints import CheckpointError, write_bytes
from experiments.bench_spec import BENCH_FILE, BenchSpec, load_bench
from experiments.catalogue import GALLERY, folders, home, nearest_first
from experiments.engine import Engine, Where
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.materials import arm_inputs, dataset_of
from experiments.progress import Progress, Silent, Stopwatch
from experiments.sal_step import compute_sal
from experiments.spec import SalSpec, run_name
from experiments.train_step import train_experiment

CELLS = "cells"


@dataclass(frozen=True)
class Bench:
    """A folder with ``bench.toml``, an experiment for each data set and network, and a record of each finished cell."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> Bench:
        """Open an existing benchmark. Raises :class:`ExperimentError` when the folder is none."""
        folder = Path(path)
        if not (folder / BENCH_FILE).is_file():
            raise ExperimentError(f"{folder} is not a benchmark (no {BENCH_FILE}); make one with: bench SPEC.toml")
        return cls(folder)

    @classmethod
    def create(cls, source: Path, path: Path | str) -> Bench:
        """Make the folder from a spec's file, or go on in the one that holds it; seeds and methods may be added."""
        folder, text = Path(path), source.read_text(encoding="utf-8")
        spec = load_bench(source)
        if (folder / BENCH_FILE).is_file():
            before = cls(folder).spec
            arms = {name: arm for name, arm in spec.arms.items() if name in before.arms}
            same = dataclasses.replace(
                spec, arms=arms, seeds=before.seeds, title=before.title, description=before.description
            )
            if same != before or not set(before.seeds) <= set(spec.seeds):
                raise ExperimentError(
                    f"{folder} already holds another benchmark of that name; choose another --out or delete the folder."
                )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / BENCH_FILE, text.encode())
        except (OSError, CheckpointError) as error:
            raise ExperimentError(f"The folder {folder} cannot be written: {error}.") from None
        bench = cls(folder)
        for name, one in spec.experiments().items():
            Experiment.create(one, folder / name)
        return bench

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def spec(self) -> BenchSpec:
        """The specification."""
        return load_bench(self.path / BENCH_FILE)

    def experiments(self) -> dict[str, Experiment]:
        """The experiments by folder name."""
        return {name: Experiment.open(self.path / name) for name in self.spec.experiments()}

    def cells(self) -> list[Cell]:
        """Every cell of the plan: seed by seed, so that a first result over all methods comes early."""
        spec = self.spec
        sal = tuple(spec.sal.values())
        return [
            Cell(str(self.path.resolve()), folder, arm, seed, sal, spec.keep)
            for seed in spec.seeds
            for folder, experiment in spec.experiments().items()
            for arm in experiment.arms
        ]

    def records(self) -> dict[str, dict[str, Any]]:
        """Records of finished cells by cell name."""
        found = {}
        for path in sorted((self.path / CELLS).glob("*.json")):
            try:
                found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # being replaced, or damaged: it is measured again
        return found


@dataclass(frozen=True)
class Cell:
    """One run of a benchmark, as work that any process can do."""

    bench: str
    experiment: str
    arm: str
    seed: int
    sal: tuple[SalSpec, ...]
    keep: bool

    @property
    def name(self) -> str:
        """What to call it, and its record."""
        return f"{self.experiment}-{run_name(self.arm, self.seed)}"


def list_benches() -> list[Bench]:
    """All benchmarks, the user's first, then those that ship with the project."""
    found: dict[str, Bench] = {}
    for root in (home(), GALLERY):
        for folder in folders(root):
            if (folder / BENCH_FILE).is_file():
                found.setdefault(folder.name, Bench(folder))
    return list(found.values())


def find_bench(name_or_path: str) -> Bench:
    """Open a benchmark by folder path, or by name among the user's and those that ship with the project."""
    if (Path(name_or_path) / BENCH_FILE).is_file():
        return Bench(Path(name_or_path))
    known = {bench.name: bench for bench in list_benches()}
    if name_or_path in known:
        return known[name_or_path]
    hint = f"{nearest_first(name_or_path, {'benchmarks': list(known)})}." if known else "make one with: bench SPEC.toml"
    raise ExperimentError(f"There is no benchmark {name_or_path!r}; {hint}")


def run_bench(
    bench: Bench, *, progress: Progress | None = None, download: bool = False, where: Where | None = None
) -> list[str]:
    """Do every cell that has no record yet; return the names of the cells that were done.

    Raises :class:`ExperimentError` naming the cells that failed, after all others were done.
    """
    progress, where = progress or Silent(), where or Where()
    left, done = pending(bench)
    if download and left:
        for experiment in bench.experiments().values():
            _fetch(experiment)
    progress.start(f"benchmark {bench.name}", len(left) + done, done)
    finished, failed = [], []
    for cell, problem in _engine(where, len(left)).run(run_cell, left):
        if problem:
            failed.append(f"{cell.name}: {problem}")
        else:
            finished.append(cell.name)
        progress.advance()
    if failed:
        more = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise ExperimentError(f"{failed[0]}{more}")
    return finished


def pending(bench: Bench) -> tuple[list[Cell], int]:
    """Cells without a record, and how many have one."""
    records = bench.records()
    cells = bench.cells()
    left = [cell for cell in cells if cell.name not in records]
    return left, len(cells) - len(left)


def run_cell(cell: Cell) -> str:
    """Train and measure one run, and leave its record; return what went wrong in a sentence, or nothing."""
    try:
        experiment = Experiment.open(Path(cell.bench) / cell.experiment)
        name = run_name(cell.arm, cell.seed)
        watch = Stopwatch()
        seconds: dict[str, float] = {}
        arm_inputs(experiment, dataset_of(experiment.spec), cell.arm, cell.seed)
        seconds["poison"] = watch.seconds
        watch.reset()
        train_experiment(experiment, only=[name])
        seconds["train"] = watch.seconds
        files = {}
        for options in cell.sal:
            watch.reset()
            (path,) = compute_sal(experiment, options, runs=[name], where=Where(jobs=1))
            files[path.name] = watch.seconds
        record = {
            "experiment": cell.experiment,
            "arm": cell.arm,
            "seed": cell.seed,
            "seconds": seconds | {"sal": sum(files.values())},
            "sal": files,
            "finished": time.time(),
            "versions": versions(),
        }
        folder = Path(cell.bench) / CELLS
        folder.mkdir(exist_ok=True)
        write_bytes(folder / f"{cell.name}.json", json.dumps(record, indent=1).encode())
        if not cell.keep:
            path = experiment.run_path(name)
            path.unlink(missing_ok=True)
            shutil.rmtree(path.with_name(path.name + ".live"), ignore_errors=True)
    except (ValueError, CheckpointError, OSError, RuntimeError) as error:
        return str(error) or type(error).__name__
    return ""


def _engine(where: Where, cells: int) -> Engine:
    """Cells are long: as many processes as there are cores, unless the user says otherwise."""
    return where.engine(float("inf") if cells > 1 else 0.0)


def _fetch(experiment: Experiment) -> None:
    """Load the data set once here, where a download is allowed, so that workers find it."""
    dataset_of(experiment.spec, download=True)
