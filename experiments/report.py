"""A report of an experiment on one page: what it says, drawn and in numbers, and the command behind each figure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis import unlearnable_distance
from checkpoints import Result
from experiments.experiment import Experiment
from experiments.own_metric import own_label
from experiments.pictures import choose_surface, draw, find_surfaces, newest_report
from experiments.report_files import files_html
from experiments.report_html import code, details, figure_block, hint, number, page, paragraph, section, table
from experiments.spec import SalSpec
from experiments.spec_toml import spec_to_toml
from experiments.stored import each_file_once, stored_sal
from experiments.summary import Summary, summarise
from experiments.ud_report import ArmUd, UdReport
from landscape.figures_lines import NOTHING
from landscape.loss_words import in_brackets
from landscape.static_inline import inline_svg
from landscape.style import format_accuracy, format_points, format_ud

WIDTH, HEIGHT = 600, 430  # of a figure, in pixels at 100 per inch
PANEL = 130  # height of one of several panels, one above the other
SURFACE_OPTIONS = ("plane", "on", "grid", "samples", "block")
SAL_FIGURES = (
    ("learnable-blocks", "Learnable blocks over training"),
    ("sal-heatmap", "SAL of every block over training"),
    ("sal", "SAL of every block at the last checkpoint"),
    ("ud", "From learnable blocks to UD"),
)


@dataclass(frozen=True)
class Shown:
    """A figure of the report and the arguments of the command that draws it again."""

    title: str
    figure: go.Figure
    arguments: tuple[str, ...]


def report_html(experiment: Experiment) -> str:
    """The whole report as one page of HTML that needs no network, no script and no other file.

    The same experiment gives the same bytes. What is missing or damaged is said with the command that makes it; only a
    folder that is no experiment raises :class:`ExperimentError`.
    """
    with each_file_once():
        return _page(experiment)


def _page(experiment: Experiment) -> str:
    summary = summarise(experiment)
    report = _report(experiment)
    parts = [
        section("What it says", _verdicts(report, experiment)),
        section("Figures", _figures(experiment, report)),
        section("Unlearnable Distance, seed by seed", _distances(experiment, report)),
        section("Runs", _runs(summary, experiment)),
        section("Settings", _settings(experiment, report)),
        section("Where the numbers come from", files_html(experiment, summary)),
        section("Make it again", _again(experiment)),
    ]
    if summary.missing or summary.notes:
        parts.insert(1, section("What is missing", _missing(summary, experiment)))
    return page(summary.title or summary.name, experiment.spec.description, summary.name, parts)


def command(*arguments: str) -> str:
    """A command of the terminal door."""
    return "python cli.py " + shlex.join(arguments)


def _report(experiment: Experiment) -> UdReport | None:
    try:
        return newest_report(experiment)
    except ValueError:
        return None


def _verdicts(report: UdReport | None, experiment: Experiment) -> str:
    if report is None:
        return hint("UD is not known yet; this measures what is missing:", command("ud", experiment.name))
    label = own_label(experiment.spec.metric)
    alone = f"UD and SAL are of the loss alone; the metric {label} plays no part in them."
    return "".join(
        paragraph(_verdict(arm, experiment, report.metric_name, label), strong=f"{arm.arm}: {arm.verdict}.")
        for arm in report.arms
    ) + (paragraph(alone) if label else "")


def _verdict(arm: ArmUd, experiment: Experiment, metric: str, label: str) -> str:
    """One arm in words, with its spread."""
    summary = arm.summary
    ud = format_ud(summary.mean)
    if summary.std is None or summary.low is None or summary.high is None:
        spread = f"UD is {ud}, from one run; its spread is not known."
    else:
        spread = (
            f"UD is {ud} ± {summary.std:.2f} over {summary.n} seeds "
            f"(95 % interval of the mean {format_ud(summary.low)} to {format_ud(summary.high)})."
        )
    reference = f"in {experiment.reference_name}" if experiment.has_own_reference else "on clean data"
    return (
        f"{spread} On average over checkpoints {arm.mean('learnable_poisoned'):.1f} blocks stay learnable, against "
        f"{arm.mean('learnable_clean'):.1f} {reference}. "
        + _reached(arm, metric, label)
        + (" This arm is a control." if arm.control else "")
    )


def _reached(arm: ArmUd, metric: str, label: str) -> str:
    """What the runs end with: the user's own metric, or that it was not recorded, and the test accuracy."""
    clean, poisoned = arm.mean("test_accuracy_clean"), arm.mean("test_accuracy_poisoned")
    own, before = arm.mean("metric_poisoned"), arm.mean("metric_clean")
    if not label:
        return _accuracies(clean, poisoned)
    said = f"Its {metric} ends at {own:.3g}, against {before:.3g}." if metric else f"No {label} was recorded."
    return f"{said} {_accuracies(clean, poisoned)}" if math.isfinite(clean + poisoned) else said


