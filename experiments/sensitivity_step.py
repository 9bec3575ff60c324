"""How far UD and the methods' order depend on how they are measured: settings of SAL, checkpoints, threshold rules.

Each setting is varied alone, the others as given. What has to be measured is measured like any SAL and kept; the
schedule of checkpoints and the rule are read off what exists.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import (
    Bimodality,
    EstimatorRow,
    Sensitivity,
    compare_estimators,
    judge_bimodality,
    rule_sensitivity,
    ud_sensitivity,
)
from experiments.engine import Where
from experiments.experiment import Experiment, ExperimentError
from experiments.progress import Progress
from experiments.sal_step import compute_sal
from experiments.spec import SalSpec, run_name
from experiments.stored import SalSeries, read_sal, stored_sal

MEASURED = ("epsilon", "steps", "lr", "p", "samples", "batch_size", "method", "blocks")
SCHEDULE = "every"
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "epsilon": (0.01, 0.02, 0.05, 0.1, 0.2),
    "p": (1.0, 2.0, float("inf")),
    "samples": (100, 300, 1000),
    SCHEDULE: (1, 2, 5),
}
Tables = dict[str, list[NDArray[np.float64]]]  # {arm: [T, L] of each seed}


@dataclass(frozen=True)
class SensitivityReport:
    """What an experiment's UD depends on.

    Attributes:
        options: The settings that are varied, as they are by default; seeds: those with every arm measured.
        settings: {setting: UD of every arm under its values}; rules: under the threshold's rules.
        groups: Whether SAL of the clean runs forms two groups at all, at each seed's last checkpoint.
        estimators: The authors' UD beside steadier ones; empty with one clean seed.
        reference: What the runs are called that others are compared with: ``clean``, or the arm of a reference.
    """

    experiment: str
    options: SalSpec
    seeds: tuple[int, ...]
    settings: Mapping[str, Sensitivity]
    rules: Sensitivity
    groups: tuple[Bimodality, ...]
    estimators: tuple[EstimatorRow, ...]
    reference: str = "clean"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "experiment": self.experiment,
            "options": asdict(self.options),
            "seeds": list(self.seeds),
            "settings": {name: _json(found) for name, found in self.settings.items()},
            "rules": _json(self.rules),
            "two_groups": [asdict(one) | {"verdict": one.verdict} for one in self.groups],
            "estimators": [_estimator_json(row) for row in self.estimators],
        }

    def as_text(self) -> str:
        """A line per setting, and what it means."""
        lines = [f"{self.experiment}: UD of {len(self.rules.methods)} methods over {len(self.seeds)} seeds"]
        for name, found in (*self.settings.items(), ("threshold rule", self.rules)):
            lines.append(f"  {name}: {found.verdict}")
            for one in found.settings:
                values = ", ".join(f"{method} {ud.mean:.2f}" for method, ud in one.summaries.items())
                mark = " (default)" if one.setting == found.default else f", Kendall's τ {one.kendall:.2f}"
                lines.append(f"    {one.setting}{mark}: {values}")
            lines += [f"    {setting}: {why}" for setting, why in found.failed.items()]
        lines.append(f"  two groups of blocks in the {self.reference} runs, at the last checkpoint?")
        lines += [f"    seed {seed}: {one.verdict}" for seed, one in zip(self.seeds, self.groups, strict=True)]
        for row in self.estimators:
            apart = f"{len(row.power.from_clean)} of {row.power.methods} methods told from {self.reference}"
            lines.append(f"  estimator {row.estimator}: floor {_floor(row)}; {apart}")
        return "\n".join(lines)


def compute_sensitivity(
    experiment: Experiment,
    options: SalSpec | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    *,
    progress: Progress | None = None,
    where: Where | None = None,
    measure: bool = True,
) -> SensitivityReport:
    """Vary each setting alone and report UD.

    Args:
        options: The default way of measuring; the experiment's own when not given.
        vary: {setting: values}, of :data:`MEASURED` or ``every``; :data:`DEFAULTS` when not given.
        measure: Whether what is missing is measured; otherwise only settings that are measured already are reported.

    Raises:
        ExperimentError: An unknown setting, or no SAL of clean and poisoned runs of one seed.
    """
    options = options or experiment.spec.sal
    vary = {key: tuple(values) for key, values in (DEFAULTS if vary is None else vary).items()}
    unknown = sorted(set(vary) - {*MEASURED, SCHEDULE})
    if unknown:
        raise ExperimentError(
            f"{unknown[0]} is not a setting that can be varied; known are {', '.join(MEASURED)} and {SCHEDULE}."
        )
    take = _Measured(experiment, progress, where, measure)
    base, seeds = _complete(experiment, take(options), None)
    settings = {}
    for setting, values in vary.items():
        tables = (
            _schedules(base, options, values)
            if setting == SCHEDULE
            else _varied(experiment, take, options, setting, values, base, seeds)
        )
        if len(tables) > 1:
            default = _label(setting, 1 if setting == SCHEDULE else getattr(options, setting))
            settings[setting] = ud_sensitivity(tables, default=default)
    poisoned = {arm: runs for arm, runs in base.items() if arm != "clean"}
    estimators = compare_estimators(base["clean"], poisoned) if len(seeds) > 1 else ()
    return SensitivityReport(
        experiment.name,
        options,
        seeds,
        settings,
        rule_sensitivity(base),
        tuple(judge_bimodality(table[-1]) for table in base["clean"]),
        tuple(estimators),
        experiment.reference_name,
    )


@dataclass(frozen=True)
class _Measured:
    """SAL of every run under some settings, measured where it is missing and that is wanted."""

    experiment: Experiment
    progress: Progress | None
    where: Where | None
    measure: bool

    def __call__(self, options: SalSpec) -> Mapping[str, SalSeries]:
        if self.measure and self.experiment.finished_runs():
            paths = compute_sal(self.experiment, options, progress=self.progress, where=self.where)
            return {series.run: series for series in map(read_sal, paths)}
        return stored_sal(self.experiment).get(options, {})


def _varied(
    experiment: Experiment,
    take: _Measured,
    options: SalSpec,
    setting: str,
    values: Sequence[Any],
    base: Tables,
    seeds: tuple[int, ...],
) -> dict[str, Tables]:
    tables = {_label(setting, getattr(options, setting)): base}
    for value in values:
        label = _label(setting, value)
        if label not in tables:
            found = take(dataclasses.replace(options, **{setting: value}))
            if found:
                tables[label] = _complete(experiment, found, seeds)[0]
    order = [_label(setting, value) for value in values]
    return dict(sorted(tables.items(), key=lambda item: order.index(item[0]) if item[0] in order else -1))


def _schedules(base: Tables, options: SalSpec, values: Sequence[Any]) -> dict[str, Tables]:
    """Every n-th measured checkpoint and the last, from what is measured."""
    found = {}
    for n in dict.fromkeys((1, *map(int, values))):
        if n < 1:
            raise ExperimentError(f"every must be at least 1, not {n}.")
        found[_label(SCHEDULE, n)] = {arm: [_thinned(t, n) for t in runs] for arm, runs in base.items()}
    return found


def _thinned(table: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    kept: NDArray[np.float64] = table[np.unique(np.append(np.arange(0, len(table), n), len(table) - 1))]
    return kept


def _complete(
    experiment: Experiment, series: Mapping[str, SalSeries], seeds: tuple[int, ...] | None
) -> tuple[Tables, tuple[int, ...]]:
    """Tables by arm for the seeds in which every arm is measured, the clean arm called ``clean``."""
    spec = experiment.spec
    if spec.clean_arm is None or not spec.poisoned_arms:
        sides = "two arms" if experiment.has_own_reference else "a clean and a poisoned arm"
        raise ExperimentError(f"{experiment.name} needs {sides} to compare.")
    arms = {"clean": spec.clean_arm} | {arm: arm for arm in spec.poisoned_arms}
    full = tuple(s for s in spec.seeds if all(run_name(arm, s) in series for arm in arms.values()))
    if seeds is not None and full != seeds:
        raise ExperimentError(f"{experiment.name} lacks SAL of some runs under one of the settings; measure it anew.")
    if not full:
        raise ExperimentError(
            f"{experiment.name} has no seed with SAL of every arm yet; measure it with: sal {experiment.path}"
        )
    return {key: [series[run_name(arm, s)].sal for s in full] for key, arm in arms.items()}, full


def _label(setting: str, value: Any) -> str:
    return f"{setting} = {value:g}" if isinstance(value, (int, float)) else f"{setting} = {value}"


def _json(found: Sensitivity) -> dict[str, Any]:
    return {
        "default": found.default,
        "verdict": found.verdict,
        "failed": dict(found.failed),
        "settings": {
            one.setting: {
                "kendall": one.kendall,
                "spearman": one.spearman,
                "ud": {method: asdict(ud) for method, ud in one.summaries.items()},
            }
            for one in found.settings
        },
    }


def _estimator_json(row: EstimatorRow) -> dict[str, Any]:
    return {
        "estimator": row.estimator,
        "floor": asdict(row.floor),
        "spread": row.spread,
        "agreement": row.agreement,
        "told_from_clean": list(row.power.from_clean),
        "separation": dict(row.separation),
        "ud": {method: {"value": one.value, "per_seed": list(one.per_seed)} for method, one in row.estimates.items()},
    }


def _floor(row: EstimatorRow) -> str:
    return f"{min(row.floor.values):.2f} to {max(row.floor.values):.2f}"
