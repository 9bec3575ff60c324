"""What a benchmark found: one row per run and way of measuring, its summary over seeds, and what UD can resolve."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis import (
    Estimate,
    Floor,
    SeedSummary,
    bootstrap_mean,
    bootstrap_rank_correlation,
    floor,
    learnable_threshold,
    summarise_seeds,
    unlearnable_distance,
    verdict,
)
from experiments.bench_run import Bench
from experiments.bench_spec import CLEAN, UNDEFENDED, arm_name
from experiments.experiment import Experiment
from experiments.spec import SalSpec, run_name
from experiments.stored import SalSeries, stored_sal


@dataclass(frozen=True)
class RunRow:
    """One run under one way of measuring SAL. Accuracies are fractions; UD is None for clean runs without defence,
    which it is measured against, and where it is not defined."""

    experiment: str
    data: str
    model: str
    method: str
    defence: str
    arm: str
    control: bool
    seed: int
    sal: str
    ud: float | None
    ud_by_parameters: float | None
    learnable_blocks: float | None
    threshold: float | None
    test_accuracy_last: float | None
    test_accuracy_best: float | None
    train_accuracy: float | None
    seconds_poison: float | None
    seconds_training: float | None
    seconds_sal: float | None
    note: str = ""


@dataclass(frozen=True)
class MethodLine:
    """One method under one defence, over its seeds.

    Attributes:
        ud, accuracy, train_accuracy: Mean, standard deviation and Student's t interval over seeds; None without values.
        ud_interval: Bootstrap interval of the mean UD.
        best_accuracy, ud_by_parameters, seconds: Means over seeds.
        verdict: What the spread allows to say.
    """

    experiment: str
    data: str
    model: str
    method: str
    defence: str
    arm: str
    control: bool
    sal: str
    seeds: tuple[int, ...]
    ud: SeedSummary | None
    ud_interval: Estimate | None
    ud_by_parameters: float | None
    accuracy: SeedSummary | None
    best_accuracy: float | None
    train_accuracy: SeedSummary | None
    seconds: float | None
    verdict: str


def bench_rows(bench: Bench) -> list[RunRow]:
    """Every finished run under every way of measuring, in the plan's order."""
    spec, records = bench.spec, bench.records()
    rows = []
    for folder, experiment in bench.experiments().items():
        stored = stored_sal(experiment)
        for label, options in spec.sal.items():
            series = stored.get(options, {})
            for seed in spec.seeds:
                clean = series.get(run_name(CLEAN, seed))
                beta = None if clean is None else _threshold(clean)
                for method, defence in _combinations(bench):
                    arm = arm_name(method, defence)
                    found = series.get(run_name(arm, seed))
                    if found is not None:
                        record = records.get(f"{folder}-{run_name(arm, seed)}", {})
                        rows.append(_row(experiment, method, defence, seed, label, found, clean, beta, record))
    return rows


def bench_lines(rows: Iterable[RunRow]) -> list[MethodLine]:
    """Rows of one method, defence and way of measuring taken together over seeds, in the order of the rows."""
    groups: dict[tuple[str, str, str], list[RunRow]] = {}
    for row in rows:
        groups.setdefault((row.experiment, row.arm, row.sal), []).append(row)
    return [_line(group) for group in groups.values()]


def bench_floors(bench: Bench) -> dict[tuple[str, str], Floor]:
    """UD of clean runs against clean runs of other seeds, by experiment and way of measuring, where there are two."""
    spec = bench.spec
    floors = {}
    for folder, experiment in bench.experiments().items():
        stored = stored_sal(experiment)
        for label, options in spec.sal.items():
            runs = [s for seed in spec.seeds if (s := stored.get(options, {}).get(run_name(CLEAN, seed))) is not None]
            if len(runs) > 1:
                with suppress(ValueError):  # a clean run without a learnable block
                    floors[folder, label] = floor([run.sal for run in runs])
    return floors


