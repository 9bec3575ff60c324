"""The SAL step: the sharpness of every block of every run at every chosen checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from analysis import BlockSal, sharpness_aware_learnability
from checkpoints import CheckpointError, Run, read_result, write_result
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.materials import Sample, dataset_of, network_for_run, sample
from experiments.progress import Progress, Silent
from experiments.spec import SalSpec, content_key

KIND = "sal"
PARTIAL_KIND = "sal-partial"
COLUMNS = ("sal", "s_max", "s_min", "sal_accuracy")


@dataclass(frozen=True)
class SalSeries:
    """SAL of one run over its checkpoints, as a result file holds it."""

    run: str
    header: dict[str, Any]
    blocks: tuple[str, ...]  # [L]
    sizes: NDArray[np.int64]  # [L] scalars per block
    steps: NDArray[np.int64]  # [T]
    epochs: NDArray[np.float64]  # [T]
    sal: NDArray[np.float64]  # [T, L] in nats
    loss: NDArray[np.float64]  # [T] at the checkpoint, in nats
    metrics: dict[str, NDArray[np.float64]]  # {name: [T]}


def sal_key(options: SalSpec, run: Run, measured_on: Sample) -> str:
    """Hash of everything that determines a run's SAL."""
    return content_key(
        {
            "kind": KIND,
            "version": 1,
            "options": asdict(options),
            "run": run.fingerprint,
            "data": measured_on.fingerprint,
        }
    )


def compute_sal(
    experiment: Experiment,
    options: SalSpec | None = None,
    *,
    runs: Sequence[str] | None = None,
    progress: Progress | None = None,
    download: bool = False,
) -> list[Path]:
    """Measure SAL of each run on that run's own training data; return one result file per run.

    What exists is not computed again; a stopped computation goes on at the checkpoint where it was.
    """
    progress = progress or Silent()
    options = options or experiment.spec.sal
    names = list(runs) if runs else experiment.finished_runs()
    if not names:
        raise ExperimentError(f"{experiment.name} has no finished run yet; train it first: train {experiment.path}")
    return [_sal_of_run(experiment, options, name, progress, download) for name in names]


def _sal_of_run(experiment: Experiment, options: SalSpec, name: str, progress: Progress, download: bool) -> Path:
    run = experiment.open_run(name)
    if len(run) == 0:
        raise ExperimentError(f"The run {name} holds no checkpoint yet; train it first.")
    arm = experiment.arm_of(name)
    measured_on = sample(
        experiment,
        arm if arm in experiment.spec.arms else "clean",
        seed=experiment.seed_of(name),
        samples=options.samples,
        batch_size=options.batch_size,
        download=download,
    )
    target = experiment.path / "sal" / f"{name}-{sal_key(options, run, measured_on)}.h5"
    if target.is_file():
        return target
    target.parent.mkdir(exist_ok=True)
    model = network_for_run(experiment.spec, dataset_of(experiment.spec), run, name)
    chosen = checkpoints_to_measure(len(run), options.every)
    partial = target.with_suffix(".partial.h5")
    rows = _read_partial(partial)
    progress.start(f"SAL of {name} ({options.method}, {options.blocks})", len(chosen), len(rows["sal"]))
    blocks: list[BlockSal] = []
    for i in chosen[len(rows["sal"]) :]:
        model.load_state_dict(run.state_dict(int(i)))
        blocks = measure(model, measured_on, options)
        for column in COLUMNS:
            rows[column].append(np.array([_number(getattr(block, column)) for block in blocks]))
        rows["loss"].append(np.array(blocks[0].loss))
        if options.method == "search":
            write_result(partial, kind=PARTIAL_KIND, header={}, arrays=_stack(rows))
        progress.advance()
    if not blocks:  # everything came from the partial file: names and sizes are still needed
        model.load_state_dict(run.state_dict(int(chosen[-1])))
        blocks = measure(model, measured_on, SalSpec(method="gradient", blocks=options.blocks))
    arrays = _stack(rows) | {
        "steps": run.steps[chosen],
        "epochs": run.epochs[chosen],
        "sizes": np.array([block.size for block in blocks], dtype=np.int64),
        "block_names": np.frombuffer("\n".join(b.name for b in blocks).encode(), dtype=np.uint8),
        **{f"metric_{key}": values[chosen] for key, values in run.metrics.items()},
    }
    header = {
        "options": asdict(options),
        "run": name,
        "arm": arm,
        "seed": experiment.seed_of(name),
        "role": experiment.role_of(name),
        "fingerprint": run.fingerprint,
        "measured_on": measured_on.label,
        "samples": measured_on.samples,
        "available": measured_on.available,
        "data_fingerprint": measured_on.fingerprint,
        "versions": versions(),
    }
    write_result(target, kind=KIND, header=header, arrays=arrays)
    partial.unlink(missing_ok=True)
    return target


def measure(model: nn.Module, measured_on: Sample, options: SalSpec) -> list[BlockSal]:
    """SAL of every block of a model at its present weights."""
    return sharpness_aware_learnability(
        model,
        measured_on.batches,
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


def read_sal(path: Path) -> SalSeries:
    """Read one SAL result file."""
    result = read_result(path, kind=KIND)
    arrays = result.arrays
    return SalSeries(
        run=str(result.header["run"]),
        header=result.header,
        blocks=tuple(bytes(arrays["block_names"]).decode().split("\n")),
        sizes=arrays["sizes"],
        steps=arrays["steps"],
        epochs=arrays["epochs"],
        sal=arrays["sal"],
        loss=arrays["loss"],
        metrics={k.removeprefix("metric_"): v for k, v in arrays.items() if k.startswith("metric_")},
    )


def _read_partial(path: Path) -> dict[str, list[NDArray[Any]]]:
    try:
        saved = read_result(path, kind=PARTIAL_KIND)
    except CheckpointError:
        return {column: [] for column in (*COLUMNS, "loss")}
    return {column: list(saved.arrays[column]) for column in (*COLUMNS, "loss")}


def _stack(rows: dict[str, list[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {column: np.stack(values) for column, values in rows.items()}


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
