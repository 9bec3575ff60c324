"""Drawing our Plotly figures on a matplotlib canvas: the few kinds of traces that they use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib import rcParams
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from mpl_toolkits.mplot3d import Axes3D

from landscape.static_marks import DASH, error_bars, plain, point_labels, reference_shapes, ticks
from landscape.style import DIVERGING_SCALE, ink

COLOURMAP = "cividis"
BASE = 9.5  # points of the text that all sizes here are meant for; another font size scales them
LETTER = 0.56  # mean width of a letter, in font sizes
HANDLE = 3.6  # width of a legend's line and the gaps around it, in font sizes
MARKER = {"circle": "o", "diamond": "D", "square": "s", "cross": "P", "star": "*", "x": "X"} | {
    "triangle-up": "^",
    "triangle-down": "v",
    "hexagon": "h",
}


def zoom() -> float:
    """How much larger than usual text is drawn: sizes in points and inches here are multiplied by it."""
    return float(rcParams["font.size"]) / BASE


def draw_panels(canvas: Canvas, figure: go.Figure, *, dark: bool, title: bool = True) -> None:
    """Draw every panel of a figure, its titles (unless ``title`` is off) and one legend."""
    keys = list(dict.fromkeys(_panel(trace) for trace in figure.data))
    titles = [a.text for a in figure.layout.annotations if a.font is None or a.font.size in (None, 16)]
    rows, columns, cells = _grid(figure, keys)
    top = _titles(canvas, figure, dark) if title else 1 - _above(figure) * zoom() / canvas.get_figheight()
    handles: dict[str, Any] = {}
    left, bottom = _margins(canvas, figure)
    grid = canvas.add_gridspec(
        rows, columns, left=left, right=_right(canvas, figure), bottom=bottom, top=top, wspace=0.22, hspace=0.3
    )
    for number, key in enumerate(keys):
        three = key.startswith("scene")
        row, column = cells[number]
        axes = canvas.add_subplot(grid[row, column], projection="3d" if three else None)
        _ground(axes, dark, three)
        traces = [trace for trace in figure.data if _panel(trace) == key]
        for trace in traces:
            handle = _draw(canvas, axes, trace, dark)
            if handle is not None and trace.showlegend is not False and trace.name:
                handles.setdefault(plain(trace.name), handle)
        if three:
            _scene(axes, figure.layout[key], dark)
        else:
            _axes(axes, figure, traces[0], last_row=(row + 1, column) not in cells)
            reference_shapes(axes, figure, traces[0])
            point_labels(axes, figure, traces[0])
        if len(titles) == len(keys) > 1:
            axes.set_title(plain(titles[number]), fontsize=10 * zoom(), color=ink(dark=dark))
    if handles:
        canvas.legend(
            handles.values(),
            handles.keys(),
            loc="lower left",
            bbox_to_anchor=(0.02, 0.0),
            ncols=_columns(canvas, list(handles)),
            handlelength=2.2,
            columnspacing=1.2,
            frameon=False,
            labelcolor=ink(dark=dark),
        )
    for note in figure.layout.annotations:
        if note.yref == "paper" and note.text and note.text.startswith("β"):
            canvas.text(0.95, top + 0.005, note.text, ha="right", va="bottom", color=ink(dark=dark))


def _above(figure: go.Figure) -> float:
    """Inches above the panels where no title is drawn: room for panel titles and the name of a threshold."""
    named = any(note.text and note.showarrow is False for note in figure.layout.annotations)
    return 0.3 if named else 0.14


def _columns(canvas: Canvas, names: list[str]) -> int:
    """Columns of a legend that fit the canvas."""
    size = float(rcParams["legend.fontsize"] if isinstance(rcParams["legend.fontsize"], float) else BASE * zoom()) / 72
    widest = (max(map(len, names)) * LETTER + HANDLE) * size
    return max(1, min(len(names), int(0.96 * canvas.get_figwidth() / widest)))


def _margins(canvas: Canvas, figure: go.Figure) -> tuple[float, float]:
    """Room at the left for named ticks and at the bottom for the legend's lines, as shares of the canvas."""
    names = [plain(text) for axis in figure.select_yaxes() for text in axis.ticktext or ()]
    names += [str(name) for trace in figure.data if _named(trace) for name in trace.y]
    longest = max(map(len, names), default=0)
    entries = [plain(trace.name) for trace in figure.data if trace.name and trace.showlegend is not False]
    unique = list(dict.fromkeys(entries))
    lines = -(-len(unique) // _columns(canvas, unique)) if unique else 0
    left = (0.35 + 0.066 * longest) * zoom() / canvas.get_figwidth()
    least = 0.62 * zoom() / canvas.get_figwidth()  # numbers and the axis title
    bottom = (0.55 + 0.2 * lines) * zoom() / canvas.get_figheight()
    return max(0.09, least, min(left, 0.4)), max(0.1, min(bottom, 0.5))


def _right(canvas: Canvas, figure: go.Figure) -> float:
    """Where panels end: a colour bar's numbers and title stand right of it."""
    bar = any(trace.type in ("contour", "heatmap") and trace.showscale is not False for trace in figure.data)
    return min(0.95, 1 - 0.72 * zoom() / canvas.get_figwidth()) if bar else 0.95


def _named(trace: Any) -> bool:
    """Whether the vertical axis of a trace holds names."""
    return bool(trace.type == "heatmap" or (trace.type == "bar" and trace.orientation == "h"))


def _panel(trace: Any) -> str:
    if trace.type in ("surface", "scatter3d"):
        return str(trace.scene or "scene")
    return f"{trace.xaxis or 'x'} {trace.yaxis or 'y'}"


def _grid(figure: go.Figure, keys: list[str]) -> tuple[int, int, list[tuple[int, int]]]:
    """Rows, columns, and the cell of every panel, from where the panels lie in the figure."""
    if keys[0].startswith("scene"):
        return 1, len(keys), [(0, number) for number in range(len(keys))]
    corners = []
    for key in keys:
        x, y = key.split()
        left = (figure.layout[_axis_name(x, "x")].domain or (0, 1))[0]
        top = (figure.layout[_axis_name(y, "y")].domain or (0, 1))[1]
        corners.append((-round(top, 6), round(left, 6)))
    tops, lefts = sorted({top for top, _ in corners}), sorted({left for _, left in corners})
    return len(tops), len(lefts), [(tops.index(top), lefts.index(left)) for top, left in corners]


def _axis_name(reference: str, letter: str) -> str:
    return f"{letter}axis{reference[1:]}"


def _titles(canvas: Canvas, figure: go.Figure, dark: bool) -> float:
    """Title and subtitle at the top left, wrapped to the canvas; returns the height left for the panels."""
    title, colour, scale = figure.layout.title, ink(dark=dark), zoom()
    room = 0.95 * canvas.get_figwidth() * 72  # points
    subtitle = plain((title.subtitle.text or "").replace("<br>", " · "))
    heads = wrapped(plain(title.text or ""), room / (12 * scale), " ")
    lines = wrapped(subtitle, room / (8.5 * scale), " · ")
    inch = canvas.get_figheight() / scale
    style: Any = {"va": "top", "color": colour}
    for i, line in enumerate(heads):
        canvas.text(0.02, 1 - (0.1 + 0.21 * i) / inch, line, weight="bold", size=12 * scale, **style)
    under = 0.13 + 0.21 * len(heads)
    for i, line in enumerate(lines):
        canvas.text(0.02, 1 - (under + 0.16 * i) / inch, line, size=8.5 * scale, **style)
    return 1 - (under + 0.16 * len(lines) + _above(figure)) / inch


def wrapped(text: str, width: float, separator: str) -> list[str]:
    """Break text at separators into lines of at most ``width`` font sizes, as far as its parts allow."""
    lines: list[str] = []
    for part in text.split(separator) if text else []:
        joined = f"{lines[-1]}{separator}{part}" if lines else part
        if lines and len(joined) * LETTER <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


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
    _colour_bar(canvas, axes, drawn, trace, dark, shrink=0.6, pad=0.08)


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
        return _line_handle(trace)
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
    _colour_bar(canvas, axes, drawn, trace, dark, pad=0.03, fraction=0.06)


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
    _colour_bar(canvas, axes, drawn, trace, dark, pad=0.03, fraction=0.06)


def _colourmap(trace: Any) -> str:
    """The matplotlib name of a heat map's colour scale."""
    diverging = trace.colorscale == go.Heatmap(colorscale=DIVERGING_SCALE).colorscale
    return DIVERGING_SCALE if diverging else COLOURMAP


def _colour_bar(canvas: Canvas, axes: Any, drawn: Any, trace: Any, dark: bool, **place: Any) -> None:
    if trace.showscale is False:
        return
    flat = not isinstance(axes, Axes3D)  # one bar beside all flat panels, so that they stay of one size
    bar = canvas.colorbar(drawn, ax=list(canvas.axes) if flat else axes, **place)
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
            linewidth=0.75 * (trace.line.width or 2),
            alpha=trace.opacity or 1.0,
            zorder=3,
        )
        handle = _line_handle(trace)
    if "markers" in trace.mode:
        symbol = str(trace.marker.symbol or "circle")
        open_ = symbol.endswith("-open")
        sizes = np.broadcast_to(np.asarray(6 if trace.marker.size is None else trace.marker.size, float), x.shape)
        colour = trace.marker.color or trace.line.color
        edge = trace.marker.line.color or colour
        axes.scatter(
            x,
            y,
            s=(0.75 * sizes) ** 2,
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
    if trace.orientation == "h":
        drawn = axes.barh([str(v) for v in trace.y], np.asarray(trace.x, float), color=colour)
        if trace.text is not None:
            axes.bar_label(drawn, labels=list(trace.text), padding=3, color=ink(dark=dark))
        axes.grid(False, axis="y")
        return None
    axes.bar(np.asarray(trace.x, float), np.asarray(trace.y, float), np.asarray(trace.width, float), color=colour)
    return Patch(color=colour)


def _line_handle(trace: Any) -> Line2D:
    marker = None
    if "markers" in trace.mode:
        marker = MARKER[str(trace.marker.symbol or "circle").removesuffix("-open")]
    return Line2D(
        [], [], color=trace.line.color, linestyle=DASH[trace.line.dash], linewidth=2, marker=marker, markersize=5
    )


def _point_handle(trace: Any) -> Line2D:
    symbol = str(trace.marker.symbol or "circle")
    colour = trace.marker.color or trace.line.color
    face = "none" if symbol.endswith("-open") else colour
    marker = MARKER[symbol.removesuffix("-open")]
    return Line2D([], [], linestyle="", marker=marker, markersize=6, markerfacecolor=face, markeredgecolor=colour)


def _scene(axes: Axes3D, scene: Any, dark: bool) -> None:
    for letter in "xyz":
        axis = scene[f"{letter}axis"]
        getattr(axes, f"set_{letter}label")(plain(axis.title.text or ""), fontsize=8.5 * zoom())
        if axis.range is not None:
            getattr(axes, f"set_{letter}lim")(*axis.range)
    axes.set_zticks([float(t) for t in scene.zaxis.tickvals], list(scene.zaxis.ticktext))
    axes.view_init(elev=26, azim=-48)
    axes.set_box_aspect((1.15, 1.15, 0.72), zoom=1.05)


def _axes(axes: Any, figure: go.Figure, trace: Any, *, last_row: bool) -> None:
    for letter in "xy":
        axis = figure.layout[_axis_name(getattr(trace, f"{letter}axis") or letter, letter)]
        if axis.type == "log":
            getattr(axes, f"set_{letter}scale")("log")
        if axis.range is not None:
            limits = [10.0**v for v in axis.range] if axis.type == "log" else list(axis.range)
            getattr(axes, f"set_{letter}lim")(*limits)
        if axis.title.text and (letter == "y" or last_row):
            getattr(axes, f"set_{letter}label")(plain(axis.title.text))
        if axis.rangemode == "tozero":
            getattr(axes, f"set_{letter}lim")(**{"bottom" if letter == "y" else "left": 0})
        ticks(axes, axis, letter)