def bench_correlation(rows: Sequence[RunRow], experiment: str, sal: str) -> Estimate | None:
    """Spearman's rank correlation of UD with clean-test accuracy over methods, or None with fewer than two."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if (
            row.experiment == experiment
            and row.sal == sal
            and row.ud is not None
            and row.test_accuracy_last is not None
        ):
            pairs.setdefault(row.arm, []).append((row.ud, row.test_accuracy_last))
    if len(pairs) < 2:
        return None
    return bootstrap_rank_correlation(
        [[ud for ud, _ in values] for values in pairs.values()],
        [[acc for _, acc in values] for values in pairs.values()],
    )


def rows_csv(rows: Sequence[RunRow]) -> str:
    """One line per run and way of measuring."""
    return _csv([asdict(row) for row in rows])


def lines_csv(lines: Sequence[MethodLine]) -> str:
    """One line per method, with means and spread over seeds."""
    return _csv([line_values(line) for line in lines])


def line_values(line: MethodLine) -> dict[str, Any]:
    """A line as plain values, one to a column."""
    values: dict[str, Any] = {
        key: getattr(line, key) for key in ("data", "model", "method", "defence", "control", "sal")
    }
    values["seeds"] = len(line.seeds)
    for key, summary in (("ud", line.ud), ("test_accuracy", line.accuracy), ("train_accuracy", line.train_accuracy)):
        for part in ("mean", "std", "low", "high"):
            values[f"{key}_{part}"] = None if summary is None else getattr(summary, part)
    values["ud_bootstrap_low"] = None if line.ud_interval is None else line.ud_interval.low
    values["ud_bootstrap_high"] = None if line.ud_interval is None else line.ud_interval.high
    values |= {
        "ud_by_parameters": line.ud_by_parameters,
        "test_accuracy_best": line.best_accuracy,
        "seconds_per_run": line.seconds,
        "verdict": line.verdict,
    }
    return values


def _combinations(bench: Bench) -> list[tuple[str, str]]:
    spec = bench.spec
    return [(method, defence) for defence in spec.defend for method in (CLEAN, *spec.arms)]


def _row(
    experiment: Experiment,
    method: str,
    defence: str,
    seed: int,
    label: str,
    series: SalSeries,
    clean: SalSeries | None,
    beta: float | None,
    record: Mapping[str, Any],
) -> RunRow:
    spec, arm = experiment.spec, arm_name(method, defence)
    reference = method == CLEAN and defence == UNDEFENDED
    ud, by_parameters, blocks, threshold, note = None, None, None, None, ""
    if clean is None:
        note = "the clean run of this seed is not measured yet"
    elif reference:
        blocks, threshold = _own(series, beta)
    else:
        ud, by_parameters, blocks, threshold, note = _distance(clean, series, beta)
    accuracy = series.metrics.get("test_accuracy", np.empty(0))
    train = series.metrics.get("train_accuracy", np.empty(0))
    seconds = record.get("seconds", {})
    return RunRow(
        experiment=experiment.name,
        data=spec.data.name,
        model=spec.model.name,
        method=method,
        defence=defence,
        arm=arm,
        control=spec.arms[arm].control,
        seed=seed,
        sal=label,
        ud=ud,
        ud_by_parameters=by_parameters,
        learnable_blocks=blocks,
        threshold=threshold,
        test_accuracy_last=float(accuracy[-1]) if len(accuracy) else None,
        test_accuracy_best=float(np.max(accuracy)) if len(accuracy) else None,
        train_accuracy=float(train[-1]) if len(train) else None,
        seconds_poison=seconds.get("poison"),
        seconds_training=seconds.get("train"),
        seconds_sal=seconds.get("sal"),
        note=note,
    )


def _distance(
    clean: SalSeries, series: SalSeries, beta: float | None
) -> tuple[float | None, float | None, float | None, float | None, str]:
    try:
        found = unlearnable_distance(clean.sal, series.sal, threshold=beta, sizes=clean.sizes)
    except ValueError as error:
        return None, None, None, None, str(error)
    return found.value, found.value_by_parameters, found.learnable_poisoned, found.threshold, ""


def _threshold(clean: SalSeries) -> float | None:
    """β of a clean run, found once for all methods; None where there is none, which UD then says."""
    try:
        return learnable_threshold(clean.sal)
    except ValueError:
        return None


def _own(series: SalSeries, beta: float | None) -> tuple[float | None, float | None]:
    """Learnable blocks and threshold of a clean run by its own measure."""
    try:
        found = unlearnable_distance(series.sal, series.sal, threshold=beta)
    except ValueError:
        return None, None
    return found.learnable_clean, found.threshold


def _line(rows: Sequence[RunRow]) -> MethodLine:
    first = rows[0]
    uds = [row.ud for row in rows if row.ud is not None]
    ud = summarise_seeds(uds) if uds else None
    if ud is not None:
        said = verdict(ud)
    else:
        said = "what UD is measured against" if first.arm == CLEAN else first.note or "not measured"
    return MethodLine(
        experiment=first.experiment,
        data=first.data,
        model=first.model,
        method=first.method,
        defence=first.defence,
        arm=first.arm,
        control=first.control,
        sal=first.sal,
        seeds=tuple(row.seed for row in rows),
        ud=ud,
        ud_interval=bootstrap_mean(uds) if uds else None,
        ud_by_parameters=_mean(row.ud_by_parameters for row in rows),
        accuracy=_summary(row.test_accuracy_last for row in rows),
        best_accuracy=_mean(row.test_accuracy_best for row in rows),
        train_accuracy=_summary(row.train_accuracy for row in rows),
        seconds=_mean(_whole(row) for row in rows),
        verdict=said,
    )


def _whole(row: RunRow) -> float | None:
    parts = [row.seconds_poison, row.seconds_training, row.seconds_sal]
    return sum(part or 0.0 for part in parts) if any(part is not None for part in parts) else None


def _summary(values: Iterable[float | None]) -> SeedSummary | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return summarise_seeds(known) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def sal_label(options: SalSpec) -> str:
    """A way of measuring SAL in a few words."""
    return f"{options.method}, per {options.blocks}"
