"""Sharpness and Unlearnable Distance where there is nothing to compare with: one run, or several seeds of one arm."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from analysis import UnlearnableDistance, figures, unlearnable_distance
from experiments import Experiment, SalSeries, SalSpec, classroom
from experiments.pictures import sal_subtitle
from landscape.loss_words import in_unit
from landscape.time_axis import moment_words, over_time
from pages import links, parts, standing


def is_alone(experiment: Experiment) -> bool:
    """Whether UD has one side only, whatever is measured."""
    return experiment.spec.clean_arm is None or not experiment.spec.poisoned_arms


def sharpness(experiment: Experiment, picture: DeltaGenerator, control: DeltaGenerator) -> None:
    """The sharpness of one run: what does not need a second one."""
    stored = parts.stored_sal(experiment)
    with control:
        options = parts.sal_picker(experiment, stored)
    if options is None:
        with picture:
            if experiment.finished_runs():
                what = "The sharpness of these runs has not been measured yet."
                parts.offer(what, experiment, ["sal", "EXP"], key="sal")
            else:
                parts.offer_sal(experiment)
        return
    series = stored[options]
    names = [name for name in experiment.run_names() if name in series] or sorted(series)
    with control:
        name = st.selectbox("Run", names, key="of-run", bind="query-params") if len(names) > 1 else names[0]
    one = series[str(name)]
    with picture:
        try:
            # Against itself: β and the counts that UD would take from it.
            counted = unlearnable_distance(one.sal, one.sal, sizes=one.sizes)
        except ValueError as error:
            st.info(classroom.without_paths(str(error)), icon=":material/info:")
            return
        histogram = _histogram(experiment, options, one, counted)
        parts.plot(histogram, key="sal-histogram")
        standing.of_the_loss(experiment, "SAL is")
    beta, count, _ = st.columns([1, 1, 2])
    beta.metric("β, learnable threshold", in_unit(f"{counted.threshold:.3g}", one.loss_name), help="From this run.")
    count.metric(
        f"{one.run} learnable blocks",
        f"{counted.learnable_clean:.1f} of {len(one.blocks)}",
        help="Mean over checkpoints.",
    )
    dark, roles = parts.is_dark(), {one.run: experiment.drawn_as(one.run)}
    time, (x,) = over_time([one])
    counts = {one.run: (x, counted.counts_clean)}
    parts.plot(figures.learnable_blocks_over_time(counts, roles, time=time, dark=dark), key="lp-time")
    heat = figures.sal_heatmap({one.run: (one.sal, x)}, one.blocks, time=time, dark=dark, loss_name=one.loss_name)
    parts.plot(heat, key="sal-heat")
    if one.uncounted_words:
        st.caption(one.uncounted_words)
    _second(experiment, "To see whether another run's blocks fall below β, compare the two")
    parts.take_with_you(
        lambda: histogram,
        name=f"{experiment.name}-sal",
        command=parts.command_of(["sal", experiment.name]),
        key="sal",
    )
    parts.share_hint()


def choose_step(one: SalSeries) -> int:
    """The checkpoint whose blocks are counted, by its step; the last one where there is no choice."""
    steps = [int(step) for step in one.steps]
    if len(steps) < 2:
        return steps[-1]
    links.nearest("step", steps)
    step = st.select_slider("Step of the checkpoint", steps, value=steps[-1], key="step", bind="query-params")
    return int(step)


def _histogram(experiment: Experiment, options: SalSpec, one: SalSeries, counted: UnlearnableDistance) -> go.Figure:
    step = choose_step(one)
    at = [int(known) for known in one.steps].index(step)
    return figures.sal_histogram(
        one.sal[at],
        {},
        counted.threshold,
        roles={one.run: experiment.drawn_as(one.run)},
        reference=one.run,
        subtitle=sal_subtitle(
            options, int(one.header["samples"]), f"{one.run}, {moment_words(step, float(one.epochs[at]))}"
        ),
        dark=parts.is_dark(),
        loss_name=one.loss_name,
    )


def distance(experiment: Experiment) -> None:
    """Why there is no UD, and how there will be one."""
    st.info(
        f"{experiment.name} holds {_one(experiment)} alone, so there is no UD: it compares the learnable blocks of two "
        "runs of one network.",
        icon=":material/straighten:",
    )
    _second(experiment, "Bring a second one beside it")
    query = {"exp": experiment.name}
    st.page_link("pages/sharpness.py", label="Sharpness", icon=":material/show_chart:", query_params=query)


def _one(experiment: Experiment) -> str:
    arm = next(iter(experiment.spec.arms))
    seeds = len(experiment.spec.seeds)
    return f"{seeds} seeds of {arm}" if seeds > 1 else arm


def _second(experiment: Experiment, what: str) -> None:
    """The command that puts a second run beside this one."""
    spec, runs = experiment.spec, experiment.finished_runs()
    if not runs or classroom.limits() is not None:
        return
    st.markdown(f"{what}, as an experiment of both:")
    command = ["import", f"{experiment.name}-and-other", *(str(experiment.run_path(name)) for name in runs), "OTHER.h5"]
    named = (("--model", spec.model.name), ("--data", spec.data.name), ("--loss", spec.loss), ("--metric", spec.metric))
    for option, value in named:
        command += [option, value] if value else []
    st.code(parts.command_of(command), language=None, wrap_lines=True)
