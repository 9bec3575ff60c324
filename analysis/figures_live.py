"""Figures of a training that is under way: learnable blocks beside UD so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from landscape.figures_standing import Numbers, numbered
from landscape.style import DASHES, MARKERS, arrange, colours, format_ud, ink


@dataclass(frozen=True, eq=False)
class DistanceSoFar:
    """UD of all checkpoints up to each, by gradient at every checkpoint [T] and by search once an epoch [E]."""

    epochs: NDArray[np.float64]
    gradient: NDArray[np.float64]
    search_epochs: NDArray[np.float64]
    search: NDArray[np.float64]


def learnable_and_distance(
    counts: Mapping[str, tuple[NDArray[np.float64], NDArray[np.int64]]],
    distances: Mapping[str, DistanceSoFar],
    roles: Mapping[str, str],
    *,
    dark: bool = False,
) -> go.Figure:
    """Learnable blocks (#LP) of every run over epochs, beside UD so far of every run but the clean one.

    Args:
        counts: {run: (epochs [T], counts [T])}.
        distances: {run: UD so far}; gradient is a line, search is large hollow markers joined by dots.
        roles: {run: role}.
    """
    return numbered(blank_learnable(counts, distances, roles, dark=dark), learnable_numbers(counts, distances))


def blank_learnable(
    counts: Collection[str], distances: Collection[str], roles: Mapping[str, str], *, dark: bool = False
) -> go.Figure:
    """The figure of :func:`learnable_and_distance` without its numbers, for runs of these names."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=["Learnable blocks", "UD so far"], horizontal_spacing=0.12)
    for name, tint in zip(counts, colours([roles[name] for name in counts], dark=dark), strict=True):
        role = roles[name]
        line = {"color": tint, "width": 2.5, "dash": DASHES[role]}
        figure.add_trace(
            go.Scatter(
                mode="lines",
                line=line,
                name=name,
                legendgroup=name,
                hovertemplate=f"{name}: %{{y:.0f}} learnable at epoch %{{x:.3g}}<extra></extra>",
            ),
            row=1,
            col=1,
        )
        if name not in distances:
            continue
        figure.add_trace(
            go.Scatter(
                mode="lines",
                line=line,
                name=name,
                legendgroup=name,
                showlegend=False,
                hovertemplate=f"{name}: UD %{{y:.2f}} by gradient up to epoch %{{x:.3g}}<extra></extra>",
            ),
            row=1,
            col=2,
        )
        figure.add_trace(
            go.Scatter(
                mode="lines+markers",
                line={"color": tint, "width": 1.2, "dash": "dot"},
                marker={"symbol": f"{MARKERS[role]}-open", "size": 11, "color": tint, "line": {"width": 2.5}},
                name=f"{name}, search",
                legendgroup=name,
                showlegend=False,
                hovertemplate=f"{name}: UD %{{y:.2f}} by search up to epoch %{{x:.3g}}<extra></extra>",
            ),
            row=1,
            col=2,
        )
    figure.add_hline(y=1.0, line={"color": ink(dark=dark), "width": 1, "dash": "dot"}, row=1, col=2)
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(rangemode="tozero")
    arrange(
        figure,
        title="Learnable blocks and UD",
        subtitle="UD: line by gradient at every checkpoint · hollow markers by search at epochs",
        alt="",
        dark=dark,
        height=340,
    )
    return figure.update_layout(margin={"t": figure.layout.margin.t + 22, "b": 92})


def learnable_numbers(
    counts: Mapping[str, tuple[NDArray[np.float64], NDArray[np.int64]]], distances: Mapping[str, DistanceSoFar]
) -> Numbers:
    """The numbers of :func:`learnable_and_distance`."""
    traces, words = [], []
    for name, (epochs, values) in counts.items():
        traces.append({"x": _f32(epochs), "y": _f32(values)})
        words.append(f"{name} has {int(values[-1])} learnable blocks")
        distance = distances.get(name)
        if distance is None:
            continue
        traces.append({"x": _f32(distance.epochs[: len(distance.gradient)]), "y": _f32(distance.gradient)})
        traces.append({"x": _f32(distance.search_epochs), "y": _f32(distance.search)})
        words += [
            f"UD of {name} is {format_ud(float(values[-1]))} by {way}"
            for way, values in (("gradient", distance.gradient), ("search", distance.search))
            if len(values) and np.isfinite(values[-1])
        ]
    # One stretch of time in both panels, which stand above each other on a phone.
    end = max((float(epochs[-1]) for epochs, _ in counts.values() if len(epochs)), default=0.0) or 1.0
    span = {"range": [-0.04 * end, 1.04 * end]}
    return Numbers(traces, "; ".join(words) + ".", {"xaxis": span, "xaxis2": span})


def _f32(values: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)
