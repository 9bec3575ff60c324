"""Figures along a path: losses, distances to the plane, training curves, diverging parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from landscape.figures import PathData, RunCurves
from landscape.loss_words import loss_label
from landscape.style import CLEAN, DASHES, LIGHTER, MARKERS, arrange, colours, format_accuracy, format_loss
from landscape.time_axis import over_time


def loss_along_path(paths: Sequence[PathData], *, dark: bool = False) -> go.Figure:
    """True loss of every checkpoint against the loss of its projection onto the plane."""
    figure = go.Figure()
    words = []
    time, moments = over_time(paths)
    for path, x, tint in zip(paths, moments, colours([p.role for p in paths], dark=dark), strict=True):
        for values, kind, width, opacity in (
            (path.loss_true, "true", 3, 1.0),
            (path.loss_in_plane, "in-plane", 1.5, 0.75),
        ):
            if values is None:
                continue
            figure.add_trace(
                go.Scatter(
                    x=_f32(x),
                    y=_f32(values),
                    mode="lines" if kind == "true" else "lines+markers",
                    line={"color": tint, "width": width, "dash": DASHES[path.role]},
                    marker={"symbol": f"{MARKERS[path.role]}-open", "size": 6},
                    opacity=opacity,
                    name=f"{path.name}, {kind}",
                    hovertemplate=f"{path.name}, {kind} loss %{{y:.3g}} at {time} %{{x:.3g}}<extra></extra>",
                )
            )
            words.append(f"{path.name} {kind} loss ends at {format_loss(float(values[-1]))}")
    figure.update_xaxes(title_text=time)
    figure.update_yaxes(title_text=loss_label(paths[0].loss_name if paths else ""), type="log")
    return arrange(
        figure,
        title="True loss against in-plane loss",
        subtitle="thick: the checkpoint itself · thin: its projection onto the plane, on the same data",
        alt="; ".join(words) + ".",
        dark=dark,
        height=380,
    ).update_layout(margin={"b": 84})


def residual_along_path(paths: Sequence[PathData], *, dark: bool = False) -> go.Figure:
    """Distance of every checkpoint to the plane."""
    figure = go.Figure()
    time, moments = over_time(paths)
    for path, x, tint in zip(paths, moments, colours([p.role for p in paths], dark=dark), strict=True):
        figure.add_trace(
            go.Scatter(
                x=_f32(x),
                y=_f32(path.residual),
                mode="lines+markers",
                line={"color": tint, "width": 2.5, "dash": DASHES[path.role]},
                marker={"symbol": MARKERS[path.role], "size": 5},
                name=path.name,
                hovertemplate=f"{path.name} %{{y:.3g}} off the plane at {time} %{{x:.3g}}<extra></extra>",
            )
        )
    figure.update_xaxes(title_text=time)
    figure.update_yaxes(title_text="distance to the plane", rangemode="tozero")
    words = "; ".join(f"{p.name} is at most {float(np.max(p.residual)):.2g} off the plane" for p in paths)
    return arrange(
        figure,
        title="Distance to the plane",
        subtitle="Euclidean, in weight units",
        alt=words + ".",
        dark=dark,
        height=320,
    ).update_layout(margin={"b": 84})


def divergence_bar(names: Sequence[str], distance: NDArray[np.float64], *, dark: bool = False) -> go.Figure:
    """The parameters whose paths differ most, the largest on top."""
    figure = go.Figure(
        go.Bar(
            x=_f32(distance[::-1]),
            y=list(names)[::-1],
            orientation="h",
            marker={"color": LIGHTER[CLEAN] if dark else CLEAN},
            name="distance",
            hovertemplate="%{y}: %{x:.3g}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="root mean square distance (weight units)")
    figure.update_yaxes(tickfont={"size": 12})
    return arrange(
        figure,
        title="Parameters whose paths differ most",
        alt=f"The paths differ most in {names[0]}, by {float(distance[0]):.3g}; then in {', '.join(names[1:4])}.",
        dark=dark,
        height=140 + 19 * len(names),
    )


def training_curves(runs: Sequence[RunCurves], *, dark: bool = False) -> go.Figure:
    """Test accuracy (thick) and training accuracy (thin) of every run, beside the losses."""
    losses = loss_label(runs[0].loss_name if runs else "")
    figure = make_subplots(rows=1, cols=2, subplot_titles=["accuracy (%)", losses], horizontal_spacing=0.12)
    words = []
    time, moments = over_time(runs)
    accuracies = any(f"{part}_accuracy" in run.metrics for run in runs for part in ("test", "train"))
    for run, x, tint in zip(runs, moments, colours([r.role for r in runs], dark=dark), strict=True):
        for metric, column, factor in (("accuracy", 1, 100.0), ("loss", 2, 1.0)):
            for part, width in (("test", 3), ("train", 1.2)):
                values = run.metrics.get(f"{part}_{metric}")
                if values is None:
                    continue
                figure.add_trace(
                    go.Scatter(
                        x=_f32(x[: len(values)]),
                        y=_f32(factor * values[: len(x)]),
                        mode="lines",
                        line={"color": tint, "width": width, "dash": DASHES[run.role]},
                        name=f"{run.name} {part}",
                        legendgroup=run.name,
                        showlegend=column == (1 if accuracies else 2),
                        hovertemplate=f"{run.name} {part} {metric} %{{y:.3g}}<extra></extra>",
                    ),
                    row=1,
                    col=column,
                )
        accuracy = run.metrics.get("test_accuracy")
        if accuracy is not None and len(accuracy):
            words.append(f"{run.name} reaches {format_accuracy(float(accuracy[-1]))} on test data")
    figure.update_yaxes(range=[0, 102], row=1, col=1)
    figure.update_yaxes(type="log", row=1, col=2)
    figure.update_xaxes(title_text=time)
    return arrange(
        figure,
        title="Training curves",
        subtitle=f"thick: {_test_words(runs)} · thin: the run's own training data",
        alt="; ".join(words) + ".",
        dark=dark,
        height=380,
    ).update_layout(margin={"t": 88, "b": 92})


def _test_words(runs: Sequence[RunCurves]) -> str:
    return "clean test data" if any(run.role == "clean" for run in runs) else "test data"


def _f32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)
