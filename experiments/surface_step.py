"""The surface step: a plane through some runs, its loss surface, and the runs' paths projected onto it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from checkpoints import CheckpointError, Result, Run, read_result, write_result
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.materials import Sample, dataset_of, network_for_run, sample
from experiments.progress import Progress, Silent, Stopwatch
from experiments.spec import SurfaceSpec, content_key
from landscape import (
    BlockSelection,
    Losses,
    ParameterLayout,
    Plane,
    Surface,
    evaluate_points,
    evaluate_states,
    evaluate_surface,
    parameter_plane,
    path_box,
    pca_plane,
    random_plane,
    rank_divergence,
    three_point_plane,
)

KIND = "surface"
PARTIAL_KIND = "surface-partial"
TOP_DIVERGENT = 50
SAVE_SECONDS = 2.0


@dataclass(frozen=True)
class SurfaceRequest:
    """A surface to compute: the plane and grid, and the runs whose paths it carries."""

    options: SurfaceSpec
    runs: tuple[str, ...]

    def key(self, experiment: Experiment, measured_on: Sample) -> str:
        """Hash of everything that determines the surface."""
        return content_key(
            {
                "kind": KIND,
                "version": 1,
                "options": asdict(self.options),
                "runs": {name: experiment.open_run(name).fingerprint for name in self.runs},
                "data": measured_on.fingerprint,
            }
        )


def default_runs(experiment: Experiment) -> tuple[str, ...]:
    """All finished runs of the first seed that has any; the clean one first."""
    finished = experiment.finished_runs()
    if not finished:
        raise ExperimentError(f"{experiment.name} has no finished run yet; train it first: train {experiment.path}")
    seed = experiment.seed_of(finished[0])
    return tuple(name for name in finished if experiment.seed_of(name) == seed)


def compute_surface(
    experiment: Experiment,
    options: SurfaceSpec | None = None,
    *,
    runs: Sequence[str] | None = None,
    progress: Progress | None = None,
    download: bool = False,
) -> Path:
    """Compute one surface with its paths, or return the file that already holds it.

    The grid is saved row by row: a stopped computation goes on where it was. Returns the result's path.
    """
    progress = progress or Silent()
    request = SurfaceRequest(options or experiment.spec.surface, tuple(runs or default_runs(experiment)))
    opened = {name: experiment.open_run(name) for name in request.runs}
    for name, run in opened.items():
        if len(run) == 0:
            raise ExperimentError(f"The run {name} holds no checkpoint yet; train it first.")
    first = request.runs[0]
    measured_on = sample(
        experiment,
        request.options.on,
        seed=experiment.seed_of(first),
        samples=request.options.samples,
        download=download,
    )
    target = experiment.path / "surfaces" / f"{request.key(experiment, measured_on)}.h5"
    if target.is_file():
        return target
    model = network_for_run(experiment.spec, dataset_of(experiment.spec), opened[first], first)
    plane = _rounded(_build_plane(request, opened, model))
    return _Computation(request, opened, model, plane, measured_on, target, progress).run()


@dataclass(frozen=True)
class _Computation:
    request: SurfaceRequest
    runs: dict[str, Run]
    model: nn.Module
    plane: Plane
    measured_on: Sample
    target: Path
    progress: Progress
    saved: Stopwatch = field(default_factory=Stopwatch)

    def run(self) -> Path:
        self.target.parent.mkdir(exist_ok=True)
        options = self.request.options
        projected = {name: self.plane.project(_vectors(run)) for name, run in self.runs.items()}
        alphas, betas = path_box(
            [coordinates for coordinates, _ in projected.values()], margin=options.margin, grid=options.grid
        )
        partial = self._partial(alphas, betas)
        done = int(partial.evaluated.any(axis=1).sum()) if partial else 0
        self.progress.start(f"surface {options.grid}×{options.grid}", options.grid, done)
        first_run = self.runs[self.request.runs[0]]
        self.model.load_state_dict(first_run.state_dict(len(first_run) - 1))
        surface = evaluate_surface(
            self.model,
            self.plane,
            self.measured_on.batches,
            alphas,
            betas,
            partial=partial,
            on_row=self._on_row,
        )
        arrays = self._surface_arrays(surface)
        arrays["origin"] = self.plane.origin.astype(np.float32)
        arrays["axes"] = self.plane.axes.astype(np.float32)
        self.progress.start("true loss along the paths", len(self.runs))
        for name, run in self.runs.items():
            arrays |= self._path_arrays(name, run, *projected[name])
            self.progress.advance()
        header = self._header(surface) | self._divergence(arrays)
        write_result(self.target, kind=KIND, header=header, arrays=arrays)
        self._partial_path.unlink(missing_ok=True)
        return self.target

    @property
    def _partial_path(self) -> Path:
        return self.target.with_suffix(".partial.h5")

    def _partial(self, alphas: NDArray[Any], betas: NDArray[Any]) -> Surface | None:
        try:
            saved = read_result(self._partial_path, kind=PARTIAL_KIND)
        except CheckpointError:
            return None
        if not (np.array_equal(saved.arrays["alphas"], alphas) and np.array_equal(saved.arrays["betas"], betas)):
            return None
        return surface_of(saved)

    def _on_row(self, surface: Surface) -> None:
        # A row of a small model takes milliseconds: saving each would cost more than computing it.
        if self.saved.older_than(SAVE_SECONDS):
            arrays = self._surface_arrays(surface) | {"evaluated": surface.evaluated.astype(np.uint8)}
            write_result(self._partial_path, kind=PARTIAL_KIND, header={"samples": surface.samples}, arrays=arrays)
            self.saved.reset()
        self.progress.advance()

    @staticmethod
    def _surface_arrays(surface: Surface) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {
            "alphas": surface.alphas,
            "betas": surface.betas,
            "loss": surface.loss,
        }
        if surface.accuracy is not None:
            arrays["accuracy"] = surface.accuracy
        if surface.loss_standard_error is not None:
            arrays["loss_standard_error"] = surface.loss_standard_error
        return arrays

    def _path_arrays(
        self, name: str, run: Run, coordinates: NDArray[Any], residual: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        true = evaluate_states(self.model, (run.state_dict(i) for i in range(len(run))), self.measured_on.batches)
        in_plane = evaluate_points(
            self.model, (self.plane.point(a, b) for a, b in coordinates), self.measured_on.batches
        )
        arrays: dict[str, NDArray[Any]] = {
            "steps": run.steps,
            "epochs": run.epochs,
            "coordinates": coordinates,
            "residual": residual,
            **_named("true", true),
            **_named("in_plane", in_plane),
            **{f"metric_{key}": values for key, values in run.metrics.items()},
        }
        return {f"path/{name}/{key}": value for key, value in arrays.items()}

    def _divergence(self, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        if len(self.request.runs) < 2:
            return {}
        a, b = self.request.runs[:2]
        ranked = rank_divergence(self.runs[a], self.runs[b], top=TOP_DIVERGENT)
        arrays["divergence/indices"] = np.asarray(ranked.indices, dtype=np.int64)
        arrays["divergence/distance"] = np.asarray(ranked.distance, dtype=np.float64)
        return {"divergence": {"between": [a, b], "names": list(ranked.names)}}

    def _header(self, surface: Surface) -> dict[str, Any]:
        options = asdict(self.request.options)
        ratio = self.plane.explained_variance_ratio
        return {
            "options": options,
            "runs": list(self.request.runs),
            "fingerprints": {name: run.fingerprint for name, run in self.runs.items()},
            "measured_on": self.measured_on.label,
            "samples": surface.samples,
            "available": self.measured_on.available,
            "data_fingerprint": self.measured_on.fingerprint,
            "explained_variance_ratio": None if ratio is None else [float(r) for r in ratio],
            "axis_names": self._axis_names(ratio),
            "parameters": self.plane.size,
            "norm_statistics": f"frozen at the last checkpoint of {self.request.runs[0]}",
            "versions": versions(),
        }

    def _axis_names(self, ratio: NDArray[Any] | None) -> list[str]:
        plane = self.request.options.plane
        if plane.startswith("pca") and ratio is not None:
            return [f"PC {k + 1} ({100 * float(r):.0f} %)" for k, r in enumerate(ratio)]
        if plane == "parameters":
            layout = ParameterLayout.from_model(self.model)
            return [f"θ {layout.scalar_name(i)}" for i in self.request.options.parameters]
        if plane == "three-point":
            return ["towards the first run's end", "towards the second run's end"]
        return ["random direction 1 (filter norm)", "random direction 2 (filter norm)"]


def describe_surface(path: Path) -> dict[str, Any]:
    """The main figures of a surface file as plain values."""
    stored = read_result(path, kind=KIND)
    loss = stored.arrays["loss"]
    finite = loss[np.isfinite(loss)]
    return {
        "file": str(path),
        "grid": list(loss.shape),
        "min_loss": float(finite.min()) if finite.size else None,
        "max_loss": float(finite.max()) if finite.size else None,
        "non_finite": int(loss.size - finite.size),
        **{key: stored.header[key] for key in ("measured_on", "samples", "explained_variance_ratio", "runs")},
    }


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
    )


def _build_plane(request: SurfaceRequest, runs: dict[str, Run], model: nn.Module) -> Plane:
    options, ordered = request.options, [runs[name] for name in request.runs]
    block = _selection(options.block, ordered)
    first = ordered[0]
    if options.plane == "pca":
        return pca_plane(ordered, block=block)
    if options.plane == "pca-single":
        return pca_plane(first, block=block)
    end = first.vector(len(first) - 1)
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


def _selection(block: str, runs: Sequence[Run]) -> BlockSelection:
    """What a plane may move: all, layers by name (``fc3,conv1``), or ``topN``, the N most divergent parameters."""
    if not block:
        return None
    top = re.fullmatch(r"top(\d+)", block)
    if top is None:
        return [name.strip() for name in block.split(",")]
    if len(runs) < 2 or int(top[1]) < 2:
        raise ExperimentError(f"The block {block!r} needs two runs to compare and at least two parameters.")
    return np.sort(rank_divergence(runs[0], runs[1], top=int(top[1])).indices)


def _rounded(plane: Plane) -> Plane:
    """The plane as its file will hold it (float32), so that what is stored is what was evaluated."""
    return Plane(
        plane.origin.astype(np.float32).astype(np.float64),
        plane.axes.astype(np.float32).astype(np.float64),
        plane.explained_variance_ratio,
    )


def _vectors(run: Run) -> Iterator[NDArray[np.float32]]:
    return (run.vector(i) for i in range(len(run)))


def _named(prefix: str, losses: Losses) -> dict[str, NDArray[Any]]:
    named: dict[str, NDArray[Any]] = {f"{prefix}_loss": losses.loss}
    if losses.accuracy is not None:
        named[f"{prefix}_accuracy"] = losses.accuracy
    if losses.standard_error is not None:
        named[f"{prefix}_loss_standard_error"] = losses.standard_error
    return named
