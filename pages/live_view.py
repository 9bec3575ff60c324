"""What the Live page draws: the shared plane, the curves, learnable blocks, UD and SAL at the moment shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from checkpoints import CheckpointError, Result, read_result
from experiments import Experiment, find_experiment, snapshot_path
from experiments.live import KIND
from experiments.pictures import surface_picture
from experiments.stored import SURFACE_KIND
from landscape import figures
from landscape.figures import PathData, SurfaceData
from landscape.style import arrange, format_points, format_ud, ink
from pages import parts
from pages.view3d import Drawn

UD_SO_FAR = (
    "From the gradient estimate at every checkpoint up to the one shown, and from the search at the first checkpoint "
    "of an epoch, which is named. " + parts.UD_HELP
)


@dataclass(frozen=True)
class Tile:
    """A number with what it is called, a word about it, and its explanation."""

    label: str
    value: str
    note: str = ""
    help: str = ""


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
    def lies_on_a_plane(self) -> bool:
        """Whether there were checkpoints enough for one."""
        return self.snapshot.header["plane"] is not None

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
    # Counted from 1, so that the last number is how many there are, as everywhere.
    last, newest = max(run["total"] for run in runs), max(run["checkpoints"] for run in runs)
    if last < 2:
        return Moment(snapshot, newest - 1, True)
    key = f"at-{last}"
    slider, button = st.columns([6, 1], vertical_alignment="bottom")
    chosen = slider.slider(
        f"Checkpoint shown, of {last} in each run (1 is the start; the right end follows the newest)",
        1,
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
    return Moment(snapshot, min(chosen, newest) - 1, following)


def _follow(key: str, last: int) -> None:
    st.session_state[key] = last


def tiles(moment: Moment) -> tuple[Tile, ...]:
    """Accuracy of every run, UD by both ways, and what the plane holds, at the moment shown."""
    snapshot = moment.snapshot
    accuracies, clean = [], None
    for run in snapshot.header["runs"]:
        values = snapshot.arrays.get(f"run/{run['name']}/metric_test_accuracy")
        value = float(values[min(moment.at(run["name"]), len(values) - 1)]) if values is not None else None
        clean = value if run["role"] == "clean" else clean
        note = ""
        if run["role"] != "clean" and clean is not None and value is not None:
            note = f"{format_points(value - clean)} against clean"
        accuracies.append(Tile(f"{run['name']} test accuracy", parts.percent(value), note))
    distances = _distances_at(moment)
    race = len(distances) > 1
    ratio = (snapshot.header["plane"] or {}).get("explained_variance_ratio")
    return (
        Tile("Epoch", f"{moment.epoch:.3g}", f"step {moment.step}"),
        *accuracies,
        *(
            Tile(f"UD so far, {name}" if race else "UD so far", gradient, searched, UD_SO_FAR)
            for name, gradient, searched in distances
        ),
        Tile("Plane explains", "–" if ratio is None else parts.percent(sum(ratio)), "of the variance"),
    )


def no_tiles(roles: Mapping[str, str]) -> tuple[Tile, ...]:
    """The numbers of a training of these runs before there is one."""
    others = [name for name, role in roles.items() if role != "clean"]
    race = len(others) > 1
    return (
        Tile("Epoch", "–"),
        *(Tile(f"{name} test accuracy", "–") for name in roles),
        *(Tile(f"UD so far, {name}" if race else "UD so far", "–", "", UD_SO_FAR) for name in others),
        Tile("Plane explains", "–"),
    )


def _distances_at(moment: Moment) -> list[tuple[str, str, str]]:
    """UD so far of every run beside the clean one: its name, by gradient, and by search with its epoch."""
    found = []
    for run in moment.snapshot.header["runs"]:
        if run["role"] == "clean":
            continue
        values = moment.snapshot.arrays.get(f"run/{run['name']}/ud")
        if values is None:
            found.append((run["name"], "–", "no search yet"))
            continue
        gradient = format_ud(float(values[min(moment.at(run["name"]), len(values) - 1)])) if len(values) else "–"
        epochs = moment.snapshot.arrays[f"run/{run['name']}/search_epochs"]
        known = int(np.searchsorted(epochs, moment.epoch + 1e-9, side="right"))
        values = moment.snapshot.arrays[f"run/{run['name']}/search_ud"]
        searched = f"by search {format_ud(float(values[known - 1]))} (epoch {epochs[known - 1]:.3g})" if known else ""
        found.append((run["name"], gradient, searched or "no search yet"))
    return found


def landscape(moment: Moment) -> Drawn | None:
    """The surface with all paths, and a mark at the checkpoint shown; None before there is a plane."""
    if not moment.lies_on_a_plane:
        return None
    surface, paths = _surface(moment.snapshot)
    header, plane = moment.snapshot.header, moment.snapshot.header["plane"]
    # Older snapshots do not say when they began, and are of one plane each.
    made = f"{header.get('began', header['time'])} {plane.get('number', header['number'])}"
    standing = _standing(made, parts.is_dark(), surface)
    figure, words = standing.drawn(paths, step=None if moment.newest else moment.step, meta={"step": moment.step})
    return Drawn(figure, words, three=True, panels=1)


@st.cache_resource(max_entries=16, show_spinner=False)
def _standing(made: str, dark: bool, _surface: SurfaceData) -> figures.StandingSurface:
    return figures.StandingSurface(_surface, dark=dark)


def _surface(snapshot: Result) -> tuple[SurfaceData, tuple[PathData, ...]]:
    arrays, ratio = snapshot.arrays, snapshot.header["plane"]["explained_variance_ratio"]
    found = snapshot.header["plane"].get("checkpoints")
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
        note=f"plane of the first {found} checkpoints of all runs" if found else "",
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


def finished_before(preset: str) -> Drawn | None:
    """A finished training of the preset, where one is at hand, until there is something of one's own to see."""
    try:
        files = find_experiment(preset).result_files("surfaces")
        return _finished(preset, tuple((str(path), path.stat().st_mtime_ns) for path in files), parts.is_dark())
    except (ValueError, OSError, LookupError):
        return None


def no_scene(*, dark: bool) -> Drawn:
    """An empty scene, in which the first surface is drawn sooner than where there was none."""
    figure = go.Figure(go.Scatter3d(x=[0.0], y=[0.0], z=[0.0], mode="markers", marker={"opacity": 0}, hoverinfo="skip"))
    figure = arrange(figure, title="Loss surface", alt="No surface yet.", dark=dark)
    axis = {"showticklabels": False, "title": "", "color": ink(dark=dark), "showspikes": False}
    return Drawn.of(figure.update_scenes(xaxis=axis, yaxis=axis, zaxis=axis, uirevision="constant"))


@st.cache_resource(max_entries=16, show_spinner=False)
def _finished(preset: str, files: tuple[tuple[str, int], ...], dark: bool) -> Drawn | None:
    experiment = find_experiment(preset)
    stored = (parts.read(path, SURFACE_KIND) for path in experiment.result_files("surfaces"))
    fitting = next((result for result in stored if _as_live(result)), None)
    if fitting is None:
        return None
    picture = surface_picture(experiment, fitting)
    figure = figures.surface_3d([picture.surface], [picture.paths], dark=dark)
    return Drawn.of(figure, parts.alternative(figure))


def _as_live(stored: Result) -> bool:
    """Whether a surface lies on the plane that the page draws: joint PCA of all weights, loss on clean data."""
    options = stored.header["options"]
    return bool(options["plane"] == "pca" and options["on"] == "clean" and not options["block"])
