"""What the cross-task step measured, arranged: damage, net damage, UD and similarity of every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis import (
    Estimate,
    TaskScores,
    TaskUd,
    cross_task_ratio,
    mean_similarity,
    net_damage,
    task_damage,
    task_ud,
)
from checkpoints import Result
from experiments.cross_task_names import BATCHNORM
from experiments.cross_task_step import require_runs, tasks_in
from experiments.cross_task_stored import finished_prints, read_base, read_scores, stored_sal
from experiments.experiment import Experiment, ExperimentError
from experiments.spec import SalSpec, run_name
from experiments.stored import SalSeries

Values = NDArray[np.float64]


@dataclass(frozen=True)
class TaskTitle:
    """A task for people, with the measure that is reported first."""

    title: str
    metric: str
    higher_is_better: bool

    @property
    def words(self) -> str:
        """The task and its measure."""
        return f"{self.title} ({METRIC_WORDS.get(self.metric, self.metric)})"


METRIC_WORDS = {
    "accuracy": "accuracy",
    "pearson": "correlation",
    "abs_rel": "relative error",
    "ari": "adjusted Rand index",
    "cross_entropy": "cross-entropy",
    "l1": "L1",
    "top5_overlap": "overlap of the strongest 5 %",
    "rmse_m": "RMSE",
    "delta_1.25": "δ < 1.25",
    "matched_iou": "matched IoU",
}
ERRORS = ("abs_rel", "cross_entropy", "l1", "rmse_m")  # of these, lower is better


@dataclass(frozen=True)
class BatchNormScores:
    """What networks do on the test images once their BatchNorm statistics are those of clean images.

    Attributes:
        images: Clean training images that the statistics are of.
        means: {task: {arm: {metric: one mean over images per seed}}}, of arms with the same seeds as without this.
        damage: {task: {arm: headline damage}} relative to the clean arm treated alike.
    """

    images: int
    means: Mapping[str, Mapping[str, Mapping[str, tuple[float, ...]]]]
    damage: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, eq=False)
class CrossTask:
    """Everything measured so far, by task and arm.

    Attributes:
        tasks: {task: its title and headline measure}. roles: {arm: role}, the clean arm first.
        seeds: {arm: seeds measured}. images: Test images.
        means: {task: {arm: {metric: one mean over images per seed}}}; trivial: {task: {metric: mean}}.
        damage: {task: {arm: headline damage}}; net: {control: {task: {arm: damage net of it}}}.
        damage_problems: {task: {arm: why it has no damage}}.
        ratio: {arm: cross-task ratio}; net_ratio: {control: {arm: the same of net damage}}.
        ud: {task: {arm: UD}}; ud_problems: {task: why there is none}.
        batchnorm: The same with BatchNorm statistics of clean images; None where these are not measured.
        sal: {task: {run: SAL of the shared backbone}}; options: how it was measured; None while it is not.
        lost: Runs that diverged, whose weights are NaN or infinite.
        unmeasured: Finished runs without measures of them as they are now; without_sal: {task: those without SAL}.
        shown: Runs with their files of examples; base: truth of the examples.
    """

    experiment: str
    tasks: Mapping[str, TaskTitle]
    roles: Mapping[str, str]
    seeds: Mapping[str, tuple[int, ...]]
    images: int
    means: Mapping[str, Mapping[str, Mapping[str, tuple[float, ...]]]]
    trivial: Mapping[str, Mapping[str, float]]
    damage: Mapping[str, Mapping[str, Estimate]]
    net: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    damage_problems: Mapping[str, Mapping[str, str]]
    ratio: Mapping[str, Estimate]
    net_ratio: Mapping[str, Mapping[str, Estimate]]
    batchnorm: BatchNormScores | None
    ud: Mapping[str, Mapping[str, TaskUd]]
    ud_problems: Mapping[str, str]
    sal: Mapping[str, Mapping[str, SalSeries]]
    options: SalSpec | None
    lost: tuple[str, ...]
    unmeasured: tuple[str, ...]
    without_sal: Mapping[str, tuple[str, ...]]
    base: Result
    shown: Mapping[str, Result]

    @property
    def clean_arm(self) -> str:
        """The name of the clean arm."""
        return next(arm for arm, role in self.roles.items() if role == "clean")

    @property
    def arms(self) -> dict[str, str]:
        """Roles of the other arms that were measured, in the order of the spec."""
        return {arm: role for arm, role in self.roles.items() if role != "clean" and arm in self.seeds}

    @property
    def controls(self) -> tuple[str, ...]:
        """Arms that should change nothing."""
        return tuple(arm for arm, role in self.arms.items() if role == "control")

    @property
    def learned(self) -> tuple[str, ...]:
        """Tasks that clean training does better than the predictor that ignores the image."""
        known = {task: [one.value for one in arms.values()] for task, arms in self.damage.items()}
        return tuple(task for task, values in known.items() if np.isfinite(values).any())

    @property
    def clean_problem(self) -> str | None:
        """Why nothing can be compared with clean training; None where it can."""
        lost = [name for name in (run_name(self.clean_arm, s) for s in self.seeds[self.clean_arm]) if name in self.lost]
        if not lost:
            return None
        return (
            f"Clean training diverged ({', '.join(lost)}): its weights are NaN or infinite, so there is nothing to "
            "compare the other arms with; train it with a smaller learning rate."
        )

    def mean(self, task: str, arm: str) -> float:
        """The task's headline measure over images and seeds."""
        return float(np.mean(self.means[task][arm][self.tasks[task].metric]))

    def spread(self, task: str, arm: str) -> float | None:
        """Its standard deviation over seeds; None for one."""
        values = self.means[task][arm][self.tasks[task].metric]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def other_damage(self, task: str, arm: str) -> dict[str, float]:
        """Damage by the task's other measures {measure: value}, of means over images and seeds, without an interval.

        Measures need not agree: an error of few images far off weighs in one of them, and not in another. A measure
        that clean training does no better on than the predictor that ignores the image is left out.
        """
        found, clean, trivial = {}, self.means[task][self.clean_arm], self.trivial[task]
        for measure in (clean.keys() & trivial.keys() & METRIC_WORDS.keys()) - {self.tasks[task].metric}:
            seeds = [s for s in self.seeds[self.clean_arm] if s in self.seeds[arm]]
            at, base = (
                np.mean([self.means[task][one][measure][self.seeds[one].index(s)] for s in seeds])
                for one in (arm, self.clean_arm)
            )
            gain = trivial[measure] - base
            learned = (gain > 0) == (measure in ERRORS)
            if seeds and learned and abs(gain) > 1e-9:
                found[measure] = float((at - base) / gain)
        return {measure: found[measure] for measure in sorted(found)}

    def similarity(self, arm: str, kind: str) -> Values | None:
        """Task × task similarity [K, K] at the last checkpoint, mean over the arm's seeds.

        Tasks are those of ``sal``. None without SAL, and where :meth:`similarity_problem` says why there is none.
        """
        seeds = [{task: runs[name].sal[-1] for task, runs in self.sal.items()} for name in self._runs_with_sal(arm)]
        return mean_similarity(seeds, kind=kind) if seeds and self.similarity_problem(arm) is None else None

    def similarity_problem(self, arm: str) -> str | None:
        """Why SAL of an arm says nothing of similarity; None where it does, or is not measured."""
        for name in self._runs_with_sal(arm):
            for task, runs in self.sal.items():
                if not np.isfinite(runs[name].sal[-1]).all():
                    return (
                        f"SAL of {name} under the loss of {self.tasks[task].title} is not finite at the last "
                        "checkpoint; its training diverged, so take a smaller learning rate."
                    )
        return None

    def _runs_with_sal(self, arm: str) -> list[str]:
        """Runs of an arm that have SAL under the loss of every task that has any."""
        names = [run_name(arm, seed) for seed in self.seeds.get(arm, ())]
        return [name for name in names if self.sal and all(name in runs for runs in self.sal.values())]


