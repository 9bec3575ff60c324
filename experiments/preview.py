"""A first look at a surface that a job has only begun: a few points on a few samples, within a second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from checkpoints import CheckpointError, Result, read_result
from experiments.engine import one_thread
from experiments.experiment import Experiment
from experiments.spec import SurfaceSpec
from experiments.surface_plan import path_arrays, prepare_surface, surface_arrays, surface_header, surface_of
from experiments.surface_step import PARTIAL_KIND
from landscape import coarse_surface, evaluate_surface

SIDE = 7
SAMPLES = 200
LARGEST_MODEL = 1_000_000  # parameters that can be evaluated that often in an instant
LARGEST = 30_000_000  # scalars of all checkpoints together that can be read in an instant


def preview_surface(experiment: Experiment, options: SurfaceSpec, runs: Sequence[str]) -> Result | None:
    """A coarse surface with the runs' paths, or None where even that would take long.

    Its samples are part of those the surface itself is measured on; the standard error says what that costs.
    """
    opened = [experiment.open_run(name) for name in runs]
    sizes = [sum(math.prod(shape) for shape in run.parameters.shapes) for run in opened]
    scalars = sum(len(run) * size for run, size in zip(opened, sizes, strict=True))
    if options.plane == "hessian" or scalars > LARGEST or max(sizes, default=0) > LARGEST_MODEL:
        return None
    prepared = prepare_surface(experiment, options, runs=runs)
    with one_thread():
        alphas, betas = prepared.grid(min(SIDE, options.grid))
        inputs, targets = (torch.cat(parts) for parts in zip(*prepared.measured_on.batches, strict=True))
        few = torch.linspace(0, len(targets) - 1, min(SAMPLES, len(targets))).round().long()
        model, plane, measured_on = prepared.model, prepared.plane, prepared.measured_on
        surface = evaluate_surface(
            model,
            plane,
            [(inputs[few], targets[few])],
            alphas,
            betas,
            loss=measured_on.loss,
            metric=measured_on.metric,
        )
    arrays = surface_arrays(surface)
    for name, run in prepared.runs.items():
        arrays |= path_arrays(name, run, *prepared.projected[name])
    return Result(surface_header(prepared, surface) | {"unfinished": "preview"}, arrays)


def partial_surfaces(experiment: Experiment) -> list[Result]:
    """What unfinished computations have so far, as the finest grid that is complete; newest first."""
    folder = experiment.path / "surfaces"
    files = sorted(folder.glob("*.partial.h5"), key=_modified, reverse=True) if folder.is_dir() else []
    found = []
    for path in files:
        if path.with_name(path.name.replace(".partial.h5", ".h5")).is_file():
            continue  # finished by another process
        try:
            saved = read_result(path, kind=PARTIAL_KIND)
        except CheckpointError:
            continue  # it was finished, or is being replaced, this very moment
        coarse = coarse_surface(surface_of(saved))
        if coarse is not None:
            paths = {key: value for key, value in saved.arrays.items() if key.startswith("path/")}
            found.append(Result(saved.header | {"unfinished": "partial"}, surface_arrays(coarse) | paths))
    return found


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
