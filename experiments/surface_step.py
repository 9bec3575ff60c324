"""The surface step: a plane through some runs, its loss surface, and the runs' paths projected onto it."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints import CheckpointError, Run, read_result, write_result
from experiments.engine import Here, Where, one_thread
from experiments.experiment import Experiment
from experiments.progress import Progress, Silent, Stopwatch
from experiments.spec import SurfaceSpec
from experiments.stored import SURFACE_KIND
from experiments.surface_plan import (
    Prepared,
    path_arrays,
    prepare_surface,
    surface_arrays,
    surface_header,
    surface_of,
)
from experiments.surface_work import SurfaceWorker, describe_work, run_groups
from landscape import (
    Losses,
    Surface,
    coarse_surface,
    complete_surface,
    empty_surface,
    evaluate_points,
    evaluate_states,
    precision_error,
    rank_divergence,
)

PARTIAL_KIND = "surface-partial"
TOP_DIVERGENT = 50
SAVE_SECONDS = 2.0


def compute_surface(
    experiment: Experiment,
    options: SurfaceSpec | None = None,
    *,
    runs: Sequence[str] | None = None,
    progress: Progress | None = None,
    download: bool = False,
    where: Where | None = None,
    task: str = "",
) -> Path:
    """Compute one surface with its paths, or return the file that already holds it.

    Points come coarse to fine and are saved as they come: a stopped computation goes on where it was, and others can
    look at what there is. ``where``: how many processes, or which cluster. ``task``: whose loss is evaluated, of a
    network of several. Returns the result's path.
    """
    progress = progress or Silent()
    prepared = prepare_surface(experiment, options, runs=runs, download=download, task=task)
    if prepared.target.is_file():
        return prepared.target
    return _Computation(prepared, progress, where or Where()).run()


@dataclass(frozen=True)
class _Computation:
    prepared: Prepared
    progress: Progress
    where: Where
    saved: Stopwatch = field(default_factory=Stopwatch)

    def run(self) -> Path:
        prepared, options = self.prepared, self.prepared.request.options
        prepared.target.parent.mkdir(parents=True, exist_ok=True)
        self.progress.start("the plane and the paths on it", 1)
        alphas, betas = prepared.grid(options.grid)
        self.progress.advance()
        surface, strategy = self._begin(alphas, betas)
        done = int(surface.evaluated.sum())
        self.progress.start(f"surface {options.grid}×{options.grid}", surface.loss.size, done)
        surface = self._points(surface, strategy)
        arrays = surface_arrays(surface)
        arrays["origin"] = prepared.plane.origin.astype(np.float32)
        arrays["axes"] = prepared.plane.axes.astype(np.float32)
        if options.tolerance:
            arrays["evaluated"] = surface.evaluated.astype(np.uint8)
        self.progress.start("true loss along the paths", len(prepared.runs))
        for name, run in prepared.runs.items():
            arrays |= self._path_arrays(name, run, *prepared.projected[name])
            self.progress.advance()
        header = surface_header(prepared, surface) | self._divergence(arrays)
        write_result(prepared.target, kind=SURFACE_KIND, header=header, arrays=arrays)
        self._partial_path.unlink(missing_ok=True)
        return prepared.target

    def _points(self, surface: Surface, strategy: str) -> Surface:
        """Evaluate the grid, here or elsewhere."""
        prepared, options = self.prepared, self.prepared.request.options
        model, plane = copy.deepcopy(prepared.model), prepared.plane
        a, b = surface.alphas, surface.betas
        with one_thread():
            worker = SurfaceWorker(model, plane, prepared.measured_on, a, b, options.precision, strategy)
        chosen = str(worker.measurer.strategy)
        surface = replace(surface, strategy=chosen)
        left = surface.loss.size - int(surface.evaluated.sum())
        engine = self.where.engine(worker.measurer.seconds * left)
        here = worker if isinstance(engine, Here) else None
        file = self._work_path
        if here is None:
            data = prepared.measured_on.fingerprint
            describe_work(file, prepared.request, plane, a, b, data)

        def run(work: Iterable[NDArray[np.int64]]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
            place = prepared.experiment.path.resolve()
            for group, table in run_groups(engine, here, place, file.resolve(), chosen, work):
                yield group, table
                self.progress.advance(len(group))

        try:
            surface = complete_surface(
                surface, plane.size, run, tolerance=options.tolerance or None, on_group=self._on_group
            )
        finally:
            if self._partial_path.exists() or not surface.evaluated.all():
                self._save(surface)
            file.unlink(missing_ok=True)
        surface = replace(surface, strategy=str(worker.measurer.strategy))
        if options.precision:
            worst = precision_error(
                surface,
                prepared.model,
                plane,
                prepared.measured_on.batches,
                loss=prepared.measured_on.loss,
            )
            surface = replace(surface, precision_error=worst)
        return surface

    @property
    def _partial_path(self) -> Path:
        return self.prepared.target.with_suffix(".partial.h5")

    @property
    def _work_path(self) -> Path:
        return self.prepared.target.with_suffix(f".{os.getpid()}.work.h5")  # another process may do the same

    def _begin(self, alphas: NDArray[Any], betas: NDArray[Any]) -> tuple[Surface, str]:
        """What an earlier computation left, with its strategy; or nothing, and any strategy."""
        measured_on = self.prepared.measured_on
        fresh = empty_surface(
            alphas,
            betas,
            samples=measured_on.samples,
            accuracy=measured_on.counts_classes,
            spread=measured_on.loss is None,
            metric=measured_on.metric is not None,
        )
        try:
            saved = read_result(self._partial_path, kind=PARTIAL_KIND)
        except CheckpointError:
            return fresh, self._tried_strategy()
        if not (np.array_equal(saved.arrays["alphas"], alphas) and np.array_equal(saved.arrays["betas"], betas)):
            return fresh, self._tried_strategy()
        if saved.header.get("plane") != self.prepared.plane_digest:
            return fresh, self._tried_strategy()
        return surface_of(saved), str(saved.header["strategy"])

    def _tried_strategy(self) -> str:
        """The way found fastest for another surface of this experiment of the same size; else any."""
        request = self.prepared.request
        for path in reversed(self.prepared.experiment.result_files(request.folder)):
            with suppress(CheckpointError):
                header = read_result(path, kind=SURFACE_KIND).header
                same = all(header["options"].get(k, "") == getattr(request.options, k) for k in ("block", "precision"))
                same = same and header.get("task", "") == request.task
                # A smaller grid may not have been worth a trial.
                tried = header["options"]["grid"] >= request.options.grid
                if same and tried and header["samples"] == self.prepared.measured_on.samples:
                    return str(header.get("strategy", "auto"))
        return "auto"

    def _on_group(self, surface: Surface) -> None:
        # A group of a small model takes milliseconds: saving each would cost more than computing it.
        first_level = not self._partial_path.exists() and coarse_surface(surface) is not None
        if first_level or self.saved.older_than(SAVE_SECONDS):
            self._save(surface)

    def _save(self, surface: Surface) -> None:
        """What there is so far, complete enough to be drawn and to go on from."""
        arrays = surface_arrays(surface) | {"evaluated": surface.evaluated.astype(np.uint8)}
        for name, run in self.prepared.runs.items():
            arrays |= path_arrays(name, run, *self.prepared.projected[name])
        header = surface_header(self.prepared, surface) | {"plane": self.prepared.plane_digest}
        write_result(self._partial_path, kind=PARTIAL_KIND, header=header, arrays=arrays)
        self.saved.reset()

    def _path_arrays(
        self, name: str, run: Run, coordinates: NDArray[Any], residual: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        model, plane, measured_on = self.prepared.model, self.prepared.plane, self.prepared.measured_on
        batches, loss, metric = measured_on.batches, measured_on.loss, measured_on.metric
        states = (run.state_dict(i) for i in range(len(run)))
        true = evaluate_states(model, states, batches, loss=loss, metric=metric)
        points = (plane.point(a, b) for a, b in coordinates)
        in_plane = evaluate_points(model, points, batches, loss=loss, metric=metric)
        return path_arrays(name, run, coordinates, residual) | {
            f"path/{name}/{key}": value for key, value in (_named("true", true) | _named("in_plane", in_plane)).items()
        }

    def _divergence(self, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        if len(self.prepared.request.runs) < 2:
            return {}
        a, b = self.prepared.request.runs[:2]
        ranked = rank_divergence(self.prepared.runs[a], self.prepared.runs[b], top=TOP_DIVERGENT)
        arrays["divergence/indices"] = np.asarray(ranked.indices, dtype=np.int64)
        arrays["divergence/distance"] = np.asarray(ranked.distance, dtype=np.float64)
        return {"divergence": {"between": [a, b], "names": list(ranked.names)}}


def describe_surface(path: Path) -> dict[str, Any]:
    """The main figures of a surface file as plain values."""
    stored = read_result(path, kind=SURFACE_KIND)
    loss = stored.arrays["loss"]
    finite = loss[np.isfinite(loss)]
    own = stored.arrays.get("metric", np.zeros(0))
    known = own[np.isfinite(own)]
    spread = {"min_metric": float(known.min()), "max_metric": float(known.max())} if known.size else {}
    return {
        "file": str(path),
        "grid": list(loss.shape),
        "min_loss": float(finite.min()) if finite.size else None,
        "max_loss": float(finite.max()) if finite.size else None,
        "non_finite": int(loss.size - finite.size),
        **({"left_out": left} if (left := stored.header.get("not_finite")) else {}),
        **({"metric": stored.header.get("metric_name"), **spread} if own.size else {}),
        **{key: stored.header.get(key) for key in ("strategy", "points_evaluated", "interpolation_error")},
        **{key: stored.header[key] for key in ("measured_on", "samples", "explained_variance_ratio", "runs")},
    }


def _named(prefix: str, losses: Losses) -> dict[str, NDArray[Any]]:
    named: dict[str, NDArray[Any]] = {f"{prefix}_loss": losses.loss}
    if losses.accuracy is not None:
        named[f"{prefix}_accuracy"] = losses.accuracy
    if losses.standard_error is not None:
        named[f"{prefix}_loss_standard_error"] = losses.standard_error
    if losses.metric is not None:
        named[f"{prefix}_metric"] = losses.metric
    return named
