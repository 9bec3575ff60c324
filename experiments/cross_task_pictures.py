"""Figures of what the cross-task step measured, for pages and for ``export``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis import figures_cross_task
from analysis.figures_predictions import (
    depth_images,
    keypoint_images,
    prediction_grid,
    scene_words,
    segment_images,
)
from checkpoints import CheckpointError, Result, read_result
from experiments.cross_task_names import SCENE_TASK
from experiments.cross_task_report import CrossTask
from experiments.cross_task_stored import of_present_runs
from experiments.experiment import Experiment, ExperimentError
from experiments.pictures import surface_picture
from experiments.spec import run_name
from experiments.stored import SURFACE_KIND, TASK_SURFACES
from landscape.figures import contour_2d
from landscape.style import wrap

FIGURES = ("damage", "net-damage", "task-ud", "task-similarity")
UNITS = {
    "scene": "cross-entropy (nats)",
    "keypoints2d": "mean absolute error",
    "depth_euclidean": "mean |Δ ln depth|",
    "segment_unsup2d": "metric loss (nats)",
}
SHARP = 512  # pixels up to which small images are enlarged without blur
MAPS = ("keypoints2d", "depth_euclidean", "segment_unsup2d")


def draw_cross_task(
    found: CrossTask,
    figure: str,
    *,
    control: str | None = None,
    arm: str | None = None,
    kind: str = "pearson",
    dark: bool = False,
) -> go.Figure:
    """One of ``FIGURES``.

    Args:
        control: Of the net damage; the first one when not given. arm: Beside clean in the matrices; the first one.
        kind: Of similarity.

    Raises:
        ExperimentError: What the figure needs is not measured, or there is no such control.
    """
    titles = {task: title.words for task, title in found.tasks.items()}
    if figure == "damage":
        return figures_cross_task.damage_chart(found.damage, found.arms, titles, subtitle=data_words(found), dark=dark)
    if figure == "net-damage":
        control = control or next(iter(found.controls), None)
        if control is None or control not in found.net:
            raise ExperimentError(f"{found.experiment} has no measured control arm; net damage is relative to one.")
        return figures_cross_task.damage_chart(
            found.net[control],
            {arm: role for arm, role in found.arms.items() if arm != control},
            titles,
            net=True,
            subtitle=f"{data_words(found)} · net of {control}",
            dark=dark,
        )
    if not found.sal:
        raise ExperimentError(
            f"{found.experiment} has no SAL of every task yet; measure it: cross-task {found.experiment}"
        )
    if figure == "task-ud":
        plain = {task: title.title for task, title in found.tasks.items()}
        return figures_cross_task.task_ud_chart(found.ud, found.arms, plain, subtitle=sal_words(found), dark=dark)
    arm = arm or next(iter(found.arms))
    panels = {one: found.similarity(one, kind) for one in (found.clean_arm, arm)}
    known = {name: matrix for name, matrix in panels.items() if matrix is not None}
    if not known:
        raise ExperimentError(
            found.similarity_problem(found.clean_arm) or f"{found.experiment} has no run with SAL of every task."
        )
    return figures_cross_task.similarity_matrices(
        known,
        [found.tasks[task].title for task in found.sal],
        kind=kind,
        subtitle=f"{sal_words(found)} · last checkpoint",
        dark=dark,
    )


def data_words(found: CrossTask) -> str:
    """Data, images and seeds, for subtitles."""
    return f"{found.base.header['data']} · {found.images} clean test images · {_seeds(found.seeds[found.clean_arm])}"


def sal_words(found: CrossTask) -> str:
    """What SAL was measured on, for subtitles."""
    one = next(series for runs in found.sal.values() for series in runs.values())
    parts = [f"{len(one.blocks)} layers of the shared backbone", f"{one.header['samples']} training images"]
    return " · ".join([*parts, _seeds(found.seeds[found.clean_arm])])


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


# Examples --------------------------------------------------------------------------------------------------


def example_images(found: CrossTask) -> list[str]:
    """A name for each test image that is kept."""
    classes = found.base.header["classes"]
    if SCENE_TASK not in found.tasks:
        return [f"image {k + 1}" for k in range(len(found.base.arrays["examples"]))]
    truth = found.base.arrays[f"truth/{SCENE_TASK}"]
    return [f"{k + 1}: {_name(classes, int(label))}" for k, label in enumerate(truth)]


def example_picture(found: CrossTask, image: int) -> np.ndarray:
    """One kept test image [H, W, 3] uint8, small ones with every pixel as a square of several."""
    picture = found.base.arrays["rgb"][image].transpose(1, 2, 0)
    scale = max(1, SHARP // picture.shape[0])
    return np.asarray(picture.repeat(scale, axis=0).repeat(scale, axis=1))


def example_grid(found: CrossTask, image: int, seed: int, arms: Sequence[str]) -> str:
    """Truth and what clean and other runs say of one test image, every task in a row, as HTML."""
    base = found.base.arrays
    columns = ["truth", *arms]
    results = {arm: found.shown[run_name(arm, seed)].arrays for arm in arms}
    rows = {
        f"{title.title} ({MAP_WORDS[task]})": _maps(
            task, base[f"truth/{task}"][image], [one[f"example/{task}"][image] for one in results.values()]
        )
        for task, title in found.tasks.items()
        if task in MAPS
    }
    heads: dict[str, str] = {}
    if SCENE_TASK in found.tasks:
        classes = found.base.header["classes"]
        heads = {arm: scene_words(one[f"example/{SCENE_TASK}"][image], classes) for arm, one in results.items()}
        heads["truth"] = _name(classes, int(base[f"truth/{SCENE_TASK}"][image]))
    return prediction_grid(rows, columns, heads) if rows else ""


MAP_WORDS = {
    "keypoints2d": "bright: corner-like",
    "depth_euclidean": "dark: near, grey: not known",
    "segment_unsup2d": "colours matched to the truth",
}


def _maps(task: str, truth: np.ndarray, predicted: Sequence[np.ndarray]) -> np.ndarray:
    every = [truth, *predicted]
    if task == "depth_euclidean":
        return depth_images(every, truth)
    if task == "segment_unsup2d":
        return segment_images([one.astype(np.int64) for one in every], truth.astype(np.int64))
    return keypoint_images(every)


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else f"class {label}"


# Surfaces --------------------------------------------------------------------------------------------------


def task_surfaces(experiment: Experiment) -> dict[str, Result]:
    """A surface for each task, all on one plane with the same paths: of those that most tasks have, the newest.

    Surfaces of runs that were trained anew since are passed over.
    """
    groups: dict[tuple[Any, ...], dict[str, Result]] = {}
    for path in reversed(experiment.result_files(TASK_SURFACES)):
        try:
            result = read_result(path, kind=SURFACE_KIND)
        except CheckpointError:
            continue
        if not of_present_runs(experiment, result.header):
            continue
        options = {key: str(value) for key, value in result.header["options"].items()}
        prints = tuple(sorted(result.header.get("fingerprints", {}).items()))
        key = (tuple(result.header["runs"]), prints, *sorted(options.items()))
        groups.setdefault(key, {}).setdefault(str(result.header["task"]), result)
    return max(groups.values(), key=len, default={})


def task_surface_figure(
    experiment: Experiment, task: str, title: str, result: Result, *, dark: bool = False
) -> go.Figure:
    """Contours of one task's loss, with the paths."""
    picture = surface_picture(experiment, result)
    figure = contour_2d([picture.surface], [picture.paths], dark=dark)
    below = f"{UNITS[task]} on {figure.layout.title.subtitle.text}"
    heading = {
        "text": f"<b>{title[0].upper() + title[1:]}</b>",
        "subtitle": {"text": wrap(below.replace("<br>", " · "))},
    }
    figure.update_layout(title=heading | {"x": 0, "xref": "container"}, height=430)
    for trace in figure.data:
        if trace.type == "contour":
            trace.colorbar.title.text = "loss"
    alt = str(figure.layout.meta["alt"]).replace("Loss", f"Loss of the task {title}, {UNITS[task]},", 1)
    return figure.update_layout(meta={"alt": alt, "dark": dark})


__all__: Sequence[str] = [
    "FIGURES",
    "data_words",
    "draw_cross_task",
    "example_grid",
    "example_images",
    "example_picture",
    "task_surface_figure",
    "task_surfaces",
]
