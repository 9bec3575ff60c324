"""Drawing our Plotly figures on a matplotlib canvas: the few kinds of traces that they use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from mpl_toolkits.mplot3d import Axes3D

from landscape.static_layout import (
    BASE,
    NARROW,
    Panels,
    axis_name,
    bottom_margin,
    draw_titles,
    gaps,
    legend_columns,
    margins,
    panel_of,
    panels_of,
    sample_length,
    wrapped,
    zoom,
)
from landscape.static_marks import DASH, error_bars, plain, point_labels, reference_shapes, ticks
from landscape.style import DIVERGING_SCALE, ink
from landscape.ticks import log_ticks

COLOURMAP = "cividis"
HATCH = 3  # strokes of a hatch in a cell of matplotlib's
PIXEL = 0.75  # points
SCENE_TALL = 0.84  # of the square that a scene is drawn in, what its box and words take of the height
SCENE_TICKS = 0.12  # inches beside the square for numbers that stand out of it
MARKER = {"circle": "o", "diamond": "D", "square": "s", "cross": "P", "star": "*", "x": "X"} | {
    "triangle-up": "^",
    "triangle-down": "v",
    "hexagon": "h",
}


def draw_panels(canvas: Canvas, figure: go.Figure, *, dark: bool, title: bool = True) -> None:
    """Draw every panel of a figure, its titles (unless ``title`` is off) and one legend."""
    top = draw_titles(canvas, figure, dark=dark, title=title)
    if not figure.data:
        room = 0.95 * canvas.get_figwidth() * 72 / (BASE * zoom())
        lines = [plain(line) for note in figure.layout.annotations for line in note.text.split("<br>")]
        words = "\n".join(part for line in lines for part in wrapped(line, room, " "))
        canvas.text(0.5, top / 2, words, ha="center", va="center", color=ink(dark=dark))
        return
    panels = panels_of(figure)
    handles: dict[str, Any] = {}
    left, right = margins(figure, canvas.get_figwidth())
    bottom = bottom_margin(canvas, figure)
    between = gaps(canvas, figure, panels, (left, right, bottom, top))
    grid = canvas.add_gridspec(panels.rows, panels.columns, left=left, right=right, bottom=bottom, top=top, **between)
    shared = _shared_title(figure, panels)
    drawn, barred = [], False
    for number, (key, (row, column)) in enumerate(zip(panels.keys, panels.cells, strict=True)):
        axes = canvas.add_subplot(grid[row, column], projection="3d" if panels.three else None)
        drawn.append(axes)
        _ground(axes, dark, panels.three)
        traces = [trace for trace in figure.data if panel_of(trace) == key]
        for trace in traces:
            handle = _draw(canvas, axes, trace, dark)
            if handle is not None and trace.showlegend is not False and trace.name:
                handles.setdefault(plain(trace.name), handle)
        if panels.three:
            barred |= any(trace.type == "surface" and trace.showscale is not False for trace in traces)
        else:
            _axes(axes, figure, traces[0], last_row=(row + 1, column) not in panels.cells, titled=not shared)
            reference_shapes(axes, figure, traces[0])
            point_labels(axes, figure, traces[0])
        if panels.titles:
            axes.set_title(plain(panels.titles[number]), fontsize=10 * zoom(), color=ink(dark=dark))
    beside = SCENE_TICKS * (3 if canvas.get_figwidth() < NARROW * zoom() else 1)
    for key, axes in zip(panels.keys if panels.three else (), drawn, strict=False):  # once a colour bar has its place
        _scene(axes, figure.layout[key], barred=barred, ticks=beside)
    if shared:
        _title_of_all(canvas, drawn, shared, dark)
    if handles:
        _legend(canvas, handles, dark, sample_length(figure))
    for note in figure.layout.annotations:
        if note.yref == "paper" and note.text and note.text.startswith("β"):
            place = drawn[0].get_xaxis_transform()
            at = 10.0 ** float(note.x)  # such axes are logarithmic
            drawn[0].text(at, 1.03, note.text, ha=note.xanchor, va="bottom", color=ink(dark=dark), transform=place)


def _legend(canvas: Canvas, handles: dict[str, Any], dark: bool, sample: float) -> None:
    canvas.legend(
        handles.values(),
        handles.keys(),
        loc="lower left",
        bbox_to_anchor=(0.02, 0.0),
        ncols=legend_columns(canvas.get_figwidth(), list(handles), sample),
        handlelength=sample,
        columnspacing=1.2,
        frameon=False,
        labelcolor=ink(dark=dark),
    )


def _shared_title(figure: go.Figure, panels: Panels) -> str:
    """The title of the vertical axes where panels stand in one stack and all have the same; else empty."""
    if panels.three or panels.rows < 2 or panels.columns > 1:
        return ""
    titles = {figure.layout[axis_name(key.split()[1], "y")].title.text for key in panels.keys}
    return plain(titles.pop() or "") if len(titles) == 1 else ""


def _title_of_all(canvas: Canvas, stack: list[Any], text: str, dark: bool) -> None:
    """Write one title beside a stack of panels, left of the widest of their numbers."""
    canvas.draw_without_rendering()
    boxes = [axes.get_tightbbox().transformed(canvas.transFigure.inverted()) for axes in stack]
    middle = (stack[0].get_position().y1 + stack[-1].get_position().y0) / 2
    left = min(box.x0 for box in boxes) - 0.04 * zoom() / canvas.get_figwidth()
    canvas.text(left, middle, text, rotation=90, ha="right", va="center", color=ink(dark=dark))


def _ground(axes: Any, dark: bool, three: bool) -> None:
    colour = ink(dark=dark)
    axes.set_facecolor("none")
    axes.tick_params(colors=colour, labelsize=8 * zoom())
    names = ("xaxis", "yaxis", "zaxis") if three else ("xaxis", "yaxis")
    for name in names:
        axis = getattr(axes, name)
        axis.label.set_color(colour)
        if three:
            axis.set_pane_color((0.5, 0.5, 0.5, 0.04))
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_alpha(0.4)
    if not three:
        axes.grid(True, alpha=0.18, linewidth=0.6)
        axes.set_axisbelow(True)


def _draw(canvas: Canvas, axes: Any, trace: Any, dark: bool) -> Any:
    return {
        "surface": _surface,
        "scatter3d": _scatter3d,
        "contour": _contour,
        "heatmap": _heatmap,
        "scatter": _scatter,
        "bar": _bar,
    }[trace.type](canvas, axes, trace, dark)


def _surface(canvas: Canvas, axes: Axes3D, trace: Any, dark: bool) -> None:
    x, y = np.meshgrid(np.asarray(trace.x, float), np.asarray(trace.y, float))
    z = np.asarray(trace.z, float)
    norm = Normalize(trace.cmin, trace.cmax)
    drawn = axes.plot_surface(
        x,
        y,
        z,
        cmap=COLOURMAP,
        norm=norm,
        rcount=80,
        ccount=80,
        linewidth=0.05,
        edgecolor="none",
        antialiased=False,
        alpha=0.93,
        zorder=1,
    )
    _colour_bar(canvas, drawn, trace, dark, shrink=0.6, pad=0.08)


def _scatter3d(canvas: Canvas, axes: Axes3D, trace: Any, dark: bool) -> Any:
    x, y, z = (np.asarray(v, float) for v in (trace.x, trace.y, trace.z))
    if trace.mode == "text":
        axes.plot(x, y, z, "*", color=trace.textfont.color, markersize=15, zorder=12, markeredgecolor=ink(dark=dark))
        return None
    axes.computed_zorder = False
    if trace.mode == "lines":  # the halo under a path
        axes.plot(x, y, z, color=trace.line.color, linewidth=4, alpha=trace.opacity, zorder=9)
        return None
    if "lines" in trace.mode:
        width, opacity = 0.37 * (trace.line.width or 6), trace.opacity or 1.0
        style = {"linestyle": DASH[trace.line.dash], "linewidth": width, "alpha": opacity}
        axes.plot(x, y, z, color=trace.line.color, zorder=10, **style)
        sizes = np.broadcast_to(np.asarray(trace.marker.size, float), x.shape)
        marker = MARKER[trace.marker.symbol]
        axes.scatter(
            x, y, z, c=trace.marker.color, s=(sizes * 1.2) ** 2 / 2, marker=marker, zorder=11, depthshade=False
        )
        return _line_handle(trace, width)
    open_ = str(trace.marker.symbol).endswith("-open")
    axes.plot(
        x,
        y,
        z,
        MARKER[str(trace.marker.symbol).removesuffix("-open")],
        markersize=trace.marker.size,
        markerfacecolor="none" if open_ else trace.marker.color,
        markeredgecolor=trace.marker.color if open_ else ink(dark=dark),
        markeredgewidth=1.6,
        zorder=12,
    )
    return None


def _contour(canvas: Canvas, axes: Any, trace: Any, dark: bool) -> None:
    x, y, z = (np.asarray(v, float) for v in (trace.x, trace.y, trace.z))
    levels = np.linspace(trace.zmin, trace.zmax, 22)
    masked = np.ma.masked_invalid(z)
    drawn = axes.contourf(x, y, masked, levels=levels, cmap=COLOURMAP, extend="both")
    axes.contour(x, y, masked, levels=levels[::2], colors="black", linewidths=0.35, alpha=0.5)
    _colour_bar(canvas, drawn, trace, dark, pad=0.03, fraction=0.06)


def _heatmap(canvas: Canvas, axes: Any, trace: Any, dark: bool) -> None:
    z = np.asarray(trace.z, float)
    x = np.asarray(trace.x, float)
    half = (x[1] - x[0]) / 2 if len(x) > 1 else 0.5
    extent = (x[0] - half, x[-1] + half, len(z) - 0.5, -0.5)
    drawn = axes.imshow(
        z,
        cmap=_colourmap(trace),
        norm=Normalize(trace.zmin, trace.zmax),
        aspect="auto",
        extent=extent,
        interpolation="nearest",
    )
    axes.grid(False)
    tall = axes.get_position().height * canvas.get_figheight() * 72  # points
    every = max(1, math.ceil(len(z) * 11 * zoom() / tall))  # names that would overlap are left out
    axes.set_yticks(range(0, len(z), every), [str(name) for name in list(trace.y)[::every]])
    _colour_bar(canvas, drawn, trace, dark, pad=0.03, fraction=0.06)


def _colourmap(trace: Any) -> str:
    """The matplotlib name of a heat map's colour scale."""
    diverging = trace.colorscale == go.Heatmap(colorscale=DIVERGING_SCALE).colorscale
    return DIVERGING_SCALE if diverging else COLOURMAP


