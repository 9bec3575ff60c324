"""What an experiment holds and what it lacks, for the gallery, the pages and ``show``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from checkpoints import CheckpointError
from experiments.cross_task_names import SCORES
from experiments.experiment import Experiment, ExperimentError
from experiments.finite import not_finite_words
from experiments.own_metric import own_label, spoken, stored_names
from experiments.own_notes import own_notes
from experiments.spec import imported
from experiments.stored import SURFACE_KIND, TASK_SURFACES, each_file_once, read_sal, read_stored, stored_sal
from experiments.surface_names import facts_of, tell_apart, when_made
from experiments.ud_report import UdReport, report_ud
from landscape.loss_words import loss_word


@dataclass(frozen=True)
class RunSummary:
    """One run: how far it is and how well it does at its last checkpoint."""

    name: str
    role: str
    state: str  # finished, training, planned, results only, damaged
    checkpoints: int
    test_accuracy: float | None  # fraction
    train_accuracy: float | None
    note: str = ""
    metric: float | None = None  # of the user's own, where the run recorded it
    metric_name: str = ""  # as "test margin"
    not_finite: str = ""  # at how many checkpoints its weights are NaN or infinite, in words


@dataclass(frozen=True)
class Summary:
    """An experiment at a glance."""

    name: str
    title: str
    path: str
    runs: tuple[RunSummary, ...]
    surfaces: tuple[dict[str, Any], ...]
    sal: tuple[dict[str, Any], ...]
    ud: tuple[UdReport, ...]
    missing: tuple[tuple[str, str], ...]  # (what, command)
    notes: tuple[str, ...]
    tasks: tuple[str, ...] = ()  # of a network of several
    scored: int = 0  # runs whose tasks are measured

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "path": self.path,
            "runs": [asdict(run) for run in self.runs],
            "surfaces": list(self.surfaces),
            "sal": list(self.sal),
            "ud": [report.as_json() for report in self.ud],
            "missing": [{"what": what, "command": command} for what, command in self.missing],
            "notes": list(self.notes),
            **({"tasks": list(self.tasks), "runs_with_scores": self.scored} if self.tasks else {}),
        }

    def as_text(self) -> str:
        """A short page of text."""
        lines = [f"{self.name}: {self.title}" if self.title else self.name, f"  folder {self.path}", "  runs"]
        for run in self.runs:
            accuracy = "" if run.test_accuracy is None else f", test accuracy {100 * run.test_accuracy:.1f} %"
            own = "" if run.metric is None else f", {run.metric_name} {run.metric:.4g}"
            lost = f"; {run.not_finite}" if run.not_finite else ""
            state = f"{run.state}, {run.checkpoints} checkpoint{'' if run.checkpoints == 1 else 's'}"
            lines.append(f"    {run.name} ({run.role}): {state}{own}{accuracy}{run.note}{lost}")
        if self.tasks:
            finished = sum(run.state == "finished" for run in self.runs)
            lines.append(f"  tasks {', '.join(self.tasks)}: measured in {self.scored} of {finished} runs")
        if self.surfaces or not self.tasks:
            lines.append("  surfaces" if self.surfaces else "  no surface")
        lines += [
            f"    {s['file']}: {_surface_words(s)}" + (f"; {s['apart']}" if "apart" in s else "") for s in self.surfaces
        ]
        if self.sal or not self.tasks:
            lines.append("  SAL" if self.sal else "  no SAL")
        lines += [
            f"    {s['file']}: {s['run']} by {s['method']}, one block per {s['blocks']}, ε = {s['epsilon']:g}, "
            f"{s['samples']} samples"
            for s in self.sal
        ]
        for report in self.ud:
            lines += ["  " + line for line in report.as_text().splitlines()]
        if self.missing:
            lines.append("  missing")
            lines += [f"    {what}: {command}" for what, command in self.missing]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def summarise(experiment: Experiment) -> Summary:
    """Look through an experiment's folder; damaged files become notes, never errors."""
    with each_file_once():
        return _summary(experiment)


def _summary(experiment: Experiment) -> Summary:
    notes = own_notes(experiment)
    stored = stored_sal(experiment)
    surfaces = _surfaces(experiment, notes)
    runs = _runs(experiment, notes)
    reports = []
    for options, series in stored.items():
        try:
            reports.append(report_ud(experiment, options, series))
        except (ExperimentError, ValueError) as error:
            notes.append(str(error))
    sal = [
        {"file": path.name, "run": s.run, **{k: s.header["options"][k] for k in ("method", "blocks", "epsilon")}}
        | {"samples": s.header["samples"]}
        for path, s in _sal_files(experiment, notes)
    ]
    if not runs and stored:
        runs = _runs_from_results(experiment, stored)
    tasks = experiment.spec.tasks.names if experiment.spec.tasks is not None else ()
    scored = len({path.stem.rpartition("-")[0] for path in experiment.result_files(SCORES)}) if tasks else 0
    return Summary(
        name=experiment.name,
        title=experiment.spec.title,
        path=str(experiment.path),
        runs=tuple(runs),
        surfaces=tuple(surfaces),
        sal=tuple(sal),
        ud=tuple(reports),
        missing=tuple(_missing(experiment, runs, bool(surfaces), bool(stored), scored)),
        notes=tuple(notes),
        tasks=tasks,
        scored=scored,
    )