def _accuracies(clean: float, poisoned: float) -> str:
    if not math.isfinite(clean) and not math.isfinite(poisoned):
        return "No test accuracy was recorded."
    change = f" ({format_points(poisoned - clean)})" if math.isfinite(poisoned - clean) else ""
    return f"Test accuracy ends at {format_accuracy(poisoned)}, against {format_accuracy(clean)}{change}."


def _figures(experiment: Experiment, report: UdReport | None) -> str:
    shown = [*_surface_figures(experiment), *_sal_figures(experiment, report)]
    blocks = [
        figure_block(
            f"Figure {n}. {one.title}",
            inline_svg(one.figure, prefix=f"f{n}", width=WIDTH, height=_height(one.figure)),
            str((one.figure.layout.meta or {}).get("alt", "")),
            command(*one.arguments),
        )
        for n, one in enumerate(shown, start=1)
    ]
    lacking = []
    if not any(one.arguments[3] == "compare" for one in shown):
        lacking.append(hint("No loss surface yet, so no paths to draw:", command("surface", experiment.name)))
    elif not any(one.arguments[3] == "curves" for one in shown):
        lacking.append(paragraph(f"There are no training curves to draw. {NOTHING}"))
    label = own_label(experiment.spec.metric)
    if label and not any("--quantity" in one.arguments for one in shown):
        words = f"No surface here holds the metric {label}; one that is computed now does:"
        lacking.append(hint(words, command("surface", experiment.name)))
    if report is None:
        lacking.append(hint("No SAL yet, so nothing of sharpness to draw:", command("sal", experiment.name)))
    return f'<div class="figures">{"".join(blocks)}</div>' + "".join(lacking)


def _height(figure: go.Figure) -> int:
    """Room for panels that stand one above the other."""
    rows = len({tuple(axis.domain) for axis in figure.select_yaxes() if axis.domain})
    return max(HEIGHT, 100 + PANEL * rows)


def _surface_figures(experiment: Experiment) -> Iterator[Shown]:
    """The paths on the experiment's own surface, then on the same plane under other data, then training curves."""
    try:
        surfaces = find_surfaces(experiment)
        own = choose_surface(experiment)
    except ValueError:
        return
    plane = own.header["options"]["plane"]
    seen = set()
    for stored in [own, *sorted(surfaces, key=_on)]:
        options = stored.header["options"]
        if options["plane"] != plane or options["block"] or _on(stored) in seen:
            continue
        seen.add(_on(stored))
        chosen = ("--plane", plane, "--on", _on(stored))
        yield Shown(
            f"Paths on the loss of {experiment.data_words(stored.header['measured_on'])}",
            draw(experiment, "compare", stored=stored),
            ("export", experiment.name, "--figure", "compare", *chosen, "--format", "svg"),
        )
        name = own_label(stored.header.get("metric_name"))
        if name and "metric" in stored.arrays:
            yield Shown(
                f"Paths on {name} of {stored.header['measured_on']}",
                draw(experiment, "compare", stored=stored, quantity=name),
                (
                    "export",
                    experiment.name,
                    "--figure",
                    "compare",
                    *chosen,
                    "--quantity",
                    name,
                    "--format",
                    "svg",
                ),
            )
    curves = draw(experiment, "curves", stored=own)
    if curves.data:
        chosen = ("--plane", plane, "--on", _on(own))
        arguments = ("export", experiment.name, "--figure", "curves", *chosen, "--format", "svg")
        yield Shown("Training curves", curves, arguments)


