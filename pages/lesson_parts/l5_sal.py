"""Lesson 5: what does SAL measure?"""

from __future__ import annotations

import streamlit as st

from experiments.lessons import nudge
from experiments.lessons.figures import nudge_curve
from experiments.lessons.nudge import Nudge
from landscape.style import format_loss
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import Lesson

RADII = (0.05, 0.01, 0.1)
Settings = tuple[str, float]


def _settings(locked: bool) -> Settings:
    left, right = st.columns(2)
    with left:
        layer = frame.select("Layer that moves", list(nudge.LAYERS), "layer", locked)
    with right:
        radius = frame.select(
            "Radius ε of the ball", RADII, "radius", locked, help_="Relative to the norm of the layer's weights."
        )
    return layer, float(radius)


def _predict(settings: Settings, locked: bool) -> str | None:
    return frame.choice(
        5,
        f"The {settings[0]} moves along its gradient by {100 * settings[1]:.0f} % of its own norm; everything else "
        "stays. "
        "By how much does the loss rise?",
        nudge.ANSWERS,
        locked,
    )


@st.cache_resource(max_entries=8, show_spinner="Training a small network, moving the layer, and searching its ball …")
def _nudge(layer: str, radius: float) -> Nudge:
    return nudge.nudge_layer(layer, radius)


def _run(settings: Settings, guess: str) -> None:
    found = _nudge(*settings)
    frame.compare_choice(guess, nudge.answer(found))
    picture, hand = st.columns([2.2, 1], gap="medium")
    with hand:
        st.markdown("**Move the layer yourself.** 1 is the edge of the ball uphill, −1 downhill.")
        share = st.slider("Step along the gradient", -1.0, 1.0, 0.3, 0.05, key="nudge", bind="query-params")
        loss = nudge.loss_after(*settings, share)
        st.metric(
            "Loss after your step",
            f"{format_loss(loss)} nats",
            f"{loss - found.start:+.3f} against the end of training",
            delta_color="inverse",
        )
        st.metric(
            "SAL by the search of the paper",
            f"{format_loss(found.sal['search'])} nats",
            f"best on your line: {format_loss(found.best_by_hand)}",
            delta_color="off",
            delta_arrow="off",
        )
    with picture:
        parts.plot(nudge_curve(found, share, dark=parts.is_dark()), key="nudge-curve")
    missed = found.best_by_hand > found.sal["search"] * 1.02
    st.markdown(
        "**SAL** of a layer is the largest change of the loss when this layer alone moves by at most ε of its norm "
        "(Ye, Su "
        "and Qian 2025). A straight step along the gradient is one way to look for it; "
        + (
            "here it finds more than the search of the paper, whose steps are too short to reach the edge of the ball. "
            "The definition is a maximum, every search only a lower bound: the projected search goes to the edge."
            if missed
            else "the search follows the bend of the surface and finds at least as much."
        )
        + f" The first-order estimate ε‖θ‖·‖∇L‖, {format_loss(found.sal['gradient'])} nats, is the slope alone, wrong "
        "by as much as the curve bends."
    )


LESSON = Lesson(
    "What does SAL measure?",
    "Move one layer within its ball by hand, and compare with Sharpness-Aware Learnability as the library finds it.",
    "A network of two layers has learned the digits for three epochs. One layer may move; the ball around its weights "
    "has "
    "the radius ε times their norm.",
    _settings,
    _predict,
    _run,
)
