"""Figures of surfaces and paths: arrays in, ``plotly.graph_objects.Figure`` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly
from plotly.subplots import make_subplots

from landscape.figure_data import (
    PathData,
    RunCurves,
    SurfaceData,
    f32,
    far_off,
    interpolate,
    name_of,
    values_of,
)
from landscape.figures_paths import LIFT, path_traces_2d, path_traces_3d, picked_trace_2d, picked_trace_3d
from landscape.heights import Heights, choose_heights
from landscape.style import (
    SURFACE_SCALE,
    arrange,
    colours,
    format_accuracy,
    format_loss,
    ink,
)

PANEL_TITLE = 30  # pixels above panels that have titles of their own
BOX = {"x": 1.15, "y": 1.15, "z": 0.72}  # sides of a scene's box, where the camera stands two units away
SMALLER = 0.8  # the share of that which fits where scenes stand side by side; views measure their own
MOST_OBLONG = 3.0  # times as long as wide, up to which contours have one scale for both axes
LONGEST_NAME = 24  # characters of an axis in a narrow scene
SCENE_FONT = "Arial, Helvetica, sans-serif"  # scenes draw their own text and know no web fonts


def surface_3d(
    surfaces: Sequence[SurfaceData],
    paths: Sequence[Sequence[PathData]],
    *,
    quantity: str = "loss",
    scale: str = "auto",
    step: int | None = None,
    at: tuple[float, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Surfaces in 3-D with paths lying on them, one scene per surface, sharing heights, colours and camera.

    ``paths[k]`` are drawn on ``surfaces[k]``. With ``step`` every path is walked up to the checkpoint nearest
    to it, and the rest is a ghost; ``at`` marks a point of the plane.
    """
    name = name_of(surfaces, quantity)
    heights = choose_heights([values_of(s, quantity) for s in surfaces], quantity, scale, name)
    figure = make_subplots(
        rows=1,
        cols=len(surfaces),
        specs=[[{"type": "scene"}] * len(surfaces)],
        horizontal_spacing=0.02,
        subplot_titles=[s.evaluated_on for s in surfaces] if len(surfaces) > 1 else None,
    )
    tints = _tints(paths, dark)
    drawn: set[str] = set()
    for k, (surface, mine) in enumerate(zip(surfaces, paths, strict=True), start=1):
        _add_surface(figure, surface, heights, quantity, k, last=k == len(surfaces))
        for path in mine:
            tint, new = tints[path.name], path.name not in drawn
            for trace in path_traces_3d(surface, path, heights, quantity, tint, step=step, legend=new, dark=dark):
                figure.add_trace(trace, row=1, col=k)
            drawn.add(path.name)
        if at is not None:
            point = picked_trace_3d(surface, values_of(surface, quantity), at, heights, dark=dark)
            figure.add_trace(point, row=1, col=k)
    for k, surface in enumerate(surfaces, start=1):
        _scene(figure, surface, heights, k, len(surfaces), dark)
    arrange(
        figure,
        title=f"{_begin(name)} surface",
        subtitle=subtitle(surfaces, heights, paths),
        alt=alternative(surfaces, paths, heights, quantity),
        dark=dark,
        height=560,
    )
    figure.update_layout(
        margin={"l": 0, "r": 0, "b": 40, "t": figure.layout.margin.t + PANEL_TITLE * (len(surfaces) > 1)}
    )
    return _named(figure, quantity, name)


class StandingSurface:
    """A surface in 3-D that stays while the paths on it change: all but the paths is built once.

    Args:
        surface: What stays.
        dark: For a dark page.
    """

    def __init__(self, surface: SurfaceData, *, dark: bool = False) -> None:
        self._surface, self._dark = surface, dark
        self._heights = choose_heights([values_of(surface, "loss")], "loss", "auto", name_of([surface], "loss"))
        self._figure = surface_3d([surface], [[]], dark=dark).to_dict()

    def drawn(
        self, paths: Sequence[PathData], *, step: int | None = None, meta: Mapping[str, object] | None = None
    ) -> tuple[str, str]:
        """The figure of :func:`surface_3d` with these paths as JSON, and in words; ``meta`` comes on top of its own."""
        tints = _tints([paths], self._dark)
        traces = [
            trace
            for path in paths
            for trace in path_traces_3d(
                self._surface,
                path,
                self._heights,
                "loss",
                tints[path.name],
                step=step,
                legend=True,
                dark=self._dark,
            )
        ]
        words = alternative([self._surface], [paths], self._heights, "loss")
        layout = self._figure["layout"]
        figure = {
            "data": [*self._figure["data"], *go.Figure(traces).to_dict()["data"]],
            "layout": layout | {"meta": layout["meta"] | {"alt": words, **(meta or {})}},
        }
        return str(to_json_plotly(figure)), words


