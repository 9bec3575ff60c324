"""The slices through one point of a plane as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from landscape.figure_data import f32
from landscape.style import DASHES, MARKERS, arrange, colours, format_loss, ink


@dataclass(frozen=True, eq=False)
class SliceData:
    """Losses [N] at ``places`` [N] along a direction; 0 is the point. ``kind``: clean, poisoned, control or test."""

    direction: str
    on: str
    kind: str
    places: NDArray[np.float64]
    loss: NDArray[np.float64]
    exact: bool


def slices_through_point(slices: Sequence[SliceData], *, unit: str, dark: bool = False) -> go.Figure:
    """One panel for every direction, one line for every data set, and an upright line at the point.

    Raises ValueError when there is nothing to draw.
    """
    directions = list(dict.fromkeys(one.direction for one in slices))
    if not directions:
        raise ValueError("There is no slice to draw; choose a point inside the surface.")
    figure = make_subplots(rows=1, cols=len(directions), subplot_titles=directions, horizontal_spacing=0.09)
    seen = list(dict.fromkeys(one.on for one in slices))
    kinds = {one.on: one.kind for one in slices}
    tints = dict(zip(seen, colours([kinds[on] for on in seen], dark=dark), strict=True))
    words, named = [], set()
    for one in slices:
        role = one.kind if one.kind in DASHES else "other"
        column = directions.index(one.direction) + 1
        figure.add_trace(
            go.Scatter(
                x=f32(one.places),
                y=f32(one.loss),
                mode="lines+markers" if one.exact else "lines",
                line={"color": tints[one.on], "width": 2.5, "dash": DASHES[role]},
                marker={"symbol": MARKERS[role], "size": 5},
                name=one.on,
                legendgroup=one.on,
                showlegend=one.on not in named,
                hovertemplate=f"{one.on}: loss %{{y:.3g}} nats<extra></extra>",
            ),
            row=1,
            col=column,
        )
        named.add(one.on)
        finite = one.loss[np.isfinite(one.loss)]
        if finite.size:
            span = f"{format_loss(float(finite.min()))} to {format_loss(float(finite.max()))}"
            words.append(f"{one.direction}, on {one.on}: {span}")
    for number, direction in enumerate(directions, start=1):
        title = "share of the way" if direction.startswith("towards") else unit
        figure.update_xaxes(title_text=title, row=1, col=number)
        figure.add_vline(0.0, line={"color": ink(dark=dark), "width": 1.2}, row=1, col=number)
    figure.update_yaxes(title_text="loss (nats)", row=1, col=1)
    return arrange(
        figure,
        title="Slices through the point",
        subtitle="upright line: the point · lines alone: read off the surface · lines with markers: evaluated",
        alt="Loss " + "; ".join(words) + ".",
        dark=dark,
        height=360,
    ).update_layout(margin={"t": 108, "b": 92})
