"""Lesson 6: what does UD say, and what not?"""

from __future__ import annotations

import streamlit as st

from analysis.figures_bench import ud_intervals
from experiments.lessons import believe
from experiments.lessons.believe import Belief
from landscape.style import format_ud
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import Lesson


def _settings(locked: bool) -> int:
    seeds = list(range(believe.LEAST_SEEDS, believe.MOST_SEEDS + 1))
    return int(frame.select("Seeds", seeds, "n", locked, first=1, help_="Each seed trains four networks."))


def _predict(seeds: int, locked: bool) -> str | None:
    return frame.choice(
        6,
        "One-pixel shortcut, a random pattern per class, and noise without any link to the class: which UD lies "
        f"believably off 1, with an interval over {seeds} seeds that excludes it?",
        believe.ANSWERS,
        locked,
    )


@st.cache_resource(max_entries=6, show_spinner="Training four networks for every seed and measuring SAL …")
def _measure(seeds: int) -> Belief:
    return believe.measure(seeds)


def _run(seeds: int, guess: str) -> None:
    found = _measure(seeds)
    truth = believe.answer(found) or " and ".join(found.told)
    frame.compare_choice(guess, truth)
    figure = ud_intervals(found.summaries, believe.ROLES, floor=found.floor, subtitle="toy", dark=parts.is_dark())
    parts.plot(figure, key="belief")
    st.dataframe(
        [
            {
                "training data": name,
                "UD": format_ud(found.summaries[name].mean),
                "of each seed": ", ".join(format_ud(value) for value in found.values[name]),
                "interval excludes 1": "yes" if name in found.told else "no",
                "test accuracy": parts.percent(found.accuracy[name]),
                "clean test accuracy": parts.percent(found.accuracy["clean"]),
            }
            for name in believe.ARMS
        ],
        hide_index=True,
    )
    low, high = min(found.floor.values), max(found.floor.values)
    noise = next(name for name, role in believe.ROLES.items() if role == "control")
    harmless = found.accuracy["clean"] - found.accuracy[noise] < 0.05
    lowest = found.summaries[noise].mean <= min(one.mean for one in found.summaries.values())
    st.markdown(
        f"Clean data against clean data of another seed give UD from {low:.2f} to {high:.2f} here: anything in that "
        "band means nothing, and a single run has no interval at all. On other data the band is wider: small digits "
        "and LeNet-5 gave 0.56 to 1.48. "
        + (
            "The noise lies off 1 as well"
            + (", and lower than every poison: by UD alone it would be the worst of them" if lowest else "")
            + f". Yet the network learns from it as well as from clean data ({100 * found.accuracy[noise]:.0f} % "
            "right): UD reacts to more than unlearnability. A difference that is sure is not yet a difference that "
            "means what one hopes; read UD beside the test accuracy and beside a control."
            if noise in found.told and harmless
            else "The noise is not told apart, as it should be: it costs no accuracy. Read a UD beside such a control "
            "and beside the test accuracy."
        )
        + (" With so few seeds the intervals are wide; take more and run again." if seeds < 4 else "")
    )


LESSON = Lesson(
    "What does UD say, and what not?",
    "Tell a believable difference in Unlearnable Distance from chance, and a sure difference from a meaningful one.",
    "The toy network is trained clean and on three kinds of changed data, for several seeds. UD divides the learnable "
    "blocks "
    "of each run by those of the clean run of its seed; clean runs of different seeds show how far chance goes.",
    _settings,
    _predict,
    _run,
)
