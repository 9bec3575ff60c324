"""Whether the losses, and the user's own metric, that a run stores are those of its checkpoints; if not, why not."""

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
from experiments.check_average import FEWEST, FEWEST_STEPS, Recorded, average_of
from experiments.check_names import loss_metrics
from experiments.engine import one_thread
from experiments.experiment import Experiment, ExperimentError
from experiments.materials import Sample, dataset_of, network_for_run, sample
from experiments.own_metric import metric_label, part_of, stored_names
from experiments.progress import Progress, Silent
from training.own_losses import mean_over

TOLERANCE = 1e-4  # relative; of a metric, which may be near 0 by nature, to the largest one along the run
DRAWS = 8  # of dropout
BATCH_BACK, AVERAGE_BACK = 0.3, 1.15  # how far back the loss of a single batch lies at most, and an average
DROPOUT = nn.modules.dropout._DropoutNd
BATCH_NORM = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Comparison:
    """A stored number beside the recomputed one, which agree within ``TOLERANCE`` or for the reason given do not."""

    step: int
    stored: float
    recomputed: float
    agrees: bool
    reason: str = ""
    least: float = 0.0  # what differences are relative to, unless the recomputed number is larger

    @property
    def difference(self) -> float:
        """Relative to the recomputed number."""
        return relative(self.stored, self.recomputed, self.least)


