"""Paths on a plane without a surface: where runs went, when nobody knows the network that a loss needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from landscape.figure_data import PathData, SurfaceData
from landscape.figures_paths import path_traces_2d
from landscape.style import arrange, colours, ink


def paths_on_plane(
    paths: Sequence[PathData],
    axis_names: tuple[str, ...],
    plane_name: str,
    explained: tuple[float, float] | None,
    *,
    dark: bool = False,
) -> go.Figure:
    """Every path on the plane, from its ring to its star, with both axes at one scale.

    Args:
        axis_names: Of the plane's two axes. explained: Shares of the variance that they hold, where that is known.
    """
    nothing = np.zeros(0)
    ground = SurfaceData(
        nothing, nothing, nothing, None, 0, axis_names, evaluated_on="", plane_name=plane_name, explained=explained,
        standard_error=None, seeds=(),
    )  # fmt: skip
    figure = go.Figure()
    for path, tint in zip(paths, colours([path.role for path in paths], dark=dark), strict=True):
        for trace in path_traces_2d(ground, path, tint, step=None, legend=True):
            if trace.meta["part"] == "start":  # white over contours
                trace.marker.color = ink(dark=dark)
            if trace.meta["part"] != "halo":
                figure.add_trace(trace)
    figure.update_xaxes(title_text=axis_names[0])
    figure.update_yaxes(title_text=axis_names[1], scaleanchor="x")
    held = "" if explained is None else f" · explains {100 * sum(explained):.1f} % of the variance"
    words = [
        f"{path.name} goes from ({path.coordinates[0, 0]:.2g}, {path.coordinates[0, 1]:.2g}) to "
        f"({path.coordinates[-1, 0]:.2g}, {path.coordinates[-1, 1]:.2g}) in {len(path.steps)} checkpoints and ends "
        f"{path.residual[-1]:.2g} off the plane"
        for path in paths
    ]
    return arrange(
        figure,
        title="Paths without a surface",
        subtitle=f"{plane_name} plane{held} · no loss without the network and the data",
        alt=f"Paths on the {plane_name} plane: {'; '.join(words)}.",
        dark=dark,
        height=560,
    ).update_layout(margin={"b": 84})
