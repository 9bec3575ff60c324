"""What a benchmark will do and about how long that takes, before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

import joblib
import torch
from torch.nn import functional

from experiments.bench_run import Bench, Cell, pending
from experiments.engine import one_thread
from experiments.experiment import Experiment
from experiments.materials import dataset_of, network
from experiments.spec import SalSpec, TrainingSpec
from landscape import model_blocks
from training import Dataset

TRIAL_STEPS = 4
SEARCH_SAVING = 4.0  # how much less than the plain procedure a search costs, see docs/speed.md


@dataclass(frozen=True)
class PlanPart:
    """What is left to do in one experiment.

    Attributes:
        cells, done: Runs in all and finished.
        seconds_training, seconds_sal: Estimated for one run, on one core.
        basis: What the estimate rests on.
    """

    experiment: str
    cells: int
    done: int
    seconds_training: float
    seconds_sal: float
    basis: str

    @property
    def seconds(self) -> float:
        """For all that is left, on one core."""
        return (self.cells - self.done) * (self.seconds_training + self.seconds_sal)


@dataclass(frozen=True)
class Plan:
    """A benchmark's plan."""

    name: str
    parts: tuple[PlanPart, ...]
    jobs: int

    @property
    def seconds(self) -> float:
        """Estimated wall time of what is left. Making poisons that need a network comes on top."""
        return sum(part.seconds for part in self.parts) / self.jobs

    def as_text(self) -> str:
        """A line per experiment, and the total."""
        lines = [f"benchmark {self.name}: {sum(p.cells for p in self.parts)} runs, {self._done} of them finished"]
        for p in self.parts:
            lines.append(
                f"  {p.experiment}: {p.cells - p.done} runs to do, about {_duration(p.seconds_training)} training and "
                f"{_duration(p.seconds_sal)} SAL each ({p.basis})"
            )
        if self.seconds > 0:
            jobs = "one process" if self.jobs == 1 else f"{self.jobs} processes"
            lines.append(
                f"  about {_duration(self.seconds)} in {jobs}, and what making the poisons takes that need a network"
            )
        return "\n".join(lines)

    @property
    def _done(self) -> int:
        return sum(part.done for part in self.parts)


def plan_bench(bench: Bench, *, jobs: int | None = None, download: bool = False) -> Plan:
    """Count what is left and estimate its time: from finished runs, else from a few steps of training tried here."""
    left, _ = pending(bench)
    cells, records = bench.cells(), bench.records()
    parts = []
    for folder, experiment in bench.experiments().items():
        mine = [cell for cell in cells if cell.experiment == folder]
        open_cells = [cell for cell in left if cell.experiment == folder]
        known = [records[c.name]["seconds"] for c in mine if c.name in records]
        if known:
            seconds = tuple(sum(k[part] for k in known) / len(known) for part in ("train", "sal"))
            basis = f"mean of {len(known)} finished"
        elif open_cells:
            seconds, basis = _trial(experiment, open_cells[0], download), f"{TRIAL_STEPS} steps tried here"
        else:
            seconds, basis = (0.0, 0.0), "nothing to do"
        parts.append(PlanPart(folder, len(mine), len(mine) - len(open_cells), seconds[0], seconds[1], basis))
    return Plan(bench.name, tuple(parts), max(1, min(jobs or joblib.cpu_count(), len(left) or 1)))


def _trial(experiment: Experiment, cell: Cell, download: bool) -> tuple[float, float]:
    """Seconds of training and of SAL for one run, from a few steps."""
    spec, dataset = experiment.spec, dataset_of(experiment.spec, download=download)
    schedule = spec.training
    per_sample, per_evaluated = _per_sample(experiment, dataset, schedule.batch_size)
    n, tests = len(dataset.y_train), len(dataset.y_test)
    checkpoints = _checkpoints(schedule, n)
    training = schedule.epochs * n * per_sample + checkpoints * (n + tests) * per_evaluated
    blocks = len(model_blocks(network(spec, dataset, 0)))
    sal = sum(_sal_seconds(options, n, checkpoints, blocks, per_sample) for options in cell.sal)
    return training, sal


def _per_sample(experiment: Experiment, dataset: Dataset, batch: int) -> tuple[float, float]:
    """Seconds per sample of a training step, and of a forward pass."""
    model = network(experiment.spec, dataset, 0)
    x, y = torch.from_numpy(dataset.x_train[:batch]), torch.from_numpy(dataset.y_train[:batch])
    with one_thread():
        functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        start = time.perf_counter()
        for _ in range(TRIAL_STEPS):
            functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        step = (time.perf_counter() - start) / TRIAL_STEPS / len(y)
        start = time.perf_counter()
        with torch.no_grad():
            model.eval()(x)
        return step, (time.perf_counter() - start) / len(y)


def _checkpoints(schedule: TrainingSpec, n: int) -> int:
    steps = -(-n // schedule.batch_size)
    every = schedule.checkpoint_every or steps
    return 1 + -(-schedule.epochs * steps // every)


def _sal_seconds(options: SalSpec, n: int, checkpoints: int, blocks: int, per_sample: float) -> float:
    samples = min(options.samples or n, n)
    measured = 1 + -(-(checkpoints - 1) // options.every)
    if options.method == "gradient":
        return measured * samples * per_sample
    # Up and down, a gradient and an evaluation (a third of one) for each pass and block.
    return measured * samples * per_sample * blocks * options.steps * 2 * (4 / 3) / SEARCH_SAVING


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
