"""UD of measured SAL: learnable blocks counted in every pair of runs, and what that says with its spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis import SeedSummary, UnlearnableDistance, summarise_seeds, unlearnable_distance, verdict
from experiments.experiment import Experiment, ExperimentError
from experiments.own_metric import own_label, spoken, stored_names
from experiments.spec import IMPORTED_METHOD, SalSpec, run_name
from experiments.stored import SalSeries


@dataclass(frozen=True)
class PairUd:
    """UD of one poisoned run against the clean run of the same seed."""

    seed: int
    distance: UnlearnableDistance
    test_accuracy_clean: float  # fraction, at the last checkpoint
    test_accuracy_poisoned: float
    metric_clean: float = math.nan  # of the user's own, recorded; see UdReport.metric_name
    metric_poisoned: float = math.nan


@dataclass(frozen=True)
class ArmUd:
    """UD of one arm over its seeds."""

    arm: str
    control: bool
    pairs: tuple[PairUd, ...]
    summary: SeedSummary
    verdict: str

    def mean(self, quantity: str) -> float:
        """Mean over seeds of one quantity of the pairs or of their UD."""
        values = [
            getattr(pair, quantity) if hasattr(pair, quantity) else getattr(pair.distance, quantity)
            for pair in self.pairs
        ]
        return float(np.mean(values))


@dataclass(frozen=True)
class UdReport:
    """UD of every arm of an experiment under one way of measuring SAL."""

    experiment: str
    options: SalSpec
    samples: int
    arms: tuple[ArmUd, ...]
    loss_name: str = ""  # that SAL is a change of; empty for cross-entropy
    metric_name: str = ""  # of the user's own that runs recorded, as "test margin"; empty where there is none

    def as_json(self) -> dict[str, Any]:
        """The report as plain values; the first poisoned arm that is no control stands at the top level."""
        main = next((a for a in self.arms if not a.control), self.arms[0])
        return {
            "experiment": self.experiment,
            **_arm_json(main, self.metric_name),
            "method": self.options.method,
            "blocks": self.options.blocks,
            "settings": asdict(self.options),
            "samples": self.samples,
            "arms": {arm.arm: _arm_json(arm, self.metric_name) for arm in self.arms},
        }

    def as_text(self) -> str:
        """The report in a line per arm."""
        lines = [
            f"{self.experiment}: SAL by {self.options.method}, one block per {self.options.blocks}, "
            f"{self.samples} samples"
        ]
        for arm in self.arms:
            spread = "" if arm.summary.std is None else f" ± {arm.summary.std:.2f}"
            seeds = "1 seed" if len(arm.pairs) == 1 else f"{len(arm.pairs)} seeds"
            reached = _reached(arm, self.metric_name)
            lines.append(
                f"  {arm.arm}: UD {arm.summary.mean:.2f}{spread} ({seeds}); learnable blocks "
                f"{arm.mean('learnable_poisoned'):.1f} against {arm.mean('learnable_clean'):.1f}; {reached}: "
                f"{arm.verdict}"
            )
        return "\n".join(lines)


def _reached(arm: ArmUd, metric: str) -> str:
    """What the runs reach at their end: a metric of the user's own where it was recorded, and test accuracy."""
    own = f"{metric} {arm.mean('metric_poisoned'):.3g} against {arm.mean('metric_clean'):.3g}"
    known = [own] if metric and math.isfinite(arm.mean("metric_poisoned") + arm.mean("metric_clean")) else []
    if not known or math.isfinite(arm.mean("test_accuracy_poisoned") + arm.mean("test_accuracy_clean")):
        known.append(_accuracies(arm))
    return ", ".join(known)


def _accuracies(arm: ArmUd) -> str:
    poisoned, clean = arm.mean("test_accuracy_poisoned"), arm.mean("test_accuracy_clean")
    if math.isnan(poisoned) or math.isnan(clean):
        return "test accuracy not recorded"
    return f"test accuracy {100 * poisoned:.1f} % against {100 * clean:.1f} %"


