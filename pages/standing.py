"""How well every run does at a checkpoint, in a row of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from experiments import Experiment
from experiments.own_metric import metric_label
from experiments.pictures import SurfacePicture
from experiments.standing import standings
from landscape.figure_data import nearest
from landscape.style import REFERENCES
from pages import parts


def show(columns: Sequence[DeltaGenerator], picture: SurfacePicture, step: int, when: str) -> None:
    """A number for every run in the first columns, with its difference to the reference."""
    runs = standings(picture, step)
    reference = next((one.value for one in runs if one.path.role in REFERENCES), None)
    for column, one in zip(columns, runs, strict=False):
        delta = None if one.path.role in REFERENCES else one.against(reference)
        colour = "normal" if one.accuracy else "off"  # whether more is better, only the user knows
        column.metric(f"{one.path.name} {one.what}", one.text, delta, delta_color=colour, help=one.told(when))


def numbers(
    experiment: Experiment, picture: SurfacePicture, step: int, when: str, *, off: str = "Off the plane"
) -> None:
    """Accuracy, or the user's own metric, of each run against clean, UD, and what the plane leaves out."""
    columns = st.columns(len(picture.paths) + 3)
    show(columns, picture, step, when)
    ud, spread = parts.main_ud(experiment)
    columns[-3].metric("UD", ud, spread, delta_color="off", delta_arrow="off", help=parts.ud_help(experiment))
    explained = picture.surface.explained
    columns[-2].metric(
        "Plane explains",
        "–" if explained is None else parts.percent(sum(explained)),
        "PCA planes only" if explained is None else None,
        delta_color="off",
        delta_arrow="off",
        help="Share of the variance of all checkpoints about their mean that lies in this plane. It says how well the "
        "plane holds the spread of the paths, not that the paths lie in it.",
    )
    columns[-1].metric(
        off,
        " / ".join(f"{path.residual[nearest(path, step)]:.2g}" for path in picture.paths),
        "weight units",
        delta_color="off",
        delta_arrow="off",
        help="Distance of each run's checkpoint from the plane, in the order "
        + ", ".join(path.name for path in picture.paths)
        + ".",
    )


def of_the_loss(experiment: Experiment, what: str) -> None:
    """Say that sharpness knows the loss alone, where there is a metric that it might be taken for."""
    if label := metric_label(experiment.spec.metric):
        st.caption(f"{what} of the loss alone; the metric {label} plays no part in it.")


def judged_by(experiment: Experiment) -> str:
    """What says how well a network does: the user's own metric, else the test accuracy."""
    label = metric_label(experiment.spec.metric)
    return f"your metric {label}" if label else "the test accuracy"