def _on(stored: Result) -> str:
    return str(stored.header["options"]["on"])


def _sal_figures(experiment: Experiment, report: UdReport | None) -> Iterator[Shown]:
    for name, title in SAL_FIGURES if report else ():
        arguments = ("export", experiment.name, "--figure", name, "--format", "svg")
        yield Shown(title, draw(experiment, name, report=report), arguments)


def _distances(experiment: Experiment, report: UdReport | None) -> str:
    if report is None:
        return hint("Nothing to compare yet:", command("ud", experiment.name))
    series = stored_sal(experiment)[report.options]
    heads = ["arm", "seed", "UD", "UD by parameters", "UD, exact split"]
    heads += [f"β{in_brackets(report.loss_name)}", "learnable blocks"]
    reference = experiment.reference_name
    kinds = _kinds(report)
    heads += [f"{reference} learnable blocks"]
    heads += [head for what, _, _ in kinds for head in (what, f"{reference} {what}")] + ["verdict over seeds"]
    rows = []
    for arm in report.arms:
        for pair in arm.pairs:
            clean = series[f"{experiment.spec.clean_arm}-s{pair.seed}"]
            poisoned = series[f"{arm.arm}-s{pair.seed}"]
            d = pair.distance
            rows.append(
                [
                    arm.arm + (" (control)" if arm.control else ""),
                    str(pair.seed),
                    f"{d.value:.3f}",
                    number(d.value_by_parameters),
                    number(_exact(clean.sal, poisoned.sal)),
                    f"{d.threshold:.3g}",
                    f"{d.learnable_poisoned:.2f}",
                    f"{d.learnable_clean:.2f}",
                    *(show(getattr(pair, f"{key}_{side}")) for _, key, show in kinds for side in ("poisoned", "clean")),
                    arm.verdict,
                ]
            )
    return table(heads, rows) + hint("The same numbers as JSON:", command(*_ud_arguments(experiment, report.options)))


def _kinds(report: UdReport) -> list[tuple[str, str, Callable[[float], str]]]:
    """What runs end with: its name, its key in a pair, and how it is written; accuracy where there is nothing else."""
    pairs = [pair for arm in report.arms for pair in arm.pairs]
    own = report.metric_name
    accuracy = not own or any(math.isfinite(p.test_accuracy_poisoned + p.test_accuracy_clean) for p in pairs)
    found: list[tuple[str, str, Callable[[float], str]]] = [(own, "metric", "{:.4g}".format)] if own else []
    return [*found, *([("test accuracy", "test_accuracy", format_accuracy)] if accuracy else [])]


def _exact(clean: NDArray[np.float64], poisoned: NDArray[np.float64]) -> float | None:
    """UD under the best split into two groups, which the k-means of the paper can miss."""
    try:
        return float(unlearnable_distance(clean, poisoned, rule="two-means").value)
    except ValueError:
        return None


def _ud_arguments(experiment: Experiment, options: SalSpec) -> tuple[str, ...]:
    given = [part for key, value in asdict(options).items() for part in (f"--{key.replace('_', '-')}", f"{value}")]
    return ("ud", experiment.name, *given, "--json")


