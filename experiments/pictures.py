"""From result files to figures: the one place where the pages, the CLI's ``export`` and later reports draw from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis import figures as analysis_figures
from checkpoints import Result
from experiments.experiment import Experiment, ExperimentError
from experiments.own_metric import metric_label
from experiments.spec import SalSpec
from experiments.stored import SURFACE_KIND, read_stored, stored_sal
from experiments.ud_report import PairUd, UdReport, report_ud
from landscape import figures as landscape_figures
from landscape import figures_lines
from landscape.figure_data import COMPUTED
from landscape.figures import PathData, RunCurves, SurfaceData
from landscape.static_export import figure_csv, figure_html, figure_parquet, save_static
from landscape.time_axis import over_time

PLANE_NAMES = {
    "pca": "joint PCA",
    "pca-single": "PCA of the first run",
    "random": "random, filter-normalised",
    "three-point": "three points",
    "parameters": "two parameters",
    "hessian": "top Hessian eigenvectors",
}

CROSS_TASK = ("damage", "net-damage", "task-ud", "task-similarity")  # as in experiments.cross_task_pictures


@dataclass(frozen=True)
class SurfacePicture:
    """One surface file, ready to be drawn."""

    surface: SurfaceData
    paths: tuple[PathData, ...]
    header: dict[str, Any]
    metrics: dict[str, dict[str, np.ndarray]]  # {run: {metric: [T]}}
    divergent: tuple[tuple[str, ...], np.ndarray] | None  # names and distances


def surface_picture(experiment: Experiment, stored: Result) -> SurfacePicture:
    """Arrange a surface file for the figure builders."""
    header, arrays = stored.header, stored.arrays
    block, loss_name = header["options"]["block"], str(header.get("loss_name", ""))
    ratio = header["explained_variance_ratio"]
    surface = SurfaceData(
        alphas=arrays["alphas"],
        betas=arrays["betas"],
        loss=arrays["loss"],
        accuracy=arrays.get("accuracy"),
        samples=int(header["samples"]),
        axis_names=tuple(header["axis_names"]),
        evaluated_on=experiment.data_words(str(header["measured_on"])),
        plane_name=PLANE_NAMES[header["options"]["plane"]] + (f" of {block}" if block else ""),
        explained=None if ratio is None else (float(ratio[0]), float(ratio[1])),
        standard_error=arrays.get("loss_standard_error"),
        seeds=tuple(sorted({experiment.seed_of(name) for name in header["runs"]})),
        note=_surface_note(header, arrays["loss"].size),
        metric=arrays.get("metric"),
        metric_name=metric_label(header.get("metric_name")),
        loss_name=loss_name,
    )
    paths = tuple(_path(experiment, name, arrays, loss_name) for name in header["runs"])
    divergence = header.get("divergence")
    ranked = (tuple(divergence["names"]), arrays["divergence/distance"]) if divergence else None
    metrics = {name: _metrics(name, arrays) for name in header["runs"]}
    return SurfacePicture(surface, paths, header, metrics, ranked)


def _surface_note(header: dict[str, Any], points: int) -> str:
    """What was interpolated, or computed in another precision, and how far that is off."""
    notes = []
    if header.get("interpolation_error"):
        evaluated, error = header["points_evaluated"], header["interpolation_error"]
        notes.append(f"{evaluated} of {points} points evaluated, the others interpolated to about {error:.2g}")
    if header.get("precision_error"):
        notes.append(f"{header['options']['precision']}, off by up to {header['precision_error']:.1g}")
    return " · ".join(notes)


def _metrics(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = f"path/{name}/metric_"
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _computed(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The metric of the user's own at a run's checkpoints, on the data of the surface."""
    found = arrays.get(f"path/{name}/true_metric")
    return {} if found is None else {COMPUTED: found}


def _path(experiment: Experiment, name: str, arrays: dict[str, np.ndarray], loss_name: str) -> PathData:
    def get(key: str) -> np.ndarray | None:
        return arrays.get(f"path/{name}/{key}")

    return PathData(
        name=name,
        role=experiment.drawn_as(name),
        coordinates=arrays[f"path/{name}/coordinates"],
        steps=arrays[f"path/{name}/steps"],
        epochs=arrays[f"path/{name}/epochs"],
        residual=arrays[f"path/{name}/residual"],
        loss_true=get("true_loss"),
        loss_in_plane=get("in_plane_loss"),
        metric_true=get("true_metric"),
        metric_in_plane=get("in_plane_metric"),
        loss_name=loss_name,
    )


