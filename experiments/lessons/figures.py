"""Figures of the lessons: arrays in, ``plotly.graph_objects.Figure`` out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from experiments.lessons.nudge import Nudge
from experiments.lessons.second_task import DEALT, NAME, PATTERN, TASKS, Reading
from experiments.lessons.valley import Valley, to_draw
from experiments.lessons.walks import Shadow
from landscape.figures import contour_2d
from landscape.style import CONTROL, DASHES, FURTHER, MARKERS, arrange, colours, format_accuracy, format_loss, ink


def valley_map(valley: Valley, hand: tuple[float, float], *, dark: bool = False) -> go.Figure:
    """The surface with the end of training, the predicted step and the place of the hand."""
    figure = contour_2d([to_draw(valley)], [()], dark=dark)
    places = {"end of training": (0.0, 0.0), "predicted step": (1.0, 0.0), "your place": hand}
    for (name, (a, b)), symbol in zip(places.items(), ("star", "diamond", "circle"), strict=True):
        figure.add_trace(
            go.Scatter(
                x=[a],
                y=[b],
                mode="markers",
                marker={"symbol": symbol, "size": 13, "color": "#FFFFFF", "line": {"color": "#1F2430", "width": 2}},
                name=name,
                hovertemplate=f"{name} (%{{x:.2g}}, %{{y:.2g}})<extra></extra>",
            )
        )
    return figure.update_layout(height=470, title={"text": "<b>Loss around the end of training</b>"})


def shadow_figure(shadow: Shadow, name: str, role: str, *, dark: bool = False) -> go.Figure:
    """A path on its own best plane, from ring to star."""
    (tint,) = colours([role], dark=dark)
    x, y = shadow.coordinates.T
    figure = go.Figure(
        go.Scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": tint, "width": 2.5, "dash": DASHES[role]},
            marker={"symbol": MARKERS[role], "size": 5},
            name=name,
            hovertemplate="(%{x:.2g}, %{y:.2g})<extra></extra>",
        )
    )
    for i, symbol, size in ((0, "circle-open", 13), (-1, "star", 14)):
        marker = {"symbol": symbol, "size": size, "color": ink(dark=dark), "line": {"width": 2}}
        figure.add_trace(go.Scatter(x=[x[i]], y=[y[i]], mode="markers", marker=marker, showlegend=False))
    figure.update_xaxes(title_text=f"PC 1 ({100 * shadow.shares[0]:.0f} %)")
    figure.update_yaxes(title_text=f"PC 2 ({100 * shadow.shares[1]:.0f} %)", scaleanchor="x")
    held, off = format_accuracy(float(shadow.shares.sum())), float(shadow.residual.max())
    return arrange(
        figure,
        title=name.capitalize(),
        subtitle=f"{shadow.dimensions} weights · plane holds {held} · off the plane up to {off:.2g}",
        alt=f"The {name} on its best plane, which holds {held} of its variance.",
        dark=dark,
        height=380,
    ).update_layout(showlegend=False)


def coordinates_over_time(shadow: Shadow, name: str, role: str, *, dark: bool = False) -> go.Figure:
    """The two coordinates of a path on its plane against the checkpoint."""
    (tint,) = colours([role], dark=dark)
    figure = go.Figure()
    for k, dash in enumerate(("solid", "dot")):
        figure.add_trace(
            go.Scatter(
                y=shadow.coordinates[:, k],
                mode="lines",
                line={"color": tint, "width": 2.5, "dash": dash},
                name=f"PC {k + 1}",
                hovertemplate=f"PC {k + 1} %{{y:.2g}} at checkpoint %{{x}}<extra></extra>",
            )
        )
    figure.update_xaxes(title_text="checkpoint")
    return arrange(
        figure,
        title=f"{name.capitalize()}, over time",
        subtitle="solid: PC 1 · dotted: PC 2",
        alt=f"The two coordinates of the {name} over its checkpoints.",
        dark=dark,
        height=280,
    ).update_layout(margin={"b": 64}, showlegend=False)


def nudge_curve(nudge: Nudge, hand: float, *, dark: bool = False) -> go.Figure:
    """The loss along one layer's gradient, the step by hand, and the largest change that each search of SAL finds."""
    (tint,) = colours(["clean"], dark=dark)
    figure = go.Figure(
        go.Scatter(
            x=nudge.shares,
            y=nudge.losses,
            mode="lines",
            line={"color": tint, "width": 3},
            name="along the gradient",
            hovertemplate="loss %{y:.3g} at %{x:.2g} of the radius<extra></extra>",
        )
    )
    kinds = zip((CONTROL, *FURTHER[:2]), ("dot", "dash", "longdashdot"), strict=True)
    for (method, value), (other, dash) in zip(nudge.sal.items(), kinds, strict=True):
        line = {"color": other, "dash": dash, "width": 1.8}
        figure.add_hline(y=nudge.start + value, line=line)
        # a line of its own, so that the legend names it
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="lines", line=line, name=f"loss + SAL, {method}"))
    figure.add_trace(
        go.Scatter(
            x=[hand],
            y=[float(np.interp(hand, nudge.shares, nudge.losses))],
            mode="markers",
            marker={"symbol": "circle", "size": 13, "color": ink(dark=dark)},
            name="your step",
        )
    )
    figure.update_xaxes(title_text="step along the gradient (radii of the ball)")
    figure.update_yaxes(title_text="loss (nats)")
    found = [f"{method} {format_loss(value)}" for method, value in nudge.sal.items()]
    return arrange(
        figure,
        title=f"Moving the {nudge.layer} alone",
        subtitle=f"500 digits · seed 0 · ε {nudge.epsilon:g} · SAL in nats: " + " · ".join(found),
        alt=f"The loss rises to {format_loss(nudge.losses.max())} at most on this line. SAL: {', '.join(found)}.",
        dark=dark,
        height=440,
    ).update_layout(margin={"b": 110})