def report_ud(
    experiment: Experiment, options: SalSpec, series: Mapping[str, SalSeries], *, rule: str = "kmeans"
) -> UdReport:
    """Count learnable blocks in measured SAL and report UD for every arm with a clean partner."""
    spec = experiment.spec
    clean_arm = spec.clean_arm
    if clean_arm is None:
        raise ExperimentError(f"{experiment.name} has no clean run; UD compares a poisoned run with a clean one.")
    if not spec.poisoned_arms:
        what = (
            "one run alone; UD compares another" if experiment.has_own_reference else "no poisoned run; UD compares one"
        )
        raise ExperimentError(f"{experiment.name} has {what} with {experiment.the_reference}.")
    label = own_label(spec.metric)
    held = set.intersection(*(set(one.metrics) for one in series.values())) if series else set()
    own = next(iter(stored_names(label, held)), "")
    arms = []
    for arm in spec.poisoned_arms:
        pairs = []
        for seed in spec.seeds:
            clean, poisoned = series.get(run_name(clean_arm, seed)), series.get(run_name(arm, seed))
            if clean is not None and poisoned is not None:
                pairs.append(_pair(seed, clean, poisoned, rule, own))
        if pairs:
            summary = summarise_seeds([pair.distance.value for pair in pairs])
            words = verdict(summary)
            if spec.arms[arm].method == IMPORTED_METHOD:  # no poison is known of: an optimiser, say
                words = _of_own_runs(words, experiment.reference_name)
            arms.append(ArmUd(arm, spec.arms[arm].control, tuple(pairs), summary, words))
    if not arms:
        what = "SAL of two runs" if experiment.has_own_reference else "clean and poisoned SAL"
        raise ExperimentError(f"{experiment.name} has no {what} of one seed yet; measure them: sal {experiment.path}")
    first = next(iter(series.values()))
    samples, metric = int(first.header["samples"]), spoken(own, label) if own else ""
    return UdReport(experiment.name, options, samples, tuple(arms), first.loss_name, metric)


def _of_own_runs(words: str, reference: str) -> str:
    """A verdict on runs of one's own: it counts blocks, and says nothing of data that cannot be learned from."""
    run = "the clean run" if reference == "clean" else reference
    for told in ("seems to learn, but wrongly (adversarial)", "learns, but wrongly (adversarial)"):
        words = words.replace(told, f"more blocks learnable than in {run}")
    for told in ("looks less learnable", "less learnable"):
        words = words.replace(told, f"fewer blocks learnable than in {run}")
    return words.replace("told apart from clean", f"told apart from {reference}")


def _pair(seed: int, clean: SalSeries, poisoned: SalSeries, rule: str, own: str) -> PairUd:
    if clean.blocks != poisoned.blocks:
        raise ExperimentError(f"{clean.run} and {poisoned.run} have different blocks; UD needs one architecture.")
    known = clean.midpoints if rule == "kmeans" else None  # else scikit-learn would be loaded for them
    distance = unlearnable_distance(clean.sal, poisoned.sal, sizes=clean.sizes, rule=rule, thresholds=known)
    reached = [_last(one, name) for name in ("test_accuracy", own) for one in (clean, poisoned)]
    return PairUd(seed, distance, *reached)


def _last(series: SalSeries, name: str) -> float:
    values = series.metrics.get(name)
    return float(values[-1]) if values is not None and len(values) else float("nan")


def _arm_json(arm: ArmUd, metric: str) -> dict[str, Any]:
    def finite(value: float | None) -> float | None:
        return None if value is None or not np.isfinite(value) else float(value)

    own = {"metric_clean": finite(arm.mean("metric_clean")), "metric_poisoned": finite(arm.mean("metric_poisoned"))}
    return {
        "arm": arm.arm,
        "control": arm.control,
        "ud": finite(arm.summary.mean),
        "ud_std": finite(arm.summary.std),
        "ud_by_parameters": finite(arm.mean("value_by_parameters")),
        "ud_per_seed": [finite(pair.distance.value) for pair in arm.pairs],
        "verdict": arm.verdict,
        "learnable_clean": finite(arm.mean("learnable_clean")),
        "learnable_poisoned": finite(arm.mean("learnable_poisoned")),
        "threshold": finite(arm.mean("threshold")),
        "test_accuracy_clean": finite(arm.mean("test_accuracy_clean")),
        "test_accuracy_poisoned": finite(arm.mean("test_accuracy_poisoned")),
        **({"metric": metric, **own} if metric else {}),
        "seeds": [pair.seed for pair in arm.pairs],
    }
