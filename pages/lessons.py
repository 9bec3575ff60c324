"""Lessons: eight questions, each with a prediction before the real thing is run."""

from __future__ import annotations

import streamlit as st

from pages import links, parts
from pages.lesson_parts import l1_landscape, l2_pca, l3_pixel, l4_elsewhere, l5_sal, l6_ud, l7_break, l8_second_task
from pages.lesson_parts.frame import Lesson

LESSONS: tuple[Lesson, ...] = tuple(
    part.LESSON for part in (l1_landscape, l2_pca, l3_pixel, l4_elsewhere, l5_sal, l6_ud, l7_break, l8_second_task)
)
NUMBERS = tuple(range(1, len(LESSONS) + 1))


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Lessons")
    st.markdown(
        "Eight short lessons on why networks fail to learn from poisoned data. **Predict first**, then run the real "
        "thing: every number is computed when you press the button. Where one was computed beforehand, it says so."
    )
    done = _done()
    number = _choose(done)
    _lesson(number, LESSONS[number - 1])
    _steps(number)
    parts.how_to_read(
        """
Set the controls, predict, press *Run it*. The result appears beside your prediction; *Try again* opens the controls and
the prediction for another round. All runs are small (the toy data, 8×8 or 12×12 digits, 32×32 rooms), take seconds, and
are kept, so that the same settings appear at once.

The address holds the lesson, your settings, your prediction and which lessons are done: a link reopens your work.
"""
    )
    parts.share_hint()


def _done() -> set[int]:
    """Lessons that were run. They are in the address, as digits, and stay there when other pages were visited."""
    if "lessons-done" not in st.session_state:
        asked = st.query_params.get("done", "")
        if len(asked) > len(LESSONS) or any(letter not in map(str, NUMBERS) for letter in asked):
            links.refuse("done", f"Lessons that are done are digits from 1 to {len(LESSONS)}.")
            asked = ""
        done = {int(letter) for letter in asked}
        st.session_state["lessons-done"] = done
        st.session_state["lessons-shown"] = {number for number in done if f"g{number}" in st.query_params}
    found: set[int] = st.session_state["lessons-done"]
    _write(found)
    return found


def _write(done: set[int]) -> None:
    """Put the lessons that are done into the address."""
    text = "".join(map(str, sorted(done)))
    if text and st.query_params.get("done") != text:
        st.query_params["done"] = text
    elif not text and "done" in st.query_params and "done" not in st.session_state.get("link-reasons", {}):
        del st.query_params["done"]


def _choose(done: set[int]) -> int:
    chosen = st.segmented_control(
        "Lesson", NUMBERS, default=1, required=True, key="lesson", bind="query-params", label_visibility="collapsed"
    )
    st.progress(len(done) / len(LESSONS), text=f"{len(done)} of {len(LESSONS)} lessons done")
    return int(chosen)


def _lesson(number: int, lesson: Lesson) -> None:
    st.subheader(f"{number}. {lesson.title}", divider="gray")
    st.markdown(f"**Aim.** {lesson.aim}")
    st.markdown(lesson.intro)
    shown: set[int] = st.session_state["lessons-shown"]
    ran = number in shown
    settings = lesson.settings(ran)
    guess = lesson.predict(settings, ran)
    if ran and guess is None:  # a link with a prediction that is none
        shown.discard(number)
        st.rerun()
    if not ran:
        st.button(
            "Run it",
            key="run",
            type="primary",
            icon=":material/play_arrow:",
            disabled=guess is None,
            help="Predict first." if guess is None else None,
            on_click=_ran,
            args=(number,),
        )
        return
    st.button("Try again", key="again", icon=":material/replay:", on_click=shown.discard, args=(number,))
    try:
        lesson.run(settings, guess)
    except ValueError as error:
        parts.fail_softly(error)


def _ran(number: int) -> None:
    st.session_state["lessons-done"].add(number)
    st.session_state["lessons-shown"].add(number)


def _go(number: int) -> None:
    st.session_state["lesson"] = number


def _steps(number: int) -> None:
    before, after = st.columns(2)
    if number > 1:
        label = f"{number - 1}. {LESSONS[number - 2].title}"
        before.button(label, key="previous", icon=":material/arrow_back:", on_click=_go, args=(number - 1,))
    if number < len(LESSONS):
        label = f"{number + 1}. {LESSONS[number].title}"
        after.button(label, key="next", icon=":material/arrow_forward:", on_click=_go, args=(number + 1,))


main()
