"""Lesson 7: can you break it?"""

from __future__ import annotations

import streamlit as st

from experiments.lessons import remedy
from experiments.lessons.figures import accuracy_bars
from experiments.lessons.remedy import Outcome
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import Lesson

Settings = tuple[str, str]


def _settings(locked: bool) -> Settings:
    left, right = st.columns(2)
    with left:
        poison = frame.select("Poison", list(remedy.POISONS), "poison", locked)
    with right:
        choice = frame.select(
            "Your remedy",
            list(remedy.CHOICES),
            "remedy",
            locked,
            help_="Defences change the training images or every batch; the last two leave some samples unpoisoned.",
        )
    return poison, choice


def _predict(settings: Settings, locked: bool) -> str | None:
    return frame.choice(
        7,
        f"Does “{settings[1]}” break the poison, so that half or more of the lost test accuracy comes back?",
        remedy.ANSWERS,
        locked,
    )


@st.cache_data(max_entries=32, show_spinner="Training clean, poisoned, and poisoned with your remedy …")
def _try(poison: str, choice: str) -> Outcome:
    return remedy.try_remedy(poison, choice)


def _run(settings: Settings, guess: str) -> None:
    found = _try(*settings)
    truth = remedy.answer(found)
    frame.compare_choice(guess, truth)
    values = {"clean": found.clean, "poisoned": found.poisoned, "poisoned, with your remedy": found.remedied}
    figure = accuracy_bars(
        values,
        dict(zip(values, ("clean", "poisoned", "other"), strict=True)),
        title="Accuracy on clean test images",
        subtitle="digits 8×8 · mlp · seed 0 · 360 test images",
        dark=parts.is_dark(),
    )
    parts.plot(figure, key="remedy-bars")
    st.caption(f"Trained on: {found.description}.")
    back = 100 * found.recovered
    lost = 100 * (found.clean - found.poisoned)
    if truth == remedy.ANSWERS[0]:
        words = f"{back:.0f} % of the {lost:.0f} lost points came back. " + (
            "Even a few clean samples teach the real features: a poison protects data only if nearly all of it is "
            "poisoned."
            if settings[1] in remedy.FEWER
            else "The remedy disturbs the added pattern more than the digit."
        )
    elif back < 0:
        words = (
            f"It made things worse by {-back / 100 * lost:.0f} points: the remedy hurts the digits more than the "
            "pattern, "
            "which is made to survive it."
        )
    else:
        words = (
            f"{back:.0f} % of the {lost:.0f} lost points came back: the pattern of a class survives it, as it is the "
            "same "
            "in every image of the class."
        )
    st.markdown(
        f"{words} One seed and 360 test images: differences of two or three points mean nothing. The *Benchmark* page "
        "does "
        "this with seeds, intervals and more networks."
    )


LESSON = Lesson(
    "Can you break it?",
    "Choose a defence, or a smaller share of poisoned data, and see whether the poison still works.",
    "A network of two layers learns the digits clean, poisoned, and poisoned with your remedy.",
    _settings,
    _predict,
    _run,
)
