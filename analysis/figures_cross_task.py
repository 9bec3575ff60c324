"""Figures of several tasks: damage, UD, and how alike tasks are; numbers in, ``plotly.graph_objects.Figure`` out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from analysis.resampling import Estimate
from analysis.similarity import TaskUd
from landscape.style import (
    CLEAN,
    CONTROL,
    DIVERGING_SCALE,
    FURTHER,
    LIGHTER,
    MARKERS,
    POISONED,
    arrange,
    format_ud,
    ink,
)

PER_CENT = 100
BOUNDS = (-100.0, 200.0)  # per cent of damage that an axis shows at most
POISONED_SYMBOLS = ("diamond", "cross", "star", "x", "circle")
CONTROL_SYMBOLS = ("square", "x", "cross", "triangle-up", "triangle-down", "hexagon")
ROW = 19  # pixels for each arm of a task
STRONG = 0.6  # similarity beyond which a cell is dark
LIGHT, DARK = "#FFFFFF", "#1F2430"  # text on dark and on light cells, in either theme
FLOOR = "clean, other seeds"
MOST_UD = 3.0  # that an axis shows beyond the marks themselves; the interval of two seeds reaches anywhere
WIDE = {"x": 0, "xref": "container"}  # a title over the names of tasks too, which leave little room beside them


@dataclass(frozen=True)
class _Mark:
    """One point with its interval on the line of an arm."""

    value: float
    low: float | None
    high: float | None
    words: str


def damage_chart(
    estimates: Mapping[str, Mapping[str, Estimate]],
    roles: Mapping[str, str],
    titles: Mapping[str, str],
    *,
    net: bool = False,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """Damage of every task under every arm, with its interval.

    Args:
        estimates: {task: {arm: damage as a share}}; tasks stand from top to bottom.
        roles: {arm: ``"poisoned"`` or ``"control"``}. titles: {task: words, with its measure}.
        net: The numbers are net of a control; ``subtitle`` then names it.
        subtitle: Data, seeds, images.
    """
    marks = {
        task: {arm: _damage_mark(arm, one) for arm, one in found.items() if math.isfinite(one.value)}
        for task, found in estimates.items()
    }
    unknown = [titles.get(task, task) for task, found in estimates.items() if found and not marks[task]]
    figure = _rows(marks, roles, titles, dark=dark)
    levels = [0.0] if net else [0.0, 100.0]
    _levels(figure, levels, dark=dark)
    _within(figure, marks, levels, BOUNDS)
    figure.update_xaxes(title_text="net damage (percentage points)" if net else "damage (%)")
    scale = (
        "0: as much as the control" if net else "0 %: as with clean data · 100 %: no better than the trivial predictor"
    )
    notes = [
        subtitle,
        scale,
        _interval_words(estimates),
        *(f"{name}: not learned by clean training" for name in unknown),
    ]
    return arrange(
        figure,
        title="Damage net of the control" if net else "Damage of every task",
        subtitle=" · ".join(part for part in notes if part),
        alt=_alternative("Net damage" if net else "Damage", marks, titles),
        dark=dark,
        height=_height(marks),
    ).update_layout(margin={"b": 96}, title=WIDE)


def task_ud_chart(
    found: Mapping[str, Mapping[str, TaskUd]],
    roles: Mapping[str, str],
    titles: Mapping[str, str],
    *,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """UD under every task's own loss, with its interval over seeds and what clean data reach by themselves.

    Args:
        found: {task: {arm: UD}}. roles, titles: As for :func:`damage_chart`. subtitle: Blocks, samples, seeds.
    """
    marks: dict[str, dict[str, _Mark]] = {}
    for task, arms in found.items():
        marks[task] = {}
        floors = [one.floor for one in arms.values() if one.floor is not None]
        if floors:
            (low, high), mean = floors[0].span, float(np.mean(floors[0].values))
            words = f"{FLOOR} {format_ud(mean)} ({low:.2f} to {high:.2f})"
            marks[task][FLOOR] = _Mark(mean, low, high, words)
        marks[task] |= {arm: _ud_mark(arm, one) for arm, one in arms.items()}
    figure = _rows(marks, {FLOOR: "clean"} | dict(roles), titles, dark=dark)
    _levels(figure, [1.0], dark=dark)
    largest = max((mark.value for arms in marks.values() for mark in arms.values()), default=0.0)
    _within(figure, marks, [0.0, 1.0], (0.0, max(MOST_UD, 1.1 * largest)))
    figure.update_xaxes(title_text="UD under the task's loss")
    notes = [subtitle, "β of each task from its own clean run", "95 % intervals over seeds (Student's t)"]
    return arrange(
        figure,
        title="UD of every task",
        subtitle=" · ".join(part for part in (*notes, f"“{FLOOR}”: mean and range") if part),
        alt=_alternative("UD", marks, titles),
        dark=dark,
        height=_height(marks),
    ).update_layout(margin={"b": 96}, title=WIDE)


def similarity_matrices(
    panels: Mapping[str, NDArray[np.float64]],
    tasks: Sequence[str],
    *,
    kind: str,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """Task × task similarity of SAL vectors, clean beside poisoned, on one colour scale from −1 to 1.

    Args:
        panels: {title: [K, K]}, the clean one first; NaN where there is none. tasks: K names.
        kind: ``"cosine"``, ``"pearson"`` or ``"spearman"``.
    """
    if not panels or any(matrix.shape != (len(tasks), len(tasks)) for matrix in panels.values()):
        raise ValueError("Every matrix needs one row and one column for each task.")
    figure = make_subplots(
        rows=1, cols=len(panels), shared_yaxes=True, subplot_titles=list(panels), horizontal_spacing=0.05
    )
    places = np.arange(len(tasks), dtype=float)
    for number, (title, matrix) in enumerate(panels.items(), start=1):
        figure.add_trace(
            go.Heatmap(
                x=places,
                y=list(tasks),
                z=np.asarray(matrix, dtype=np.float32),
                colorscale=DIVERGING_SCALE,
                zmin=-1,
                zmax=1,
                xgap=1,
                ygap=1,
                showscale=False,  # the numbers stand in the cells
                customdata=np.asarray(matrix, dtype=np.float32),
                hovertemplate=f"{title}: %{{z:.2f}}<extra></extra>",
                name=title,
            ),
            row=1,
            col=number,
        )
        _cell_texts(figure, matrix, tasks, number)
    figure.update_xaxes(tickvals=list(places), ticktext=list(tasks), tickangle=-45, showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    words = "; ".join(f"{title}: {_matrix_words(matrix, tasks)}" for title, matrix in panels.items())
    return arrange(
        figure,
        title="How alike the tasks are",
        subtitle=" · ".join(
            part for part in (subtitle, f"{_named_kind(kind)} of SAL vectors", "blue: −1 · red: 1") if part
        ),
        alt=f"{_named_kind(kind).capitalize()} of the SAL vectors of {len(tasks)} tasks. {words}.",
        dark=dark,
        height=420,
    ).update_layout(margin={"t": 118}, title=WIDE)


def arm_looks(roles: Mapping[str, str], *, dark: bool = False) -> dict[str, tuple[str, str]]:
    """Colour and symbol of every arm: clean blue, poisons vermillion and further colours, all controls grey."""
    tints, looks = (POISONED, *FURTHER), {}
    seen = {"poisoned": 0, "control": 0}
    for arm, role in roles.items():
        if role == "clean":
            colour, symbol = CLEAN, MARKERS["clean"]
        else:
            number = seen[role]
            seen[role] += 1
            symbols = CONTROL_SYMBOLS if role == "control" else POISONED_SYMBOLS
            colour = CONTROL if role == "control" else tints[number % len(tints)]
            symbol = symbols[number % len(symbols)]
        looks[arm] = (LIGHTER.get(colour, colour) if dark else colour, symbol)
    return looks


def _rows(
    marks: Mapping[str, Mapping[str, _Mark]],
    roles: Mapping[str, str],
    titles: Mapping[str, str],
    *,
    dark: bool,
) -> go.Figure:
    """Tasks from top to bottom, the arms of each below each other in the order of ``roles``; hollow: no interval."""
    if not any(marks.values()):
        raise ValueError("There is no task with a number to draw; measure a clean and another arm first.")
    figure = go.Figure()
    arms = [arm for arm in roles if any(arm in found for found in marks.values())]
    step = 0.7 / max(1, len(arms))
    looks = arm_looks({arm: roles[arm] for arm in arms}, dark=dark)
    for number, arm in enumerate(arms):
        colour, symbol = looks[arm]
        shift = (number - (len(arms) - 1) / 2) * step
        for hollow in (False, True):
            chosen = [
                (k + shift, found[arm])
                for k, found in enumerate(marks.values())
                if arm in found and (found[arm].low is None) == hollow
            ]
            if not chosen:
                continue
            values = np.array([mark.value for _, mark in chosen])
            lows = np.array([mark.value if mark.low is None else mark.low for _, mark in chosen])
            highs = np.array([mark.value if mark.high is None else mark.high for _, mark in chosen])
            figure.add_trace(
                go.Scatter(
                    x=values,
                    y=np.array([place for place, _ in chosen]),
                    mode="markers",
                    marker={"color": colour, "symbol": symbol + "-open" * hollow, "size": 9},
                    error_x={
                        "array": highs - values,
                        "arrayminus": values - lows,
                        "color": colour,
                        "thickness": 2,
                        "width": 0,
                    },
                    text=[mark.words for _, mark in chosen],
                    hovertemplate="%{text}<extra></extra>",
                    name=arm + (", one seed" if hollow else ""),
                    legendgroup=arm,
                )
            )
    names = [titles.get(task, task).replace(" (", "<br>(") for task in marks]  # two lines leave room on a phone
    return figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5], showgrid=False, zeroline=False
    )


def _levels(figure: go.Figure, levels: Sequence[float], *, dark: bool) -> None:
    for level in levels:
        figure.add_vline(x=level, line={"color": ink(dark=dark), "width": 1.2})


def _within(
    figure: go.Figure,
    marks: Mapping[str, Mapping[str, _Mark]],
    held: Sequence[float],
    bounds: tuple[float, float],
) -> None:
    """An axis that holds all marks with their intervals and some levels, within bounds."""
    every = [mark for found in marks.values() for mark in found.values()]
    ends = [*held, *(v for mark in every for v in (mark.value, mark.low, mark.high) if v is not None)]
    low, high = max(min(ends), bounds[0]), min(max(ends), bounds[1])
    room = 0.06 * (high - low) or 0.5
    figure.update_xaxes(range=[low - room, high + room])


def _damage_mark(arm: str, one: Estimate) -> _Mark:
    ends = [None if end is None else PER_CENT * end for end in (one.low, one.high)]
    value = PER_CENT * one.value
    words = f"{arm} {_whole(value)} %"
    if ends[0] is not None and ends[1] is not None:
        words += f" ({_whole(ends[0])} to {_whole(ends[1])})"
    return _Mark(value, ends[0], ends[1], words)


def _ud_mark(arm: str, one: TaskUd) -> _Mark:
    summary = one.ud.summary
    if summary.low is None or summary.high is None:
        return _Mark(summary.mean, None, None, f"{arm} {format_ud(summary.mean)} (one seed)")
    low = max(summary.low, 0.0)
    return _Mark(summary.mean, low, summary.high, f"{arm} {format_ud(summary.mean)} ({low:.2f} to {summary.high:.2f})")


def _whole(value: float) -> str:
    text = f"{value:.0f}"
    return "0" if text == "-0" else text.replace("-", "−")


def _interval_words(estimates: Mapping[str, Mapping[str, Estimate]]) -> str:
    every = [one for found in estimates.values() for one in found.values() if one.low is not None]
    if not every:
        return ""
    over = "images alone, one seed" if all(one.n == 1 for one in every) else "images and seeds"
    return f"{PER_CENT * every[0].level:.0f} % intervals over {over}"


def _alternative(what: str, marks: Mapping[str, Mapping[str, _Mark]], titles: Mapping[str, str]) -> str:
    rows = [
        f"{titles.get(task, task)}: {', '.join(mark.words for mark in found.values()) or 'not known'}"
        for task, found in marks.items()
    ]
    return f"{what} by task. {'; '.join(rows)}."


def _height(marks: Mapping[str, Mapping[str, _Mark]]) -> int:
    arms = len({arm for found in marks.values() for arm in found})
    return 230 + len(marks) * max(44, ROW * arms + 12)


def _cell_texts(figure: go.Figure, matrix: NDArray[np.float64], tasks: Sequence[str], panel: int) -> None:
    """The numbers in the cells, as labels so that they are printed as well."""
    axis = str(panel) if panel > 1 else ""
    for i in range(len(tasks)):
        for j in range(len(tasks)):
            value = float(matrix[i, j])
            figure.add_annotation(
                x=j,
                y=i,  # the serial number of a category
                xref=f"x{axis}",
                yref=f"y{axis}",
                text=_cell(value),
                ax=0,
                ay=0,
                arrowcolor="rgba(0, 0, 0, 0)",
                font={"size": 11, "color": LIGHT if abs(value) > STRONG else DARK},
            )


def _cell(value: float) -> str:
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "–"


def _matrix_words(matrix: NDArray[np.float64], tasks: Sequence[str]) -> str:
    pairs = [
        f"{a} with {b} {_cell(float(matrix[i, j]))}" for i, a in enumerate(tasks) for j, b in enumerate(tasks) if i < j
    ]
    return ", ".join(pairs) or "one task"


def _named_kind(kind: str) -> str:
    return {"cosine": "cosine similarity", "pearson": "Pearson correlation", "spearman": "Spearman correlation"}[kind]
