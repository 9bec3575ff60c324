"""Home: the demo experiment at once, and the gallery of experiments with their verdicts."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from checkpoints import CheckpointError
from experiments import Experiment, Summary, jobs, list_experiments
from experiments.pictures import surface_picture
from experiments.surface_plan import KIND
from landscape import figures
from landscape.style import format_ud
from pages import parts
from pages.view3d import view3d


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Unlearnscape")
    st.markdown(
        "**Why does a network learn, or fail to learn, from a data set?** Below, the same network walks from the same "
        "start (ring) on clean data and on poisoned data. Drag to turn; watch where the two paths part."
    )
    _showcase(parts.current())
    st.header("Experiments", divider="gray")
    for experiment in list_experiments():
        _card(experiment)


def _showcase(experiment: Experiment) -> None:
    surfaces = experiment.result_files("surfaces")
    chosen = next((p for p in surfaces if _default_view(p, experiment)), surfaces[0] if surfaces else None)
    if chosen is None:
        summary = parts.summary(experiment)
        st.subheader(summary.title or experiment.name)
        if experiment.finished_runs():
            parts.offer("This experiment has no loss surface yet.", experiment, ["surface", "EXP"], key="home-surface")
        elif not summary.sal:
            parts.offer("This experiment is not trained yet.", experiment, ["run", "EXP", "--live"], key="home-run")
        _ud_metrics(summary)
        return
    try:
        picture = surface_picture(experiment, parts.read(chosen, KIND))
    except CheckpointError as error:
        parts.fail_softly(error)
        return
    figure = figures.surface_3d([picture.surface], [picture.paths], dark=parts.is_dark())
    view3d(figure, key="home3d", height=520, alt=parts.alternative(figure))
    last = int(max(path.steps[-1] for path in picture.paths))
    runs = parts.test_accuracies(picture, last)
    clean = next((value for path, value in runs if path.role == "clean"), None)
    columns = st.columns(len(runs) + 3)
    for column, (path, accuracy) in zip(columns, runs, strict=False):
        apart = path.role != "clean" and clean is not None and accuracy is not None
        delta = f"{100 * (accuracy - clean):+.1f} points" if apart else None
        column.metric(f"{path.name} test accuracy", parts.percent(accuracy), delta)
    ud, spread = parts.main_ud(experiment)
    columns[-3].metric("UD", ud, spread, delta_color="off", delta_arrow="off", help=parts.UD_HELP)
    explained = picture.surface.explained
    columns[-2].metric("Plane explains", "–" if explained is None else parts.percent(sum(explained)))
    columns[-1].metric(
        "Off the plane at the end",
        " / ".join(f"{path.residual[-1]:.2g}" for path in picture.paths),
        help="Distance of each run's last checkpoint from the plane, in weight units.",
    )
    links = st.columns([1, 1, 1, 1, 2], vertical_alignment="center")
    query = {"exp": experiment.name}
    links[0].page_link("pages/compare.py", label="Compare the paths", icon=":material/landscape:", query_params=query)
    links[1].page_link("pages/sharpness.py", label="See sharpness", icon=":material/show_chart:", query_params=query)
    links[2].page_link("pages/live.py", label="Train it live", icon=":material/play_circle:")
    with links[3]:
        parts.report_button(experiment, key="home")


def _default_view(path: Path, experiment: Experiment) -> bool:
    try:
        options = parts.read(path, KIND).header["options"]
    except CheckpointError:
        return False
    return bool(options["plane"] == "pca" and options["on"] == experiment.spec.surface.on and not options["block"])


def _card(experiment: Experiment) -> None:
    with st.container(border=True):
        try:
            summary = parts.summary(experiment)
        except ValueError as error:
            st.markdown(f"**{experiment.name}**")
            parts.fail_softly(error)
            return
        words, numbers, open_ = st.columns([3, 3, 1], vertical_alignment="center")
        words.markdown(f"**{summary.title or summary.name}**  \n:gray[{_state(summary)}]")
        with numbers:
            _verdicts(summary)
        open_.page_link(
            "pages/compare.py" if summary.surfaces else "pages/distance.py",
            label="Open",
            icon=":material/arrow_forward:",
            query_params={"exp": experiment.name},
        )


def _state(summary: Summary) -> str:
    running = [job for job in jobs.list_jobs(summary.name) if job.running]
    if running:
        return f"{summary.name} · running: {running[0].label}"
    finished = sum(run.state in ("finished", "results only") for run in summary.runs)
    parts_of = [f"{finished} of {len(summary.runs)} runs" if summary.runs else "not trained yet"]
    n = len(summary.surfaces)
    parts_of += [f"{n} surface{'s' if n > 1 else ''}"] if n else []
    if any(run.state == "results only" for run in summary.runs):
        parts_of.append("results only")
    return " · ".join([summary.name, *parts_of])


def _verdicts(summary: Summary) -> None:
    if not summary.ud:
        st.markdown(":gray[No UD yet.]")
        return
    lines = []
    for arm in summary.ud[0].arms:
        spread = "" if arm.summary.std is None else f" ± {arm.summary.std:.2f}"
        drop = 100 * (arm.mean("test_accuracy_poisoned") - arm.mean("test_accuracy_clean"))
        lines.append(
            f"{arm.arm}: **UD {format_ud(arm.summary.mean)}**{spread}, test accuracy {drop:+.1f} points — {arm.verdict}"
        )
    st.markdown("  \n".join(lines))


def _ud_metrics(summary: Summary) -> None:
    for report in summary.ud[:1]:
        columns = st.columns(max(4, len(report.arms)))
        for column, arm in zip(columns, report.arms, strict=False):
            column.metric(
                f"UD of {arm.arm}",
                format_ud(arm.summary.mean),
                parts.spread_text(arm),
                delta_color="off",
                delta_arrow="off",
                help=parts.UD_HELP,
            )


main()
