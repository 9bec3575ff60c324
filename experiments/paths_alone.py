"""Paths of runs on their plane without the network: all that can be drawn where nobody knows it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from experiments.engine import one_thread
from experiments.experiment import Experiment
from experiments.finite import finite_run
from experiments.pictures import PLANE_NAMES
from experiments.preview import LARGEST
from experiments.spec import SurfaceSpec
from experiments.surface_plan import block_selection, pca_names
from landscape import pca_plane
from landscape.figure_data import PathData
from landscape.figures_plane import paths_on_plane

PLANES = ("pca", "pca-single")  # the others need the network, or lie where the paths do not show


def draw_paths_alone(
    experiment: Experiment, options: SurfaceSpec, runs: Sequence[str], *, dark: bool = False
) -> go.Figure | None:
    """The paths of runs on the plane of ``options``; None where it needs the network, or would not be there at once.

    Raises:
        ExperimentError, checkpoints.CheckpointError: A run cannot be read, or does not fit the others.
    """
    opened = {name: finite_run(experiment, name) for name in runs}
    scalars = sum(len(run) * sum(math.prod(shape) for shape in run.parameters.shapes) for run in opened.values())
    if options.plane not in PLANES or scalars > LARGEST or sum(map(len, opened.values())) < 2:
        return None
    ordered = list(opened.values())
    with one_thread():
        block = block_selection(options.block, ordered)
        plane = pca_plane(ordered if options.plane == "pca" else ordered[0], block=block)
        projected = {name: plane.project(run.vector(i) for i in range(len(run))) for name, run in opened.items()}
    ratio = plane.explained_variance_ratio
    paths = [
        PathData(
            name, experiment.drawn_as(name), coordinates, opened[name].steps, opened[name].epochs, residual, None, None
        )
        for name, (coordinates, residual) in projected.items()
    ]
    explained = None if ratio is None else (float(ratio[0]), float(ratio[1]))
    name = PLANE_NAMES[options.plane] + (f" of {options.block}" if options.block else "")
    return paths_on_plane(paths, tuple(pca_names(ratio)), name, explained, dark=dark)