def _runs(experiment: Experiment, notes: list[str]) -> list[RunSummary]:
    runs = []
    existing = experiment.run_names()
    for name in dict.fromkeys([*experiment.planned_runs(), *existing]):
        if name not in existing:
            runs.append(RunSummary(name, experiment.role_in_words(name), "planned", 0, None, None))
            continue
        try:
            with experiment.open_run(name) as run:
                state = "training" if run.is_live else "finished"
                test, train = _last(run.metrics, "test_accuracy"), _last(run.metrics, "train_accuracy")
                own, role, lost = _own(experiment, run.metrics), experiment.role_in_words(name), not_finite_words(run)
                runs.append(RunSummary(name, role, state, len(run), test, train, "", *own, lost))
        except CheckpointError as error:
            notes.append(str(error))
            runs.append(RunSummary(name, experiment.role_in_words(name), "damaged", 0, None, None))
    return runs if existing else []


def _runs_from_results(experiment: Experiment, stored: dict[Any, dict[str, Any]]) -> list[RunSummary]:
    series = {name: one for group in stored.values() for name, one in group.items()}
    planned = experiment.planned_runs()
    return [
        RunSummary(
            name,
            experiment.role_in_words(name),
            "results only",
            len(one.steps),
            _last(one.metrics, "test_accuracy"),
            _last(one.metrics, "train_accuracy"),
            " (weights are not included)",
            *_own(experiment, one.metrics),
        )
        for name, one in sorted(series.items(), key=lambda item: planned.index(item[0]) if item[0] in planned else 0)
    ]


def _own(experiment: Experiment, metrics: Any) -> tuple[float | None, str]:
    """The recorded metric of the user's own at the end, and what it is called."""
    label = own_label(experiment.spec.metric)
    for name in stored_names(label, metrics):
        return _last(metrics, name), spoken(name, label)
    return None, ""


def _last(metrics: Any, name: str) -> float | None:
    values = metrics.get(name)
    return float(values[-1]) if values is not None and len(values) else None


def _surfaces(experiment: Experiment, notes: list[str]) -> list[dict[str, Any]]:
    found, facts = [], []
    for path in experiment.result_files("surfaces"):
        try:
            header = read_stored(path, SURFACE_KIND).header
        except CheckpointError as error:
            notes.append(str(error))
            continue
        found.append(
            {
                "file": path.name,
                "plane": header["options"]["plane"],
                "grid": header["options"]["grid"],
                "on": header["options"]["on"],
                "block": header["options"]["block"],
                **({"metric": header["metric_name"]} if "metric_name" in header else {}),
                **{key: header[key] for key in ("runs", "measured_on", "samples", "explained_variance_ratio")},
                **({"loss_name": header["loss_name"]} if header.get("loss_name") else {}),
                "data_fingerprint": header.get("data_fingerprint"),
                "made": when_made(path).isoformat(timespec="seconds"),
            }
        )
        facts.append(facts_of(header, path))
    apart = tell_apart([_surface_words(one) for one in found], facts)
    return [one | ({"apart": words} if words else {}) for one, words in zip(found, apart, strict=True)]


def _surface_words(surface: dict[str, Any]) -> str:
    metric = f", with {surface['metric']}" if "metric" in surface else ""
    return (
        f"{surface['plane']} plane of {', '.join(surface['runs'])}, {surface['grid']}×{surface['grid']} on "
        f"{surface['measured_on']} ({surface['samples'] or 'an unknown number of'} samples){_loss_of(surface)}{metric}"
    )


def _loss_of(surface: dict[str, Any]) -> str:
    """Which loss it is of, where that is not cross-entropy."""
    return f", {loss_word(surface['loss_name'])}" if surface.get("loss_name") else ""


def _sal_files(experiment: Experiment, notes: list[str]) -> list[tuple[Any, Any]]:
    found = []
    for path in experiment.result_files("sal"):
        try:
            found.append((path, read_sal(path)))
        except (CheckpointError, KeyError) as error:
            notes.append(str(error))
    return found


def _missing(
    experiment: Experiment, runs: list[RunSummary], surfaces: bool, sal: bool, scored: int
) -> list[tuple[str, str]]:
    if runs and all(run.state == "results only" for run in runs):
        return [("the runs themselves", f"train {experiment.name}  (in a folder of your own)")]
    missing = []
    unfinished = [run.name for run in runs if run.state in ("planned", "training")] or (
        [] if runs else experiment.planned_runs()
    )
    known = experiment.spec.model.name and experiment.spec.data.name
    arms = {experiment.arm_of(name) for name in experiment.finished_runs()}
    seeds = {experiment.arm_of(name) for name in unfinished} <= arms  # of runs that are here
    if unfinished and seeds and imported(experiment.spec):
        missing.append((f"runs {', '.join(unfinished)}", f"import {experiment.path} RUNS"))
    elif unfinished and not known:  # an import brought their surface or their SAL, not them
        missing.append((f"runs {', '.join(unfinished)}", f"import {experiment.name}-whole RUNS"))
    elif unfinished:
        missing.append((f"runs {', '.join(unfinished)}", f"train {experiment.path}"))
    if experiment.spec.tasks is not None:  # every task has its own SAL, UD and surface
        finished = sum(run.state == "finished" for run in runs)
        if scored < max(finished, 1):
            missing.append(("damage, SAL and UD of every task", f"cross-task {experiment.path}"))
        if not experiment.result_files(TASK_SURFACES):
            missing.append(("loss surfaces of every task", f"cross-task {experiment.path} --surfaces"))
        return missing
    if not surfaces:
        missing.append(("a loss surface", f"surface {experiment.path}"))
    if not sal and experiment.spec.clean_arm is not None and experiment.spec.poisoned_arms:
        missing.append(("SAL and UD", f"ud {experiment.path}"))
    elif not sal:  # UD needs a second run
        missing.append(("SAL", f"sal {experiment.path}"))
    return missing
