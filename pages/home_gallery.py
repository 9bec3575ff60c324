"""Home, below the demo: every experiment and benchmark as a card with a picture drawn from its own results."""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from experiments import Experiment, Summary, jobs, list_experiments
from experiments.bench_run import Bench, list_benches, pending
from experiments.experiment_names import tell_titles_apart
from experiments.spec import IMPORTED_METHOD
from experiments.thumbnails import Thumbnail, bench_thumbnail, experiment_thumbnail
from experiments.ud_report import ArmUd
from landscape.style import format_points, format_ud
from pages import home_bin, parts
from pages.links import plain

ACROSS = 3  # cards in a row of a wide screen; they stand below each other on a phone


def gallery() -> None:
    """All experiments, then all benchmarks."""
    st.header("Experiments", divider="gray")
    found = list_experiments()
    if not found:
        st.info("There is no experiment yet. Start one on the Live page, or with the command below.")
        st.code(parts.command_of(["run", "toy-ops"]), language=None)
    apart = tell_titles_apart(found)
    cards = [lambda one=one, at=at: _experiment_card(one, at, apart.get(one.name)) for at, one in enumerate(found)]
    _grid("experiment", cards)
    benches = list_benches()
    if benches or home_bin.notice("benchmark") is not None:
        st.header("Benchmarks", divider="gray")
        _grid("benchmark", [lambda one=one, at=at: _bench_card(one, at) for at, one in enumerate(benches)])
    home_bin.bin_panel()


def _grid(kind: str, cards: list[Callable[[], None]]) -> None:
    noticed = home_bin.notice(kind)
    if noticed is not None:
        cards.insert(noticed, home_bin.notice_card)
    for start in range(0, len(cards), ACROSS):
        for column, card in zip(st.columns(ACROSS, gap="medium"), cards[start : start + ACROSS], strict=False):
            with column, st.container(border=True, height="stretch"):
                card()


def _experiment_card(experiment: Experiment, at: int, apart: str | None) -> None:
    """A card; ``apart`` tells it from others of the same title."""
    try:
        summary = parts.summary(experiment)
        picture = _experiment_picture(str(experiment.path), parts.stamp(experiment), parts.is_dark())
    except ValueError as error:
        _picture(None, "Its files cannot be read.")
        st.markdown(f"**{experiment.name}**")
        parts.fail_softly(error)
        with _row(experiment.name):
            home_bin.more(experiment.path, experiment.name, "experiment", at)
        return
    running = [job for job in jobs.list_jobs(summary.name) if job.running]
    words = "Its first results are being computed." if running else _nothing(experiment, summary)
    _picture(picture, words)
    name, state = plain(summary.name), _state(summary, running)
    below = f":gray[{name} · {state}]" if apart is None else f"**{name}** · {plain(apart)}  \n:gray[{state}]"
    st.markdown(f"**{plain(summary.title) or name}**  \n{below}")
    _verdicts(summary)
    page = "compare" if summary.surfaces or not summary.ud else "distance"
    with _row(experiment.name):
        st.page_link(
            f"pages/{'cross_task' if summary.tasks else page}.py",
            label=f"Open *{plain(summary.name)}*",
            icon=":material/arrow_forward:",
            help=f"Open {plain(summary.name)}.",
            query_params={"exp": experiment.name},
        )
        home_bin.more(experiment.path, summary.title or summary.name, "experiment", at)


def _nothing(experiment: Experiment, summary: Summary) -> str:
    """What a card says in the place of its picture."""
    if any(run.state == "finished" for run in summary.runs):
        return "No loss surface yet: open it and compute one."
    if any(arm.method == IMPORTED_METHOD for arm in experiment.spec.arms.values()):
        return "No results yet: open it and see what can be computed."
    return "No results yet: open it and train it."