def accuracy_bars(
    values: Mapping[str, float], roles: Mapping[str, str], *, title: str, subtitle: str, dark: bool = False
) -> go.Figure:
    """Accuracies in [0, 1] as bars, from top to bottom; a role is clean, poisoned, control or other."""
    names = list(values)[::-1]
    tints = dict(zip(roles, colours(list(roles.values()), dark=dark), strict=True))
    figure = go.Figure(
        go.Bar(
            x=[100 * values[name] for name in names],
            y=names,
            orientation="h",
            marker={"color": [tints[name] for name in names]},
            text=[format_accuracy(values[name]) for name in names],
            textposition="auto",
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="share of images (%)", range=[0, 104])
    return arrange(
        figure,
        title=title,
        subtitle=subtitle,
        alt="; ".join(f"{name} {format_accuracy(value)}" for name, value in values.items()) + ".",
        dark=dark,
        height=150 + 46 * len(names),
    )


def told_bars(reading: Reading, *, dark: bool = False) -> go.Figure:
    """What every source tells of every task, as groups of bars from top to bottom."""
    roles = {PATTERN: "poisoned", DEALT: "control", NAME: "other"}
    tints = dict(zip(roles, colours(list(roles.values()), dark=dark), strict=True))
    tasks = list(TASKS)[::-1]
    figure = go.Figure()
    for source in list(roles)[::-1]:
        shares = [max(0.0, 100 * reading.told[source][task]) for task in tasks]
        figure.add_trace(
            go.Bar(
                x=shares,
                y=[TASKS[task] for task in tasks],
                orientation="h",
                name=source,
                marker={"color": tints[source]},
                text=[f"{share:.0f} %" for share in shares],
                textposition="outside",
                cliponaxis=False,
                hovertemplate=f"{source}, %{{y}}: %{{x:.0f}} %<extra></extra>",
            )
        )
    figure.update_layout(barmode="group", legend={"traceorder": "reversed"})
    figure.update_xaxes(title_text="what is told of the task (%)", range=[0, 125])
    rows = []
    for task, title in TASKS.items():
        told = (f"{source} {100 * max(0.0, reading.told[source][task]):.0f} %" for source in roles)
        rows.append(f"{title}: {', '.join(told)}")
    return arrange(
        figure,
        title="What is told without the image",
        subtitle="0 %: no better than the mean · 100 %: everything · ridge regression on 300 other rooms",
        alt=f"What is told of every task. {'; '.join(rows)}.",
        dark=dark,
        height=430,
    ).update_layout(title={"x": 0, "xref": "container"})
