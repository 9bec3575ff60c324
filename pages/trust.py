"""Panels that say how far UD and the order of methods depend on how they are measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import streamlit as st

from analysis import Sensitivity, figures_trust
from experiments import Experiment, SalSpec
from experiments.bench_run import Bench
from experiments.sensitivity_step import SensitivityReport, compute_sensitivity
from pages import parts

NAMES = {
    "epsilon": "ε",
    "p": "norm p of the ball",
    "samples": "samples",
    "every": "every n-th checkpoint",
    "method": "estimate",
    "blocks": "blocks",
}
RULE = "threshold rule"


def panel(bench: Bench, part: str, sal: str) -> None:
    """How far the ranking holds: computed when the viewer opens it."""
    folded = st.expander(
        "How far can this ranking be trusted?",
        icon=":material/rule:",
        key="trust",
        on_change="rerun",
        bind="query-params",
    )
    if not folded.open:
        return
    with folded:
        experiment = Experiment.open(bench.path / part)
        options = bench.spec.sal[sal]
        try:
            report = _report(str(experiment.path), options, _stamp(experiment))
        except ValueError as error:
            st.info(f"{error}", icon=":material/info:")
            return
        _panels(report, experiment)
        _measure(report, experiment, options)


def _stamp(experiment: Experiment) -> tuple[int, ...]:
    files = experiment.result_files("sal")
    return (len(files), *sorted(file.stat().st_mtime_ns for file in files)[-2:])


@st.cache_resource(max_entries=8, show_spinner="Counting under other settings …")
def _report(path: str, options: SalSpec, stamp: tuple[int, ...]) -> SensitivityReport:
    return compute_sensitivity(Experiment.open(path), options, measure=False)


def _panels(report: SensitivityReport, experiment: Experiment) -> None:
    kinds = {arm: experiment.drawn_as(arm) for arm in report.rules.methods}
    seeds = f"{len(report.seeds)} seed{'s' if len(report.seeds) > 1 else ''}"
    panels = {NAMES.get(name, name): found for name, found in report.settings.items()}
    dark = parts.is_dark()
    for name, found in (*panels.items(), (RULE, report.rules)):
        st.markdown(f"**{name[0].upper() + name[1:]}**: {found.verdict}.")
    if panels:
        figure = figures_trust.sensitivity_panels(
            {name: _short(found) for name, found in panels.items()}, kinds, subtitle=seeds, dark=dark
        )
        parts.plot(figure, key="trust-settings")
    figure = figures_trust.sensitivity_panels({RULE: report.rules}, kinds, subtitle=seeds, dark=dark)
    parts.plot(figure, key="trust-rules")
    st.markdown(
        "**Do the blocks fall into two groups at all?** β supposes so; at the last checkpoint of "
        f"{'the clean runs' if experiment.reference_name == 'clean' else experiment.reference_name}:"
    )
    st.markdown(
        "\n".join(f"- seed {seed}: {one.verdict}" for seed, one in zip(report.seeds, report.groups, strict=True))
    )
    if report.estimators:
        figure = figures_trust.estimator_comparison(report.estimators, kinds, subtitle=seeds, dark=dark)
        parts.plot(figure, key="trust-estimators")
    else:
        st.caption("Estimators can be compared once two seeds are measured.")


def _short(found: Sensitivity) -> Sensitivity:
    """The same with settings named by their values alone, as their panel has the name."""
    settings = tuple(dataclasses.replace(one, setting=_value(one.setting)) for one in found.settings)
    return dataclasses.replace(found, default=_value(found.default), settings=settings)


def _value(setting: str) -> str:
    name, _, value = setting.partition(" = ")
    return "all" if (name, value) == ("samples", "0") else value


def _measure(report: SensitivityReport, experiment: Experiment, options: SalSpec) -> None:
    """Offer to measure what the panels lack."""
    missing: Mapping[str, str] = {
        name: NAMES[name] for name in ("epsilon", "p", "samples") if name not in report.settings
    }
    if missing and options == experiment.spec.sal and experiment.finished_runs():
        parts.offer(
            f"Other values of {', '.join(missing.values())} are not measured yet.",
            experiment,
            ["sensitivity", "EXP"],
            key="sensitivity",
            small=True,
        )
    st.code(parts.command_of(["sensitivity", experiment.name]), language=None)