@dataclass(frozen=True)
class CheckedMetric:
    """One stored metric of a run, compared at every checkpoint that has it.

    ``function`` is that of the user's own, ``package.module:function``, which gave what it is compared with; empty for
    a loss.
    """

    run: str
    metric: str
    on: str
    rows: tuple[Comparison, ...]
    function: str = ""

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
        function = f" ({self.function})" if self.function else ""
        lines = [
            f"{self.run}, {self.metric}{function} on {self.on}: agrees at {len(self.rows) - len(wrong)} of "
            f"{len(self.rows)} checkpoints (largest relative difference {largest:.1e})"
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
    """Recompute every stored loss and metric of the user's own, on all samples in evaluation mode, and compare.

    Args:
        experiment: Its network and data must be known.
        runs: Names; default all.

    Returns:
        A result for each run and loss that it stores (``experiments.check_names``), then for the experiment's own
        metric where the run stores it under the name of the function, or that after ``test_``, ``eval_``, ``val_`` or
        ``train_``. Nothing is written. Raises :class:`ExperimentError`.
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
    stored = {name for name, values in run.metrics.items() if not np.isnan(values).all()}
    label = metric_label(experiment.spec.metric)
    own = stored_names(label, stored) if label != "loss" else []  # which would be the losses' names
    metrics = loss_metrics(stored - set(own)) | {name: part_of(name, label) for name in own}
    if not metrics:
        return
    model = network_for_run(experiment.spec, dataset_of(experiment.spec, download=download), run, name)
    arm = experiment.arm_of(name)
    data = {
        "train": sample(experiment, arm if arm in experiment.spec.arms else "clean", seed=experiment.seed_of(name)),
        "test": sample(experiment, "test"),
    }
    found: dict[str, list[dict[str, float]]] = {}
    for part in dict.fromkeys(metrics.values()):
        progress.start(f"losses of {name} on {data[part].label}", len(run))
        found[part] = [_measured(model, run, i, data[part], progress) for i in range(len(run))]
    for metric, part in metrics.items():
        key = "metric" if metric in own else "loss"
        values = np.array([one[key] for one in found[part]])
        why = _Why(model, run, metric, data, part, values, label if metric in own else "")
        rows = [
            _compared(why, i, float(stored)) for i, stored in enumerate(run.metrics[metric]) if not math.isnan(stored)
        ]
        function = str(experiment.spec.metric) if metric in own else ""
        yield CheckedMetric(name, metric, data[part].label, tuple(rows), function)


def _measured(model: nn.Module, run: Run, checkpoint: int, on: Sample, progress: Progress) -> dict[str, float]:
    model.load_state_dict(run.state_dict(checkpoint))
    found = mean_over(model, on.batches, on.loss, metric=on.metric)
    progress.advance()
    return found


def _compared(why: _Why, checkpoint: int, stored: float) -> Comparison:
    step, found = int(why.run.steps[checkpoint]), float(why.values[checkpoint])
    agrees = relative(stored, found, why.least) <= TOLERANCE
    return Comparison(step, stored, found, agrees, "" if agrees else why.reason(checkpoint, stored), why.least)


def relative(stored: float, recomputed: float, least: float = 0.0) -> float:
    """The difference as a share of the recomputed number, or of ``least`` if that is more; 0 if they are the same."""
    if stored == recomputed or (math.isnan(stored) and math.isnan(recomputed)):
        return 0.0
    if not (math.isfinite(stored) and math.isfinite(recomputed)):
        return math.inf
    return abs(stored - recomputed) / max(abs(recomputed), least, 1e-12)


class _Why:
    """Finds out why a stored loss or metric is another one, by computing what it may have been.

    ``label`` is what a metric of the user's own is called; empty for a loss.
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        metric: str,
        data: dict[str, Sample],
        part: str,
        values: NDArray[np.float64],
        label: str = "",
    ) -> None:
        self.model, self.run, self.values = model, run, values
        self.own, self.other = data[part], data["train" if part == "test" else "test"]
        self.word, self.key = (label, "metric") if label else ("loss", "loss")
        self.least = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) if label else 0.0
        self.factor = _common_factor(run.metrics[metric], values)
        self.back = share_back(run.metrics[metric], values, run.steps) if self.key == "loss" else None
        unknown = np.full(len(run), np.nan)
        recorded = Recorded(run.steps, run.epochs, run.metrics[metric], values, run.metrics.get("batch_loss", unknown))
        self.average = average_of(recorded) if self.key == "loss" and part == "train" else None

    def reason(self, checkpoint: int, stored: float) -> str:
        """What explains it, in words, the surest first."""
        if self.factor is not None:
            return f"it is {self.factor:.6g} times as large at every checkpoint: a sum, another unit or a weight"
        before = self.values[checkpoint - 1] if checkpoint else math.nan
        if self._same(stored, before):
            return f"it is the {self.word} of the checkpoint before: recorded after a step, measured ahead of it"
        self.model.load_state_dict(self.run.state_dict(checkpoint))
        if self._same(stored, self._mean(self.other)):
            return f"it is the {self.word} on the {self.other.label}"
        return (
            self._at_once(stored)
            or (self.average.words if self.average is not None and self.average.explains(checkpoint, stored) else "")
            or self._mode(checkpoint, stored)
            or self._average(checkpoint, stored)
            or self._unexplained()
        )

    def _same(self, stored: float, found: float) -> bool:
        return relative(stored, found, self.least) <= TOLERANCE

    def _mean(self, on: Sample, *, train: bool = False) -> float:
        return mean_over(self.model, on.batches, on.loss, metric=on.metric, train=train)[self.key]

    def _at_once(self, stored: float) -> str:
        """Some metrics of all samples are not the mean over batches, as an F1 score."""
        batches, metric = self.own.batches, self.own.metric
        if self.key != "metric" or metric is None or len(batches) < 2:
            return ""
        with torch.no_grad():
            outputs = torch.cat([self.model.eval()(inputs) for inputs, _ in batches])
            found = float(metric(outputs, torch.cat([targets for _, targets in batches])))
        if not self._same(stored, found):
            return ""
        return (
            f"it is the {self.word} of all samples at once, which is not its mean over batches of "
            f"{len(batches[0][1])}; surfaces show that mean"
        )

    def _mode(self, checkpoint: int, stored: float) -> str:
        """Layers that do something else in training mode."""
        kinds = [type(module) for module in self.model.modules()]
        drops = any(issubclass(kind, DROPOUT) for kind in kinds)
        norms = any(issubclass(kind, BATCH_NORM) for kind in kinds)
        if not (drops or norms):
            return ""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            draws = [self._mean(self.own, train=True) for _ in range(DRAWS if drops else 1)]
        layers = " and ".join([*(["dropout"] if drops else []), *(["BatchNorm"] if norms else [])])
        if any(self._same(stored, draw) for draw in draws):
            return f"it is the {self.word} in training mode, in which {layers} does something else"
        spread = 4 * float(np.std(draws)) if drops else 0.0
        if drops and abs(stored - float(np.mean(draws))) <= spread:
            return f"it is one of many values in training mode, in which {layers} does something else by chance"
        if abs(stored - draws[0]) < 0.5 * abs(stored - self.values[checkpoint]):
            return (
                f"it is closer to the {self.word} in training mode ({draws[0]:.6g}, {layers}), perhaps on other batches"
            )
        return ""

    def _average(self, checkpoint: int, stored: float) -> str:
        """A running average lies between the values of this checkpoint and of the one before; a single batch may."""
        if checkpoint == 0:
            return ""
        low, high = sorted(self.values[checkpoint - 1 : checkpoint + 1])
        between = low <= stored <= high
        if self.back is not None and self.back[0] - self.back[1] > BATCH_BACK and sum(self.back) < AVERAGE_BACK:
            share, error = self.back
            why = (
                "it is not that of a single batch, for over all checkpoints the stored losses lie "
                f"{share:.2f} ± {error:.2f} of the way back"
            )
            if between:
                return (
                    "it lies between the losses of this checkpoint and the one before, as a running average over the "
                    f"steps in between does; {why}"
                )
            if 2 * low - high <= stored <= 2 * high - low:
                return f"it is a running average over the steps since the checkpoint before, by all that is seen; {why}"
        if not between:
            return ""
        return (
            f"it lies between the {'values' if self.key == 'metric' else 'losses'} of this checkpoint and the one "
            f"before, as a running average over the steps in between does; the {self.word} of a single batch may lie "
            "there by chance"
        )

    def _unexplained(self) -> str:
        if self.run.storage:
            return f"the weights were rounded to {self.run.storage} when they were recorded"
        if self.key == "metric":
            return (
                "augmentation, a single batch, other samples or another function of that name would explain it; record "
                "it in evaluation mode to be sure"
            )
        return (
            "augmentation, a running average, a single batch, other samples, label smoothing or a penalty in the loss "
            "would explain it; record the mean loss in evaluation mode to be sure"
        )