def find_surfaces(experiment: Experiment) -> list[Result]:
    """All readable surfaces of an experiment, newest first."""
    return [read_stored(path, SURFACE_KIND) for path in reversed(experiment.result_files("surfaces"))]


def newest_report(experiment: Experiment) -> UdReport:
    """The UD report of the spec's own SAL settings, else of the newest that exist."""
    stored = stored_sal(experiment)
    if not stored:
        raise ExperimentError(f"{experiment.name} has no SAL yet; measure it first: ud {experiment.path}")
    options = experiment.spec.sal if experiment.spec.sal in stored else list(stored)[-1]
    return report_ud(experiment, options, stored[options])


def choose_surface(
    experiment: Experiment,
    plane: str | None = None,
    on: str | None = None,
    *,
    block: str = "",
    runs: Sequence[str] = (),
) -> Result:
    """The newest surface of a plane and data; by default of the experiment's own settings, else the newest of all.

    ``block`` restricts the plane to some parameters, ``runs`` asks for just these paths.
    """
    stored = find_surfaces(experiment)
    own = experiment.spec.surface
    wanted = {"plane": plane or own.plane, "on": on or own.on, "block": block}
    for result in stored:
        fits = all(result.header["options"][key] == value for key, value in wanted.items())
        if fits and (not runs or set(runs) == set(result.header["runs"])):
            return result
    given = {"plane": plane, "on": on, "block": block, "runs": ",".join(runs)}
    if not stored or any(given.values()):
        asked = "".join(f" --{name} {value}" for name, value in given.items() if value)
        raise ExperimentError(
            f"{experiment.name} has no such surface yet; compute one first: surface {experiment.path}{asked}"
        )
    return stored[0]


def draw(
    experiment: Experiment,
    figure: str,
    *,
    plane: str | None = None,
    on: str | None = None,
    quantity: str = "loss",
    dark: bool = False,
    stored: Result | None = None,
    report: UdReport | None = None,
) -> go.Figure:
    """Draw one named figure from what the experiment holds. Raises :class:`ExperimentError` when it is missing.

    ``quantity`` of a surface: ``loss``, ``accuracy``, ``metric``, or what the metric is called.

    Who has the surface file or the UD report already gives it, which saves reading it again.
    """
    if figure in ("compare", "compare-3d", "curves"):
        stored = stored or choose_surface(experiment, plane, on)
        picture = surface_picture(experiment, stored)
        if figure == "curves":
            return figures_lines.training_curves(curves(experiment, stored), dark=dark)
        build = landscape_figures.contour_2d if figure == "compare" else landscape_figures.surface_3d
        held = quantity_of(picture.surface, quantity)
        return build([picture.surface], [picture.paths], quantity=held, dark=dark)
    if figure in CROSS_TASK:
        # only here: few experiments have several tasks, and their pictures draw on this module
        from experiments.cross_task_pictures import draw_cross_task
        from experiments.cross_task_report import report_cross_task

        return draw_cross_task(report_cross_task(experiment), figure, dark=dark)
    report = report or newest_report(experiment)
    stored_series = stored_sal(experiment)[report.options]
    pair = main_pair(report)
    clean = stored_series[f"{experiment.spec.clean_arm}-s{pair.seed}"]
    poisoned = {
        f"{one.arm}-s{pair.seed}": stored_series[f"{one.arm}-s{pair.seed}"]
        for one in report.arms
        if f"{one.arm}-s{pair.seed}" in stored_series
    }
    roles = experiment.roles_drawn([clean.run, *poisoned])
    reference, shown = experiment.reference_name, (clean, *poisoned.values())
    time, moments = over_time(shown)
    pairs = {f"{one.arm}-s{one_pair.seed}": one_pair for one in report.arms for one_pair in one.pairs}
    if figure == "sal":
        return analysis_figures.sal_histogram(
            clean.sal[-1],
            {name: series.sal[-1] for name, series in poisoned.items()},
            pair.distance.threshold,
            roles=roles,
            reference=reference,
            subtitle=sal_subtitle(report.options, report.samples, f"last checkpoint, seed {pair.seed}"),
            dark=dark,
            loss_name=report.loss_name,
        )
    if figure == "sal-heatmap":
        panels = {one.run: (one.sal, x) for one, x in zip(shown, moments, strict=True)}
        return analysis_figures.sal_heatmap(panels, clean.blocks, time=time, dark=dark, loss_name=report.loss_name)
    if figure == "learnable-blocks":
        numbers = [pair.distance.counts_clean, *(pairs[name].distance.counts_poisoned for name in poisoned)]
        counts = {one.run: (x, y) for one, x, y in zip(shown, moments, numbers, strict=True)}
        return analysis_figures.learnable_blocks_over_time(counts, roles, time=time, dark=dark)
    if figure == "ud":
        distance = pair.distance
        return analysis_figures.ud_steps(
            distance.learnable_clean,
            distance.learnable_poisoned,
            distance.value,
            name=(arm := next(one.arm for one in report.arms if pair in one.pairs)),
            roles=experiment.roles_drawn([arm]),
            reference=reference,
            subtitle=f"mean over checkpoints, seed {pair.seed}",
            dark=dark,
        )
    raise ExperimentError(f"There is no figure called {figure!r}.")