def report_cross_task(experiment: Experiment, options: SalSpec | None = None) -> CrossTask:
    """Arrange what was measured; measures nothing.

    Args:
        options: Of SAL; when not given, those that most tasks and runs are measured by, of several the newest.

    Raises:
        ExperimentError: No measures yet of a clean run and another one of the same seed.
    """
    if experiment.finished_runs():
        require_runs(experiment)
    prints = finished_prints(experiment)
    base = read_base(experiment)
    scores = {} if base is None else read_scores(experiment, prints, base)
    spec, clean_arm = experiment.spec, experiment.spec.clean_arm
    seeds = _seeds(experiment, scores)
    if base is None or clean_arm is None or clean_arm not in seeds or len(seeds) < 2:
        raise ExperimentError(
            f"{experiment.name} has no measures of a clean run and another one as they are now; measure it: cross-task "
            f"{experiment.path}"
        )
    roles = {arm: experiment.role_of(run_name(arm, spec.seeds[0])) for arm in (clean_arm, *spec.poisoned_arms)}
    tasks = {task.name: TaskTitle(task.title, *task.headline) for task in tasks_in(experiment)}
    table = _Table(tasks, base, scores, seeds, clean_arm)
    controls = [arm for arm in seeds if roles[arm] == "control"]
    others = [arm for arm in seeds if arm != clean_arm]
    sal = stored_sal(experiment, options, prints, base)
    ud, problems = _uds(sal.by_task, seeds, clean_arm)
    return CrossTask(
        experiment.name,
        tasks,
        roles,
        seeds,
        int(base.header["images"]),
        table.means(),
        {task: _means_of(base, f"trivial/{task}/") for task in tasks},
        {task: table.damages(task, others) for task in tasks},
        {one: {task: table.damages(task, [a for a in others if a != one], one) for task in tasks} for one in controls},
        {task: table.problems(task, others) for task in tasks},
        table.ratios(others),
        {one: table.ratios([a for a in others if a != one], one) for one in controls},
        _with_batchnorm(table, read_scores(experiment, prints, base, BATCHNORM)),
        ud,
        problems,
        sal.by_task,
        sal.options,
        tuple(name for name, one in scores.items() if one.header.get("diverged")),
        tuple(name for name in prints if name not in scores),
        sal.missing,
        base,
        scores,
    )


