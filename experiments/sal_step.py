"""The SAL step: the sharpness of every block of every run at every chosen checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from analysis import SharpnessMeter, threshold_midpoints
from checkpoints import CheckpointError, Run, read_result, write_result
from experiments.engine import Here, Where
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.finite import finite_run
from experiments.materials import Sample, dataset_of, measured_network, same_data, sample
from experiments.progress import Progress, Silent, Stopwatch
from experiments.spec import ExperimentSpec, SalSpec, content_key
from experiments.stored import MIDPOINTS, SAL_KIND, sal_folder
from experiments.task_materials import BATCH as TASK_BATCH
from experiments.task_materials import task_network, task_sample
from landscape import Block, model_blocks, uncounted_weights

PARTIAL_KIND = "sal-partial"
COLUMNS = ("sal", "s_max", "s_min", "sal_accuracy")
SAVE_SECONDS = 1.0


def sal_key(options: SalSpec, run: Run, measured_on: Sample, task: str = "") -> str:
    """Hash of everything that determines a run's SAL."""
    return content_key(
        {
            "kind": SAL_KIND,
            "version": 1,
            "options": asdict(options),
            "run": run.fingerprint,
            **measured_on.key(),
            **({"task": task} if task else {}),
        }
    )


def compute_sal(
    experiment: Experiment,
    options: SalSpec | None = None,
    *,
    runs: Sequence[str] | None = None,
    progress: Progress | None = None,
    download: bool = False,
    where: Where | None = None,
    task: str = "",
) -> list[Path]:
    """Measure SAL of each run on that run's own training data; return one result file per run.

    What exists is not computed again; a stopped computation goes on at the blocks where it was. ``where``: how many
    processes, or which cluster. ``task``: under the loss of this task alone, of a network of several; such results are
    kept apart, as they are in the units of that loss.
    """
    progress = progress or Silent()
    options = options or experiment.spec.sal
    names = list(runs) if runs else experiment.finished_runs()
    if not names:
        raise ExperimentError(f"{experiment.name} has no finished run yet; train it first: train {experiment.path}")
    return [_sal_of_run(experiment, options, name, progress, download, where or Where(), task) for name in names]


def _sal_of_run(
    experiment: Experiment, options: SalSpec, name: str, progress: Progress, download: bool, where: Where, task: str
) -> Path:
    run = finite_run(experiment, name)
    if len(run) == 0:
        raise ExperimentError(f"The run {name} holds no checkpoint yet; train it first.")
    measured_on = sample_of_run(experiment, options, name, download=download, task=task)
    target = experiment.path / sal_folder(task) / f"{name}-{sal_key(options, run, measured_on, task)}.h5"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    model = network_measured(experiment.spec, run, name, task)
    chosen = checkpoints_to_measure(len(run), options.every)
    blocks = model_blocks(model, options.blocks)
    table = _Table(target.with_suffix(".partial.h5"), len(chosen), len(blocks))
    worker = SalWorker(model, run, measured_on, options)
    progress.start(
        f"SAL of {name} ({f'{task}, ' if task else ''}{options.method}, {options.blocks})",
        table.done.size,
        int(table.done.sum()),
    )
    here = str(experiment.path.resolve())
    items = [
        SalWork(here, name, (run.fingerprint, measured_on.fingerprint), options, int(i), numbers, task)
        for row, i in enumerate(chosen)
        for numbers in _together(blocks, options.method)
        if not table.done[row, list(numbers)].all()
    ]
    row_of = {int(i): row for row, i in enumerate(chosen)}
    try:
        for work, found in _measured(items, worker, where):
            table.fill(row_of[work.checkpoint], work.blocks, found)
            progress.advance(len(work.blocks))
    finally:
        table.save()
    arrays: dict[str, NDArray[Any]] = table.arrays() | {
        "steps": run.steps[chosen],
        "epochs": run.epochs[chosen],
        "sizes": np.array([block.size for block in blocks], dtype=np.int64),
        "block_names": np.frombuffer("\n".join(b.name for b in blocks).encode(), dtype=np.uint8),
        **{f"metric_{key}": values[chosen] for key, values in run.metrics.items()},
    }
    if not task and experiment.arm_of(name) == experiment.spec.clean_arm:
        arrays |= _midpoints(arrays["sal"])
    header = {
        "options": asdict(options),
        "run": name,
        "arm": experiment.arm_of(name),
        "seed": experiment.seed_of(name),
        "role": experiment.role_of(name),
        "fingerprint": run.fingerprint,
        "measured_on": measured_on.label,
        "samples": measured_on.samples,
        "available": measured_on.available,
        "data_fingerprint": measured_on.fingerprint,
        "versions": versions(),
        **({"uncounted": left_out} if (left_out := uncounted_weights(model)) else {}),
        **({"loss_name": measured_on.loss_name} if measured_on.loss_name else {}),
        **({"task": task, "dataset": dataset_of(experiment.spec).fingerprint} if task else {}),
    }
    write_result(target, kind=SAL_KIND, header=header, arrays=arrays)
    table.path.unlink(missing_ok=True)
    return target


