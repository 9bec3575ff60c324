"""A training as a film: the stage (surface and curves) that stays, and where every run is at every moment."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from landscape.figure_data import BUILT_IN, COMPUTED, PathData, RunCurves, SurfaceData, held_out, values_of
from landscape.figures import nearly_square, subtitle
from landscape.heights import choose_heights
from landscape.loss_words import loss_label, loss_word
from landscape.static_draw import COLOURMAP
from landscape.static_layout import wrapped
from landscape.style import colours, format_accuracy, format_loss, ink
from landscape.time_axis import over_time

FRAMES = 90  # at most; of longer trainings some checkpoints are left out
LEVELS = 22
METRICS = (
    ("test_accuracy", "test accuracy (%)", 100.0),
    ("test_loss", "test loss", 1.0),
    ("train_loss", "training loss", 1.0),
)
DPI = 100
BESIDE_BAR = 0.82  # of the width: where the surface ends in a narrow film, so that its scale has room
TITLE = "Training on the loss surface"
GROUND = {False: "#FFFFFF", True: "#0E1117"}


STYLE: Any = {
    "font.size": 10,
    "svg.hashsalt": "unlearnscape",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, eq=False)
class Track:
    """A run on the stage: T checkpoints, in pixels from the upper left corner."""

    name: str
    role: str
    colour: str
    steps: NDArray[np.int64]  # [T]
    path: NDArray[np.float64]  # [T, 2]
    curve: NDArray[np.float64]  # [T, 2]; not finite where the metric is not known
    words: tuple[str, ...]  # [T] what it has reached


@dataclass(frozen=True, eq=False)
class Stage:
    """All that a film is made of.

    Attributes:
        canvas: What stays, drawn by matplotlib. size: Width and height in pixels. split: Pixels from the left at which
            the surface ends and the curves begin; the width where they stand below it.
        moments: [F] training steps, one a frame; epochs: [F] the same in epochs.
        alt: The film in words.
    """

    canvas: Canvas
    size: tuple[int, int]
    split: float
    tracks: tuple[Track, ...]
    moments: NDArray[np.int64]
    epochs: NDArray[np.float64]
    subtitle: str
    alt: str
    dark: bool

    def reached(self, track: Track, frame: int) -> int:
        """Index of the last checkpoint of a run at a frame; the first one before it has begun."""
        return max(0, int(np.searchsorted(track.steps, self.moments[frame], side="right")) - 1)


def build_stage(
    surface: SurfaceData,
    paths: Sequence[PathData],
    curves: Sequence[RunCurves],
    *,
    size: tuple[int, int] = (960, 520),
    dark: bool = False,
    title: bool = True,
    stacked: bool = False,
) -> Stage:
    """Draw what stays and find where the runs go.

    ``title`` also draws what it is, above; ``stacked`` puts the curves below the surface, for a narrow screen.

    Raises ValueError when there is no path to film.
    """
    if not paths:
        raise ValueError("A film needs at least one run whose path lies on the surface; compute a surface with runs.")
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor=GROUND[dark])
        FigureCanvasAgg(canvas)
        heights = choose_heights([surface.loss], "loss", "auto", loss_word(surface.loss_name))
        under = subtitle([surface], heights)
        top = _title(canvas, under, dark) if title else 0.97
        bottom = (0.55 + 0.17 * len(paths) * title) * DPI / size[1]  # a line of legend for each run
        place = {"left": 0.07, "right": 0.98, "bottom": bottom, "top": top, "wspace": 0.5}
        if stacked:
            place |= {"left": 0.13, "hspace": 0.22}
            oblong = np.ptp(surface.betas) / np.ptp(surface.alphas) if nearly_square(surface) else 1.0
            left, right = canvas.subplots(2, 1, height_ratios=[min(float(oblong), 1.2), 1], gridspec_kw=place)
            whole = left.get_position()
            left.set_position((whole.x0, whole.y0, BESIDE_BAR - whole.x0, whole.height))
        else:
            left, right = canvas.subplots(1, 2, width_ratios=[1.5, 1], gridspec_kw=place)
        _surface(canvas, left, surface, heights, dark)
        metric, axis, factor = _metric(curves)
        said = axis if metric == COMPUTED else metric.replace("_", " ")
        values = [factor * _values(curves, path.name, metric, len(path.steps)) for path in paths]
        time, along = over_time(paths)
        _curve_axes(right, along, values, (time, axis), dark)
        tints = colours([path.role for path in paths], dark=dark)
        canvas.canvas.draw()
        split = size[0] if stacked else float(right.get_tightbbox().x0) - 4
        tracks = tuple(
            Track(
                path.name,
                path.role,
                tint,
                path.steps,
                _pixels(left, path.coordinates, size),
                _pixels(right, np.column_stack([x, y]), size),
                _words(path, y, said),
            )
            for path, tint, x, y in zip(paths, tints, along, values, strict=True)
        )
    moments, epochs = _moments(paths)
    ends = "; ".join(f"{track.name} ends with {track.words[-1]}" for track in tracks)
    alt = f"Film of {len(moments)} frames: the paths of {', '.join(t.name for t in tracks)} grow over the loss of "
    alt += f"{surface.evaluated_on}, beside their {axis.split(' (')[0]}. {ends}."
    return Stage(canvas, size, split, tracks, moments, epochs, under, alt, dark)


def animation_csv(paths: Sequence[PathData], curves: Sequence[RunCurves]) -> str:
    """Every number of the film: a row for each checkpoint of each run."""
    metric, _, _ = _metric(curves)
    own = curves[0].metric_name if any(path.metric_true is not None for path in paths) else ""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ["run", "step", "epoch", "alpha", "beta", "off_plane", "loss", "in_plane_loss"]
    heads += [f"true_{own}", f"in_plane_{own}"] if own else []
    writer.writerow([*heads, *([metric] if metric != COMPUTED else [])])
    for path in paths:
        values = _values(curves, path.name, metric, len(path.steps)) if metric != COMPUTED else None
        known = [path.loss_true, path.loss_in_plane, *([path.metric_true, path.metric_in_plane] if own else [])]
        for i in range(len(path.steps)):
            measured = ["" if v is None or len(v) <= i else v[i] for v in known]
            place = [path.steps[i], path.epochs[i], *path.coordinates[i], path.residual[i]]
            writer.writerow([path.name, *place, *measured, *([] if values is None else [values[i]])])
    return out.getvalue()


def _title(canvas: Canvas, under: str, dark: bool) -> float:
    """Title and what the surface is made of; returns the height left below."""
    inch = canvas.get_figheight()
    style: Any = {"va": "top", "color": ink(dark=dark)}
    canvas.text(0.02, 1 - 0.1 / inch, TITLE, weight="bold", size=13, **style)
    lines = wrapped(under, 0.95 * canvas.get_figwidth() * 72 / 9, " · ")
    for i, line in enumerate(lines):
        canvas.text(0.02, 1 - (0.36 + 0.17 * i) / inch, line, size=9, **style)
    return 1 - (0.5 + 0.17 * len(lines)) / inch


def _surface(canvas: Canvas, axes: Any, surface: SurfaceData, heights: Any, dark: bool) -> None:
    z = np.ma.masked_invalid(heights.place(values_of(surface, "loss")).T)
    levels = np.linspace(heights.low, heights.high, LEVELS)
    drawn = axes.contourf(surface.alphas, surface.betas, z, levels=levels, cmap=COLOURMAP, extend="both")
    drawn.set_edgecolor("face")  # no seams between the bands where vectors are scaled
    bar = canvas.colorbar(drawn, cax=axes.inset_axes([1.02, 0, 0.05, 1]))
    bar.outline.set_visible(False)
    bar.set_ticks([float(t) for t in heights.ticks], labels=list(heights.labels))
    bar.set_label(heights.title, color=ink(dark=dark))
    bar.ax.tick_params(colors=ink(dark=dark), labelsize=8.5)
    axes.set_xlabel(surface.axis_names[0])
    axes.set_ylabel(surface.axis_names[1])
    if nearly_square(surface):
        axes.set_aspect("equal", adjustable="box", anchor="N")
    _ground(axes, dark)


def _curve_axes(
    axes: Any,
    along: Sequence[NDArray[np.float64]],
    values: Sequence[NDArray[np.float64]],
    labels: tuple[str, str],
    dark: bool,
) -> None:
    finite = np.concatenate([v[np.isfinite(v)] for v in values]) if values else np.zeros(0)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if labels[1].endswith("(%)"):
        low, high = 0.0, 100.0
    room = 0.04 * (high - low) or 0.5
    last = max(float(x[-1]) for x in along)
    axes.set_xlim(-0.02 * last, 1.02 * last or 1.0)
    axes.set_ylim(low - room, high + room)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid(True, alpha=0.2, linewidth=0.6)
    _ground(axes, dark)


def _ground(axes: Any, dark: bool) -> None:
    colour = ink(dark=dark)
    axes.set_facecolor("none")
    axes.tick_params(colors=colour, labelsize=8.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(colour)
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_alpha(0.4)


def _metric(curves: Sequence[RunCurves]) -> tuple[str, str, float]:
    """The first metric that any run knows: its name, its axis, and what it is multiplied by."""
    label = curves[0].metric_name if curves else ""
    own = [(key, f"{part} {label}") for key, part in held_out(label)]
    own += [(f"train_{label}", f"training {label}"), (label, label)]
    own = [] if label in ("", *BUILT_IN) else [*own, (COMPUTED, f"{label} on {curves[0].computed_on}")]
    for name, axis, factor in (METRICS[0], *((key, axis, 1.0) for key, axis in own), *METRICS[1:]):
        if any(name in one.metrics for one in curves):
            return name, _axis(axis, curves), factor
    return METRICS[0]


def _axis(axis: str, curves: Sequence[RunCurves]) -> str:
    return loss_label(curves[0].loss_name, axis) if axis.endswith("loss") else axis


def _values(curves: Sequence[RunCurves], name: str, metric: str, length: int) -> NDArray[np.float64]:
    found = next((one.metrics[metric] for one in curves if one.name == name and metric in one.metrics), None)
    if found is None or len(found) != length:
        return np.full(length, np.nan)
    return np.asarray(found, dtype=np.float64)


def _pixels(axes: Any, points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    drawn = np.asarray(axes.transData.transform(points), dtype=np.float64)
    return np.column_stack([drawn[:, 0], size[1] - drawn[:, 1]])


def _words(path: PathData, values: NDArray[np.float64], what: str) -> tuple[str, ...]:
    said = []
    for i, value in enumerate(values):
        if not np.isfinite(value):
            known = path.loss_true is not None and len(path.loss_true) > i
            said.append(f"loss {format_loss(float(path.loss_true[i]))}" if known and path.loss_true is not None else "")
        elif what == "test accuracy":
            said.append(f"{format_accuracy(value / 100)} test accuracy")
        else:
            said.append(f"{what} {format_loss(float(value))}")
    return tuple(said)


def _moments(paths: Sequence[PathData]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps at which any run has a checkpoint, thinned evenly, and their epochs."""
    steps = np.concatenate([path.steps for path in paths])
    epochs = np.concatenate([path.epochs for path in paths])
    unique, first = np.unique(steps, return_index=True)
    chosen = np.unique(np.linspace(0, len(unique) - 1, min(FRAMES, len(unique))).round().astype(int))
    return unique[chosen].astype(np.int64), epochs[first][chosen]


__all__ = ["FRAMES", "Stage", "Track", "animation_csv", "build_stage"]
