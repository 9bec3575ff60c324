"""Paths on surfaces as traces: the ghost of the whole path, the part walked so far, its start, head and end.

Every trace says in its ``meta`` which part of which path it is, and the ghost holds all checkpoints: whoever shows the
figure can move the head and let the path grow without drawing anything anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from landscape.figure_data import PathData, SurfaceData, f32, interpolate, marker_sizes, nearest, on_surface
from landscape.heights import Heights
from landscape.loss_words import in_unit
from landscape.style import DASHES, GHOST, HALO, MARKERS, ink

LIFT = 0.02  # of the height range: paths lie just above the surface
PICKED = "picked"
Values = NDArray[np.float64] | None


def path_traces_3d(
    surface: SurfaceData,
    path: PathData,
    heights: Heights,
    quantity: str,
    tint: str,
    *,
    step: int | None,
    legend: bool,
    dark: bool,
) -> list[go.Scatter3d]:
    """One path lying on a surface in 3-D, walked up to the checkpoint nearest to ``step`` (None: to its end)."""
    z = heights.place(on_surface(surface, path, quantity)) + LIFT * (heights.high - heights.low)
    table = np.column_stack([path.coordinates, z])
    now = _index(path, step) + 1
    size = np.asarray(marker_sizes(path, 4.5, 1.5))
    symbol, edge = MARKERS[path.role], ink(dark=dark)

    def trace(rows: slice | list[int], part: str, **options: Any) -> go.Scatter3d:
        x, y, height = (f32(column) for column in table[rows].T)
        return go.Scatter3d(x=x, y=y, z=height, **_common(surface, path, part, rows), **options)

    def mark(index: int, part: str, shape: str, colour: str) -> go.Scatter3d:
        look = {"symbol": shape, "size": 9, "color": colour, "line": {"color": edge, "width": 2}}
        return trace([index], part, mode="markers", marker=look, showlegend=False)

    everything, walked = slice(None), slice(0, now)
    halo = {"color": HALO[dark], "width": 11}
    traces = [
        # A pale halo keeps a path visible over any colour of the surface.
        trace(walked, "halo", mode="lines", line=halo, opacity=0.8, showlegend=False),
        trace(
            walked,
            "walked",
            mode="lines+markers",
            line={"color": tint, "width": 6, "dash": DASHES[path.role]},
            marker={"color": tint, "size": f32(size[walked]), "symbol": symbol, "opacity": 0.9, "line": {"width": 0}},
            name=path.name,
            showlegend=legend,
        ),
        mark(0, "start", "circle-open", edge),
    ]
    if step is not None:
        ghost = {"color": GHOST[dark], "width": 3}
        look = {"color": GHOST[dark], "size": f32(size * 0.6), "symbol": symbol, "line": {"width": 0}}
        mode = "lines+markers"
        traces.insert(0, trace(everything, "ghost", mode=mode, line=ghost, marker=look, opacity=0.75, showlegend=False))
        head = mark(now - 1, "head", symbol, tint)
        rise = float(LIFT * (heights.high - heights.low))  # its ball would sink into the surface
        head.update(z=f32(np.asarray(head.z) + rise), meta={**head.meta, "rise": rise})
        if now == len(table):  # the star stands there
            none = f32(np.empty(0))
            head.update(x=none, y=none, z=none, customdata=None)
        traces.append(head)
    star = {"size": 24, "color": tint}
    end = [len(table) - 1]  # there is no star among the 3-D symbols
    middle = "middle center"
    traces.append(trace(end, "end", mode="text", text=["★"], textposition=middle, textfont=star, showlegend=False))
    return traces


def path_traces_2d(
    surface: SurfaceData, path: PathData, tint: str, *, step: int | None, legend: bool
) -> list[go.Scatter]:
    """The same over filled contours."""
    now = _index(path, step) + 1
    size = np.asarray(marker_sizes(path, 7.0, 3.0))
    symbol = MARKERS[path.role]

    def trace(rows: slice | list[int], part: str, **options: Any) -> go.Scatter:
        x, y = (f32(column) for column in path.coordinates[rows].T)
        return go.Scatter(x=x, y=y, **_common(surface, path, part, rows), **options)

    def mark(index: int, part: str, shape: str, colour: str, pixels: int) -> go.Scatter:
        look = {"symbol": shape, "size": pixels, "color": colour, "line": {"color": "white", "width": 2}}
        return trace([index], part, mode="markers", marker=look, showlegend=False)

    everything, walked = slice(None), slice(0, now)
    edge = {"color": "white", "width": 1}
    traces = [
        trace(walked, "halo", mode="lines", line={"color": "white", "width": 5}, showlegend=False),
        trace(
            walked,
            "walked",
            mode="lines+markers",
            line={"color": tint, "width": 3, "dash": DASHES[path.role]},
            marker={"color": tint, "size": f32(size[walked]), "symbol": symbol, "line": edge},
            name=path.name,
            showlegend=legend,
        ),
        mark(0, "start", "circle-open", "white", 15),
        mark(len(size) - 1, "end", "star", tint, 15),
    ]
    if step is not None:
        # Over filled contours, whose colours do not follow the theme, the ghost is pale in both.
        ghost = {"color": GHOST[True], "width": 2}
        look = {"color": GHOST[True], "size": f32(size * 0.6), "symbol": symbol, "line": {"width": 0}}
        mode = "lines+markers"
        traces.insert(0, trace(everything, "ghost", mode=mode, line=ghost, marker=look, opacity=0.7, showlegend=False))
        traces.append(mark(now - 1, "head", symbol, tint, 14))
        if now == len(size):  # the star stands there
            traces[-1].update(x=f32(np.empty(0)), y=f32(np.empty(0)), customdata=None)
    return traces


def picked_trace_3d(
    surface: SurfaceData, values: NDArray[np.float64], at: tuple[float, float], heights: Heights, *, dark: bool
) -> go.Scatter3d:
    """The chosen point, on the surface [A, B] of ``values``.

    Plotly draws symbols of scenes as letters; that of ``x`` is missing from many systems' fonts, a plus from none.
    """
    height = heights.place(interpolate(surface.alphas, surface.betas, values, np.array([at])))
    height = height + 2 * LIFT * (heights.high - heights.low)
    look = {"symbol": "cross", "size": 8, "color": ink(dark=dark), "line": {"color": HALO[dark], "width": 2}}
    return go.Scatter3d(
        x=f32(np.array(at[:1])), y=f32(np.array(at[1:])), z=f32(height), mode="markers", marker=look, **_picked(at)
    )


def picked_trace_2d(at: tuple[float, float]) -> go.Scatter:
    """The chosen point, over contours."""
    look = {"symbol": "cross", "size": 15, "color": "#1F2430", "line": {"color": "white", "width": 2}}
    return go.Scatter(x=[at[0]], y=[at[1]], mode="markers", marker=look, **_picked(at))


def _picked(at: tuple[float, float]) -> dict[str, Any]:
    words = f"<b>chosen point</b><br>({at[0]:.3g}, {at[1]:.3g})<extra></extra>"
    return {"meta": {"part": PICKED}, "hovertemplate": words, "showlegend": False, "name": "chosen point"}


def _common(surface: SurfaceData, path: PathData, part: str, rows: slice | list[int]) -> dict[str, Any]:
    """What all traces of a path share: which part they are, and what they say under the pointer."""
    common: dict[str, Any] = {"meta": {"part": part, "path": path.name}, "legendgroup": path.name}
    if part == "halo":
        return common | {"hoverinfo": "skip"}
    columns, words = [path.steps, path.epochs], f"<b>{path.name}</b><br>step %{{customdata[0]:.0f}}"
    words += ", epoch %{customdata[1]:.3~g}" if np.isfinite(path.epochs).all() else ""
    unit = in_unit("", path.loss_name)
    known = [(f"{kind} loss", values, unit) for kind, values in _both(path.loss_true, path.loss_in_plane)]
    known += [(f"{kind} {surface.metric_name}", v, "") for kind, v in _both(path.metric_true, path.metric_in_plane)]
    for what, values, unit in known:
        if values is not None and len(values) == len(path.steps):
            words += f"<br>{what} %{{customdata[{len(columns)}]:.3g}}{unit}"
            columns.append(values)
    words += f"<br>off the plane %{{customdata[{len(columns)}]:.3g}} (residual, weight units)<extra></extra>"
    table = np.column_stack([*columns, path.residual])
    return common | {"customdata": f32(table[rows]), "hovertemplate": words}


def _both(true: Values, in_plane: Values) -> list[tuple[str, Values]]:
    return [("true", true), ("in-plane", in_plane)]


def _index(path: PathData, step: int | None) -> int:
    return len(path.steps) - 1 if step is None else nearest(path, step)
