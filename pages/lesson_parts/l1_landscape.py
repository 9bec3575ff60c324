"""Lesson 1: what is a loss landscape?"""

from __future__ import annotations

import numpy as np
import streamlit as st

from experiments.lessons import valley
from experiments.lessons.figures import valley_map
from experiments.lessons.valley import Valley
from landscape.style import format_loss
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import Lesson


def _settings(locked: bool) -> int:
    seed = st.number_input(
        "Seed of the two directions", 0, 99, 0, key="dir", bind="query-params", disabled=locked, width=420
    )
    return int(seed)


def _predict(seed: int, locked: bool) -> str | None:
    return frame.choice(
        1,
        "From the end of training you move all weights by their own length in one random direction. What does the loss "
        "do?",
        valley.ANSWERS,
        locked,
    )


@st.cache_resource(max_entries=8, show_spinner="Training one layer and evaluating its loss at 961 points …")
def _survey(seed: int) -> Valley:
    return valley.survey(seed)


def _run(seed: int, guess: str) -> None:
    found = _survey(seed)
    truth = valley.answer(found)
    frame.compare_choice(guess, truth)
    picture, hand = st.columns([2.2, 1], gap="medium")
    with hand:
        st.markdown(
            "**Walk yourself.** Each move is one evaluation of the real network. Can you get lower than the end?"
        )
        a = st.slider("First direction", -1.5, 1.5, 0.5, 0.1, key="a", bind="query-params")
        b = st.slider("Second direction", -1.5, 1.5, 0.5, 0.1, key="b", bind="query-params")
        here, end = valley.height(seed, np.array([[a, b], [0.0, 0.0]]))
        st.metric(
            "Loss where you stand",
            f"{format_loss(here.loss)} nats",
            f"{here.loss - end.loss:+.2g} against the end",
            delta_color="inverse",
        )
        st.metric("Accuracy where you stand", parts.percent(here.accuracy))
    with picture:
        parts.plot(valley_map(found, (a, b), dark=parts.is_dark()), key="valley")
    low_a, low_b, low = valley.lowest(found)
    inside = abs(low_a) + abs(low_b) < 0.35
    place = (
        "at the end of training or right beside it" if inside else f"at ({low_a:.1f}, {low_b:.1f}), away from the end"
    )
    rises = truth in valley.ANSWERS[2:]
    st.markdown(
        f"The {found.weights} weights are one point; every point has a loss, and that is the landscape. In this slice "
        "of "
        f"two of {found.weights} dimensions the lowest of 961 points, {format_loss(low)} nats, lies {place}. "
        + (
            "Random directions lead uphill because training has already gone down in all of them that matter."
            if rises
            else "Here the slice is flat: a random direction may hardly matter to the loss, which is why one "
            "slice proves little."
        )
    )


LESSON = Lesson(
    "What is a loss landscape?",
    "See that a loss surface is a slice through a space of many dimensions, made of single evaluations of a network.",
    "One linear layer learns ten classes of the toy data. From where it ends, two random directions (each as long as "
    "the "
    "weights, filter by filter) span a plane, and the loss is evaluated on it.",
    _settings,
    _predict,
    _run,
)
