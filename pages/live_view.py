"""What the Live page draws: the shared plane, the curves, learnable blocks, UD and SAL at the moment shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from analysis import figures as analysis_figures
from analysis.figures_live import DistanceSoFar, learnable_and_distance, mark_epoch
from checkpoints import CheckpointError, Result, read_result
from experiments import Experiment, find_experiment, learnable_counts, snapshot_path
from experiments.live import KIND
from experiments.pictures import SURFACE_KIND, surface_picture
from landscape import figures, figures_lines
from landscape.figures import PathData, RunCurves, SurfaceData
from landscape.style import format_ud
from pages import parts
from pages.view3d import view3d


@dataclass(frozen=True)
class Moment:
    """A snapshot and the checkpoint of it that is shown; ``newest`` where the viewer follows the training."""

    snapshot: Result
    checkpoint: int
    newest: bool

    def at(self, name: str) -> int:
        """The number of the checkpoint shown of a run: runs are at most one apart."""
        return min(self.checkpoint, self.count(name) - 1)

    def count(self, name: str) -> int:
        """Checkpoints of a run so far."""
        return int(next(run["checkpoints"] for run in self.snapshot.header["runs"] if run["name"] == name))

    @property
    def epoch(self) -> float:
        """Epochs trained at this moment."""
        name = max((run["name"] for run in self.snapshot.header["runs"]), key=self.count)
        return float(self.snapshot.arrays[f"run/{name}/epochs"][self.at(name)])

    @property
    def step(self) -> int:
        """Optimiser steps at this moment."""
        name = max((run["name"] for run in self.snapshot.header["runs"]), key=self.count)
        return int(self.snapshot.arrays[f"run/{name}/steps"][self.at(name)])


def read(experiment: Experiment) -> Result | None:
    """The present snapshot, or None while there is none that can be read."""
    path = snapshot_path(experiment)
    try:
        status = path.stat()
        return _read(str(path), status.st_ino, status.st_mtime_ns)
    except (CheckpointError, OSError):
        return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(path: str, number: int, modified: int) -> Result:
    return read_result(Path(path), kind=KIND)


def scrub(snapshot: Result) -> Moment:
    """Choose a moment: the right end follows the training, anything before stays where it is put."""
    runs = snapshot.header["runs"]
    last, newest = max(run["total"] for run in runs) - 1, max(run["checkpoints"] for run in runs) - 1
    if last < 1:
        return Moment(snapshot, newest, True)
    key = f"at-{last}"
    slider, button = st.columns([6, 1], vertical_alignment="bottom")
    chosen = slider.slider(
        f"Checkpoint shown, of {last} (the right end follows the newest)",
        0,
        last,
        last,
        key=key,
        bind="query-params",
        help="Goes back to any checkpoint, also while training goes on; beyond the newest one it follows.",
    )
    following = chosen >= newest
    button.button(
        "Follow",
        key="follow",
        icon=":material/last_page:",
        disabled=chosen == last,
        on_click=_follow,
        args=(key, last),
        width="stretch",
        help="Show the newest checkpoint again.",
    )
    return Moment(snapshot, min(chosen, newest), following)


def _follow(key: str, last: int) -> None:
    st.session_state[key] = last


def numbers(moment: Moment) -> None:
    """Accuracy of every run, UD by both ways, and what the plane holds, at the moment shown."""
    snapshot = moment.snapshot
    runs = snapshot.header["runs"]
    columns = st.columns(len(runs) + 3)
    columns[0].metric("Epoch", f"{moment.epoch:.3g}", f"step {moment.step}", delta_color="off", delta_arrow="off")
    clean = None
    for column, run in zip(columns[1:], runs, strict=False):
        values = snapshot.arrays.get(f"run/{run['name']}/metric_test_accuracy")
        value = float(values[min(moment.at(run["name"]), len(values) - 1)]) if values is not None else None
        clean = value if run["role"] == "clean" else clean
        delta = None
        if run["role"] != "clean" and clean is not None and value is not None:
            delta = f"{100 * (value - clean):+.1f} points"
        column.metric(f"{run['name']} test accuracy", parts.percent(value), delta)
    gradient, searched = _distances_at(moment)
    columns[-2].metric(
        "UD so far",
        gradient,
        f"by search {searched}",
        delta_color="off",
        delta_arrow="off",
        help="From the gradient estimate at every checkpoint up to the one shown, and from the search at whole epochs. "
        + parts.UD_HELP,
    )
    ratio = (snapshot.header["plane"] or {}).get("explained_variance_ratio")
    columns[-1].metric("Plane explains", "–" if ratio is None else parts.percent(sum(ratio)))


def _distances_at(moment: Moment) -> tuple[str, str]:
    gradient, searched = [], []
    for run in moment.snapshot.header["runs"]:
        values = moment.snapshot.arrays.get(f"run/{run['name']}/ud")
        if values is None:
            continue
        gradient.append(format_ud(float(values[min(moment.at(run["name"]), len(values) - 1)])) if len(values) else "–")
        epochs = moment.snapshot.arrays[f"run/{run['name']}/search_epochs"]
        known = int(np.searchsorted(epochs, moment.epoch + 1e-9, side="right"))
        values = moment.snapshot.arrays[f"run/{run['name']}/search_ud"]
        searched.append(format_ud(float(values[known - 1])) if known else "–")
    return " / ".join(gradient) or "–", " / ".join(searched) or "–"


def landscape(moment: Moment) -> None:
    """The surface with all paths; they end at the newest checkpoint, a mark stands at the one shown."""
    if moment.snapshot.header["plane"] is None:
        st.caption("The plane needs three checkpoints.")
        return
    surface, paths = _surface(moment.snapshot)
    step = None if moment.newest else moment.step
    figure = figures.surface_3d([surface], [paths], step=step, dark=parts.is_dark())
    view3d(figure, key="live3d", height=520, alt=parts.alternative(figure))


def curves(moment: Moment, left: DeltaGenerator, right: DeltaGenerator) -> None:
    """Training curves, and learnable blocks beside UD, with the moment marked in all of them."""
    dark, snapshot = parts.is_dark(), moment.snapshot
    runs, arrays = snapshot.header["runs"], snapshot.arrays
    series = [
        RunCurves(
            run["name"],
            run["role"],
            arrays[f"run/{run['name']}/epochs"],
            {
                key.rsplit("metric_", 1)[-1]: value
                for key, value in arrays.items()
                if key.startswith(f"run/{run['name']}/metric_")
            },
        )
        for run in runs
    ]
    with left:
        figure = figures_lines.training_curves(series, dark=dark)
        parts.plot(_marked(figure, moment, dark), key="live-curves", height=330)
    counts = learnable_counts(snapshot)
    if not counts:
        return
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
    with right:
        figure = learnable_and_distance(over, distances, {run["name"]: run["role"] for run in runs}, dark=dark)
        parts.plot(_marked(figure, moment, dark), key="live-lp", height=330)


def _marked(figure: Any, moment: Moment, dark: bool) -> Any:
    return figure if moment.newest else mark_epoch(figure, moment.epoch, dark=dark)


def sal(moment: Moment) -> None:
    """SAL of every block of every run at the moment shown."""
    header, arrays = moment.snapshot.header, moment.snapshot.arrays
    threshold = header["ud"].get("threshold")
    clean = next((run for run in header["runs"] if run["role"] == "clean"), None)
    if threshold is None or clean is None or len(header["runs"]) < 2:
        return
    now: dict[str, NDArray[np.float64]] = {
        run["name"]: arrays[f"run/{run['name']}/sal"][moment.at(run["name"])] for run in header["runs"]
    }
    which = "newest checkpoint" if moment.newest else f"checkpoint at step {moment.step}"
    figure = analysis_figures.sal_histogram(
        now.pop(clean["name"]),
        now,
        float(threshold),
        roles={run["name"]: run["role"] for run in header["runs"]},
        subtitle=f"{which}; gradient estimate on {header['samples']} samples; one block per {header['blocks']}",
        dark=parts.is_dark(),
    )
    parts.plot(figure, key="live-sal", height=190 + 75 * len(header["runs"]))


def _surface(snapshot: Result) -> tuple[SurfaceData, tuple[PathData, ...]]:
    arrays, ratio = snapshot.arrays, snapshot.header["plane"]["explained_variance_ratio"]
    surface = SurfaceData(
        alphas=arrays["alphas"],
        betas=arrays["betas"],
        loss=arrays["loss"],
        accuracy=None,
        samples=int(arrays["surface_samples"][0]),
        axis_names=tuple(f"PC {k + 1} ({100 * r:.0f} %)" for k, r in enumerate(ratio)),
        evaluated_on="clean training data (preview)",
        plane_name="joint PCA",
        explained=(float(ratio[0]), float(ratio[1])),
        standard_error=None,
        seeds=(int(snapshot.header["seed"]),),
    )
    paths = tuple(
        PathData(
            name=run["name"],
            role=run["role"],
            coordinates=arrays[f"run/{run['name']}/coordinates"],
            steps=arrays[f"run/{run['name']}/steps"][: run["checkpoints"]],
            epochs=arrays[f"run/{run['name']}/epochs"][: run["checkpoints"]],
            residual=arrays[f"run/{run['name']}/residual"],
            loss_true=None,
            loss_in_plane=None,
        )
        for run in snapshot.header["runs"]
    )
    return surface, paths


def nothing_yet(words: str) -> None:
    """The place of the picture before there is one."""
    st.info(words, icon=":material/hourglass_empty:")


def finished_before(preset: str, *, offer: bool = True) -> None:
    """A finished training of the preset, where one is at hand, until there is something of one's own to see."""
    if offer:
        st.markdown("Press **Start**: the paths appear within seconds, and every slider then starts them anew.")
    try:
        experiment = find_experiment(preset)
        stored = [parts.read(path, SURFACE_KIND) for path in experiment.result_files("surfaces")]
        picture = surface_picture(experiment, next(result for result in stored if _as_live(result)))
    except (ValueError, OSError, LookupError, StopIteration):
        return
    figure = figures.surface_3d([picture.surface], [picture.paths], dark=parts.is_dark())
    view3d(figure, key="live3d", height=520, alt=parts.alternative(figure))
    st.caption(f"A finished training of {preset}, as it will look.")


def _as_live(stored: Result) -> bool:
    """Whether a surface lies on the plane that the page draws: joint PCA of all weights, loss on clean data."""
    options = stored.header["options"]
    return bool(options["plane"] == "pca" and options["on"] == "clean" and not options["block"])