def share_back(
    stored: NDArray[np.float64], losses: NDArray[np.float64], steps: NDArray[np.int64]
) -> tuple[float, float] | None:
    """How far back stored losses lie between a checkpoint (0) and the one before it (1): the share, and its error.

    The loss of the last single batch lies near 0, with noise; a running average over many steps in between near a half.
    The share is that of least squares, where a loss weighs the less the larger it is, as its noise grows with it; the
    error is three standard errors, or how far any one checkpoint moves it, if that is more.

    Args:
        stored, losses: [T], at the checkpoints; steps: [T], of the optimiser.

    Returns:
        None where there are too few checkpoints, or too few steps between them for the two to be told apart.
    """
    known = np.isfinite(stored[1:]) & np.isfinite(losses[1:]) & np.isfinite(losses[:-1])
    weight = 1 / np.maximum(np.abs(losses[1:][known]), 1e-12)
    fall = (losses[:-1] - losses[1:])[known] * weight
    rest = (stored - losses)[1:][known] * weight
    n, square = len(fall), float(fall @ fall)
    if n < FEWEST or square == 0 or np.diff(steps).min() < FEWEST_STEPS:
        return None
    share = float(fall @ rest) / square
    noise = float(np.linalg.norm(rest - share * fall)) / np.sqrt((n - 1) * square)
    others = square - fall**2
    without = (fall @ rest - fall * rest) / np.where(others > 0, others, np.nan)
    moved = float(np.max(np.abs(without - share)))
    return (share, max(3 * float(noise), moved)) if np.isfinite(moved) else None


def _common_factor(stored: NDArray[np.float64], values: NDArray[np.float64]) -> float | None:
    """The factor between stored and recomputed numbers, where it is the same at three checkpoints or more."""
    known = np.isfinite(stored) & np.isfinite(values) & (np.abs(values) > 1e-12)
    if known.sum() < 3 or np.ptp(values[known]) <= 1e-3 * np.abs(values[known]).max():
        return None
    ratios = stored[known] / values[known]
    factor = float(np.median(ratios))
    same = np.abs(ratios - factor) <= TOLERANCE * abs(factor)
    return factor if bool(same.all()) and abs(factor - 1) > TOLERANCE else None