def quantity_of(surface: SurfaceData, name: str) -> str:
    """What is to be shown of a surface; it must hold it."""
    held = {"loss": "loss"} | ({"accuracy": "accuracy"} if surface.accuracy is not None else {})
    if surface.metric is not None:
        held = {surface.metric_name: "metric"} | held | {"metric": "metric"}
    if name not in held:
        names = ", ".join(dict.fromkeys(one for one in held if one and (one != "metric" or not surface.metric_name)))
        raise ExperimentError(
            f"The surface on {surface.evaluated_on} holds {names}, not {name!r}; a metric of your own is given by "
            "surface --metric PACKAGE.MODULE:FUNCTION."
        )
    return held[name]


def curves(experiment: Experiment, stored: Result) -> list[RunCurves]:
    """Training curves of the runs of a surface file."""
    return [
        RunCurves(
            name,
            experiment.drawn_as(name),
            stored.arrays[f"path/{name}/steps"],
            stored.arrays[f"path/{name}/epochs"],
            _metrics(name, stored.arrays) | _computed(name, stored.arrays),
            str(stored.header.get("loss_name", "")),
            metric_label(stored.header.get("metric_name") or experiment.spec.metric),
            str(stored.header["measured_on"]),
        )
        for name in stored.header["runs"]
    ]


def main_pair(report: UdReport) -> PairUd:
    """The pair of runs a page shows first: first seed of the first poisoned arm that is no control."""
    arm = next((a for a in report.arms if not a.control), report.arms[0])
    return arm.pairs[0]


def sal_subtitle(options: SalSpec, samples: int, extra: str = "") -> str:
    """What a SAL figure was made of, for its subtitle."""
    search = f"search, {options.steps} passes, lr {options.lr:g}" if options.method == "search" else "gradient estimate"
    batch = "one full batch" if options.batch_size == 0 else f"batches of {options.batch_size}"
    parts = [f"one block per {options.blocks}", search, f"ε = {options.epsilon:g}", f"{samples} samples, {batch}"]
    return " · ".join([*parts, *([extra] if extra else [])])


def render(figure: go.Figure, kind: str, *, width: int = 1000, height: int | None = None, **style: Any) -> bytes:
    """Turn a figure into the bytes of an html, png, svg, pdf, csv or parquet file, without a browser.

    Without a height the picture is as tall as its rows and words need. ``style`` goes to
    ``landscape.static_export.save_static``: font, font_size, title.
    """
    if kind == "html":
        return figure_html(figure).encode()
    if kind == "csv":
        return figure_csv(figure).encode()
    if kind == "parquet":
        return figure_parquet(figure)
    return save_static(figure, kind, width=width, height=height, **style)


__all__: Sequence[str] = [
    "PLANE_NAMES",
    "SurfacePicture",
    "curves",
    "draw",
    "find_surfaces",
    "main_pair",
    "newest_report",
    "render",
    "sal_subtitle",
    "surface_picture",
]
