"""What a surface is made of before its points are evaluated: runs, plane, grid, data; and how a file holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from checkpoints import Result, Run
from experiments.engine import one_thread
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.finite import finite_run
from experiments.materials import Sample, dataset_of, network_for_run, sample
from experiments.spec import ExperimentSpec, SurfaceSpec, content_key
from experiments.stored import SURFACE_KIND, TASK_SURFACES
from experiments.task_materials import task_network, task_sample
from landscape import (
    BlockSelection,
    ParameterLayout,
    Plane,
    Surface,
    hessian_plane,
    parameter_plane,
    path_box,
    pca_plane,
    random_plane,
    rank_divergence,
    three_point_plane,
)
from training import fingerprint_arrays

LOCAL_PLANES = ("random", "hessian")  # they look around one point: paths hardly show on them
UNIT = 1.0  # reach of these planes: once the weights for filter-normalised directions (Li et al. 2018)


@dataclass(frozen=True)
class SurfaceRequest:
    """A surface to compute: the plane and grid, and the runs whose paths it carries."""

    options: SurfaceSpec
    runs: tuple[str, ...]
    task: str = ""  # of several, whose loss is evaluated; its surfaces are kept apart

    @property
    def folder(self) -> str:
        """Where its file belongs in the experiment's folder."""
        return TASK_SURFACES if self.task else "surfaces"

    def key(self, experiment: Experiment, measured_on: Sample) -> str:
        """Hash of everything that determines the surface."""
        options = {k: v for k, v in asdict(self.options).items() if v or k not in ("tolerance", "precision")}
        return content_key(
            {
                "kind": SURFACE_KIND,
                "version": 1,
                "options": options | ({"least": UNIT} if self.options.plane in LOCAL_PLANES else {}),
                "runs": {name: experiment.open_run(name).fingerprint for name in self.runs},
                **measured_on.key(),
                **({"task": self.task} if self.task else {}),
                **({"metric": measured_on.metric_name} if measured_on.metric_name else {}),
            }
        )


def default_runs(experiment: Experiment) -> tuple[str, ...]:
    """All finished runs of the first seed that has any; the clean one first."""
    finished = experiment.finished_runs()
    if not finished:
        raise ExperimentError(f"{experiment.name} has no finished run yet; train it first: train {experiment.path}")
    seed = experiment.seed_of(finished[0])
    return tuple(name for name in finished if experiment.seed_of(name) == seed)