@dataclass(frozen=True)
class _Table:
    """Measures of all runs, paired by seed."""

    tasks: Mapping[str, TaskTitle]
    base: Result
    scores: Mapping[str, Result]
    seeds: Mapping[str, tuple[int, ...]]
    clean_arm: str

    def means(self) -> dict[str, dict[str, dict[str, tuple[float, ...]]]]:
        found: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
        for task in self.tasks:
            found[task] = {}
            for arm, seeds in self.seeds.items():
                rows = [self._means(task, run_name(arm, seed)) for seed in seeds]
                found[task][arm] = {metric: tuple(row[metric] for row in rows) for metric in rows[0]}
        return found

    def of(self, task: str, arm: str, control: str | None = None) -> TaskScores | None:
        """The headline measure of the seeds that clean, arm and control share; None where there is none.

        Raises:
            ValueError: A run without any finite measure of the task, or what :class:`TaskScores` refuses.
        """
        sides = [self.clean_arm, arm] + ([control] if control else [])
        shared = [seed for seed in self.seeds[arm] if all(seed in self.seeds[side] for side in sides)]
        if not shared:
            return None
        one = self.tasks[task]
        stacked = [np.stack([self._measure(task, run_name(side, seed)) for seed in shared]) for side in sides]
        trivial = self.base.arrays[f"trivial/{task}/{one.metric}"]
        return TaskScores(stacked[0], stacked[1], trivial, one.higher_is_better, stacked[2] if control else None)

    def _means(self, task: str, run: str) -> dict[str, float]:
        """Every measure's mean; NaN of a run that diverged, whose answers are no answers though some can be counted."""
        means = _means_of(self.scores[run], f"metric/{task}/")
        return dict.fromkeys(means, float("nan")) if self.scores[run].header.get("diverged") else means

    def _measure(self, task: str, run: str) -> Values:
        """The headline measure [N] of one run."""
        one = self.tasks[task]
        if self.scores[run].header.get("diverged"):
            raise ValueError(f"{run} diverged, and its weights are NaN or infinite; take a smaller learning rate.")
        values = np.asarray(self.scores[run].arrays[f"metric/{task}/{one.metric}"], dtype=np.float64)
        trivial = self.base.arrays[f"trivial/{task}/{one.metric}"]
        if np.isfinite(trivial).any() and not np.isfinite(values).any():
            raise ValueError(
                f"{run} has no finite {METRIC_WORDS.get(one.metric, one.metric)} on any test image; its training "
                "diverged, so take a smaller learning rate."
            )
        return values

    def problems(self, task: str, arms: Sequence[str]) -> dict[str, str]:
        """Why some arms have no damage."""
        found = {}
        for arm in arms:
            try:
                self.of(task, arm)
            except ValueError as error:
                found[arm] = str(error)
        return found

    def known(self, task: str, arm: str, control: str | None) -> TaskScores | None:
        """As :meth:`of`, and None too for what :meth:`problems` tells of."""
        try:
            return self.of(task, arm, control)
        except ValueError:
            return None

    def damages(self, task: str, arms: Sequence[str], control: str | None = None) -> dict[str, Estimate]:
        found = {}
        for arm in arms:
            one = self.known(task, arm, control)
            if one is None:
                continue
            if one.control is None:
                found[arm] = task_damage(one.clean, one.poisoned, one.trivial, one.higher_is_better)
            else:
                found[arm] = net_damage(one.clean, one.poisoned, one.control, one.trivial, one.higher_is_better)
        return found

    def ratios(self, arms: Sequence[str], control: str | None = None) -> dict[str, Estimate]:
        if "scene" not in self.tasks or len(self.tasks) < 2:
            return {}
        found = {}
        for arm in arms:
            rows = {task: self.known(task, arm, control) for task in self.tasks}
            known = {task: one for task, one in rows.items() if one is not None}
            if len(known) == len(rows):
                found[arm] = cross_task_ratio(known, net=control is not None)
        return found


