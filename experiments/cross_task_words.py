"""The cross-task report in words for a terminal, and as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import Estimate, TaskUd
from analysis.similarity import KINDS
from experiments.cross_task_report import METRIC_WORDS, CrossTask, listed


def cross_task_text(found: CrossTask) -> str:
    """The report for a terminal."""
    control = next(iter(found.controls), None)
    seeds = found.seeds[found.clean_arm]
    lines = [
        f"{found.experiment}: {len(found.tasks)} tasks on {found.images} clean test images, "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
    ]
    if found.clean_problem is not None:
        return "\n".join([*lines, found.clean_problem, *_missing_words(found)])
    lines += [
        "damage: 0 % as with clean data, 100 % no better than a predictor that ignores the image",
    ]
    for task, title in found.tasks.items():
        better = "higher" if title.higher_is_better else "lower"
        trivial = found.trivial[task][title.metric]
        lines += ["", f"{title.words}: {better} is better, {_spread([trivial])} without looking at the image"]
        lines.append(f"  {found.clean_arm:<16} {_spread(found.means[task][found.clean_arm][title.metric])}")
        lines += [_arm_line(found, task, arm, control) for arm in found.arms]
        lines += [f"  {line}" for line in other_measures(found, task)]
        floors = [one.floor for one in found.ud.get(task, {}).values() if one.floor is not None]
        if floors:
            low, high = floors[0].span
            mean = float(np.mean(floors[0].values))
            lines.append(f"  UD of clean against clean with another seed: {mean:.2f} ({low:.2f} to {high:.2f})")
        if task in found.ud_problems:
            lines.append(f"  no UD: {found.ud_problems[task]}")
    lines += ["", *no_damage_words(found)] if any(found.damage_problems.values()) else []
    lines += ["", "cross-task ratio: mean damage of the other tasks / damage of the scene"]
    none = "some task has no damage" if any(found.damage_problems.values()) else "needs the scene and another task"
    lines += [f"  {arm:<16} {_ratio(found, arm, control)}" for arm in found.ratio] or [f"  {none}"]
    if found.options is not None:
        lines += [
            "",
            f"SAL by {found.options.method}, {_samples(found)} training images of each run, shared backbone alone",
        ]
    lines += _batchnorm_lines(found)
    lines += _missing_words(found)
    if len(seeds) == 1:
        lines.append("one seed: intervals are over images alone, and UD has no spread")
    return "\n".join(lines)


def other_measures(found: CrossTask, task: str) -> list[str]:
    """A line for each of the task's other measures: damage of every arm by it, without an interval."""
    known = {arm: found.other_damage(task, arm) for arm in found.arms}
    measures = dict.fromkeys(measure for by in known.values() for measure in by)
    lines = []
    for measure in measures:
        values = {arm: by.get(measure, math.nan) for arm, by in known.items()}
        cells = [f"{arm} {round(100 * value)} %" for arm, value in values.items() if math.isfinite(value)]
        lines.append(f"damage by {METRIC_WORDS[measure]}: {', '.join(cells)}")
    return lines


def _batchnorm_lines(found: CrossTask) -> list[str]:
    """Headline measures with BatchNorm statistics of clean images."""
    again = found.batchnorm
    if again is None:
        return []
    lines = ["", f"with {batchnorm_words(again.images)}, no weight changed:"]
    for task, title in found.tasks.items():
        cells = [f"{arm} {_spread(by[title.metric])}" for arm, by in again.means[task].items()]
        lines.append(f"  {title.words}: {', '.join(cells)}")
    return lines


def batchnorm_words(images: int) -> str:
    """What is different, for people."""
    return f"BatchNorm statistics from {images} clean images"


