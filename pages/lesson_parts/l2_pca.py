"""Lesson 2: what does PCA of a path show, and what does it hide?"""

from __future__ import annotations

import streamlit as st

from experiments.lessons import walks
from experiments.lessons.figures import coordinates_over_time, shadow_figure
from experiments.lessons.walks import Walks
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import QUIET, Lesson


def _settings(locked: bool) -> int:
    return int(st.number_input("Seed", 0, 99, 0, key="walk", bind="query-params", disabled=locked, width=420))


def _predict(seed: int, locked: bool) -> str | None:
    return frame.choice(
        2,
        "A walk of 30 steps goes in purely random directions through 4,810 dimensions. How much of its variance does "
        "the "
        "best plane hold?",
        walks.ANSWERS,
        locked,
    )


@st.cache_resource(max_entries=8, show_spinner="Training a small network, and walking at random as far …")
def _compare(seed: int) -> Walks:
    return walks.compare_with_random_walk(seed)


def _run(seed: int, guess: str) -> None:
    found = _compare(seed)
    frame.compare_choice(guess, walks.answer(found))
    dark = parts.is_dark()
    left, right = st.columns(2, gap="medium")
    for column, shadow, name, role in (
        (left, found.training, "training", "clean"),
        (right, found.random, "random walk", "control"),
    ):
        with column:
            parts.plot(shadow_figure(shadow, name, role, dark=dark), key=f"plane-{role}")
            parts.plot(coordinates_over_time(shadow, name, role, dark=dark), key=f"time-{role}")
    numbers = st.columns(4)
    for column, shadow, name in ((numbers[0], found.training, "Training"), (numbers[2], found.random, "Random walk")):
        column.metric(f"{name}: plane holds", parts.percent(float(shadow.shares.sum())))
    for column, shadow, name in ((numbers[1], found.training, "Training"), (numbers[3], found.random, "Random walk")):
        column.metric(
            f"{name}: off the plane", f"up to {shadow.residual.max():.2g}", f"path {shadow.length:.3g} long", **QUIET
        )
    share, one, two = float(found.random.shares.sum()), *(100 * part for part in walks.EXPECTED)
    real = float(found.training.shares.sum())
    st.markdown(
        f"The random walk has no structure at all, and still its plane holds {100 * share:.0f} % and shows a neat "
        "curve: "
        f"theory says {one:.0f} % and {two:.0f} % for the first two components of a long walk, whose coordinates over "
        "time are cosines and whose picture is a Lissajous curve (Antognini and Sohl-Dickstein 2018). "
        + (
            f"The training's plane holds {100 * real:.0f} %, more than chance would give; the smooth bend by itself "
            "is no "
            "discovery."
            if real > share + 0.05
            else f"The training's plane holds {100 * real:.0f} %, no more than chance gives: this picture shows PCA at "
            "least as much as training."
        )
        + " Explained variance says how well the plane holds the spread, the distance off the plane what it hides."
    )


LESSON = Lesson(
    "What does PCA of a path show, and what does it hide?",
    "Learn which part of a neat PCA picture is training, and which part PCA makes from anything that walks.",
    "A small network with 4,810 weights learns the digits; 31 checkpoints are kept. Beside it goes a random walk with "
    "steps "
    "of the same lengths, each in a new random direction. PCA is applied to both.",
    _settings,
    _predict,
    _run,
)
