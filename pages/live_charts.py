"""The charts below the picture of the Live page: training curves, learnable blocks with UD, and SAL.

What is costly about them is built once; a look costs little more than their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from analysis import figures, figures_live
from analysis.figures_live import DistanceSoFar
from experiments import learnable_counts
from landscape import figures_lines
from landscape.figures import RunCurves
from landscape.figures_standing import Numbers, StandingChart
from landscape.time_axis import over_time
from pages.live_view import Moment
from pages.view3d import Drawn

WAITING = {
    "curves": "Training curves; there are none yet.",
    "learnable": "Learnable blocks and UD; there are none yet.",
    "sal": "SAL of every block; there is none yet.",
}


def drawn(moment: Moment, *, dark: bool) -> dict[str, Drawn | None]:
    """All charts at a moment; None for what cannot be drawn yet."""
    return {
        "curves": curves(moment, dark=dark),
        "learnable": learnable(moment, dark=dark),
        "sal": sal(moment, dark=dark),
    }


def blank(roles: Mapping[str, str], *, dark: bool) -> dict[str, Drawn | None]:
    """The charts of a training of these runs before there is one: their axes, and which line will be whose."""
    empty = np.empty(0)
    metrics = {f"{part}_{what}": empty for part in ("train", "test") for what in ("accuracy", "loss")}
    series = [RunCurves(name, role, np.empty(0, dtype=np.int64), empty, metrics) for name, role in roles.items()]
    others = [name for name, role in roles.items() if role != "clean"]
    figs = {
        "curves": figures_lines.blank_curves(series, dark=dark),
        "learnable": figures_live.blank_learnable(roles, others, roles, dark=dark),
        "sal": figures.blank_histogram(dict.fromkeys(roles, 0), roles=roles, dark=dark),
    }
    for name, figure in figs.items():
        unseen = {"tickfont": {"color": "rgba(0, 0, 0, 0)"}}  # numbers take the room that they will need
        figure.update_xaxes(range=[-3, 0] if name == "sal" else [0, 10], **unseen)
        figure.update_yaxes(range=[0, 1], **unseen)
        figure.update_traces(x=[None], y=[None])
    for row, name in enumerate(roles):
        figs["sal"].update_traces(name=name, selector={"type": "bar", "yaxis": f"y{row + 1 if row else ''}"})
    return {name: Drawn.of(figure, WAITING[name]) for name, figure in figs.items()}


def heights(runs: int) -> dict[str, int]:
    """Pixels of every chart of so many runs."""
    return {"curves": 430, "learnable": 430, "sal": 220 + 75 * runs}


def curves(moment: Moment, *, dark: bool) -> Drawn | None:
    """Loss and accuracy of every run, with the moment marked; None while there is but one checkpoint."""
    arrays = moment.snapshot.arrays
    if max(run["checkpoints"] for run in moment.snapshot.header["runs"]) < 2:
        return None
    series = [
        RunCurves(
            run["name"],
            run["role"],
            arrays[f"run/{run['name']}/steps"],
            arrays[f"run/{run['name']}/epochs"],
            {
                key.rsplit("metric_", 1)[-1]: value
                for key, value in arrays.items()
                if key.startswith(f"run/{run['name']}/metric_")
            },
        )
        for run in moment.snapshot.header["runs"]
    ]
    lines = tuple((run.name, run.role, tuple(run.metrics)) for run in series)
    chart = _standing(
        ("curves", over_time(series)[0], lines, dark), lambda: figures_lines.blank_curves(series, dark=dark)
    )
    return _drawn(chart, figures_lines.curve_numbers(series), moment, panels=2)


def learnable(moment: Moment, *, dark: bool) -> Drawn | None:
    """Learnable blocks beside UD by both ways, with the moment marked; None before there is a threshold."""
    arrays, counts = moment.snapshot.arrays, learnable_counts(moment.snapshot)
    if not counts:
        return None
    over = {name: (arrays[f"run/{name}/epochs"][: len(value)], value) for name, value in counts.items()}
    distances = {
        name: DistanceSoFar(
            arrays[f"run/{name}/epochs"],
            arrays[f"run/{name}/ud"],
            arrays[f"run/{name}/search_epochs"],
            arrays[f"run/{name}/search_ud"],
        )
        for name in counts
        if f"run/{name}/ud" in arrays
    }
    roles = {run["name"]: run["role"] for run in moment.snapshot.header["runs"]}
    chart = _standing(
        ("learnable", tuple(roles.items()), tuple(over), tuple(distances), dark),
        lambda: figures_live.blank_learnable(over, distances, roles, dark=dark),
    )
    return _drawn(chart, figures_live.learnable_numbers(over, distances), moment, panels=2)


def sal(moment: Moment, *, dark: bool) -> Drawn | None:
    """SAL of every block of every run at the moment shown; None without a clean run to compare with."""
    header, arrays = moment.snapshot.header, moment.snapshot.arrays
    threshold = header["ud"].get("threshold")
    clean = next((run for run in header["runs"] if run["role"] == "clean"), None)
    if threshold is None or clean is None or len(header["runs"]) < 2:
        return None
    ordered = sorted(header["runs"], key=lambda run: run is not clean)
    now = {run["name"]: arrays[f"run/{run['name']}/sal"][moment.at(run["name"])] for run in ordered}
    roles = {run["name"]: run["role"] for run in ordered}
    which = "newest checkpoint" if moment.newest else f"checkpoint at step {moment.step}"
    numbers = figures.histogram_numbers(
        now,
        float(threshold),
        subtitle=f"{which} · one block per {header['blocks']} · gradient estimate on {header['samples']} samples",
        dark=dark,
    )
    blocks = {name: len(values) for name, values in now.items()}
    chart = _standing(
        ("sal", tuple(blocks.items()), tuple(roles.items()), dark),
        lambda: figures.blank_histogram(blocks, roles=roles, dark=dark),
    )
    return _drawn(chart, numbers, moment, panels=1, marked=False)


@st.cache_resource(max_entries=48, show_spinner=False)
def _standing(lines: tuple[object, ...], _blank: Callable[[], go.Figure]) -> StandingChart:
    return StandingChart(_blank())


def _drawn(chart: StandingChart, numbers: Numbers, moment: Moment, *, panels: int, marked: bool = True) -> Drawn:
    """A chart with its numbers; where it is over time, a moment that is gone back to is marked in it."""
    mark = moment.epoch if marked and not moment.newest else None
    return Drawn(chart.drawn(numbers, mark=mark, step=moment.step), numbers.alt, three=False, panels=panels)