def contour_2d(
    surfaces: Sequence[SurfaceData],
    paths: Sequence[Sequence[PathData]],
    *,
    quantity: str = "loss",
    scale: str = "auto",
    step: int | None = None,
    at: tuple[float, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """The same in two dimensions: filled contours, one panel per surface, with shared axes and colours."""
    name = name_of(surfaces, quantity)
    heights = choose_heights([values_of(s, quantity) for s in surfaces], quantity, scale, name)
    figure = make_subplots(
        rows=1,
        cols=len(surfaces),
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.06,
        subplot_titles=[s.evaluated_on for s in surfaces] if len(surfaces) > 1 else None,
    )
    tints = _tints(paths, dark)
    drawn: set[str] = set()
    for k, (surface, mine) in enumerate(zip(surfaces, paths, strict=True), start=1):
        z = heights.place(values_of(surface, quantity))
        figure.add_trace(
            go.Contour(
                x=f32(surface.alphas),
                y=f32(surface.betas),
                z=f32(z.T),
                customdata=f32(values_of(surface, quantity).T),
                colorscale=SURFACE_SCALE,
                zmin=heights.low,
                zmax=heights.high,
                ncontours=18,
                line={"width": 0.6},
                showscale=k == len(surfaces),
                # Panels of one scale hang from the top, and the bar beside them.
                colorbar=_colour_bar(heights, quantity)
                | ({"y": 1, "yanchor": "top"} if nearly_square(surface) else {}),
                hovertemplate=f"{name} %{{customdata:.3g}}<extra></extra>",
                name=surface.evaluated_on,
            ),
            row=1,
            col=k,
        )
        for path in mine:
            for trace in path_traces_2d(surface, path, tints[path.name], step=step, legend=path.name not in drawn):
                figure.add_trace(trace, row=1, col=k)
            drawn.add(path.name)
        if at is not None:
            figure.add_trace(picked_trace_2d(at), row=1, col=k)
        figure.update_xaxes(title_text=surface.axis_names[0], row=1, col=k)
        if nearly_square(surface):
            figure.update_xaxes(constrain="domain", row=1, col=k)
            figure.update_yaxes(
                constrain="domain", constraintoward="top", scaleanchor=f"x{k if k > 1 else ''}", row=1, col=k
            )
    figure.update_yaxes(title_text=surfaces[0].axis_names[1], row=1, col=1)
    arrange(
        figure,
        title=f"{_begin(name)} contours",
        subtitle=subtitle(surfaces, heights, paths),
        alt=alternative(surfaces, paths, heights, quantity),
        dark=dark,
        height=560,
    )
    figure.update_layout(margin={"b": 84, "t": figure.layout.margin.t + PANEL_TITLE * (len(surfaces) > 1)})
    return _named(figure, quantity, name)


def nearly_square(surface: SurfaceData) -> bool:
    """Whether one scale for both axes, which have one unit, leaves room to see anything: distances and angles are true
    then."""
    along, across = np.ptp(surface.alphas), np.ptp(surface.betas)
    return bool(max(along, across) <= MOST_OBLONG * min(along, across))


def _named(figure: go.Figure, quantity: str, name: str) -> go.Figure:
    """Note what a metric of the user's own is called, for tables of the figure."""
    if quantity == "metric":
        figure.update_layout(meta={**figure.layout.meta, "metric": name})
    return figure


def subtitle(surfaces: Sequence[SurfaceData], heights: Heights, paths: Sequence[Sequence[PathData]] = ()) -> str:
    """What a surface figure shows and leaves out, in one line."""
    first = surfaces[0]
    parts = [] if len(surfaces) > 1 else [first.evaluated_on]
    parts.append(f"{first.plane_name} plane")
    if first.explained is not None:
        parts.append(f"explains {100 * sum(first.explained):.1f} % of the variance")
    elif far := _far_off(paths):
        parts.append(far)
    parts.append(f"{first.samples} samples{_error(first)}" if first.samples else "sample size not known")
    parts.append(f"seed{'s' if len(first.seeds) != 1 else ''} {', '.join(map(str, first.seeds))}")
    parts += [note for note in (first.note, heights.note) if note]
    return " · ".join(parts)


def _far_off(paths: Sequence[Sequence[PathData]]) -> str:
    """How far from the plane paths lie where that is far beside their length on it: there the heights mislead."""
    far = [float(np.max(path.residual)) for mine in paths for path in mine if far_off(path).any()]
    return f"paths lie up to {max(far):.2g} weight units off it" if far else ""


def _begin(name: str) -> str:
    """A name that begins a sentence; others than words of ours stay as they are."""
    return name.capitalize() if name in ("loss", "accuracy") else name


def _error(surface: SurfaceData) -> str:
    if surface.standard_error is None or not np.isfinite(surface.standard_error).any():
        return ""
    return f" (median s.e. {np.nanmedian(surface.standard_error):.2g})"


def alternative(
    surfaces: Sequence[SurfaceData], paths: Sequence[Sequence[PathData]], heights: Heights, quantity: str
) -> str:
    """The figure in words."""
    words = [f"{_begin(name_of(surfaces, quantity))} on the {surfaces[0].plane_name} plane."]
    for surface, mine in zip(surfaces, paths, strict=True):
        values = values_of(surface, quantity)
        finite = values[np.isfinite(values)]
        show = format_accuracy if quantity == "accuracy" else format_loss
        span = f"from {show(float(finite.min()))} to {show(float(finite.max()))}" if finite.size else "nowhere finite"
        words.append(f"On {surface.evaluated_on} it runs {span}.")
        for path in mine:
            start, end = path.coordinates[0], path.coordinates[-1]
            words.append(
                f"The path of {path.name} goes from ({start[0]:.2g}, {start[1]:.2g}) to ({end[0]:.2g}, {end[1]:.2g}) "
                f"in {len(path.steps)} checkpoints and ends {path.residual[-1]:.2g} off the plane."
            )
    return " ".join([*words, f"{heights.note[0].upper()}{heights.note[1:]}." if heights.note else ""]).strip()


def _tints(paths: Sequence[Sequence[PathData]], dark: bool) -> dict[str, str]:
    roles = {path.name: path.role for mine in paths for path in mine}
    return dict(zip(roles, colours(list(roles.values()), dark=dark), strict=True))


def _add_surface(
    figure: go.Figure, surface: SurfaceData, heights: Heights, quantity: str, column: int, *, last: bool
) -> None:
    values = values_of(surface, quantity)
    figure.add_trace(
        go.Surface(
            x=f32(surface.alphas),
            y=f32(surface.betas),
            z=f32(heights.place(values).T),
            customdata=f32(values.T),
            colorscale=SURFACE_SCALE,
            cmin=heights.low,
            cmax=heights.high,
            opacity=0.94,
            showscale=last,
            colorbar=_colour_bar(heights, quantity),
            contours={"z": {"show": True, "usecolormap": True, "width": 1, "project": {"z": False}}},
            lighting={"ambient": 0.72, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
            hovertemplate=f"{name_of([surface], quantity)} %{{customdata:.3g}}<extra>{surface.evaluated_on}</extra>",
            name=surface.evaluated_on,
        ),
        row=1,
        col=column,
    )


def _scene(figure: go.Figure, surface: SurfaceData, heights: Heights, number: int, count: int, dark: bool) -> None:
    axis = {
        "gridcolor": "#4A4F5A" if dark else "#D5D9E0",
        "zerolinecolor": "#4A4F5A" if dark else "#D5D9E0",
        "backgroundcolor": "rgba(0,0,0,0)",
        "color": ink(dark=dark),
        "tickfont": {"size": 12, "family": SCENE_FONT},
        "nticks": 6,
        "showspikes": False,
    }
    axes = {
        f"{letter}axis": axis | {"title": _scene_title(_fitting(name, count)), "range": [float(v[0]), float(v[-1])]}
        for letter, name, v in (
            ("x", surface.axis_names[0], surface.alphas),
            ("y", surface.axis_names[1], surface.betas),
        )
    }
    room = LIFT * 2 * (heights.high - heights.low)
    figure.update_layout(
        {
            f"scene{'' if number == 1 else number}": {
                **axes,
                "zaxis": axis
                | {
                    "title": _scene_title(heights.title),
                    "tickvals": heights.ticks,
                    "ticktext": heights.labels,
                    "range": [heights.low, heights.high + room],
                },
                "aspectmode": "manual",
                # One camera however many scenes there are: a smaller box, not a farther eye, fits a narrow one.
                "aspectratio": {k: v * (1.0 if count == 1 else SMALLER) for k, v in BOX.items()},
                "camera": {"eye": {"x": 1.25, "y": -1.4, "z": 0.88}, "center": {"x": 0, "y": 0, "z": -0.16}},
                "uirevision": "constant",
            }
        }
    )


def _fitting(name: str, count: int) -> str:
    """The name of an axis of a scene, shorter where it is long: without its unit, and in few words side by side."""
    if len(name) <= LONGEST_NAME:
        return name
    short = name.split(" (")[0]
    return short.replace(" direction ", " ") if count > 1 else short


def _scene_title(text: str) -> dict[str, object]:
    return {"text": text, "font": {"size": 13, "family": SCENE_FONT}}


def _colour_bar(heights: Heights, quantity: str) -> dict[str, object]:
    return {
        "title": {"text": heights.title, "side": "top"},
        "tickvals": heights.ticks,
        "ticktext": heights.labels,
        "thickness": 12,
        "len": 0.72,
        "outlinewidth": 0,
    }


__all__ = [
    "PathData",
    "RunCurves",
    "StandingSurface",
    "SurfaceData",
    "alternative",
    "contour_2d",
    "interpolate",
    "subtitle",
    "surface_3d",
]
