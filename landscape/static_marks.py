"""What lies over and under the traces on a matplotlib canvas: error bars, reference lines, bands, ticks, labels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib import rcParams

DASH: dict[str | None, Any] = {"solid": "-", "dash": (0, (5, 2)), "dot": (0, (1, 1.5)), "dashdot": "-.", None: "-"}
DASH |= {"longdash": (0, (9, 2)), "longdashdot": (0, (9, 2, 1, 2))}
POINTS = 0.75  # per pixel
SHAPE_Z, BAND_Z = 2.0, 0.5  # lines under traces, bands under lines


def plain(text: str) -> str:
    """Text without markup."""
    return re.sub(r"<[^>]+>", "", str(text))


def error_bars(axes: Any, trace: Any) -> None:
    """Draw the horizontal and vertical error bars of a scatter trace, if it has any."""
    for letter in "xy":
        bars = trace[f"error_{letter}"]
        if bars.array is None:
            continue
        up = np.asarray(bars.array, float)
        down = up if bars.arrayminus is None else np.asarray(bars.arrayminus, float)
        axes.errorbar(
            np.asarray(trace.x, float),
            np.asarray(trace.y, float),
            **{f"{letter}err": np.stack([down, up])},
            fmt="none",
            ecolor=bars.color or trace.marker.color or trace.line.color,
            elinewidth=POINTS * (bars.thickness if bars.thickness is not None else 2),
            capsize=POINTS * (bars.width if bars.width is not None else 4),
            zorder=3.5,
        )


def reference_shapes(axes: Any, figure: go.Figure, trace: Any) -> None:
    """Draw the lines and bands that belong to the panel of a trace and run across all of it."""
    x, y = trace.xaxis or "x", trace.yaxis or "y"
    for shape in figure.layout.shapes:
        upright = shape.xref == x and str(shape.yref).startswith(f"{y} domain")
        level = shape.yref == y and str(shape.xref).startswith(f"{x} domain")
        if not (upright or level):
            continue
        if shape.type == "rect":
            colour, opacity = _colour(shape.fillcolor)
            span = axes.axvspan if upright else axes.axhspan
            ends = (shape.x0, shape.x1) if upright else (shape.y0, shape.y1)
            span(float(ends[0]), float(ends[1]), color=colour, alpha=opacity, linewidth=0, zorder=BAND_Z)
            continue
        style = {"color": shape.line.color, "linewidth": 0.8 * shape.line.width, "linestyle": DASH[shape.line.dash]}
        if upright:
            axes.axvline(float(shape.x0), zorder=SHAPE_Z, **style)
        else:
            axes.axhline(float(shape.y0), zorder=SHAPE_Z, **style)


def ticks(axes: Any, axis: Any, letter: str) -> None:
    """Set named ticks where an axis has them, and hide those of a shared one."""
    if axis.tickvals is not None and axis.ticktext is not None:
        names = [plain(str(text).replace("<br>", "\n")) for text in axis.ticktext]
        getattr(axes, f"set_{letter}ticks")([float(v) for v in axis.tickvals], names)
        labels = getattr(axes, f"get_{letter}ticklabels")()
        for label, text in zip(labels, axis.ticktext, strict=True):
            if str(text).startswith("<b>"):
                label.set_fontweight("bold")
    if axis.showticklabels is False:
        axes.tick_params(axis=letter, **{"labelleft" if letter == "y" else "labelbottom": False})


def point_labels(axes: Any, figure: go.Figure, trace: Any) -> None:
    """Write the labels that stand beside points of the panel of a trace, with a line to those further away."""
    x, y = trace.xaxis or "x", trace.yaxis or "y"
    for note in figure.layout.annotations:
        if note.xref not in (None, x) or note.yref not in (None, y) or note.ax is None or note.ay is None:
            continue
        colour, opacity = _colour(note.arrowcolor)
        axes.annotate(
            plain(note.text),
            (float(note.x), float(note.y)),
            xytext=(POINTS * float(note.ax), -POINTS * float(note.ay)),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=POINTS * (note.font.size or 12) * rcParams["font.size"] / 9.5,
            color=note.font.color,
            zorder=6,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": opacity, "linewidth": 0.7} if opacity else None,
        )


def _colour(text: str | None) -> tuple[Any, float]:
    """A CSS colour as matplotlib's colour and opacity."""
    found = re.fullmatch(r"rgba?\(([^)]*)\)", text or "")
    if not found:
        return text or "none", 1.0
    numbers = [float(part) for part in found[1].split(",")]
    return tuple(v / 255 for v in numbers[:3]), numbers[3] if len(numbers) > 3 else 1.0
