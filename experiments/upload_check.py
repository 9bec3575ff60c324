"""The child process of :mod:`experiments.uploads`: reads what was given under limits, and answers in lines of JSON."""

from __future__ import annotations

import copy
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from checkpoints import Run
from checkpoints.importing import ImportReport, describe_recorded
from experiments.check_names import loss_metrics
from experiments.experiment import SPEC_FILE, Experiment
from experiments.importing import examine_runs, import_runs
from experiments.importing_sources import Source, find_sources
from experiments.materials import Sample, dataset_of, network_for_run, sample
from experiments.own_notes import hinted
from experiments.surface_plan import prepare_surface
from experiments.surface_work import SurfaceWorker
from training.own_losses import mean_over

AGREES = 1e-4  # between a stored loss and the recomputed one, relative where the loss is above 1
BIG = 2 << 30  # bytes above which runs are only looked at until the experiment is made
LOSS_SECONDS = 60.0  # recomputing losses may take
TRIED_POINTS = 16  # of a surface, to tell how long it takes
MOST_RUNS = 6  # whose losses are recomputed
# Advice for the command line, as advice for the page.
FOR_PAGES = {
    "give their order with --order FILE": "put the number of its step into each name",
    "or give the order with --order FILE": "or rename one",
    "import its runs again with --data NAME, FILE.npz or a function of yours, package.module:function": "choose data",
    "import its runs again with --model NAME or a function of yours, package.module:function": "choose the network",
    "leave --model out to add runs to it, or choose another name": "choose that network, or leave it unknown",
    "leave --data out to add runs to it, or choose another name": "choose those data, or leave them unknown",
    "give its file or folder another name": "give it another name below",
    "say which network it is when importing": "choose another network or other data",
}


def main() -> None:
    """Answer the tasks on standard input; whatever libraries print does not get between the answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    order = json.load(sys.stdin)
    from safetensors import safe_open  # noqa: F401  # imported before the limits hold

    torch.set_num_threads(1)
    _limit(order["limits"])
    for task in order["tasks"]:
        answers.write(json.dumps(answer(task)) + "\n")
        answers.flush()


def _limit(limits: Mapping[str, int]) -> None:
    memory = psutil.Process().memory_info().vms + limits["memory"]
    wanted = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: limits["seconds"],
        resource.RLIMIT_FSIZE: limits["disk"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def answer(task: Mapping[str, Any]) -> dict[str, Any]:
    """The report, or ``{"problem": one sentence}`` whatever the files do."""
    folder = Path(task["folder"])
    try:
        return {"examine": examine, "make": _make, "add": _add}[task["what"]](task)
    except Exception as error:  # strangers' files; the server gets a sentence
        return {"problem": _sentence(error, folder)}


def _sentence(error: Exception, folder: Path) -> str:
    text = str(error)
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return "What was given needs more memory than there is for it; give fewer or smaller files."
    if not isinstance(error, ValueError) or not text.strip().endswith("."):
        return f"What was given cannot be read ({type(error).__name__}); save it again."
    return _shorter(" ".join(text.split()), folder)


def _shorter(text: str, folder: Path) -> str:
    """Without the temporary folder, and with advice that fits the page."""
    for place in (f"{folder}/given/", f"{folder}/made/", f"{folder}/tables/", f"{folder}/"):
        text = text.replace(place, "")
    for words, instead in FOR_PAGES.items():
        text = text.replace(words, instead)
    return text


def _make(task: Mapping[str, Any]) -> dict[str, Any]:
    notes: list[str] = []
    _import(task, Path(task["folder"]) / "made" / task["name"], task["model"], task["data"], notes.append)
    return {"notes": notes}


def _add(task: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment with the new runs: those that it has are links, so that nothing of it can be changed."""
    notes: list[str] = []
    there, target = Experiment(Path(task["there"])), Path(task["folder"]) / "made" / task["name"]
    (target / "runs").mkdir(parents=True)
    (target / SPEC_FILE).write_bytes((there.path / SPEC_FILE).read_bytes())
    for name in there.finished_runs():
        (target / "runs" / f"{name}.h5").symlink_to(there.run_path(name))
    _import(task, target, task["model"], task["data"], notes.append)
    return {"notes": notes}


def _import(
    task: Mapping[str, Any], target: Path, model: str, data: str, say: Callable[[str], None] = lambda note: None
) -> Experiment:
    places, metrics = [Path(p) for p in task["places"]], [Path(p) for p in task["metrics"]]
    return import_runs(target, places, clean=_arm(task), model=model, data=data, metrics=metrics, say=say)