def _midpoints(sal: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Where k-means parts the blocks of each checkpoint, for reports of UD; none where that is undefined."""
    try:
        return {MIDPOINTS: threshold_midpoints(sal)}
    except ValueError:  # one block alone, or values that are not finite; UD says so
        return {}


def sample_of_run(
    experiment: Experiment, options: SalSpec, name: str, *, download: bool = False, task: str = ""
) -> Sample:
    """The data a run's SAL is measured on: its own training data."""
    arm = experiment.arm_of(name)
    on = arm if arm in experiment.spec.arms else "clean"
    given: dict[str, Any] = {"seed": experiment.seed_of(name), "samples": options.samples, "download": download}
    if task:  # all heads of a full batch at once would take gigabytes; the mean is the same
        return task_sample(experiment, on, task, **given, batch_size=options.batch_size or TASK_BATCH)
    return sample(experiment, on, **given, batch_size=options.batch_size)


@dataclass(frozen=True)
class SalWork:
    """Some blocks of one checkpoint, as work that any process can do; fingerprints say of which run and data."""

    experiment: str
    run: str
    fingerprints: tuple[str, str]
    options: SalSpec
    checkpoint: int
    blocks: tuple[int, ...]
    task: str = ""


class SalWorker:
    """A run with its network and data, loaded once, that measures blocks of its checkpoints."""

    def __init__(self, model: nn.Module, run: Run, measured_on: Sample, options: SalSpec) -> None:
        self.model, self.run, self.measured_on, self.options = model, run, measured_on, options
        self._at = -1
        self._meter: SharpnessMeter | None = None

    def measure(self, checkpoint: int, blocks: Sequence[int]) -> NDArray[np.float64]:
        """[B, 5]: the columns of the file, and the loss at the checkpoint."""
        if self._meter is None or checkpoint != self._at:
            self.model.load_state_dict(self.run.state_dict(checkpoint))
            self._at, self._meter = checkpoint, meter(self.model, self.measured_on, self.options)
        rows = [[_number(getattr(found, c)) for c in (*COLUMNS, "loss")] for found in self._meter.measure(blocks)]
        return np.array(rows, dtype=np.float64)


def measure_elsewhere(work: SalWork) -> NDArray[np.float64]:
    """Measure blocks in whatever process this is."""
    worker = _worker(work.experiment, work.run, work.fingerprints, work.options, work.task)
    return worker.measure(work.checkpoint, work.blocks)


@lru_cache(maxsize=1)
def _worker(experiment: str, name: str, fingerprints: tuple[str, str], options: SalSpec, task: str) -> SalWorker:
    place = Experiment.open(experiment)
    run = finite_run(place, name)
    if run.fingerprint != fingerprints[0]:
        raise ExperimentError(f"A worker sees another run {name} under {experiment} than this machine does.")
    model = network_measured(place.spec, run, name, task)
    measured_on = sample_of_run(place, options, name, task=task)
    same_data(measured_on, fingerprints[1])
    return SalWorker(model, run, measured_on, options)


def network_measured(spec: ExperimentSpec, run: Run, name: str, task: str) -> nn.Module:
    """The network of a run; of one of several tasks with the head of ``task`` alone as output."""
    dataset = dataset_of(spec)
    return task_network(spec, dataset, run, name, task) if task else measured_network(spec, dataset, run, name)


def _measured(
    items: Sequence[SalWork], worker: SalWorker, where: Where
) -> Iterator[tuple[SalWork, NDArray[np.float64]]]:
    """Do the first item here to see how long they take, and the others where that pays."""
    if not items:
        return
    watch = Stopwatch()
    own = functools.partial(_by, worker)
    yield from Here().run(own, items[:1])
    engine = where.engine(watch.seconds * (len(items) - 1))
    yield from engine.run(own if isinstance(engine, Here) else measure_elsewhere, items[1:])


def _by(worker: SalWorker, work: SalWork) -> NDArray[np.float64]:
    return worker.measure(work.checkpoint, work.blocks)


def _together(blocks: Sequence[Block], method: str) -> list[tuple[int, ...]]:
    """Numbers of blocks that are measured together: all by gradient, else those of one weight tensor."""
    if method == "gradient":
        return [tuple(range(len(blocks)))]
    same: dict[str, list[int]] = {}
    for number, block in enumerate(blocks):
        same.setdefault(block.parameter, []).append(number)
    return [tuple(numbers) for numbers in same.values()]


class _Table:
    """What was measured so far [T, L], on disk every now and then."""

    def __init__(self, path: Path, checkpoints: int, blocks: int) -> None:
        self.path, self._saved = path, Stopwatch()
        shape = (checkpoints, blocks)
        self.columns = {column: np.full(shape, np.nan) for column in COLUMNS}
        self.loss, self.done = np.full(checkpoints, np.nan), np.zeros(shape, bool)
        try:
            saved = read_result(path, kind=PARTIAL_KIND).arrays
        except CheckpointError:
            return
        if "done" in saved and saved["done"].shape == shape:
            self.columns = {column: saved[column].copy() for column in COLUMNS}
            self.loss, self.done = saved["loss"].copy(), saved["done"].astype(bool)

    def fill(self, row: int, blocks: Sequence[int], found: NDArray[np.float64]) -> None:
        """Take in some blocks [B, 5] of one checkpoint."""
        for column, name in enumerate(COLUMNS):
            self.columns[name][row, list(blocks)] = found[:, column]
        self.loss[row] = found[0, -1]
        self.done[row, list(blocks)] = True
        if self._saved.older_than(SAVE_SECONDS):
            self.save()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The columns [T, L] and the losses [T]."""
        return {**self.columns, "loss": self.loss}

    def save(self) -> None:
        """Write what there is, if there is something left to do."""
        if self.done.any() and not self.done.all():
            arrays = self.arrays() | {"done": self.done.astype(np.uint8)}
            write_result(self.path, kind=PARTIAL_KIND, header={}, arrays=arrays)
        self._saved.reset()


def meter(model: nn.Module, measured_on: Sample, options: SalSpec) -> SharpnessMeter:
    """What measures SAL of a model's blocks at its present weights."""
    return SharpnessMeter(
        model,
        measured_on.batches,
        loss=measured_on.loss,
        epsilon=options.epsilon,
        steps=options.steps,
        lr=options.lr,
        p=options.p,
        blocks=options.blocks,
        method=options.method,
    )


def checkpoints_to_measure(n: int, every: int) -> NDArray[np.int64]:
    """Indices 0, every, 2·every, … and always the last."""
    return np.unique(np.append(np.arange(0, n, every), n - 1))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