@dataclass(frozen=True)
class Prepared:
    """A surface about to be computed: everything but its points."""

    experiment: Experiment
    request: SurfaceRequest
    measured_on: Sample
    target: Path

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The runs whose paths are drawn, without checkpoints that are not finite."""
        return {name: finite_run(self.experiment, name) for name in self.request.runs}

    @cached_property
    def model(self) -> nn.Module:
        """The network at the end of the first run."""
        name = self.request.runs[0]
        first = self.runs[name]
        return surface_network(self.experiment.spec, first, name, self.request.task)

    @cached_property
    def plane(self) -> Plane:
        """The plane as its file will hold it (float32), so that what is stored is what was evaluated."""
        with one_thread():
            plane = _build_plane(self)
        return Plane(
            plane.origin.astype(np.float32).astype(np.float64),
            plane.axes.astype(np.float32).astype(np.float64),
            plane.explained_variance_ratio,
        )

    @cached_property
    def plane_digest(self) -> str:
        """Hash of the plane, by which unfinished work on another one is told apart."""
        return fingerprint_arrays(self.plane.origin, self.plane.axes)

    @cached_property
    def projected(self) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Coordinates [T, 2] and residuals [T] of each run's path."""
        return {name: self.plane.project(_vectors(run)) for name, run in self.runs.items()}

    def grid(self, side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Grid values around every path."""
        options = self.request.options
        least = UNIT if options.plane in LOCAL_PLANES else 0.0
        paths = [coordinates for coordinates, _ in self.projected.values()]
        return path_box(paths, margin=options.margin, grid=side, least=least)


def prepare_surface(
    experiment: Experiment,
    options: SurfaceSpec | None = None,
    *,
    runs: Sequence[str] | None = None,
    download: bool = False,
    task: str = "",
) -> Prepared:
    """Check what a surface needs, and find where its file belongs. ``task``: whose loss is evaluated, of several."""
    request = SurfaceRequest(options or experiment.spec.surface, tuple(runs or default_runs(experiment)), task)
    for name in request.runs:
        if len(experiment.open_run(name)) == 0:
            raise ExperimentError(f"The run {name} holds no checkpoint yet; train it first.")
    measured_on = surface_sample(experiment, request.options, request.runs[0], task, download=download)
    target = experiment.path / request.folder / f"{request.key(experiment, measured_on)}.h5"
    return Prepared(experiment, request, measured_on, target)


def surface_sample(
    experiment: Experiment, options: SurfaceSpec, first_run: str, task: str, *, download: bool = False
) -> Sample:
    """The data a surface is evaluated on."""
    seed = experiment.seed_of(first_run)
    if task:
        return task_sample(experiment, options.on, task, options.samples, seed=seed, download=download)
    return sample(experiment, options.on, seed=seed, samples=options.samples, download=download)


def surface_network(spec: ExperimentSpec, run: Run, name: str, task: str) -> nn.Module:
    """The network of a run at its end; of one of several tasks with the head of ``task`` alone as output."""
    dataset = dataset_of(spec)
    model = task_network(spec, dataset, run, name, task) if task else network_for_run(spec, dataset, run, name)
    model.load_state_dict(run.state_dict(len(run) - 1))
    return model


def surface_arrays(surface: Surface) -> dict[str, NDArray[Any]]:
    """The grid and what was measured on it, as a file holds them."""
    arrays: dict[str, NDArray[Any]] = {"alphas": surface.alphas, "betas": surface.betas, "loss": surface.loss}
    if surface.accuracy is not None:
        arrays["accuracy"] = surface.accuracy
    if surface.loss_standard_error is not None:
        arrays["loss_standard_error"] = surface.loss_standard_error
    if surface.metric is not None:
        arrays["metric"] = surface.metric
    return arrays


def path_arrays(name: str, run: Run, coordinates: NDArray[Any], residual: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """A run's path on the plane, as a file holds it, without the losses along it."""
    arrays: dict[str, NDArray[Any]] = {
        "steps": run.steps,
        "epochs": run.epochs,
        "coordinates": coordinates,
        "residual": residual,
        **{f"metric_{key}": values for key, values in run.metrics.items()},
    }
    return {f"path/{name}/{key}": value for key, value in arrays.items()}


def surface_header(prepared: Prepared, surface: Surface) -> dict[str, Any]:
    """What made a surface, and what its numbers leave out."""
    ratio = prepared.plane.explained_variance_ratio
    measured_on = prepared.measured_on
    lost = {name: len(found) for name in prepared.runs if (found := prepared.experiment.open_run(name).not_finite)}
    return {
        "options": asdict(prepared.request.options),
        **({"task": prepared.request.task} if prepared.request.task else {}),
        "runs": list(prepared.request.runs),
        "fingerprints": {name: run.fingerprint for name, run in prepared.runs.items()},
        "measured_on": measured_on.label,
        "samples": surface.samples,
        "available": measured_on.available,
        "data_fingerprint": measured_on.fingerprint,
        "explained_variance_ratio": None if ratio is None else [float(r) for r in ratio],
        "axis_names": _axis_names(prepared, ratio),
        "parameters": prepared.plane.size,
        "norm_statistics": f"frozen at the last checkpoint of {prepared.request.runs[0]}",
        "strategy": surface.strategy,
        "points_evaluated": int(surface.evaluated.sum()),
        "interpolation_error": surface.interpolation_error,
        "precision_error": surface.precision_error,
        **({"loss_name": measured_on.loss_name} if measured_on.loss_name else {}),
        **({"metric_name": measured_on.metric_name} if measured_on.metric_name else {}),
        **({"not_finite": lost} if lost else {}),
        "versions": versions(),
    }


def pca_names(ratio: NDArray[Any] | None) -> list[str]:
    """What the axes of a PCA plane are called, by the shares of variance that they hold."""
    shares = ["" if ratio is None else f" ({100 * float(r):.0f} %)" for r in (ratio if ratio is not None else (0, 0))]
    return [f"PC {k + 1}{share}" for k, share in enumerate(shares)]


def _axis_names(prepared: Prepared, ratio: NDArray[Any] | None) -> list[str]:
    plane = prepared.request.options.plane
    if plane.startswith("pca") and ratio is not None:
        return pca_names(ratio)
    if plane == "parameters":
        layout = ParameterLayout.from_model(prepared.model)
        return [f"θ {layout.scalar_name(i)}" for i in prepared.request.options.parameters]
    if plane == "three-point":
        return ["towards the first run's end", "towards the second run's end"]
    if plane == "hessian":
        return ["top Hessian eigenvector", "second Hessian eigenvector"]
    return ["random direction 1 (filter norm)", "random direction 2 (filter norm)"]


def surface_of(result: Result) -> Surface:
    """Rebuild the :class:`landscape.Surface` that a result file holds."""
    arrays = result.arrays
    loss = arrays["loss"]
    evaluated = arrays.get("evaluated")
    return Surface(
        alphas=arrays["alphas"],
        betas=arrays["betas"],
        loss=loss,
        accuracy=arrays.get("accuracy"),
        loss_standard_error=arrays.get("loss_standard_error"),
        samples=int(result.header["samples"]),
        evaluated=np.ones(loss.shape, bool) if evaluated is None else evaluated.astype(bool),
        metric=arrays.get("metric"),
    )


def _build_plane(prepared: Prepared) -> Plane:
    request, runs, model, measured_on = prepared.request, prepared.runs, prepared.model, prepared.measured_on
    options, ordered = request.options, [runs[name] for name in request.runs]
    block = block_selection(options.block, ordered)
    first = ordered[0]
    if options.plane == "pca":
        return pca_plane(ordered, block=block)
    if options.plane == "pca-single":
        return pca_plane(first, block=block)
    end = first.vector(len(first) - 1)
    if options.plane == "hessian":
        if block is not None and not all(isinstance(name, str) for name in block):
            raise ExperimentError("A Hessian plane can be restricted to layers, not to single parameters.")
        layers = None if block is None else [str(name) for name in block]
        return hessian_plane(model, measured_on.batches, loss=measured_on.loss, layers=layers, seed=options.seed)
    if options.plane == "random":
        model.load_state_dict(first.state_dict(len(first) - 1))
        return random_plane(model, seed=options.seed, block=block)
    if options.plane == "parameters":
        i, j = options.parameters
        return parameter_plane(end, i, j)
    if len(ordered) < 2:
        raise ExperimentError(
            "A three-point plane needs two runs (their shared start and both ends); name two with --runs."
        )
    start, other = first.vector(0), ordered[1].vector(len(ordered[1]) - 1)
    if block is not None:
        keep = ParameterLayout.from_model(model).select(block)
        end, other = (_only(vector, start, keep) for vector in (end, other))
    return three_point_plane(start, end, other)


def _only(vector: NDArray[Any], start: NDArray[Any], keep: NDArray[np.int64]) -> NDArray[Any]:
    """A point that differs from ``start`` in the kept parameters alone."""
    point = start.copy()
    point[keep] = vector[keep]
    return point


def block_selection(block: str, runs: Sequence[Run]) -> BlockSelection:
    """What a plane may move: all, layers by name (``fc3,conv1``), or ``topN``, the N most divergent parameters."""
    if not block:
        return None
    top = re.fullmatch(r"top(\d+)", block)
    if top is None:
        return [name.strip() for name in block.split(",")]
    if len(runs) < 2 or int(top[1]) < 2:
        raise ExperimentError(f"The block {block!r} needs two runs to compare and at least two parameters.")
    return np.sort(rank_divergence(runs[0], runs[1], top=int(top[1])).indices)


def _vectors(run: Run) -> Iterator[NDArray[np.float32]]:
    return (run.vector(i) for i in range(len(run)))