def _bench_card(bench: Bench, at: int) -> None:
    try:
        title, total = bench.spec.title or bench.name, len(bench.cells())
        left = len(pending(bench))
        picture = _bench_picture(str(bench.path), (total, left), parts.is_dark())
    except (ValueError, OSError) as error:
        _picture(None, "Its files cannot be read.")
        st.markdown(f"**{bench.name}**")
        parts.fail_softly(error)
        with _row(f"bench-{bench.name}"):
            home_bin.more(bench.path, bench.name, "benchmark", at)
        return
    _picture(picture, "No results yet: open it and start it.")
    st.markdown(f"**{title}**  \n:gray[{bench.name} · {total - left} of {total} runs]")
    if picture is not None:
        st.markdown(":gray[UD across, test accuracy up; the line is at UD 1.]")
    with _row(f"bench-{bench.name}"):
        st.page_link(
            "pages/benchmark.py",
            label=f"Open *{plain(bench.name)}*",
            icon=":material/arrow_forward:",
            help=f"Open {plain(bench.name)}.",
            query_params={"bench": bench.name},
        )
        home_bin.more(bench.path, title, "benchmark", at)


def _row(name: str) -> DeltaGenerator:
    """What can be done with a card's experiment: open it on the left, rename or delete it on the right.

    The name in their labels is heard, not seen (``parts.CSS``): seen, it stands above, and a long one would be cut.
    """
    return st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key=f"card-{name}"
    )


@st.cache_data(max_entries=256, show_spinner=False)
def _experiment_picture(path: str, stamp: tuple[int, ...], dark: bool) -> Thumbnail | None:
    experiment = Experiment.open(path)
    return experiment_thumbnail(experiment, parts.summary(experiment), dark=dark)


@st.cache_data(max_entries=64, show_spinner=False)
def _bench_picture(path: str, stamp: tuple[int, ...], dark: bool) -> Thumbnail | None:
    return bench_thumbnail(Bench.open(path), dark=dark)


def _picture(thumbnail: Thumbnail | None, otherwise: str) -> None:
    """The picture, or its place with a sentence, so that cards keep their shape."""
    if thumbnail is None:
        st.html(f'<div class="no-picture"><span>{otherwise}</span></div>')
    else:
        st.image(thumbnail.png, width="stretch", alt=thumbnail.alt)


def _state(summary: Summary, running: list[jobs.Job]) -> str:
    if running:
        return f"running: {running[0].label}"
    finished = sum(run.state in ("finished", "results only") for run in summary.runs)
    parts_of = [f"{finished} of {len(summary.runs)} runs" if summary.runs else "not trained yet"]
    n = len(summary.surfaces)
    parts_of += [f"{n} surface{'s' if n > 1 else ''}"] if n else []
    if any(run.state == "results only" for run in summary.runs):
        parts_of.append("results only")
    return " · ".join(parts_of)


def _change(arm: ArmUd, metric: str) -> str:
    """How an arm's runs differ from the reference at their end: by the user's own metric, or test accuracy."""
    if metric:
        return f", {metric} {arm.mean('metric_poisoned') - arm.mean('metric_clean'):+.3g}"
    drop = arm.mean("test_accuracy_poisoned") - arm.mean("test_accuracy_clean")
    return f", test accuracy {format_points(drop)}" if math.isfinite(drop) else ""


def _verdicts(summary: Summary) -> None:
    if summary.tasks:
        measured = f"measured in {summary.scored} of {len(summary.runs)} runs" if summary.scored else "not measured yet"
        st.markdown(f"{len(summary.tasks)} tasks; damage and UD of each: {measured}.")
        return
    if not summary.ud:
        st.markdown(":gray[No UD yet.]")
        return
    lines = []
    for arm in summary.ud[0].arms:
        spread = "" if arm.summary.std is None else f" ± {arm.summary.std:.2f}"
        change = _change(arm, summary.ud[0].metric_name)
        lines.append(f"{arm.arm}: **UD {format_ud(arm.summary.mean)}**{spread}{change} — {arm.verdict}")
    st.markdown("  \n".join(lines))
