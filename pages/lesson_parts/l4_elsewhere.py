"""Lesson 4: why does the poisoned path go elsewhere?"""

from __future__ import annotations

import streamlit as st

from experiments.lessons import elsewhere
from experiments.lessons.elsewhere import Parting
from landscape.figures import contour_2d
from landscape.style import format_loss
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import Lesson


def _settings(locked: bool) -> int:
    return int(st.number_input("Seed", 0, 99, 0, key="start", bind="query-params", disabled=locked, width=420))


def _predict(seed: int, locked: bool) -> float | None:
    return frame.percentage(
        4,
        "At its end the poisoned run is right on nearly all of its own, poisoned training data. How often is it right "
        "on "
        "the same samples without the poison? (%)",
        locked,
    )


@st.cache_resource(max_entries=8, show_spinner="Training both runs and evaluating two surfaces …")
def _judge(seed: int) -> Parting:
    return elsewhere.judge_both_ends(seed)


def _run(seed: int, guess: float) -> None:
    found = _judge(seed)
    clean, own = found.find("poisoned", "clean training"), found.find("poisoned", "poisoned training")
    frame.compare_number(guess, 100 * clean.accuracy, "Right without the poison")
    figure = contour_2d(found.surfaces, [found.paths, found.paths], dark=parts.is_dark())
    parts.plot(figure, key="parting", height=500)
    st.dataframe(
        [
            {
                "end point of": one.end,
                "judged on": f"{one.data} data",
                "loss (nats)": format_loss(one.loss),
                "accuracy": parts.percent(one.accuracy),
            }
            for one in found.table
        ],
        hide_index=True,
    )
    lower = clean.accuracy < 0.1
    st.markdown(
        "Both panels show the same weights and the same two paths; only the data that judge them differ. On poisoned "
        "data "
        f"the dashed path walks downhill to {format_loss(own.loss)} nats; on clean data the same end stands at "
        f"{format_loss(clean.loss)}, high up. Gradient descent did nothing wrong: its landscape was another one. "
        + (
            f"{100 * clean.accuracy:.0f} % is even less than the 10 % of guessing, so the features it relies on point "
            "to "
            "other classes once the poison is gone."
            if lower
            else f"{100 * clean.accuracy:.0f} % is what is left of the real features it learned beside the shortcut."
        )
    )


LESSON = Lesson(
    "Why does the poisoned path go elsewhere?",
    "See that the poisoned run also walks downhill, only in the landscape of other data.",
    "One linear layer learns the toy data twice from the same start, clean and with one feature per class pinned. "
    "Then both "
    "end points are judged by clean and by poisoned data.",
    _settings,
    _predict,
    _run,
)
