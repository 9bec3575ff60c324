"""The visual language of every figure: colours, dashes, markers, numbers, and the light and dark layouts."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe–Ito, told apart by people with any colour vision; dash and marker say the same again.
CLEAN, POISONED, CONTROL = "#0072B2", "#D55E00", "#7A7A7A"
FURTHER = ("#009E73", "#CC79A7", "#56B4E9")
# Runs of one's own; the last is Okabe and Ito's yellow, dark enough on white.
REFERENCE, COMPARED = "#009E73", ("#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#7F3C8D", "#8A7F00")
LIGHTER = {CLEAN: "#56B4E9", POISONED: "#F08A4B", CONTROL: "#A8A8A8"}  # on dark ground
LIGHTER |= {
    REFERENCE: "#2FC79A",
    "#56B4E9": "#A5DDF5",
    "#8C564B": "#A9745C",
    "#7F3C8D": "#9F8CFF",
    "#8A7F00": "#F0E442",
}
HALO = {False: "#FFFFFF", True: "#0E1117"}  # by darkness: around paths on surfaces
GHOST = {False: "#4A4F5A", True: "#E8EAED"}  # by darkness: the part of a path that is not walked yet
# By darkness: the toolbar over a chart, whose icons Plotly itself draws in a grey of 30 %.
TOOLBAR = {
    False: {"bgcolor": "rgba(255, 255, 255, 0.85)", "color": "#4A4F5A", "activecolor": CLEAN},
    True: {"bgcolor": "rgba(26, 31, 41, 0.85)", "color": "#C3C8D0", "activecolor": "#56B4E9"},
}
REFERENCES = ("clean", "reference")  # roles that others are compared with
# Roles of the arms beside one's reference. After the sixth the colours begin anew, with other marks on the same dashes.
OWN = ("compared", *(f"compared {k}" for k in range(2, 13)))
DASHES = {"clean": "solid", "poisoned": "dash", "control": "dot", "other": "dashdot", "reference": "solid"}
DASHES |= dict(zip(OWN, 2 * ("dash", "dot", "dashdot", "longdash", "longdashdot", "dash"), strict=True))
MARKERS = {"clean": "circle", "poisoned": "diamond", "control": "square", "other": "cross", "reference": "circle"}
_MARKS = ("diamond", "square", "cross", "x", "diamond", "x", "square", "cross", "x", "diamond", "square", "cross")
MARKERS |= dict(zip(OWN, _MARKS, strict=True))
SURFACE_SCALE = "Cividis"
DIVERGING_SCALE = "RdBu_r"
FONT = "Helvetica Neue, Helvetica, Arial, sans-serif"  # measured before web fonts arrive, so none of those

PLOTLY_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["sendChartToCloud", "sendDataToCloud", "lasso2d", "select2d"],
}


def colours(roles: list[str], *, dark: bool = False) -> list[str]:
    """One colour per run, by role; a second poisoned run takes the first of the further colours, and so on."""
    fixed = {"clean": CLEAN, "poisoned": POISONED, "control": CONTROL, "reference": REFERENCE}
    fixed |= dict(zip(OWN, itertools.cycle(COMPARED), strict=False))
    promised = {fixed[role] for role in roles if role in fixed}
    free = [tint for tint in dict.fromkeys((*FURTHER, *COMPARED)) if tint not in promised] or list(COMPARED)
    further = itertools.cycle(free)
    found, taken = [], set()
    for role in roles:
        colour = fixed.get(role)
        if colour is None or colour in taken:
            colour = next(further)
        taken.add(colour)
        found.append(LIGHTER.get(colour, colour) if dark else colour)
    return found


def ink(*, dark: bool = False) -> str:
    """The colour of text and thin lines."""
    return "#E8EAED" if dark else "#1F2430"


def faint(*, dark: bool = False) -> str:
    """The colour of grid lines."""
    return "rgba(232, 234, 237, 0.16)" if dark else "rgba(31, 36, 48, 0.12)"


def arrange(
    figure: go.Figure, *, title: str, subtitle: str = "", alt: str, dark: bool = False, height: int = 460
) -> go.Figure:
    """Give a figure the house's layout: title and subtitle above, legend below, transparent ground, alt text."""
    thick = any(trace.type == "surface" for trace in figure.data)  # lines in scenes are, and their dashes long
    axis = {
        "gridcolor": faint(dark=dark),
        "zerolinecolor": faint(dark=dark),
        "linecolor": faint(dark=dark),
        "automargin": True,
    }
    figure.update_layout(
        title={
            "text": f"<b>{title}</b>",
            "subtitle": {"text": wrap(subtitle), "font": {"size": 12.5, "color": ink(dark=dark)}},
            "font": {"size": 16},
            "x": 0,
            "xanchor": "left",
            "xref": "paper",
            "yref": "container",
            "y": 0.985,
            "yanchor": "top",
        },
        font={"family": FONT, "size": 13, "color": ink(dark=dark)},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 12, "r": 12, "t": top_of(wrap(subtitle)), "b": 12},
        legend={
            "orientation": "h",
            "yref": "container",
            "yanchor": "bottom",
            "y": 0.005,
            "xanchor": "left",
            "x": 0,
            "itemwidth": 56 if thick else 30,
        },
        hoverlabel={"font": {"family": FONT, "size": 13}},
        modebar=TOOLBAR[dark],
        height=height,
        uirevision="constant",
        meta={"alt": alt, "dark": dark},
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def say_instead(figure: go.Figure, words: str) -> go.Figure:
    """Say in the middle of a figure without traces what it lacks, in place of empty axes; returns the figure."""
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    middle = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
    return figure.add_annotation(text=wrap(words, 44), **middle, font={"size": 14})


def wrap(text: str, width: int = 50) -> str:
    """Break a long subtitle at its separators, so that it fits a phone of 390 pixels."""
    lines: list[str] = [""]
    for part in text.split(" · "):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(joined) > width and lines[-1]:
            lines.append(part)
        else:
            lines[-1] = joined
    return "<br>".join(lines)


def top_of(subtitle: str) -> int:
    """Pixels above the panels of a figure with a wrapped subtitle."""
    return 66 + 16 * subtitle.count("<br>")


def format_loss(value: float) -> str:
    """A loss with three significant digits."""
    return "not finite" if not math.isfinite(value) else f"{value:.3g}"


def format_with_error(value: float, error: float) -> str:
    """A value ± its standard error, both with as many decimals as give the error one to two digits that count.

    The error is left out where it is not finite, and both are as :func:`format_loss` gives them where it is zero.
    """
    if not math.isfinite(value) or not math.isfinite(error):
        return format_loss(value)
    if error <= 0 or max(abs(value), error) >= 1e5 or error < 1e-5:
        return f"{format_loss(value)} ± {error:.2g}"
    leading, power = f"{error:.1e}".split("e")
    decimals = max(0, (float(leading) < 3) - int(power))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def format_accuracy(value: float) -> str:
    """An accuracy in per cent with one decimal."""
    return "–" if not math.isfinite(value) else f"{100 * value:.1f} %"


def format_points(value: float) -> str:
    """A difference of two accuracies in percentage points, signed."""
    return "–" if not math.isfinite(value) else f"{100 * value:+.1f} points"


def format_ud(value: float) -> str:
    """A UD with two decimals."""
    return "–" if not math.isfinite(value) else f"{value:.2f}"