def _colour_bar(canvas: Canvas, drawn: Any, trace: Any, dark: bool, **place: Any) -> None:
    if trace.showscale is False:
        return
    bar = canvas.colorbar(drawn, ax=list(canvas.axes), **place)  # beside all panels, so that they stay of one size
    bar.outline.set_visible(False)
    ticks = trace.colorbar.tickvals
    if ticks is not None:
        bar.ax.yaxis.set_major_locator(FixedLocator([float(t) for t in ticks]))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        labels = dict(zip([round(float(t), 9) for t in ticks], trace.colorbar.ticktext, strict=True))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: labels.get(round(v, 9), "")))
    bar.ax.tick_params(colors=ink(dark=dark), labelsize=8 * zoom())
    bar.set_label(plain(trace.colorbar.title.text or ""), color=ink(dark=dark))


def _scatter(canvas: Canvas, axes: Any, trace: Any, dark: bool) -> Any:
    x, y = np.asarray(trace.x, float), np.asarray(trace.y, float)
    handle = None
    if "lines" in trace.mode:
        axes.plot(
            x,
            y,
            color=trace.line.color,
            linestyle=DASH[trace.line.dash],
            linewidth=PIXEL * (trace.line.width or 2),
            alpha=trace.opacity or 1.0,
            zorder=3,
        )
        handle = _line_handle(trace, PIXEL * (trace.line.width or 2))
    if "markers" in trace.mode:
        symbol = str(trace.marker.symbol or "circle")
        open_ = symbol.endswith("-open")
        sizes = np.broadcast_to(np.asarray(6 if trace.marker.size is None else trace.marker.size, float), x.shape)
        colour = trace.marker.color or trace.line.color
        edge = trace.marker.line.color or colour
        axes.scatter(
            x,
            y,
            s=(PIXEL * sizes) ** 2,
            marker=MARKER[symbol.removesuffix("-open")],
            facecolors="none" if open_ else colour,
            edgecolors=colour if open_ else edge,
            linewidths=1.6 if open_ else 0.8,
            zorder=4,
        )
        if handle is None and trace.name:
            handle = _point_handle(trace)
    error_bars(axes, trace)
    return handle


