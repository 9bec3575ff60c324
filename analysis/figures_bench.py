"""Figures that compare many methods: arrays and summaries in, ``plotly.graph_objects.Figure`` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from analysis.resampling import Estimate, bootstrap_rank_correlation
from analysis.resolution import Floor
from analysis.seeds import SeedSummary, summarise_seeds
from landscape.labels import label_points
from landscape.style import CLEAN, CONTROL, LIGHTER, MARKERS, POISONED, arrange, faint, format_ud, ink

ROLES = {"clean": "clean", "poisoned": "poisoned", "control": "controls"}


@dataclass(frozen=True)
class BenchRow:
    """One method's results over its seeds.

    Attributes:
        name: Of the method; role: ``"poisoned"``, ``"control"`` or ``"clean"``.
        ud: UD of each seed; accuracy: accuracy on clean test data of the same seeds, fractions.
    """

    name: str
    role: str
    ud: tuple[float, ...]
    accuracy: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"The role of {self.name} must be 'poisoned', 'control' or 'clean', not {self.role!r}.")
        if not self.ud or len(self.ud) != len(self.accuracy):
            raise ValueError(f"{self.name} needs one UD and one accuracy per seed, and at least one seed.")
        if not np.isfinite([*self.ud, *self.accuracy]).all():
            raise ValueError(f"UD and accuracy of {self.name} must be finite; leave seeds without them out.")


def ud_against_accuracy(
    rows: Sequence[BenchRow], *, floor: Floor | None = None, subtitle: str = "", seed: int = 0, dark: bool = False
) -> go.Figure:
    """Every method's UD over its accuracy on clean test data; bars are one standard deviation over seeds.

    The subtitle gives Spearman's rank correlation with its bootstrap interval over methods and seeds (clean rows are
    left
    out: their UD is 1 by definition). The line marks UD = 1, the band the floor of clean against clean.

    Args:
        rows: At least one. floor: From :func:`analysis.floor`. subtitle: Data, samples, seeds. seed: Of the bootstrap.
    """
    _some(rows)
    figure = go.Figure()
    means = np.array([[100 * np.mean(row.accuracy), np.mean(row.ud)] for row in rows])
    stds = np.array([[100 * _std(row.accuracy), _std(row.ud)] for row in rows])
    x_range = _range(means[:, 0], stds[:, 0])
    held = [1.0] if floor is None else [1.0, *floor.span]
    y_range = _range(np.append(means[:, 1], held), np.append(stds[:, 1], np.zeros(len(held))), lowest=0.0)
    _reference(figure, floor, vertical=False, dark=dark)
    for role, word in ROLES.items():
        chosen = [k for k, row in enumerate(rows) if row.role == role]
        if not chosen:
            continue
        tint = _tint(role, dark=dark)
        figure.add_trace(
            go.Scatter(
                x=means[chosen, 0],
                y=means[chosen, 1],
                mode="markers",
                marker={"color": tint, "symbol": MARKERS[role], "size": 10},
                error_x={"array": stds[chosen, 0], "color": tint, "thickness": 1.4, "width": 4},
                error_y={"array": stds[chosen, 1], "color": tint, "thickness": 1.4, "width": 4},
                text=[_row_words(rows[k]) for k in chosen],
                hovertemplate="%{text}<extra></extra>",
                name=word,
            )
        )
    names = [row.name for row in rows]
    label_points(
        figure, means[:, 0], means[:, 1], names, x_range=x_range, y_range=y_range, bars=stds, level=1.0, dark=dark
    )
    figure.update_xaxes(title_text="accuracy on clean test data (%)", range=x_range)
    figure.update_yaxes(title_text="UD", range=y_range)
    judged = [row for row in rows if row.role != "clean"]
    correlation = _correlation(judged, seed)
    note = [subtitle, _seeds_words([len(row.ud) for row in rows]), correlation, _floor_words(floor)]
    return arrange(
        figure,
        title="UD against test accuracy",
        subtitle=" · ".join(part for part in note if part),
        alt=f"Scatter of {len(rows)} methods. {correlation}. " + "; ".join(_row_words(row) for row in rows) + ".",
        dark=dark,
        height=500,
    ).update_layout(margin={"b": 92})


def ud_intervals(
    summaries: Mapping[str, SeedSummary],
    roles: Mapping[str, str],
    *,
    floor: Floor | None = None,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """UD of every method, sorted, with its 95 % interval (Student's t); hollow where one seed gives none.

    Args:
        summaries: {method: UD over seeds}. roles: {method: ``"poisoned"``, ``"control"`` or ``"clean"``}.
        floor: Drawn as a band. subtitle: Data, samples, seeds.
    """
    _some(summaries)
    missing = [name for name in summaries if roles.get(name) not in ROLES]
    if missing:
        raise ValueError(f"{missing[0]} needs a role: 'poisoned', 'control' or 'clean'.")
    order = sorted(summaries, key=lambda name: (summaries[name].mean, name))
    figure = go.Figure()
    _reference(figure, floor, vertical=True, dark=dark)
    for role, word in ROLES.items():
        for hollow in (False, True):
            chosen = [k for k, n in enumerate(order) if roles[n] == role and (summaries[n].low is None) == hollow]
            if not chosen:
                continue
            ones = [summaries[order[k]] for k in chosen]
            tint = _tint(role, dark=dark)
            means = np.array([one.mean for one in ones])
            lows = np.array([one.mean if one.low is None else max(one.low, 0.0) for one in ones])
            highs = np.array([one.mean if one.high is None else one.high for one in ones])
            figure.add_trace(
                go.Scatter(
                    x=means,
                    y=np.array(chosen, dtype=float),
                    mode="markers",
                    marker={"color": tint, "symbol": MARKERS[role] + "-open" * hollow, "size": 10},
                    error_x={
                        "array": highs - means,
                        "arrayminus": means - lows,
                        "color": tint,
                        "thickness": 2,
                        "width": 0,
                    },
                    text=[f"{order[k]}: {_summary_words(one)}" for k, one in zip(chosen, ones, strict=True)],
                    hovertemplate="%{text}<extra></extra>",
                    name=word + ", one seed" * hollow,
                )
            )
    top = max([1.0, *(one.high or one.mean for one in summaries.values()), floor.span[1] if floor else 1.0])
    figure.update_xaxes(title_text="UD", range=[0, 1.06 * top])
    figure.update_yaxes(tickvals=list(range(len(order))), ticktext=order, range=[-0.6, len(order) - 0.4])
    note = [subtitle, _seeds_words([one.n for one in summaries.values()]), "95 % intervals", _floor_words(floor)]
    return arrange(
        figure,
        title="UD of every method",
        subtitle=" · ".join(part for part in note if part),
        alt="From the lowest UD: " + "; ".join(f"{name} {_summary_words(summaries[name])}" for name in order) + ".",
        dark=dark,
        height=190 + 30 * len(order),
    ).update_layout(margin={"b": 92})


def summaries_of(rows: Sequence[BenchRow]) -> dict[str, SeedSummary]:
    """UD over seeds of every row, by name, for :func:`ud_intervals`."""
    return {row.name: summarise_seeds(row.ud) for row in rows}


def _reference(figure: go.Figure, floor: Floor | None, *, vertical: bool, dark: bool) -> None:
    """The line of UD = 1 and the band that clean data with other seeds reach."""
    draw_band, draw_line = (figure.add_vrect, figure.add_vline) if vertical else (figure.add_hrect, figure.add_hline)
    letter = "x" if vertical else "y"
    if floor is not None:
        ends = {f"{letter}0": floor.span[0], f"{letter}1": floor.span[1]}
        draw_band(**ends, fillcolor=faint(dark=dark), line={"width": 0}, layer="below")
    draw_line(**{letter: 1.0}, line={"color": ink(dark=dark), "width": 1.2})


def _correlation(rows: Sequence[BenchRow], seed: int) -> str:
    """Spearman's correlation of accuracy and UD in words."""
    if len(rows) < 2:
        return "one method, no rank correlation"
    found: Estimate = bootstrap_rank_correlation([row.accuracy for row in rows], [row.ud for row in rows], seed=seed)
    if not np.isfinite(found.value):
        return "no rank correlation: one side is constant"
    if found.low is None or found.high is None:
        return f"Spearman {found.value:.2f}".replace("-", "−") + f" ({found.note})"
    words = f"Spearman {found.value:.2f} (95 % interval {found.low:.2f} to {found.high:.2f}, {len(rows)} methods)"
    return words.replace("-", "−")


def _floor_words(floor: Floor | None) -> str:
    if floor is None:
        return ""
    return f"band: clean against clean, {floor.span[0]:.2f} to {floor.span[1]:.2f} ({floor.n} seeds)"


def _seeds_words(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    if high == 1:
        return "one seed, no spread known"
    return f"{high} seeds" if low == high else f"{low} to {high} seeds"


def _row_words(row: BenchRow) -> str:
    spread, wide = (" ± {:.2f}", " ± {:.1f}") if len(row.ud) > 1 else ("", "")
    return (
        f"{row.name}: UD {format_ud(float(np.mean(row.ud)))}{spread.format(_std(row.ud))} at "
        f"{100 * np.mean(row.accuracy):.1f}{wide.format(100 * _std(row.accuracy))} %"
    )


def _summary_words(one: SeedSummary) -> str:
    if one.low is None or one.high is None:
        return f"{format_ud(one.mean)} (one seed)"
    return f"{format_ud(one.mean)} ({max(one.low, 0):.2f} to {one.high:.2f})"


def _std(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _tint(role: str, *, dark: bool) -> str:
    colour = {"clean": CLEAN, "poisoned": POISONED, "control": CONTROL}[role]
    return LIGHTER[colour] if dark else colour


def _range(values: np.ndarray, halves: np.ndarray, *, lowest: float | None = None) -> tuple[float, float]:
    """Axis limits that hold values with their bars, and some room for labels."""
    low, high = float((values - halves).min()), float((values + halves).max())
    room = 0.12 * (high - low) or 0.5
    return low - room if lowest is None else max(lowest, low - room) - 0.02 * (high - low), high + room


def _some(rows: Sequence[BenchRow] | Mapping[str, SeedSummary]) -> None:
    if not rows:
        raise ValueError("There is no method to draw; measure UD of at least one.")
