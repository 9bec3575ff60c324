"""The curvature step: the Hessian's top eigenvalues and trace of each run along its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints import CheckpointError, read_result, write_result
from experiments.engine import one_thread
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.finite import finite_run
from experiments.materials import dataset_of, measured_network
from experiments.progress import Progress, Silent
from experiments.sal_step import sample_of_run
from experiments.spec import SalSpec, content_key
from landscape import hessian_eigenpairs, hessian_trace

KIND = "curvature"
PARTIAL_KIND = "curvature-partial"


@dataclass(frozen=True)
class CurvatureOptions:
    """What to measure: ``top`` eigenvalues and a trace from ``probes`` random vectors, on ``samples`` (0: all).

    ``every`` counts checkpoints; 0 measures the last alone.
    """

    top: int = 2
    probes: int = 30
    samples: int = 1000
    every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("top", 1), ("probes", 2), ("samples", 0), ("every", 0)):
            if getattr(self, name) < least:
                raise ExperimentError(f"--{name} must be {least} or more, not {getattr(self, name)}.")


def compute_curvature(
    experiment: Experiment,
    options: CurvatureOptions,
    *,
    runs: Sequence[str] | None = None,
    progress: Progress | None = None,
    download: bool = False,
) -> list[Path]:
    """Measure each run on its own training data; one result file per run, skipped where it exists."""
    names = list(runs) if runs else experiment.finished_runs()
    if not names:
        raise ExperimentError(f"{experiment.name} has no finished run yet; train it first: train {experiment.path}")
    return [_of_run(experiment, options, name, progress or Silent(), download) for name in names]


def _of_run(experiment: Experiment, options: CurvatureOptions, name: str, progress: Progress, download: bool) -> Path:
    run = finite_run(experiment, name)
    if len(run) == 0:
        raise ExperimentError(f"The run {name} holds no checkpoint yet; train it first.")
    measured_on = sample_of_run(experiment, SalSpec(samples=options.samples), name, download=download)
    key = content_key({"kind": KIND, "options": asdict(options), "run": run.fingerprint, **measured_on.key()})
    target = experiment.path / "curvature" / f"{name}-{key}.h5"
    if target.is_file():
        return target
    target.parent.mkdir(exist_ok=True)
    model = measured_network(experiment.spec, dataset_of(experiment.spec), run, name)
    last = len(run) - 1
    chosen = np.unique(np.append(np.arange(0, len(run), options.every), last)) if options.every else np.array([last])
    partial = target.with_suffix(".partial.h5")
    values, residuals, traces = _measured_before(partial)
    progress.start(f"curvature of {name}", len(chosen), len(values))
    for i in chosen[len(values) :]:
        model.load_state_dict(run.state_dict(int(i)))
        with one_thread():
            given: dict[str, Any] = {"loss": measured_on.loss, "seed": options.seed}
            pairs = hessian_eigenpairs(model, measured_on.batches, k=options.top, **given)
            trace = hessian_trace(model, measured_on.batches, probes=options.probes, **given)
        values.append(pairs.values)
        residuals.append(pairs.residuals)
        traces.append(np.array([trace.value, trace.standard_error]))
        write_result(partial, kind=PARTIAL_KIND, header={}, arrays=_stacked(values, residuals, traces))
        progress.advance()
    arrays = {"steps": run.steps[chosen], "epochs": run.epochs[chosen], **_stacked(values, residuals, traces)}
    header = {
        "options": asdict(options),
        "run": name,
        "fingerprint": run.fingerprint,
        "measured_on": measured_on.label,
        "samples": measured_on.samples,
        "versions": versions(),
    }
    write_result(target, kind=KIND, header=header, arrays=arrays)
    partial.unlink(missing_ok=True)
    return target


def _stacked(*columns: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.stack(rows) for name, rows in zip(("eigenvalues", "residuals", "trace"), columns, strict=True)}


def _measured_before(partial: Path) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[NDArray[Any]]]:
    """Eigenvalues, residuals and traces of the first checkpoints, where an earlier computation was stopped."""
    try:
        arrays = read_result(partial, kind=PARTIAL_KIND).arrays
    except CheckpointError:
        return [], [], []
    return list(arrays["eigenvalues"]), list(arrays["residuals"]), list(arrays["trace"])


def describe_curvature(path: Path) -> dict[str, Any]:
    """A curvature file as plain values."""
    stored = read_result(path, kind=KIND)
    arrays = stored.arrays
    rows = [
        {
            "step": int(arrays["steps"][t]),
            "eigenvalues": arrays["eigenvalues"][t].tolist(),
            "residuals": arrays["residuals"][t].tolist(),
            "trace": float(arrays["trace"][t, 0]),
            "trace_standard_error": float(arrays["trace"][t, 1]),
        }
        for t in range(len(arrays["steps"]))
    ]
    header = stored.header
    return {"run": header["run"], "measured_on": header["measured_on"], "samples": header["samples"], "rows": rows}


def curvature_text(path: Path) -> str:
    """A curvature file in lines for the terminal."""
    found = describe_curvature(path)
    lines = [f"{found['run']}, on {found['samples']} samples of {found['measured_on']}"]
    for row in found["rows"]:
        pairs = zip(row["eigenvalues"], row["residuals"], strict=True)
        tops = ", ".join(f"{value:.4g} (residual {off:.1e})" for value, off in pairs)
        spread = f"{row['trace']:.4g} ± {row['trace_standard_error']:.2g}"
        lines.append(f"  step {row['step']}: top eigenvalues {tops}; trace {spread}")
    return "\n".join(lines)