def _arm(task: Mapping[str, Any]) -> str | None:
    """The arm of the run that was called clean, where it is one of several seeds."""
    clean = task["clean"]
    found = find_sources([Path(p) for p in task["places"]])
    return next((one.name for one in found if clean in (one.name, one.run)), clean or None)


def examine(task: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that can be said of some runs before an experiment is made of them.

    Returns:
        ``problem`` (one sentence) and ``details``, or:
        ``runs``: a table for each with ``name``, ``checkpoints``, ``steps`` and ``epochs`` (first and last),
        ``metrics``, ``parameters``, ``tensors``, ``bytes`` on disk, ``details`` (lines), ``warnings``;
        ``loads``: empty, or why the network does not load; ``checked``: whether it was tried;
        ``losses``: rows with ``run``, ``step``, ``metric``, ``on``, ``loss_name``, ``stored``, ``recomputed``,
        ``agrees``; ``losses_left``: a sentence on what was not recomputed; ``no_losses``: why there is none;
        ``surface``: ``points``, ``samples``, ``seconds`` on one core; ``no_surface``: why there is none.
    """
    folder = Path(task["folder"])
    places, metrics = [Path(p) for p in task["places"]], [Path(p) for p in task["metrics"]]
    found = examine_runs(places, metrics=metrics)
    problems = [problem for _, report in found if report is not None for problem in report.problems]
    details = [_shorter(report.as_text(), folder) for _, report in found if report is not None]
    if problems:
        more = f" The same holds for {len(problems) - 1} more." if problems[1:] else ""
        return {"problem": _shorter(problems[0], folder) + more, "details": details}
    size = sum(_size(source) for source, _ in found)
    report: dict[str, Any] = {"runs": [], "bytes": size, "loads": "", "checked": False, "losses": []}
    report |= {"losses_left": "", "no_losses": "", "surface": None, "no_surface": ""}
    if size > BIG:
        report["runs"] = [_row(source, told, None, folder) for source, told in found]
        report["no_losses"] = report["no_surface"] = "These runs are large: this is told once the experiment is made."
        return report
    plain = _import(task, folder / "plain" / "examined", "", "")
    report["runs"] = [_row(source, told, plain.open_run(source.run), folder) for source, told in found]
    return report | _with_network(task, plain)


def _row(source: Source, told: ImportReport | None, run: Run | None, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"name": source.run, "bytes": _size(source), "details": "", "warnings": []}
    if told is not None:
        layout, files = told.layout, told.files
        row |= {"details": _shorter(told.as_text(), folder), "warnings": told.warnings, "order": told.order}
        row |= {"checkpoints": len(files), "metrics": list(told.metrics)}
        row |= {"parameters": layout.parameters.size if layout else 0}
        row |= {"tensors": len(layout.parameters.names) if layout else 0}
    if run is not None:
        epochs = run.epochs[np.isfinite(run.epochs)]
        row |= {
            "checkpoints": len(run),
            "metrics": sorted(run.metrics),
            "steps": [int(run.steps[0]), int(run.steps[-1])],
        }
        row |= {"epochs": [float(epochs[0]), float(epochs[-1])] if len(epochs) else None}
        row |= {"tensors": len(run.parameters.names), "parameters": sum(map(math.prod, run.parameters.shapes))}
        if told is None:
            recorded = describe_recorded(source.places[0], verify=False)
            row["warnings"] = [f"{source.run}: {warning}" for warning in recorded.warnings]
            row["details"] = _shorter(recorded.as_text(), folder)
    return row


def _size(source: Source) -> int:
    files = [f for place in source.places for f in ([place] if place.is_file() else place.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


# With the network -----------------------------------------------------------------------------------------


def _with_network(task: Mapping[str, Any], plain: Experiment) -> dict[str, Any]:
    """Does the network load, do the losses agree, how long does a surface take."""
    folder, model, data = Path(task["folder"]), task["model"], task["data"]
    if not (model and data):
        what = "network" if data else "data" if model else "network and the data"
        why = f"Choose the {what} above, and stored losses are compared, and the time of a surface is estimated."
        why += _named(plain)
        return {"no_losses": why, "no_surface": why}
    try:
        experiment = _import(task, folder / "full" / "examined", model, data)
        for name in experiment.run_names():
            _try_network(experiment, name)
    except Exception as error:
        kind = isinstance(error, ValueError) and str(error).endswith(".")
        said = _sentence(error, folder) if kind else f"{model} cannot be evaluated on {data} with these weights."
        return {"loads": said, "checked": True, "no_losses": "The network does not load.", "no_surface": ""}
    found: dict[str, Any] = {"checked": True}
    try:
        found["losses"], found["losses_left"] = recompute_losses(experiment)
    except Exception as error:
        found["no_losses"] = _sentence(error, folder)
    try:
        found["surface"] = _surface(experiment)
    except Exception as error:
        found["no_surface"] = _sentence(error, folder)
    if not found.get("losses") and "no_losses" not in found:
        nothing = "No loss is stored beside these checkpoints, so there is none to compare."
        found["no_losses"] = found["losses_left"] or nothing
    return found


def _named(plain: Experiment) -> str:
    """What the runs say of themselves: functions of somebody's own, which no page ever runs."""
    hints = hinted(plain)
    if not hints:
        return ""
    names = ", ".join(f"`{value}`" for value in hints.values())
    return (
        f" These runs name {names} (nothing of it was run). If that is code of yours, make the experiment; "
        "`python cli.py show EXP` then gives the command that lets it run."
    )


def _try_network(experiment: Experiment, name: str) -> None:
    dataset, run = dataset_of(experiment.spec), experiment.open_run(name)
    model = network_for_run(experiment.spec, dataset, run, name)
    model.load_state_dict(run.state_dict(len(run) - 1))
    with torch.no_grad():
        model.eval()(torch.from_numpy(np.ascontiguousarray(dataset.x_train[:2])))


def recompute_losses(
    experiment: Experiment, *, most_runs: int = MOST_RUNS, seconds: float = LOSS_SECONDS
) -> tuple[list[dict[str, Any]], str]:
    """Stored and recomputed losses of the first, middle and last checkpoint of each run.

    Args:
        most_runs: Of how many runs, the first ones. seconds: No further one is recomputed after that long.

    Returns:
        Rows as :func:`examine` describes, and a sentence on what was left out (empty: nothing).
    """
    rows: list[dict[str, Any]] = []
    late = 0
    dataset = dataset_of(experiment.spec)
    started = time.monotonic()
    data: dict[str, Sample] = {}
    names = experiment.run_names()
    for name in names[:most_runs]:
        run = experiment.open_run(name)
        model = network_for_run(experiment.spec, dataset, run, name)
        for metric, part in loss_metrics(run.metrics).items():
            on = "test" if part == "test" else "clean"
            data.setdefault(on, sample(experiment, on))
            for i in sorted({0, len(run) // 2, len(run) - 1}):
                stored = float(run.metrics[metric][i])
                if not np.isfinite(stored):
                    continue
                if time.monotonic() - started > seconds:
                    late += 1
                    continue
                model.load_state_dict(run.state_dict(i))
                recomputed = mean_over(model, data[on].batches, data[on].loss)["loss"]
                agrees = abs(stored - recomputed) <= AGREES * max(1.0, abs(stored))
                row: dict[str, Any] = {"run": name, "step": int(run.steps[i]), "metric": metric}
                row |= {"on": data[on].label, "loss_name": data[on].loss_name}
                rows.append(row | {"stored": stored, "recomputed": recomputed, "agrees": agrees})
    left = [f"the last {len(names) - most_runs} of {len(names)} runs"] if len(names) > most_runs else []
    left += [f"{late} checkpoints for want of time ({seconds:g} s)"] if late else []
    words = f"Not recomputed: {' and '.join(left)}." if left else ""
    return [row | {"recomputed": _plain(row["recomputed"])} for row in rows], words


def _surface(experiment: Experiment) -> dict[str, Any]:
    """How long the experiment's own surface takes, by trying some of its points."""
    prepared = prepare_surface(experiment)
    a, b = prepared.grid(prepared.request.options.grid)
    started = time.perf_counter()
    worker = SurfaceWorker(copy.deepcopy(prepared.model), prepared.plane, prepared.measured_on, a, b)
    choosing, started = time.perf_counter() - started, time.perf_counter()
    points = len(a) * len(b)
    tried = min(TRIED_POINTS, points)
    worker.measure(range(tried))
    seconds = choosing + (time.perf_counter() - started) * points / tried
    return {"points": [len(a), len(b)], "samples": prepared.measured_on.samples, "seconds": seconds}


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


if __name__ == "__main__":
    main()