def _bar(canvas: Canvas, axes: Any, trace: Any, dark: bool) -> Any:
    colour = trace.marker.color
    style = {"linewidth": 0, "color": colour} | _hatching(trace)
    if trace.orientation == "h":
        drawn = axes.barh([str(v) for v in trace.y], np.asarray(trace.x, float), **style)
        if trace.text is not None:
            axes.bar_label(drawn, labels=list(trace.text), padding=3, color=ink(dark=dark))
        axes.grid(False, axis="y")
        return None
    axes.bar(np.asarray(trace.x, float), np.asarray(trace.y, float), np.asarray(trace.width, float), **style)
    return Patch(**style)


def _hatching(trace: Any) -> dict[str, Any]:
    """matplotlib's words for the pattern of bars: their fill, and lighter strokes over it."""
    shapes = trace.marker.pattern.shape
    shapes = [shapes] if shapes is None or isinstance(shapes, str) else list(shapes)
    if not any(shapes):
        return {}
    single = isinstance(trace.marker.color, str)
    fills = [trace.marker.color] if single else list(trace.marker.color)
    share = trace.marker.pattern.fgopacity or 0.5
    strokes = [tuple((1 - share) * v + share for v in to_rgb(fill)) for fill in fills]
    hatches = [(shape or "") * HATCH for shape in shapes]
    one = single and len(hatches) == 1
    return {
        "color": None,
        "facecolor": fills[0] if one else fills,
        "edgecolor": strokes[0] if one else strokes,
        "hatch": hatches[0] if one else hatches,
    }


