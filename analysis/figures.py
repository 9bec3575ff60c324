"""Figures of SAL, learnable blocks and UD: arrays in, ``plotly.graph_objects.Figure`` out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from landscape.figures_standing import Numbers, numbered, upright
from landscape.heights import nice_ticks
from landscape.loss_words import in_unit, sal_label
from landscape.style import DASHES, MARKERS, REFERENCES, SURFACE_SCALE, arrange, colours, format_ud, ink, top_of, wrap
from landscape.ticks import log_ticks

CLEAN_NAME = "clean"
BINS = 30
HATCHES = ("/", "\\", "x", "-", "+", "|", ".")
STACK = 24  # blocks
FEW = 40  # blocks that are also drawn one by one
BETA_ROOM = 26  # pixels for β between the subtitle's last line and the first panel
DECADES = 6.0  # below the largest value; what is smaller falls into the first bin


def sal_histogram(
    clean: NDArray[np.float64],
    poisoned: Mapping[str, NDArray[np.float64]],
    threshold: float,
    *,
    roles: Mapping[str, str],
    reference: str = CLEAN_NAME,
    subtitle: str = "",
    dark: bool = False,
    loss_name: str = "",
) -> go.Figure:
    """Histograms of SAL over blocks, clean (or another reference) against poisoned, with the learnable threshold β.

    The axis is logarithmic, because SAL spans decades; blocks are counted on one scale in all panels. Few blocks (up to
    40) are also drawn one by one.

    Args:
        clean: [L] SAL of the clean run at one checkpoint; poisoned: {run: [L]}.
        threshold: β, in the unit of the loss.
        roles: {run: role}, of the reference's name too where it is not clean.
        reference: What the clean run is called.
        loss_name: Empty for cross-entropy, in nats.
    """
    series = {reference: clean, **poisoned}
    blank = blank_histogram(
        {name: len(values) for name, values in series.items()}, roles=roles, dark=dark, loss_name=loss_name
    )
    return numbered(blank, histogram_numbers(series, threshold, subtitle=subtitle, dark=dark, loss_name=loss_name))


def blank_histogram(
    blocks: Mapping[str, int], *, roles: Mapping[str, str], dark: bool = False, loss_name: str = ""
) -> go.Figure:
    """The figure of :func:`sal_histogram` without its numbers, for {run: blocks}, the reference first."""
    kinds = [roles.get(name, "poisoned" if k else "clean") for k, name in enumerate(blocks)]
    figure = make_subplots(rows=len(blocks), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    rows = zip(blocks.items(), kinds, colours(kinds, dark=dark), _hatches(kinds), strict=True)
    for row, ((name, count), kind, tint, hatch) in enumerate(rows, start=1):
        figure.add_trace(
            go.Bar(
                marker={
                    "color": tint,
                    "line": {"width": 0},
                    "pattern": hatch,
                },
                hovertemplate=f"{name}: %{{y}} blocks near {in_unit('%{x:.2g}', loss_name)}<extra></extra>",
            ),
            row=row,
            col=1,
        )
        if count <= FEW:
            figure.add_trace(
                go.Scatter(
                    mode="markers",
                    marker={"color": tint, "symbol": MARKERS.get(kind, "cross"), "size": 7},
                    showlegend=False,
                    hovertemplate=f"{name}: {in_unit('%{x:.3g}', loss_name)}<extra></extra>",
                    name=f"{name}, each block",
                ),
                row=row,
                col=1,
            )
        figure.update_yaxes(title_text="blocks", row=row, col=1)
    figure.update_xaxes(type="log")
    figure.update_xaxes(title_text=sal_label(loss_name, "logarithmic"), row=len(blocks), col=1)
    arrange(figure, title="SAL of every block", alt="", dark=dark, height=190 + 130 * len(blocks))
    return figure.update_layout(barmode="overlay", bargap=0, margin={"b": 92})


def histogram_numbers(
    series: Mapping[str, NDArray[np.float64]],
    threshold: float,
    *,
    subtitle: str = "",
    dark: bool = False,
    loss_name: str = "",
) -> Numbers:
    """The numbers of :func:`sal_histogram`: {run: SAL [L]}, the reference first."""
    everything = np.concatenate([*series.values(), [threshold]])
    edges = _edges(everything)
    centres = (edges[:-1] + edges[1:]) / 2
    line = {"color": ink(dark=dark), "width": 1.2}
    marks, labels = log_ticks(10.0 ** edges[0], 10.0 ** edges[-1], most=6)
    axis = {"tickvals": marks, "ticktext": labels, "range": [float(edges[0]), float(edges[-1])]}
    traces: list[dict[str, object]] = []
    layout: dict[str, object] = {}
    words, lines = [], []
    heights = [np.histogram(np.log10(np.maximum(values, 10 ** edges[0])), edges)[0] for values in series.values()]
    highest = max(1, *(int(counts.max()) for counts in heights))  # one scale in all panels, so that bars compare
    few = any(len(values) <= FEW for values in series.values())
    scale = {"range": [-0.16 * highest if few else 0.0, 1.06 * highest]}
    panels = zip(("", *range(2, len(series) + 1)), series.items(), heights, strict=True)
    for number, (name, values), counts in panels:
        above = int((values > threshold).sum())
        traces.append(
            {
                "x": 10.0**centres,
                "y": counts,
                "width": (10.0 ** edges[1:] - 10.0 ** edges[:-1]) * 0.96,
                "name": f"{name}: {above} of {len(values)} above β",
            }
        )
        if len(values) <= FEW:
            below = np.full(len(values), -0.08 * highest)
            traces.append({"x": np.maximum(values, 10 ** edges[0]), "y": below})
        if threshold > 0:
            lines.append(upright(threshold, f"x{number}", f"y{number}", line=line))
        layout |= {f"xaxis{number}": axis, f"yaxis{number}": scale}
        words.append(f"{name} has {above} of {len(values)} blocks above β")
    at = float(np.log10(threshold)) if threshold > 0 else 0.0
    label = {
        "x": at,
        "y": 1.0,
        "yref": "paper",
        "yanchor": "bottom",
        "xanchor": "right" if at > (edges[0] + edges[-1]) / 2 else "left",  # towards the middle, where there is room
        "text": f"β = {threshold:.2g}",
        "showarrow": False,
        "font": {"size": 13, "color": ink(dark=dark)},
    }
    smallest = int((everything < 10 ** edges[0]).sum())
    note = f" · {_many(smallest)} below {10 ** edges[0]:.0e} counted in the first bin" if smallest else ""
    text = wrap(subtitle + note)
    layout |= {"title": {"subtitle": {"text": text}}, "margin": {"t": top_of(text) + BETA_ROOM}}
    alt = (
        f"Histogram of SAL with the learnable threshold β at {in_unit(f'{threshold:.3g}', loss_name)}: "
        f"{'; '.join(words)}."
    )
    return Numbers(traces, alt, layout, lines, [label])


def sal_heatmap(
    panels: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    blocks: Sequence[str],
    *,
    time: str = "epoch",
    dark: bool = False,
    loss_name: str = "",
) -> go.Figure:
    """SAL of blocks (rows) over checkpoints (columns), one panel per run, one logarithmic colour scale.

    Args:
        panels: {run: (SAL [T, L], epochs [T])}. time: ``epoch``, or ``step`` where steps stand for epochs.
        blocks: [L] names. loss_name: Empty for cross-entropy, in nats.
    """
    everything = np.concatenate([np.ravel(sal) for sal, _ in panels.values()])
    positive = everything[np.isfinite(everything) & (everything > 0)]
    high = float(np.log10(positive.max())) if positive.size else 0.0
    low = max(float(np.log10(positive.min())), high - DECADES) if positive.size else -1.0
    stacked = len(blocks) <= STACK  # few rows: panels above each other leave room for names on a phone
    n, shown = len(panels), "%{customdata:.3g}"
    figure = make_subplots(
        rows=n if stacked else 1,
        cols=1 if stacked else n,
        subplot_titles=list(panels),
        shared_yaxes=True,
        shared_xaxes=stacked,
        horizontal_spacing=0.06,
        vertical_spacing=0.3 / (n + 1),
    )
    marks, labels = log_ticks(10.0**low, 10.0 ** max(low, high))
    for number, (name, (sal, epochs)) in enumerate(panels.items(), start=1):
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.log10(np.maximum(sal, 10.0**low))
        figure.add_trace(
            go.Heatmap(
                x=np.asarray(epochs, dtype=np.float32),
                y=list(blocks),
                z=np.asarray(z.T, dtype=np.float32),
                customdata=np.asarray(sal.T, dtype=np.float32),
                colorscale=SURFACE_SCALE,
                zmin=low,
                zmax=max(high, low + 1e-9),
                showscale=number == n,
                colorbar={
                    "title": {"text": sal_label(loss_name), "side": "top"},
                    "tickvals": [float(t) for t in np.log10(marks)],
                    "ticktext": labels,
                    "thickness": 12,
                    "outlinewidth": 0,
                },
                hovertemplate=f"{name}, %{{y}}<br>{time} %{{x:.3g}}: {in_unit(shown, loss_name)}<extra></extra>",
                name=name,
            ),
            row=number if stacked else 1,
            col=1 if stacked else number,
        )
    figure.update_xaxes(showgrid=False)
    figure.update_xaxes(title_text=time, row=n if stacked else 1)
    for column, (_, epochs) in enumerate([] if stacked else panels.values(), start=1):
        figure.update_xaxes(tickvals=_apart(epochs, last=column == n), col=column)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickfont={"size": 12}, nticks=24)
    first = {name: float(np.nanmean(sal[-1])) for name, (sal, _) in panels.items()}
    words = "; ".join(
        f"{name} ends with a mean SAL of {in_unit(f'{value:.2g}', loss_name)}" for name, value in first.items()
    )
    below = int((everything < 10.0**low).sum())
    return arrange(
        figure,
        title="SAL of every block over time",
        subtitle="logarithmic colours" + (f" · {_many(below)} below 1e{low:.0f} drawn as that" if below else ""),
        alt=f"Heat map of {len(blocks)} blocks: {words}.",
        dark=dark,
        height=150 + n * (60 + 20 * len(blocks)) if stacked else 620,
    ).update_layout(margin={"t": 92})


def learnable_blocks_over_time(
    counts: Mapping[str, tuple[NDArray[np.float64], NDArray[np.int64]]],
    roles: Mapping[str, str],
    *,
    time: str = "epoch",
    dark: bool = False,
) -> go.Figure:
    """Number of learnable blocks (#LP) over epochs; thin lines are the means that UD compares.

    Args:
        counts: {run: (epochs [T], counts [T])}; roles: {run: role}. time: ``epoch``, or ``step`` where steps stand
            for epochs.
    """
    figure = go.Figure()
    words = []
    tints = colours([roles[name] for name in counts], dark=dark)
    for (name, (epochs, values)), tint in zip(counts.items(), tints, strict=True):
        role, mean = roles[name], float(np.mean(values))
        figure.add_trace(
            go.Scatter(
                x=np.asarray(epochs, dtype=np.float32),
                y=np.asarray(values, dtype=np.float32),
                mode="lines+markers",
                line={"color": tint, "width": 2.5, "dash": DASHES[role]},
                marker={"symbol": MARKERS[role], "size": 5},
                name=f"{name} (mean {mean:.1f})",
                hovertemplate=f"{name}: %{{y:.0f}} learnable at {time} %{{x:.3g}}<extra></extra>",
            )
        )
        figure.add_hline(y=mean, line={"color": tint, "width": 1, "dash": "dot"})
        words.append(f"{name} has {mean:.1f} learnable blocks on average")
    figure.update_xaxes(title_text=time)
    figure.update_yaxes(title_text="learnable blocks", rangemode="tozero")
    return arrange(
        figure,
        title="Learnable blocks",
        subtitle="blocks with SAL above β",
        alt="; ".join(words) + ".",
        dark=dark,
        height=360,
    ).update_layout(margin={"b": 84})


def ud_steps(
    learnable_clean: float,
    learnable_poisoned: float,
    value: float,
    *,
    name: str,
    roles: Mapping[str, str] | None = None,
    reference: str = CLEAN_NAME,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """How UD comes about: mean learnable blocks of both runs, and their ratio.

    Args:
        name, reference: What the two are called. roles: {name: role}; poisoned and clean when not given.
    """
    role, base = (roles or {}).get(name, "poisoned"), (roles or {}).get(reference, "clean")
    tints = colours([base, role], dark=dark)
    (hatch,) = _hatches([role])
    figure = go.Figure(
        go.Bar(
            y=[name, reference],
            x=[learnable_poisoned, learnable_clean],
            orientation="h",
            marker={"color": [tints[1], tints[0]], "pattern": hatch | {"shape": [hatch["shape"], ""]}},
            text=[f"{learnable_poisoned:.2f}", f"{learnable_clean:.2f}"],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": 14, "color": ink(dark=dark)},
            hovertemplate="%{y}: %{x:.3f} learnable blocks<extra></extra>",
            name="mean learnable blocks",
        )
    )
    figure.update_yaxes(type="category", showgrid=False)  # a line would strike through the numbers
    widest = max(learnable_clean, learnable_poisoned, 1e-9)
    figure.update_xaxes(title_text="mean learnable blocks", range=[0, 1.12 * widest])
    return arrange(
        figure,
        title=f"UD = {learnable_poisoned:.2f} / {learnable_clean:.2f} = {format_ud(value)}",
        subtitle=subtitle,
        alt=f"{name} keeps {learnable_poisoned:.2f} learnable blocks on average, {reference} {learnable_clean:.2f}: UD "
        f"is {format_ud(value)}.",
        dark=dark,
        height=260,
    )


def _apart(times: NDArray[np.float64], *, last: bool) -> list[float]:
    """A few ticks below a panel; none at its right end, where those of a neighbour begin."""
    low, high = float(np.min(times)), float(np.max(times))
    if high <= low:
        return [low]
    return [tick for tick in nice_ticks(low, high, 3) if last or tick < high - 0.1 * (high - low)]


def _hatches(roles: Sequence[str]) -> list[dict[str, object]]:
    """Bars of other runs than the reference are hatched, each its own way: colour is not all that tells them apart."""
    free = itertools.cycle(HATCHES)
    shapes = ["" if role in REFERENCES else next(free) for role in roles]
    return [{"shape": shape, "fillmode": "overlay", "fgcolor": "white", "fgopacity": 0.45} for shape in shapes]


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bin edges in powers of ten that hold all values, at most six decades below the largest."""
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == 0:
        return np.linspace(-3, 0, BINS + 1)
    high = float(np.log10(positive.max()))
    low = max(float(np.log10(positive.min())), high - DECADES)
    room = 0.03 * max(high - low, 1.0)
    return np.linspace(low - room, high + room, BINS + 1)


def _many(count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'}"
