"""Whether the losses that a run stores are those of its checkpoints on the experiment's data, and if not, why not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from checkpoints import Run
from experiments.engine import one_thread
from experiments.experiment import Experiment, ExperimentError
from experiments.materials import Sample, dataset_of, network_for_run, sample
from experiments.progress import Progress, Silent
from training.own_losses import mean_over

STORED = ("train_loss", "test_loss", "loss")  # names of metrics; a loss without more is taken for that of training
TOLERANCE = 1e-4  # relative
DRAWS = 8  # of dropout
DROPOUT = nn.modules.dropout._DropoutNd
BATCH_NORM = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Comparison:
    """A stored loss beside the recomputed one, which agree within ``TOLERANCE`` or for the reason given do not."""

    step: int
    stored: float
    recomputed: float
    agrees: bool
    reason: str = ""

    @property
    def difference(self) -> float:
        """Relative to the recomputed loss."""
        return relative(self.stored, self.recomputed)


@dataclass(frozen=True)
class CheckedMetric:
    """One stored metric of a run, compared at every checkpoint that has it."""

    run: str
    metric: str
    on: str
    rows: tuple[Comparison, ...]

    @property
    def agrees(self) -> bool:
        """At every checkpoint."""
        return all(row.agrees for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows], "agrees": self.agrees}

    def as_text(self) -> str:
        """A line, and one for each reason."""
        wrong = [row for row in self.rows if not row.agrees]
        largest = max((row.difference for row in self.rows), default=0.0)
        lines = [
            f"{self.run}, {self.metric} on {self.on}: agrees at {len(self.rows) - len(wrong)} of {len(self.rows)} "
            f"checkpoints (largest relative difference {largest:.1e})"
        ]
        for reason in dict.fromkeys(row.reason for row in wrong):
            rows = [row for row in wrong if row.reason == reason]
            worst = max(rows, key=lambda row: row.difference)
            lines.append(
                f"  {len(rows)} checkpoints, as step {worst.step} (stored {worst.stored:.6g}, recomputed "
                f"{worst.recomputed:.6g}): {reason}"
            )
        return "\n".join(lines)


def check_runs(
    experiment: Experiment,
    *,
    runs: Sequence[str] | None = None,
    progress: Progress | None = None,
    download: bool = False,
) -> list[CheckedMetric]:
    """Recompute every stored loss, on all samples in evaluation mode, and compare.

    Args:
        experiment: Its network and data must be known.
        runs: Names; default all.

    Returns:
        A result for each run and metric of ``STORED``. Nothing is written. Raises :class:`ExperimentError`.
    """
    spec, progress = experiment.spec, progress or Silent()
    if spec.tasks is not None:
        raise ExperimentError(f"{spec.name} has several tasks, whose losses are recorded on a part of the data alone.")
    names = list(runs) if runs else experiment.run_names()
    if not names:
        raise ExperimentError(f"{spec.name} has no run yet; train it first: train {experiment.path}")
    found = []
    for name in names:
        with experiment.open_run(name) as run, one_thread():
            found += list(_of_run(experiment, run, name, progress, download))
    return found


def _of_run(experiment: Experiment, run: Run, name: str, progress: Progress, download: bool) -> Iterator[CheckedMetric]:
    metrics = [metric for metric in STORED if metric in run.metrics and not np.isnan(run.metrics[metric]).all()]
    if not metrics:
        return
    model = network_for_run(experiment.spec, dataset_of(experiment.spec, download=download), run, name)
    arm = experiment.arm_of(name)
    data = {
        "train": sample(experiment, arm if arm in experiment.spec.arms else "clean", seed=experiment.seed_of(name)),
        "test": sample(experiment, "test"),
    }
    losses: dict[str, NDArray[np.float64]] = {}
    for part in dict.fromkeys(_part(metric) for metric in metrics):
        progress.start(f"losses of {name} on {data[part].label}", len(run))
        losses[part] = np.array([_loss(model, run, i, data[part], progress) for i in range(len(run))])
    for metric in metrics:
        part = _part(metric)
        why = _Why(model, run, metric, data, part, losses[part])
        rows = [
            _compared(why, i, float(stored)) for i, stored in enumerate(run.metrics[metric]) if not math.isnan(stored)
        ]
        yield CheckedMetric(name, metric, data[part].label, tuple(rows))


def _part(metric: str) -> str:
    return "test" if metric.startswith("test") else "train"


def _loss(model: nn.Module, run: Run, checkpoint: int, on: Sample, progress: Progress) -> float:
    model.load_state_dict(run.state_dict(checkpoint))
    found = mean_over(model, on.batches, on.loss)["loss"]
    progress.advance()
    return found


def _compared(why: _Why, checkpoint: int, stored: float) -> Comparison:
    step, found = int(why.run.steps[checkpoint]), float(why.losses[checkpoint])
    agrees = relative(stored, found) <= TOLERANCE
    return Comparison(step, stored, found, agrees, "" if agrees else why.reason(checkpoint, stored))


def relative(stored: float, recomputed: float) -> float:
    """The difference as a share of the recomputed loss; 0 where both are the same, whatever they are."""
    if stored == recomputed or (math.isnan(stored) and math.isnan(recomputed)):
        return 0.0
    if not (math.isfinite(stored) and math.isfinite(recomputed)):
        return math.inf
    return abs(stored - recomputed) / max(abs(recomputed), 1e-12)


class _Why:
    """Finds out why a stored loss is another one, by computing what it may have been."""

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        metric: str,
        data: dict[str, Sample],
        part: str,
        losses: NDArray[np.float64],
    ) -> None:
        self.model, self.run, self.losses = model, run, losses
        self.own, self.other = data[part], data["train" if part == "test" else "test"]
        self.factor = _common_factor(run.metrics[metric], losses)

    def reason(self, checkpoint: int, stored: float) -> str:
        """What explains it, in words, the surest first."""
        if self.factor is not None:
            return f"it is {self.factor:.6g} times as large at every checkpoint: a sum, another unit or a weight"
        before = self.losses[checkpoint - 1] if checkpoint else math.nan
        if relative(stored, before) <= TOLERANCE:
            return "it is the loss of the checkpoint before: recorded after a step, measured ahead of it"
        self.model.load_state_dict(self.run.state_dict(checkpoint))
        if relative(stored, mean_over(self.model, self.other.batches, self.other.loss)["loss"]) <= TOLERANCE:
            return f"it is the loss on the {self.other.label}"
        return self._mode(checkpoint, stored) or self._average(checkpoint, stored) or self._unexplained()

    def _mode(self, checkpoint: int, stored: float) -> str:
        """Layers that do something else in training mode."""
        kinds = [type(module) for module in self.model.modules()]
        drops = any(issubclass(kind, DROPOUT) for kind in kinds)
        norms = any(issubclass(kind, BATCH_NORM) for kind in kinds)
        if not (drops or norms):
            return ""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            draws = [
                mean_over(self.model, self.own.batches, self.own.loss, train=True)["loss"]
                for _ in range(DRAWS if drops else 1)
            ]
        layers = " and ".join([*(["dropout"] if drops else []), *(["BatchNorm"] if norms else [])])
        if min(relative(stored, draw) for draw in draws) <= TOLERANCE:
            return f"it is the loss in training mode, in which {layers} does something else"
        spread = 4 * float(np.std(draws)) if drops else 0.0
        if drops and abs(stored - float(np.mean(draws))) <= spread:
            return f"it is one of many losses in training mode, in which {layers} does something else by chance"
        if abs(stored - draws[0]) < 0.5 * abs(stored - self.losses[checkpoint]):
            return f"it is closer to the loss in training mode ({draws[0]:.6g}, {layers}), perhaps on other batches"
        return ""

    def _average(self, checkpoint: int, stored: float) -> str:
        """A running average lies between the losses of this checkpoint and of the one before; a single batch may."""
        if checkpoint == 0:
            return ""
        low, high = sorted(self.losses[checkpoint - 1 : checkpoint + 1])
        if not low <= stored <= high:
            return ""
        return (
            "it lies between the losses of this checkpoint and the one before, as a running average over the steps in "
            "between does; the loss of a single batch may lie there by chance"
        )

    def _unexplained(self) -> str:
        if self.run.storage:
            return f"the weights were rounded to {self.run.storage} when they were recorded"
        return (
            "augmentation, a single batch, other samples, label smoothing or a penalty in the loss would explain it; "
            "record the mean loss in evaluation mode to be sure"
        )


def _common_factor(stored: NDArray[np.float64], losses: NDArray[np.float64]) -> float | None:
    """The factor between stored and recomputed losses, where it is the same at three checkpoints or more."""
    known = np.isfinite(stored) & np.isfinite(losses) & (np.abs(losses) > 1e-12)
    if known.sum() < 3 or np.ptp(losses[known]) <= 1e-3 * np.abs(losses[known]).max():
        return None
    ratios = stored[known] / losses[known]
    factor = float(np.median(ratios))
    same = np.abs(ratios - factor) <= TOLERANCE * abs(factor)
    return factor if bool(same.all()) and abs(factor - 1) > TOLERANCE else None