def _line_handle(trace: Any, width: float) -> Line2D:
    marker = None
    if "markers" in trace.mode:
        marker = MARKER[str(trace.marker.symbol or "circle").removesuffix("-open")]
    return Line2D(
        [], [], color=trace.line.color, linestyle=DASH[trace.line.dash], linewidth=width, marker=marker, markersize=5
    )


def _point_handle(trace: Any) -> Line2D:
    symbol = str(trace.marker.symbol or "circle")
    colour = trace.marker.color or trace.line.color
    face = "none" if symbol.endswith("-open") else colour
    marker = MARKER[symbol.removesuffix("-open")]
    return Line2D([], [], linestyle="", marker=marker, markersize=6, markerfacecolor=face, markeredgecolor=colour)


def _scene(axes: Axes3D, scene: Any, *, barred: bool, ticks: float) -> None:
    narrow = _spread(axes, ticks) < NARROW * zoom()
    for letter in "xyz":
        axis = scene[f"{letter}axis"]
        if not (narrow and barred and letter == "z"):  # beside a colour bar that has the same title
            getattr(axes, f"set_{letter}label")(plain(axis.title.text or ""), fontsize=8.5 * zoom())
        if narrow and letter != "z":
            getattr(axes, f"{letter}axis").set_major_locator(MaxNLocator(4))
        if axis.range is not None:
            getattr(axes, f"set_{letter}lim")(*axis.range)
    axes.set_zticks([float(t) for t in scene.zaxis.tickvals], list(scene.zaxis.ticktext))
    axes.view_init(elev=26, azim=-48)
    axes.set_box_aspect((1.15, 1.15, 0.72), zoom=1.05)


def _spread(axes: Axes3D, ticks: float) -> float:
    """Let a scene fill its cell, which it would leave empty above and below; returns its square's side in inches."""
    cell, canvas = axes.get_position(), axes.figure
    wide, tall = cell.width * canvas.get_figwidth(), cell.height * canvas.get_figheight()
    side = min(wide - 2 * ticks * zoom(), tall / SCENE_TALL)
    x, y = (cell.x0 + cell.x1) / 2, (cell.y0 + cell.y1) / 2
    across, along = side / canvas.get_figwidth(), side / canvas.get_figheight()
    axes.set_position((x - across / 2, y - along / 2, across, along))
    return float(side)


def _axes(axes: Any, figure: go.Figure, trace: Any, *, last_row: bool, titled: bool) -> None:
    for letter in "xy":
        axis = figure.layout[axis_name(getattr(trace, f"{letter}axis") or letter, letter)]
        if axis.type == "log":
            getattr(axes, f"set_{letter}scale")("log")
        if axis.range is not None:
            limits = [10.0**v for v in axis.range] if axis.type == "log" else list(axis.range)
            getattr(axes, f"set_{letter}lim")(*limits)
        if axis.title.text and (titled if letter == "y" else last_row):
            getattr(axes, f"set_{letter}label")(plain(axis.title.text))
        if axis.rangemode == "tozero":
            getattr(axes, f"set_{letter}lim")(**{"bottom" if letter == "y" else "left": 0})
        if letter == "y" and axis.scaleanchor:
            axes.set_aspect("equal", adjustable="box")
        ticks(axes, axis, letter)
        if axis.type == "log":
            _mark_decades(axes, letter)


def _mark_decades(axes: Any, letter: str) -> None:
    """Mark a logarithmic axis with as many plain numbers as it has room for."""
    place, canvas = axes.get_position(), axes.figure
    wide, tall = place.width * canvas.get_figwidth(), place.height * canvas.get_figheight()
    room = (wide / 0.45 if letter == "x" else tall / 0.18) / zoom()
    low, high = sorted(getattr(axes, f"get_{letter}lim")())
    values, labels = log_ticks(low, high, most=min(8, int(room)))
    getattr(axes, f"{letter}axis").set_minor_locator(NullLocator())
    getattr(axes, f"set_{letter}ticks")(values, labels)
