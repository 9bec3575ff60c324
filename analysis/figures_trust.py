"""Figures of how far UD can be trusted: sensitivity to settings, and estimators side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.resolution import EstimatorRow
from analysis.sensitivity import Sensitivity
from landscape.style import CONTROL, DASHES, LIGHTER, arrange, colours, ink

COLUMNS = 3
SYMBOLS = ("diamond", "circle", "square", "cross", "star", "x")  # so that colour is not all that tells methods apart
CLEAR = 2.0  # floors


def sensitivity_panels(
    panels: Mapping[str, Sensitivity],
    roles: Mapping[str, str],
    *,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """UD of every method under every setting, one small panel for each thing varied, on one scale of UD.

    Bars are one standard deviation over seeds; the setting in use by default is in bold type; every panel's title gives
    the lowest rank agreement (Kendall's τ) with it.

    Args:
        panels: {what is varied, such as "ε": its sensitivity}, whose settings are named by their values.
        roles: {method: ``"poisoned"`` or ``"control"``}. subtitle: Data, samples, seeds.
    """
    if not panels:
        raise ValueError("There is no setting to draw; measure UD under at least one.")
    methods = list(dict.fromkeys(name for one in panels.values() for name in one.methods))
    tints = dict(zip(methods, colours([roles.get(name, "poisoned") for name in methods], dark=dark), strict=True))
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes=True,
        subplot_titles=[f"{name}: {_lowest(one)}" for name, one in panels.items()],
        horizontal_spacing=0.04,
        vertical_spacing=0.36 / rows,
    )
    for number, found in enumerate(panels.values()):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        for k, name in enumerate(methods):
            if name in found.methods:
                trace = _setting_line(found, name, roles.get(name, "poisoned"), tints[name], SYMBOLS[k % len(SYMBOLS)])
                figure.add_trace(trace.update(showlegend=number == 0), **place)
        figure.add_hline(y=1.0, line={"color": ink(dark=dark), "width": 1}, **place)
        names = [one.setting for one in found.settings]
        figure.update_xaxes(
            tickvals=list(range(len(names))),
            ticktext=[_tick(name, bold=name == found.default) for name in names],
            tickangle=0,
            tickfont={"size": 11},
            range=[-0.4, len(names) - 0.6],
            **place,
        )
    tops = [s.mean + (s.std or 0.0) for one in panels.values() for at in one.settings for s in at.summaries.values()]
    figure.update_yaxes(range=[0, 1.06 * max(1.0, *tops)])
    figure.update_yaxes(title_text="UD", col=1)
    words = "; ".join(f"{name}: {one.verdict}" for name, one in panels.items())
    return arrange(
        figure,
        title="UD under other settings",
        subtitle=" · ".join(part for part in (subtitle, "bold: default", "bars: one standard deviation") if part),
        alt=f"Small panels of UD of {len(methods)} methods. {words}.",
        dark=dark,
        height=150 + 260 * rows,
    ).update_layout(margin={"b": 104, "t": 104})


def estimator_comparison(
    rows: Sequence[EstimatorRow], roles: Mapping[str, str] | None = None, *, subtitle: str = "", dark: bool = False
) -> go.Figure:
    """How noisy each estimator of UD is, and how far it sets methods apart from clean in units of that noise.

    Left: the floor (clean against clean with another seed) and the spread of methods over seeds, as standard deviations
    of log UD. Right: for every method, |log UD| in floors; beyond the line at 2 a single run is told from clean.

    Args:
        rows: From :func:`analysis.compare_estimators`. roles: {method: ``"poisoned"`` or ``"control"``}. subtitle:
            Data, samples, seeds.
    """
    if not rows:
        raise ValueError("There is no estimator to draw; compare at least one.")
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.06,
        subplot_titles=["Noise of log UD", "Methods from clean, in floors"],
    )
    grey = LIGHTER[CONTROL] if dark else CONTROL
    places = np.arange(len(rows), dtype=float)
    spreads = [(k, row.spread) for k, row in enumerate(rows) if row.spread is not None]
    figure.add_trace(
        _dots([row.floor.log_std for row in rows], places + 0.1, "floor: clean against clean", grey, "square"), 1, 1
    )
    if spreads:
        x, y = [value for _, value in spreads], np.array([k for k, _ in spreads]) - 0.1
        figure.add_trace(_dots(x, y, "spread of methods over seeds", ink(dark=dark), "x"), 1, 1)
    methods = list(rows[0].separation)
    tints = colours([(roles or {}).get(name, "poisoned") for name in methods], dark=dark)
    for k, (name, tint) in enumerate(zip(methods, tints, strict=True)):
        values = [row.separation[name] for row in rows]
        finite = [(v, p) for v, p in zip(values, places, strict=True) if np.isfinite(v)]
        x, y = [v for v, _ in finite], np.array([p for _, p in finite])
        figure.add_trace(_dots(x, y, name, tint, SYMBOLS[k % len(SYMBOLS)]), 1, 2)
    figure.add_vline(x=CLEAR, line={"color": ink(dark=dark), "width": 1}, row=1, col=2)
    figure.update_xaxes(rangemode="tozero")
    figure.update_xaxes(title_text="standard deviation of log UD", row=1, col=1)
    figure.update_xaxes(title_text="|log UD| / floor", row=1, col=2)
    names = [row.estimator for row in rows]
    figure.update_yaxes(tickvals=list(places), ticktext=names, range=[len(rows) - 0.4, -0.6])
    words = "; ".join(
        f"{row.estimator}: floor {row.floor.log_std:.2f}, {len(row.power.from_clean)} of {row.power.methods} methods "
        f"told from clean, rank agreement with the authors' {_figure(row.agreement)}"
        for row in rows
    )
    told = f"floor from {rows[0].floor.n} clean seeds · right of the line: more than 2 floors from clean"
    return arrange(
        figure,
        title="Estimators of UD",
        subtitle=" · ".join(part for part in (subtitle, told) if part),
        alt=f"Noise and separation of {len(rows)} estimators. {words}.",
        dark=dark,
        height=262 + 42 * len(rows),
    ).update_layout(margin={"b": 110, "t": 122})


def _setting_line(found: Sensitivity, name: str, role: str, tint: str, symbol: str) -> go.Scatter:
    summaries = [one.summaries[name] for one in found.settings]
    return go.Scatter(
        x=np.arange(len(summaries), dtype=float),
        y=[one.mean for one in summaries],
        mode="lines+markers",
        line={"color": tint, "width": 2, "dash": DASHES.get(role, "dash")},
        marker={"symbol": symbol, "size": 7, "color": tint},
        error_y={"array": [one.std or 0.0 for one in summaries], "color": tint, "thickness": 1, "width": 3},
        text=[one.setting for one in found.settings],
        hovertemplate=f"{name}: %{{y:.2f}} at %{{text}}<extra></extra>",
        name=name,
        legendgroup=name,
    )


def _dots(x: Sequence[float], y: np.ndarray, name: str, tint: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=list(x),
        y=y,
        mode="markers",
        marker={"color": tint, "symbol": symbol, "size": 10},
        name=name,
        hovertemplate=f"{name}: %{{x:.2f}}<extra></extra>",
    )


def _tick(name: str, *, bold: bool) -> str:
    """A setting's name in lines that fit under a small panel."""
    lines = name.replace("-", "-<br>") if len(name) > 8 else name
    return f"<b>{lines}</b>" if bold else lines


def _lowest(found: Sensitivity) -> str:
    known = [one.kendall for one in found.settings if one.setting != found.default and np.isfinite(one.kendall)]
    return f"τ ≥ {min(known):.2f}" if known else "no ranking"


def _figure(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "unknown"
