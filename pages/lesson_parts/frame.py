"""What every lesson is made of: its words, a prediction, and the prediction beside what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

QUIET: dict[str, Any] = {"delta_color": "off", "delta_arrow": "off"}  # a metric whose second line judges nothing


@dataclass(frozen=True)
class Lesson:
    """One step of the guided page.

    Attributes:
        title: A question. aim: One sentence, what one will know afterwards.
        intro: What will be run, in a few sentences.
        settings: Draws the lesson's controls and returns what was chosen; they are locked once it has run.
        predict: Draws the prediction and returns it, or None while there is none.
        run: Computes with the settings, and shows the result beside the prediction.
    """

    title: str
    aim: str
    intro: str
    settings: Callable[[bool], Any]
    predict: Callable[[Any, bool], Any]
    run: Callable[[Any, Any], None]


def choice(number: int, question: str, answers: Sequence[str], locked: bool) -> str | None:
    """A prediction among answers."""
    return st.radio(question, answers, index=None, key=f"g{number}", bind="query-params", disabled=locked)


def percentage(number: int, question: str, locked: bool) -> float | None:
    """A prediction of an accuracy in per cent."""
    st.markdown(question)
    given = st.number_input(
        "Your prediction (%)",
        0,
        100,
        None,
        5,
        key=f"g{number}",
        bind="query-params",
        disabled=locked,
        placeholder="your prediction, 0 to 100 %",
        width=420,
    )
    return None if given is None else float(given)


def select(
    label: str, options: Sequence[Any], key: str, locked: bool, *, first: int = 0, help_: str | None = None
) -> Any:
    """A setting of a lesson; ``first`` is the position of the usual choice."""
    return st.selectbox(
        label, options, index=first, key=key, bind="query-params", disabled=locked, help=help_, width=420
    )


def compare_choice(guess: str, truth: str, *, right: bool | None = None) -> None:
    """A prediction in words beside what happened."""
    hit = guess == truth if right is None else right
    left, other = st.columns(2)
    left.markdown(f"**You predicted**  \n{guess}")
    other.markdown(f"**What happened**  \n{':green' if hit else ':orange'}[**{truth}**]")


def compare_number(guess: float, truth: float, what: str) -> None:
    """A predicted accuracy in per cent beside the real one."""
    left, other = st.columns(2)
    left.metric("You predicted", f"{guess:.0f} %")
    other.metric(
        what,
        f"{truth:.1f} %",
        f"{truth - guess:+.1f} points from your prediction",
        delta_color="off",
        delta_arrow="off",
    )
