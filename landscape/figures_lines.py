"""Figures along a path: losses, distances to the plane, training curves, diverging parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from landscape.figure_data import BUILT_IN, COMPUTED, held_out
from landscape.figures import PathData, RunCurves
from landscape.figures_standing import Numbers, numbered
from landscape.loss_words import loss_label
from landscape.style import CLEAN, DASHES, LIGHTER, MARKERS, arrange, colours, format_accuracy, format_loss, say_instead
from landscape.ticks import log_axis
from landscape.time_axis import over_time

NOTHING = "These runs store no loss and no accuracy."
REMEDY = "The recorder keeps what it is given: · recorder.record(step, test_accuracy=…, test_loss=…)"


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
    drawn = [values for p in paths for values in (p.loss_true, p.loss_in_plane) if values is not None]
    figure.update_yaxes(title_text=loss_label(paths[0].loss_name if paths else ""), **log_axis(drawn))
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
    figure.update_yaxes(type="category", tickfont={"size": 12})
    return arrange(
        figure,
        title="Parameters whose paths differ most",
        alt=f"The paths differ most in {names[0]}, by {float(distance[0]):.3g}; then in {', '.join(names[1:4])}.",
        dark=dark,
        height=140 + 19 * len(names),
    )


def training_curves(runs: Sequence[RunCurves], *, dark: bool = False) -> go.Figure:
    """Accuracy, a metric of the user's own and loss of every run, each in a panel; what no run knows has none.

    Test data are thick, training data thin.
    """
    panels = _panels(runs)
    if not panels:
        empty = arrange(go.Figure(), title="Training curves", alt=NOTHING, dark=dark, height=380)
        return say_instead(empty, f"{NOTHING} · {REMEDY}")
    return numbered(blank_curves(runs, dark=dark), curve_numbers(runs))


def blank_curves(runs: Sequence[RunCurves], *, dark: bool = False) -> go.Figure:
    """The figure of :func:`training_curves` without its numbers, for runs that have some."""
    panels = _panels(runs)
    titles = [panel.title for panel in panels]
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=titles, horizontal_spacing=0.24 / len(panels))
    legend = next((panel for panel in panels if not panel.own), panels[0])
    tints = dict(zip(map(id, runs), colours([run.role for run in runs], dark=dark), strict=True))
    for curve in _curves(runs, panels):
        run, panel, part = curve.run, curve.panel, curve.part
        figure.add_trace(
            go.Scatter(
                mode="lines",
                line={"color": tints[id(run)], "width": curve.width, "dash": DASHES[run.role]},
                name=f"{run.name} {panel.of(part) if panel.own else part}",
                legendgroup=run.name,
                showlegend=panel is legend,
                hovertemplate=f"{run.name} {panel.of(part)} %{{y:.3g}}<extra></extra>",
            ),
            row=1,
            col=1 + panels.index(panel),
        )
    for column, panel in enumerate(panels, start=1):
        if panel.word == "accuracy":
            figure.update_yaxes(range=[0, 102], row=1, col=column)
    figure.update_xaxes(title_text=over_time(runs)[0])
    arrange(figure, title="Training curves", subtitle=_made_of(runs, panels), alt="", dark=dark, height=380)
    return figure.update_layout(margin={"t": figure.layout.margin.t + 22, "b": 92})


def curve_numbers(runs: Sequence[RunCurves]) -> Numbers:
    """The numbers of :func:`training_curves`."""
    panels = _panels(runs)
    times = dict(zip(map(id, runs), over_time(runs)[1], strict=True))
    traces = []
    for curve in _curves(runs, panels):
        x, values = times[id(curve.run)], curve.run.metrics[curve.key]
        traces.append({"x": _f32(x[: len(values)]), "y": _f32(curve.panel.factor * values[: len(x)])})
    layout = {}
    for column, panel in enumerate(panels, start=1):
        if panel.word == "loss":
            drawn = [run.metrics[key] for run in runs for key, _, _ in panel.keys if key in run.metrics]
            layout[f"yaxis{column if column > 1 else ''}"] = log_axis(drawn)
    words = [word for run in runs for word in _ends(run)]
    alt = "; ".join(words or [f"Curves of {', '.join(run.name for run in runs)}"]) + "."
    return Numbers(traces, alt, layout)


@dataclass(frozen=True)
class _Curve:
    """One line of training curves."""

    run: RunCurves
    panel: _Panel
    key: str
    part: str
    width: float


def _curves(runs: Sequence[RunCurves], panels: Sequence[_Panel]) -> list[_Curve]:
    """Every line that has values, in the order in which they are drawn."""
    return [
        _Curve(run, panel, key, part, width)
        for run in runs
        for panel in panels
        for key, part, width in panel.keys
        if run.metrics.get(key) is not None
    ]


def _made_of(runs: Sequence[RunCurves], panels: Sequence[_Panel]) -> str:
    said = [f"thick: {_test_words(runs)}", "thin: the run's own training data"]
    said += [f"{panel.word} {panel.keys[-1][1]}: of the checkpoints, computed anew" for panel in panels if panel.anew]
    own = runs[0].metric_name
    lacking = own not in ("", *BUILT_IN) and not any(panel.own for panel in panels)
    return " · ".join([*said, *([f"{own} was not recorded"] if lacking else [])])


def _test_words(runs: Sequence[RunCurves]) -> str:
    return "clean test data" if any(run.role == "clean" for run in runs) else "test data"


@dataclass(frozen=True)
class _Panel:
    """One panel of training curves: the keys to draw with the data and the width of each line."""

    word: str
    title: str
    keys: tuple[tuple[str, str, float], ...]
    factor: float = 1.0
    own: bool = False
    anew: bool = False

    def of(self, part: str) -> str:
        """What a line shows."""
        return f"{self.word}, {part}" if self.own else f"{part} {self.word}"


def _panels(runs: Sequence[RunCurves]) -> list[_Panel]:
    """The panels that some run has something for, from left to right."""
    label = runs[0].metric_name if runs else ""
    own = [(key, part, 3.0) for key, part in held_out(label)]
    own += [(f"train_{label}", "train", 1.2), (label, "recorded", 1.2)]
    anew = not any(key in run.metrics for run in runs for key, _, _ in own)
    if anew:
        own = [(COMPUTED, f"on {runs[0].computed_on}" if runs else "", 2.0)]
    both = (("test", 3.0), ("train", 1.2))
    panels = [
        _Panel("accuracy", "accuracy (%)", tuple((f"{part}_accuracy", part, width) for part, width in both), 100.0),
        *([_Panel(label, label, tuple(own), own=True, anew=anew)] if label and label not in BUILT_IN else []),
        _Panel(
            "loss",
            loss_label(runs[0].loss_name if runs else ""),
            tuple((f"{part}_loss", part, width) for part, width in both),
        ),
    ]
    return [panel for panel in panels if any(key in run.metrics for run in runs for key, _, _ in panel.keys)]


def _ends(run: RunCurves) -> list[str]:
    """Where a run's curves end, in words."""
    accuracy = run.metrics.get("test_accuracy")
    own, on = next(((run.metrics[k], p) for k, p in held_out(run.metric_name) if k in run.metrics), (None, ""))
    words = []
    if accuracy is not None and len(accuracy):
        words.append(f"{run.name} reaches {format_accuracy(float(accuracy[-1]))} on test data")
    if run.metric_name not in ("", *BUILT_IN) and own is not None and len(own):
        words.append(f"its {run.metric_name} ends at {float(own[-1]):.3g} on {on} data")
    return words


def _f32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)
