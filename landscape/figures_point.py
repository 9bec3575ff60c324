"""The slices through one point of a plane as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from landscape.figure_data import f32
from landscape.loss_words import in_unit, loss_label
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
    loss_name: str = ""


def slice_through_point(slices: Sequence[SliceData], *, unit: str, dark: bool = False) -> go.Figure:
    """The slices along one direction, one line for every data set, and an upright line at the point.

    Raises ValueError when there is nothing to draw.
    """
    if not slices:
        raise ValueError("There is no slice to draw; choose a point inside the surface.")
    figure = go.Figure()
    words = []
    for one, tint in zip(slices, colours([one.kind for one in slices], dark=dark), strict=True):
        role = one.kind if one.kind in DASHES else "other"
        figure.add_trace(
            go.Scatter(
                x=f32(one.places),
                y=f32(one.loss),
                mode="lines+markers" if one.exact else "lines",
                line={"color": tint, "width": 2.5, "dash": DASHES[role]},
                marker={"symbol": MARKERS[role], "size": 6},
                name=one.on,
                showlegend=True,
                hovertemplate=f"{one.on}: loss {in_unit('%{y:.3g}', one.loss_name)}<extra></extra>",
            )
        )
        finite = one.loss[np.isfinite(one.loss)]
        if finite.size:
            span = f"{format_loss(float(finite.min()))} to {format_loss(float(finite.max()))}"
            words.append(f"on {one.on} {in_unit(span, one.loss_name)}")
    figure.update_xaxes(title_text=unit)
    figure.add_vline(0.0, line={"color": ink(dark=dark), "width": 1.2})
    figure.update_yaxes(title_text=loss_label(slices[0].loss_name), rangemode="tozero")
    direction = slices[0].direction
    return arrange(
        figure,
        title=direction[0].upper() + direction[1:],
        subtitle="evaluated; line at the point" if slices[0].exact else "read off the surface; line at the point",
        alt=f"Loss {direction}: " + "; ".join(words) + ".",
        dark=dark,
        height=330,
    ).update_layout(margin={"b": 62 + 22 * len(slices)}, legend={"orientation": "v"})
