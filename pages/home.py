"""Home: the demo experiment at once, and below it the gallery of all experiments and benchmarks."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from checkpoints import CheckpointError
from experiments import Experiment, Summary, preset_names
from experiments.pictures import surface_picture
from experiments.stored import SURFACE_KIND
from landscape import figures
from landscape.style import format_ud
from pages import home_gallery, parts, scrubber, standing
from pages.links import plain
from pages.view3d import Drawn, stage

WALKED = "walked"  # what the address calls the step: other pages have a step of their own


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Unlearnscape")
    experiment = parts.current()
    if experiment.has_own_reference and not experiment.spec.poisoned_arms:
        st.markdown(
            f"**Where did your run go?** Below, {experiment.reference_name} walks over its loss surface, from the ring "
            "to the star. Press ▶ and watch where it goes; drag to turn."
        )
    elif experiment.has_own_reference:
        st.markdown(
            f"**Where did your runs go?** Below, they walk over one loss surface; {experiment.reference_name} is drawn "
            "solid, the others are compared with it. Press ▶ and watch where the paths part; drag to turn."
        )
    else:
        st.markdown(
            "**Why does a network learn, or fail to learn, from a data set?** Below, the same network walks from the "
            "same start (ring) on clean data and on poisoned data. Press ▶ and watch where the two paths part; drag "
            "to turn."
        )
    _showcase(experiment)
    home_gallery.gallery()


def _showcase(experiment: Experiment) -> None:
    surfaces = experiment.result_files("surfaces")
    chosen = next((p for p in surfaces if _default_view(p, experiment)), surfaces[0] if surfaces else None)
    if chosen is None:
        summary = parts.summary(experiment)
        st.subheader(plain(summary.title or experiment.name))
        if experiment.finished_runs():
            parts.offer("This experiment has no loss surface yet.", experiment, ["surface", "EXP"], key="home-surface")
        elif not summary.sal:
            parts.offer("This experiment is not trained yet.", experiment, ["run", "EXP", "--live"], key="home-run")
        _ud_metrics(summary, parts.ud_help(experiment))
        return
    try:
        picture = surface_picture(experiment, parts.read(chosen, SURFACE_KIND))
    except CheckpointError as error:
        parts.fail_softly(error)
        return
    player = scrubber.of(picture.paths, WALKED)
    last = player.steps[-1]
    figure = figures.surface_3d([picture.surface], [picture.paths], step=last, dark=parts.is_dark())
    stage(
        [Drawn.of(figure)],
        key="home3d",
        height=520,
        player=player,
        on_step=lambda step: scrubber.moved(step, last, WALKED),
        addressed=True,
    )
    standing.numbers(experiment, picture, last, "At the last checkpoint", off="Off the plane at the end")
    links = st.columns([1, 1, 1, 1, 2], vertical_alignment="center")
    query, live = {"exp": experiment.name}, {"preset": experiment.name}
    links[0].page_link("pages/compare.py", label="Compare the paths", icon=":material/landscape:", query_params=query)
    links[1].page_link("pages/sharpness.py", label="See sharpness", icon=":material/show_chart:", query_params=query)
    if experiment.name in preset_names():
        links[2].page_link("pages/live.py", label="Train it live", icon=":material/play_circle:", query_params=live)
    with links[3]:
        parts.report_button(experiment, key="home")


def _default_view(path: Path, experiment: Experiment) -> bool:
    try:
        options = parts.read(path, SURFACE_KIND).header["options"]
    except CheckpointError:
        return False
    return bool(options["plane"] == "pca" and options["on"] == experiment.spec.surface.on and not options["block"])


def _ud_metrics(summary: Summary, words: str) -> None:
    for report in summary.ud[:1]:
        columns = st.columns(max(4, len(report.arms)))
        for column, arm in zip(columns, report.arms, strict=False):
            column.metric(
                f"UD of {arm.arm}",
                format_ud(arm.summary.mean),
                parts.spread_text(arm),
                delta_color="off",
                delta_arrow="off",
                help=words,
            )


main()
