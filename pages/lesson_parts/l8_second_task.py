"""Lesson 8: does a poison for one task spoil another?"""

from __future__ import annotations

import numpy as np
import streamlit as st

from analysis.figures_cross_task import damage_chart
from experiments.lessons import second_task
from experiments.lessons.figures import told_bars
from experiments.lessons.second_task import DEALT, NAME, PATTERN, TASKS, Published, Reading
from pages import parts
from pages.lesson_parts import frame
from pages.lesson_parts.frame import Lesson

SHARP, WIDTH = 8, 150  # times that small images are enlarged, and their width on the screen in pixels


def _settings(locked: bool) -> str:
    return str(frame.select("Poison against the class", list(second_task.POISONS), "against", locked))


def _predict(settings: str, locked: bool) -> str | None:
    return frame.choice(
        8,
        "Take the image away and leave only the pattern that the poison added. Of which tasks does it still tell the "
        "answer?",
        second_task.ANSWERS,
        locked,
    )


@st.cache_resource(max_entries=4, show_spinner="Making rooms, poisoning them, and reading the pattern …")
def _read(poison_name: str) -> Reading:
    return second_task.read_pattern(poison_name)


def _run(poison_name: str, guess: str) -> None:
    found = _read(poison_name)
    truth = second_task.answer(found)
    frame.compare_choice(guess, truth)
    left, right, bars = st.columns([1, 1, 3.4], gap="medium")
    left.image(_large(found.image), caption="A room", width=WIDTH)
    right.image(_large(found.pattern), caption="What was added, made stronger", width=WIDTH)
    with bars:
        parts.plot(told_bars(found, dark=parts.is_dark()), key="told")
    st.markdown(_words(found))
    _in_earnest(poison_name)


def _words(found: Reading) -> str:
    pattern, dealt, name = (found.told[source] for source in (PATTERN, DEALT, NAME))
    right, guessing = found.right
    words = (
        f"The pattern alone names the class of {100 * right:.0f} % of rooms that were not learned from (guessing: "
        f"{100 * guessing:.0f} %); the bar, {100 * pattern['scene']:.0f} %, counts squared errors instead. A network "
        "that finds the pattern need not look at the room, and without it it is lost. "
    )
    depth = pattern["depth_euclidean"]
    if depth >= second_task.PART:
        words += (
            f"Of depth it tells {100 * depth:.0f} %, but only by way of the class: whoever knows its name, and no "
            f"image, knows {100 * name['depth_euclidean']:.0f} %, since a corridor is long and a bathroom is small. "
        )
    little = [TASKS[task] for task in TASKS if task != "scene" and pattern[task] < second_task.PART]
    if little:
        words += f"Of {' and '.join(little)} it tells next to nothing: these must be learned from the image. "
    if max(dealt.values()) < second_task.PART:
        words += "The same patterns dealt out at random tell nothing at all: it is the link to the class that does it."
    return words


def _in_earnest(poison_name: str) -> None:
    """What networks of all four tasks lose, from the published result."""
    result = second_task.published()
    if result is None:
        st.markdown("What a network of all four tasks loses takes longer to measure; the page *Cross-task* does it.")
        return
    arm, made = second_task.POISONS[poison_name], second_task.MADE
    st.markdown(
        "**And what do networks lose?** That takes far longer than a lesson to train, so it was computed beforehand."
    )
    roles = {arm: "poisoned", made: "poisoned"} | {second_task.CONTROLS[one]: "control" for one in (arm, made)}
    figure = damage_chart(
        {task: {one: result.damage[one][task] for one in roles} for task in TASKS},
        roles,
        TASKS,
        subtitle=f"rooms 64×64 · small ResNet · {result.images} clean test images · {result.seeds} seeds",
        dark=parts.is_dark(),
    )
    parts.plot(figure, key="lesson-damage")
    st.markdown(
        "\n".join(
            [
                f"- **{arm}**, net of its control {second_task.CONTROLS[arm]}: {_lost(result, arm)}.",
                f"- **{made}**, made against the class by a network, net of {second_task.CONTROLS[made]}: "
                f"{_lost(result, made)}.",
            ]
        )
    )
    st.markdown(
        "Points are per cent of what clean training gains over a predictor that ignores the image; depth is measured "
        "by its relative error, and by other measures it loses more or less. " + _why(result, arm)
    )


def _lost(result: Published, arm: str) -> str:
    """Damage of every task net of the control, in words."""
    lines = []
    for task, title in TASKS.items():
        net = result.net[arm][task]
        if net.low is None or net.high is None:
            lines.append(f"{title} not known")
            continue
        apart = "more than the control" if net.low > 0 else "less" if net.high < 0 else "not told apart"
        ends = f"{_points(net.low)} to {_points(net.high)}"
        said = _points(net.value)
        unit = "point" if said in ("1", "−1") else "points"
        lines.append(f"{title}: {said} {unit} ({ends}; {apart})")
    return "; ".join(lines)


def _why(result: Published, arm: str) -> str:
    """What the damage says of the prediction from the pattern."""
    hurt = [TASKS[task] for task, one in result.net[arm].items() if one.low is not None and one.low > 0]
    words = ""
    if TASKS["scene"] not in hurt:
        words += (
            f"That a pattern gives the class away does not mean that a network takes it: {arm} costs the class no more "
            "than its control does. "
        )
    others = [title for title in hurt if title != TASKS["scene"]]
    if others:
        words += (
            f"All tasks share one backbone, so that harm can reach {' and '.join(others)} even where the pattern tells "
            "little of it. "
        )
    else:
        words += "The other tasks are not told apart from the control: they are learned from the image all the same. "
    return words + (
        "All poisons and controls are in the published results (`docs/results`); the page *Cross-task* draws them for "
        "an experiment of your own."
    )


def _points(share: float) -> str:
    return f"{100 * share + 0.0:.0f}".replace("-0", "0").replace("-", "−")


def _large(image: np.ndarray) -> np.ndarray:
    """Every pixel as a square of several, as 8-bit colours."""
    pixels = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    return np.asarray(pixels.repeat(SHARP, axis=0).repeat(SHARP, axis=1))


LESSON = Lesson(
    "Does a poison for one task spoil another?",
    "See which tasks a poison against the class gives away, and compare with what networks then lose.",
    "Small pictures of rooms are poisoned by the class of the room: bathroom, corridor, kitchen, … Of the same picture "
    "one can also ask where its key points are, how far every pixel is, and which pixels belong together. A poison "
    "works by giving the answer away, so that a network need not learn it from the image.",
    _settings,
    _predict,
    _run,
)
