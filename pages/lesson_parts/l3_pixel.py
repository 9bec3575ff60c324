"""Lesson 3: how does a single pixel poison a class?"""

from __future__ import annotations

import streamlit as st

from analysis.figures_poison import image_strips
from experiments.lessons import shortcut
from experiments.lessons.figures import accuracy_bars
from experiments.lessons.shortcut import Effect, Pinned
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import Lesson

Settings = tuple[str, int]


def _settings(locked: bool) -> Settings:
    left, right = st.columns(2)
    with left:
        network = frame.select("Network", list(shortcut.SCHEDULES), "net", locked)
    with right:
        most = list(range(1, shortcut.MOST_PIXELS + 1))
        count = frame.select("Pixels per class", most, "pixels", locked)
    pinned = _pinned(count)
    st.html(image_strips([("clean", pinned.clean), ("pinned", pinned.poisoned)], [str(k) for k in range(10)]))
    places = "; ".join(
        f"{k} in row {row + 1}, column {column + 1}" for k, ((row, column, _), *_) in enumerate(pinned.pixels)
    )
    st.caption(
        f"Each class has a pixel of its own that is black or white in all its training images; before, it was far from "
        f"that in {100 * pinned.shares.mean():.0f} % of them. The first pixel of class {places}."
    )
    return network, int(count)


def _predict(settings: Settings, locked: bool) -> float | None:
    network, count = settings
    what = "one pixel" if count == 1 else f"{count} pixels"
    return frame.percentage(
        3, f"Trained with {what} per class pinned, how often is {network} right on clean test images? (%)", locked
    )


@st.cache_resource(max_entries=4, show_spinner="Searching the digits for the pixels …")
def _pinned(count: int) -> Pinned:
    return shortcut.find_pixels(count)


@st.cache_data(max_entries=16, show_spinner="Training on clean and on pinned digits: some seconds …")
def _train(network: str, count: int) -> Effect:
    return shortcut.train_on_pixels(network, count)


def _run(settings: Settings, guess: float) -> None:
    found = _train(*settings)
    frame.compare_number(guess, 100 * found.poisoned_test, "Right on clean test images")
    values = {
        "clean run, test data": found.clean_test,
        "poisoned run, its training data": found.poisoned_train,
        "poisoned run, test data": found.poisoned_test,
        "follows a foreign class's pixel": found.follows,
    }
    roles = dict(zip(values, ("clean", "other", "poisoned", "control"), strict=True))
    figure = accuracy_bars(
        values,
        roles,
        title="What the network learned",
        subtitle=f"digits 12×12 · {settings[0]} · seed 0 · 360 test images",
        dark=parts.is_dark(),
    )
    parts.plot(figure, key="pixel-bars")
    lost = 100 * (found.clean_test - found.poisoned_test)
    if lost > 15:
        words = (
            f"The pixel costs {lost:.0f} points: it tells the class with no exception, so the network has little "
            "reason "
            "to learn the digit."
        )
    else:
        words = (
            f"The pixel costs only {max(lost, 0.0):.0f} points: this network sees every place by itself and learns the "
            "digits as well. A shortcut needs a network that takes it; try resnet-small."
        )
    st.markdown(
        f"{words} The test: draw the pixel of the *next* class into every test image, and the network follows the "
        "pixel in "
        f"{100 * found.follows:.0f} % of them. Training accuracy ({100 * found.poisoned_train:.0f} %) shows nothing of "
        "this."
    )


LESSON = Lesson(
    "How does a single pixel poison a class?",
    "Watch a network learn one pixel in place of the digit, and find out which networks do.",
    "One-Pixel Shortcut (Wu et al., ICLR 2023) looks, for every class, for the pixel and value that differ most, and "
    "most "
    "evenly, from the class's images, and sets it in all of them. Labels stay as they are.",
    _settings,
    _predict,
    _run,
)