def _with_batchnorm(plain: _Table, scores: Mapping[str, Result]) -> BatchNormScores | None:
    """Measures with BatchNorm statistics of clean images, of arms that have them for the same seeds."""
    seeds = {arm: own for arm, own in plain.seeds.items() if all(run_name(arm, seed) in scores for seed in own)}
    if plain.clean_arm not in seeds:
        return None
    table = replace(plain, scores=scores, seeds=seeds)
    others = [arm for arm in seeds if arm != plain.clean_arm]
    images = int(next(iter(scores.values())).header["batchnorm_images"])
    return BatchNormScores(images, table.means(), {task: table.damages(task, others) for task in plain.tasks})


def _seeds(experiment: Experiment, scores: Mapping[str, Result]) -> dict[str, tuple[int, ...]]:
    """Seeds measured of each arm, the clean one first."""
    spec = experiment.spec
    arms = [arm for arm in (spec.clean_arm, *spec.poisoned_arms) if arm]
    found = {arm: tuple(seed for seed in spec.seeds if run_name(arm, seed) in scores) for arm in arms}
    return {arm: seeds for arm, seeds in found.items() if seeds}


def _means_of(result: Result, prefix: str) -> dict[str, float]:
    found = {}
    for name, values in result.arrays.items():
        if name.startswith(prefix):
            known = values[np.isfinite(values)]
            found[name.removeprefix(prefix)] = float(known.mean()) if known.size else float("nan")
    return found


def cross_task_verdict(found: CrossTask, arm: str, control: str | None) -> str:
    """What the intervals allow to say of one arm, in a sentence."""
    own = found.net.get(control or "", {}) if control else found.damage
    known = {task: own[task][arm] for task in found.tasks if arm in own.get(task, {})}
    groups: dict[str, list[str]] = {"hit": [], "helped": [], "same": [], "unknown": []}
    for task, one in known.items():
        apart = one.excludes(0.0)
        place = "unknown" if one.low is None else "same" if not apart else "hit" if one.value > 0 else "helped"
        groups[place].append(found.tasks[task].title)
    against = f"net of {control}" if control else "without a control to compare with"
    said = {
        "hit": f"{arm} damages {{}} ({against})",
        "helped": "{} does better than with it" if control else "{} does better than with clean data",
        "same": f"{{}}: not told apart from {control or found.clean_arm}",
        "unknown": "{}: not learned by clean training",
    }
    words = "; ".join(said[key].format(listed(names)) for key, names in groups.items() if names)
    alone = " One seed: the intervals are over images alone." if len(found.seeds.get(arm, ())) == 1 else ""
    return f"{words[:1].upper()}{words[1:]}.{alone}" if words else ""


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# SAL -------------------------------------------------------------------------------------------------------


def _uds(
    sal: Mapping[str, Mapping[str, SalSeries]], seeds: Mapping[str, tuple[int, ...]], clean_arm: str
) -> tuple[dict[str, dict[str, TaskUd]], dict[str, str]]:
    """UD of every task and arm over the seeds in which both were measured; and why some have none."""
    found: dict[str, dict[str, TaskUd]] = {}
    problems = {}
    for task, runs in sal.items():
        for arm in (arm for arm in seeds if arm != clean_arm):
            both = [s for s in seeds[arm] if run_name(arm, s) in runs and run_name(clean_arm, s) in runs]
            tables = [[runs[run_name(side, s)].sal for s in both] for side in (clean_arm, arm)]
            if not both:
                continue
            try:
                found.setdefault(task, {})[arm] = task_ud(*tables)
            except ValueError as error:
                problems[task] = str(error)
    return found, problems