def _runs(summary: Summary, experiment: Experiment) -> str:
    if not summary.runs:
        return hint("No run yet:", command("train", summary.name))
    columns = {"run": [run.name for run in summary.runs], "role": [run.role for run in summary.runs]}
    columns["state"] = [run.state for run in summary.runs]
    columns["checkpoints"] = [str(run.checkpoints) for run in summary.runs]
    label = own_label(experiment.spec.metric)
    if own := next((run.metric_name for run in summary.runs if run.metric_name), ""):
        columns[own] = [_or_dash(run.metric, "{:.4g}".format) for run in summary.runs]
    if not label or any(run.train_accuracy is not None or run.test_accuracy is not None for run in summary.runs):
        columns["training accuracy"] = [_or_dash(run.train_accuracy, format_accuracy) for run in summary.runs]
        columns["test accuracy"] = [_or_dash(run.test_accuracy, format_accuracy) for run in summary.runs]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    lacking = f"No run recorded {label}; where a surface holds it, it was computed anew from the checkpoints."
    lost = "".join(
        paragraph(f"{run.name}: {run.not_finite}; nothing is computed of them.")
        for run in summary.runs
        if run.not_finite
    )
    return table(list(columns), rows) + (paragraph(lacking) if label and not own else "") + lost


def _or_dash(value: float | None, show: Callable[[float], str]) -> str:
    return "–" if value is None else show(value)


def _settings(experiment: Experiment, report: UdReport | None) -> str:
    spec = experiment.spec
    data = " · ".join(part for part in (spec.data.name, _words(dict(spec.data.options))) if part)
    rows = [["seeds", ", ".join(map(str, spec.seeds))], ["data", data], ["network", spec.model.name or "not known"]]
    rows.append(["training", _words(asdict(spec.training))])
    clean = "the reference" if experiment.has_own_reference else "clean data"
    rows += [[f"arm {name}", clean if arm.is_clean else _words(asdict(arm))] for name, arm in spec.arms.items()]
    rows += [["loss", spec.loss]] if spec.loss else []
    rows += [["metric", spec.metric]] if spec.metric else []
    surface = asdict(spec.surface)
    if experiment.has_own_reference and surface["on"] == "clean":
        surface["on"] = "training data"
    rows.append(["surface", _words(surface)])
    rows.append(["SAL", _words(asdict(report.options if report else spec.sal))])
    toml = spec_to_toml(spec)
    return table(["part", "settings"], rows, words=True) + details("The whole spec as TOML", code(toml))


def _words(settings: object) -> str:
    """Settings that say something, as text."""
    if not isinstance(settings, dict):
        return str(settings)
    kept = {key: value for key, value in settings.items() if value not in (None, "", (), {}, [], False)}
    return " · ".join(
        f"{key.replace('_', ' ')} {f'({_words(value)})' if isinstance(value, dict) else _value(value)}"
        for key, value in kept.items()
    )


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _again(experiment: Experiment) -> str:
    name = experiment.name
    lines = [command("run", "experiment.toml", "--out", name)]
    try:
        for options in (stored.header["options"] for stored in sorted(find_surfaces(experiment), key=_on)):
            given = [f"--{key} {options[key]}" for key in SURFACE_OPTIONS if options[key] != ""]
            lines.append(command("surface", name, *" ".join(given).split()))
    except ValueError:
        pass
    lines += [command(*_ud_arguments(experiment, options)) for options in stored_sal(experiment)]
    lines.append(command("report", name))
    words = "Save the spec above as experiment.toml; these commands then make every number and this page again."
    return paragraph(words) + code("\n".join(lines))


def _missing(summary: Summary, experiment: Experiment) -> str:
    lines = []
    for what, text in summary.missing:
        typed, _, where = text.partition("  ")  # some commands are followed by a word in brackets
        said = " ".join(part for part in (f"{what[0].upper()}{what[1:]}", where.strip()) if part)
        lines.append(hint(f"{said}:", _public(typed, experiment)))
    return "".join(lines) + "".join(paragraph(_public(note, experiment)) for note in summary.notes)


def _public(text: str, experiment: Experiment) -> str:
    """Text without the place of the folder on this machine, and commands as they are typed."""
    words = text.replace(str(experiment.path), experiment.name)
    return f"python cli.py {words}" if words.split(" ")[0] in ("train", "surface", "ud", "sal") else words


__all__ = ["command", "report_html"]