def no_damage_words(found: CrossTask) -> list[str]:
    """A sentence for each arm and reason that it has no damage of some tasks."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for task, problems in found.damage_problems.items():
        for arm, why in problems.items():
            tasks.setdefault((arm, why), []).append(found.tasks[task].title)
    every = len(found.tasks)
    return [
        f"No damage of {arm}{'' if len(names) == every else f' to {listed(names)}'}: {why}"
        for (arm, why), names in tasks.items()
    ]


def without_sal_words(found: CrossTask) -> list[str]:
    """A sentence for each task whose SAL is not measured for some runs as they are now."""
    return [
        f"SAL under the loss of {found.tasks[task].title} is not measured by these settings for {', '.join(runs)}."
        for task, runs in found.without_sal.items()
    ]


def _missing_words(found: CrossTask) -> list[str]:
    lines = []
    if found.unmeasured:
        lines.append(f"The tasks are not measured for {', '.join(found.unmeasured)} as they are now.")
    lines += without_sal_words(found)
    return (
        [*lines, f"To measure what is missing: cross-task {found.experiment}, with the same settings"] if lines else []
    )


def cross_task_json(found: CrossTask) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "experiment": found.experiment,
        "images": found.images,
        "seeds": {arm: list(seeds) for arm, seeds in found.seeds.items()},
        "roles": {arm: found.roles[arm] for arm in found.seeds},
        "sal_samples": _samples(found),
        "cross_task_ratio": {arm: _estimate_json(one) for arm, one in found.ratio.items()},
        "cross_task_ratio_net": {
            control: {arm: _estimate_json(one) for arm, one in arms.items()}
            for control, arms in found.net_ratio.items()
        },
        "tasks": {task: _task_json(found, task) for task in found.tasks},
        "batchnorm_images": None if found.batchnorm is None else found.batchnorm.images,
        "similarity": {
            arm: {kind: _plain(found.similarity(arm, kind)) for kind in KINDS} for arm in found.seeds if found.sal
        },
        "no_similarity": {arm: why for arm in found.seeds if (why := found.similarity_problem(arm))},
        "diverged": list(found.lost),
        "not_measured": list(found.unmeasured),
        "without_sal": {task: list(runs) for task, runs in found.without_sal.items()},
    }


def _task_json(found: CrossTask, task: str) -> dict[str, Any]:
    title = found.tasks[task]
    return {
        "metric": title.metric,
        "higher_is_better": title.higher_is_better,
        "trivial": {metric: _finite(value) for metric, value in found.trivial[task].items()},
        "means": _means_json(found.means[task]),
        "damage": {arm: _estimate_json(one) for arm, one in found.damage[task].items()},
        "other_damage": {arm: {m: _finite(v) for m, v in found.other_damage(task, arm).items()} for arm in found.arms},
        "net_damage": {
            control: {arm: _estimate_json(one) for arm, one in tasks[task].items()}
            for control, tasks in found.net.items()
        },
        "clean_batchnorm": _batchnorm_json(found, task),
        "ud": {arm: _ud_json(one) for arm, one in found.ud.get(task, {}).items()},
        "no_damage": dict(found.damage_problems[task]),
        "no_ud": found.ud_problems.get(task),
    }


def _batchnorm_json(found: CrossTask, task: str) -> dict[str, Any] | None:
    """Measures and damage with BatchNorm statistics of clean images."""
    again = found.batchnorm
    if again is None:
        return None
    damage = {arm: _estimate_json(one) for arm, one in again.damage[task].items()}
    return {"means": _means_json(again.means[task]), "damage": damage}


def _means_json(means: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, list[float | None]]]:
    return {arm: {metric: [_finite(v) for v in values] for metric, values in by.items()} for arm, by in means.items()}


def _arm_line(found: CrossTask, task: str, arm: str, control: str | None) -> str:
    parts = [f"  {arm:<16} {_spread(found.means[task][arm][found.tasks[task].metric])}"]
    damage = found.damage[task].get(arm)
    if damage is not None:
        parts.append(f"damage {_percent(damage)}")
    net = found.net.get(control or "", {}).get(task, {}).get(arm)
    if net is not None:
        parts.append(f"net of {control} {_percent(net)}")
    ud = found.ud.get(task, {}).get(arm)
    if ud is not None:
        spread = "" if ud.ud.summary.std is None else f" ± {ud.ud.summary.std:.2f}"
        parts.append(f"UD {ud.ud.value:.2f}{spread}, {ud.verdict}")
    return "  ".join(parts)


def _ratio(found: CrossTask, arm: str, control: str | None) -> str:
    words = _plain_estimate(found.ratio[arm])
    net = found.net_ratio.get(control or "", {}).get(arm)
    return words if net is None else f"{words}  net of {control} {_plain_estimate(net)}"


def _spread(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    if not math.isfinite(mean):
        return "no value"
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ± {np.std(values, ddof=1):.3f}"


def _percent(one: Estimate) -> str:
    if not math.isfinite(one.value):
        return "unknown (" + one.note + ")"
    words = f"{_whole(one.value)} %"
    return words if one.low is None or one.high is None else f"{words} ({_whole(one.low)} to {_whole(one.high)})"


def _whole(share: float) -> str:
    text = f"{100 * share:.0f}"
    return "0" if text == "-0" else text


def _plain_estimate(one: Estimate) -> str:
    if not math.isfinite(one.value):
        return f"unknown ({one.note})"
    return f"{one.value:.2f}" if one.low is None else f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"


def _samples(found: CrossTask) -> int | None:
    series = next((one for runs in found.sal.values() for one in runs.values()), None)
    return None if series is None else int(series.header["samples"])


def _estimate_json(one: Estimate) -> dict[str, Any]:
    numbers = {"value": _finite(one.value), "low": _finite(one.low), "high": _finite(one.high)}
    return numbers | {"level": one.level, "seeds": one.n, "note": one.note}


def _ud_json(one: TaskUd) -> dict[str, Any]:
    summary, floor = one.ud.summary, one.floor
    return {
        "ud": _finite(summary.mean),
        "ud_std": _finite(summary.std),
        "low": _finite(summary.low),
        "high": _finite(summary.high),
        "per_seed": list(one.ud.per_seed),
        "verdict": one.verdict,
        "clean_against_clean": None if floor is None else list(floor.values),
    }


def _plain(matrix: NDArray[np.float64] | None) -> list[list[float | None]] | None:
    return None if matrix is None else [[_finite(float(v)) for v in row] for row in matrix]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
