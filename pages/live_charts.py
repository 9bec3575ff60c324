"""The charts below the picture of the Live page: training curves, learnable blocks with UD, and SAL.

They follow a moving training in turn and at a slower pace than the paths: three charts drawn anew several times a
second would keep the browser from answering its viewer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from analysis import figures, figures_live
from analysis.figures_live import DistanceSoFar
from experiments import learnable_counts
from landscape import figures_lines
from landscape.figures import RunCurves
from landscape.figures_standing import Numbers, StandingChart
from landscape.time_axis import over_time
from pages import parts
from pages.live_view import Moment
from pages.view3d import Drawn, stage

PACE = 1.8  # seconds between drawings of one chart while training moves, at least
KEPT = "live-charts"  # what was drawn last


@dataclass(frozen=True)
class _Drawn:
    training: tuple[float, bool]
    moment: tuple[int, int, bool]
    when: float
    drawn: Drawn | None


def charts(moment: Moment, *, moving: bool) -> None:
    """Draw all three; while training moves and is followed, at most one of them is new at a time."""
    dark, header = parts.is_dark(), moment.snapshot.header
    training = (header.get("began", header["time"]), dark)
    shown = (header["number"], moment.checkpoint, moment.newest)
    kept: dict[str, _Drawn] = st.session_state.setdefault(KEPT, {})
    now = time.monotonic()
    for name, one in list(kept.items()):
        if one.training != training:
            del kept[name]
    makers = {"curves": curves, "lp": learnable, "sal": sal}
    due = min(makers, key=lambda name: kept[name].when if name in kept else 0.0)
    for name, make in makers.items():
        one = kept.get(name)
        follows = moving and moment.newest and (one is None or one.moment[2])
        if follows and (name != due or (one is not None and now - one.when < PACE)):
            continue
        if one is None or one.moment != shown:
            kept[name] = _Drawn(training, shown, now, make(moment, dark=dark))
    left, right = st.columns(2, gap="medium")
    for place, name, height in (
        (left, "curves", 430),
        (right, "lp", 430),
        (st.container(), "sal", 220 + 75 * len(header["runs"])),
    ):
        with place:
            if name not in kept:
                st.html(f'<div style="height: {height}px"></div>')  # its turn comes
            elif (drawn := kept[name].drawn) is not None:
                # Through the same bundle as the surface: another one would have to be loaded when training starts.
                stage([drawn], key=f"live-{name}", height=height)


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
    return _drawn(chart, numbers, None, panels=1)


@st.cache_resource(max_entries=48, show_spinner=False)
def _standing(lines: tuple[object, ...], _blank: Callable[[], go.Figure]) -> StandingChart:
    return StandingChart(_blank())


def _drawn(chart: StandingChart, numbers: Numbers, moment: Moment | None, *, panels: int) -> Drawn:
    """A chart with its numbers; a moment that is gone back to is marked in it."""
    mark = None if moment is None or moment.newest else moment.epoch
    return Drawn(chart.drawn(numbers, mark=mark), numbers.alt, three=False, panels=panels)
