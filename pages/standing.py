"""How well every run does at a checkpoint, in a row of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from experiments import Experiment
from experiments.own_metric import metric_label
from experiments.pictures import SurfacePicture
from experiments.standing import standings
from landscape.style import REFERENCES


def show(columns: Sequence[DeltaGenerator], picture: SurfacePicture, step: int, when: str) -> None:
    """A number for every run in the first columns, with its difference to the reference."""
    runs = standings(picture, step)
    reference = next((one.value for one in runs if one.path.role in REFERENCES), None)
    for column, one in zip(columns, runs, strict=False):
        delta = None if one.path.role in REFERENCES else one.against(reference)
        colour = "normal" if one.accuracy else "off"  # whether more is better, only the user knows
        column.metric(f"{one.path.name} {one.what}", one.text, delta, delta_color=colour, help=one.told(when))


def of_the_loss(experiment: Experiment, what: str) -> None:
    """Say that sharpness knows the loss alone, where there is a metric that it might be taken for."""
    if label := metric_label(experiment.spec.metric):
        st.caption(f"{what} of the loss alone; the metric {label} plays no part in it.")


def judged_by(experiment: Experiment) -> str:
    """What says how well a network does: the user's own metric, else the test accuracy."""
    label = metric_label(experiment.spec.metric)
    return f"your metric {label}" if label else "the test accuracy"
