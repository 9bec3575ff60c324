"""What one sees while runs train: a snapshot file, renewed about twice a second by the training process.

The snapshot holds each run's path on a joint PCA plane, a coarse loss surface of that plane on a small sample, the
training curves, SAL by one gradient at every checkpoint with the UD that follows from it, and the same by the search at
whole epochs, as far as there is time. The plane stays while new checkpoints are drawn on it, and is found anew when
they have grown by half, or leave the surface. It is a preview: sizes are chosen so that it costs a fraction of the
training, and it says which.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis import sharpness_aware_learnability, threshold_midpoints
from checkpoints import Result, open_run, read_result, write_result
from checkpoints.durable import cannot_write
from experiments.experiment import Experiment
from experiments.live_search import EpochSearch, distance_so_far
from experiments.progress import Progress, Silent, Stopwatch
from experiments.tasks import require_task
from experiments.train_step import RunInTraining
from landscape import ParameterLayout, Plane, evaluate_points, evaluate_surface, path_box, pca_plane

KIND = "live-snapshot"
INTERVAL = 0.3  # seconds between snapshots
SHARE = 2.0  # training gets at least this many times as long as the snapshots
SURFACE_BUDGET = 0.15  # seconds for one coarse surface
SAMPLES = 256  # for SAL and the coarse surface
SEARCHED = 128  # samples for the search
GROWTH = 3 / 2  # of the number of checkpoints, after which the plane is found anew
ROOM, ROOM_TO_GROW = 0.2, 0.4  # of the paths' extent, that the surface reaches beyond them: at the end, and before it
CATCH_UP = 30.0  # seconds after training for epochs that were not searched meanwhile


def snapshot_path(experiment: Experiment) -> Path:
    """Where the snapshot of an experiment lies."""
    return experiment.path / "live" / "snapshot.h5"


def read_snapshot(experiment: Experiment) -> Result:
    """Read the present snapshot. Raises :class:`checkpoints.CheckpointError` when there is none."""
    return read_result(snapshot_path(experiment), kind=KIND)


@dataclass
class _Series:
    """What has been seen of one run."""

    run: RunInTraining
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    sal: list[NDArray[np.float64]] = field(default_factory=list)
    midpoints: list[float] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)  # UD of all checkpoints up to each


@dataclass(frozen=True)
class _Ground:
    """A plane with its coarse surface, which stays for several snapshots."""

    plane: Plane
    arrays: Mapping[str, NDArray[Any]]  # of the surface
    checkpoints: int  # of all runs, from which the plane was found
    runs: int
    number: int  # of the snapshot that it was made for

    def holds(self, paths: Sequence[NDArray[np.float64]]) -> bool:
        """Whether paths [T, 2] have neither grown by much nor left the surface."""
        if len(paths) != self.runs or sum(map(len, paths)) > GROWTH * self.checkpoints:
            return False
        alphas, betas = self.arrays["alphas"], self.arrays["betas"]
        low, high = np.array([alphas[0], betas[0]]), np.array([alphas[-1], betas[-1]])
        return all(bool(((path >= low) & (path <= high)).all()) for path in paths)


class LiveObserver:
    """Watches runs in training (see :func:`experiments.train_step.train_experiment`) and keeps the snapshot."""

    def __init__(self, experiment: Experiment) -> None:
        if experiment.spec.tasks is not None:
            require_task(experiment.spec, "scene")  # what the snapshot shows
        self.experiment = experiment
        self._series: dict[str, _Series] = {}
        self._seed: int | None = None
        self._watch: Stopwatch | None = None
        self._began = time.time()
        self._number = 0
        self._cost = 0.0  # seconds the last snapshot took
        self._search = EpochSearch(experiment.spec.sal)
        self._ground: _Ground | None = None
        self._unseen = False  # whether there are checkpoints that no snapshot holds
        self._per_point = float("inf")  # seconds; the best seen, since a busy machine only makes it longer

    def __call__(self, run: RunInTraining) -> None:
        """Take note of a new checkpoint; write the snapshot when it is time."""
        if run.seed != self._seed:
            self._seed, self._series, self._ground = run.seed, {}, None
            self._search = EpochSearch(self.experiment.spec.sal)
        series = self._series.setdefault(run.name, _Series(run))
        self._take(series)
        self._unseen = True
        self._search.spend()
        if self._watch is None or self._watch.older_than(max(INTERVAL, SHARE * self._cost)):
            self.write()

    def catch_up(self) -> None:
        """Write the snapshot now if it lacks checkpoints, as before training waits for its viewer."""
        if self._unseen:
            self.write()

    def idle(self, seconds: float) -> None:
        """Pass the time while training waits: search a little, and show what was found; sleep when there is nothing."""
        end, left = time.monotonic() + seconds, self._search.left
        while time.monotonic() < end:
            if not self._search.step(newest=True):
                time.sleep(max(0.0, end - time.monotonic()))
        if self._search.left < left:
            self.write()

    def finish(self, progress: Progress | None = None) -> None:
        """Search epochs that were left out, for some seconds at most, and write the last snapshot."""
        progress, deadline = progress or Silent(), time.monotonic() + CATCH_UP
        left = self._search.left
        if left:
            progress.start(f"searching at epochs left out, for {CATCH_UP:g} s at most", left)
        while time.monotonic() < deadline and self._search.step():
            progress.advance(left - self._search.left)
            left = self._search.left
            if self._watch is None or self._watch.older_than(max(2 * INTERVAL, SHARE * self._cost)):
                self.write()
        self.write(finished=True)

    def write(self, *, finished: bool = False) -> None:
        """Write the snapshot now."""
        started = [s for s in self._series.values() if s.vectors]
        if not started:
            return
        self._number += 1
        begun = time.monotonic()
        arrays: dict[str, NDArray[Any]] = {}
        header: dict[str, Any] = {
            "number": self._number,
            "finished": finished,
            "time": time.time(),
            "began": self._began,
            "seed": self._seed,
            "samples": SAMPLES,
            "blocks": self.experiment.spec.sal.blocks,
            "runs": [self._describe(s, arrays) for s in started],
        }
        header["plane"] = self._draw(started, arrays, anew=finished)
        header["ud"] = self._distances(started, arrays)
        target = snapshot_path(self.experiment)
        try:
            target.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(target, error) from None
        write_result(target, kind=KIND, header=header, arrays=arrays)
        self._cost = time.monotonic() - begun
        self._watch = Stopwatch()
        self._unseen = False

    def _take(self, series: _Series) -> None:
        recorder, layout = series.run.recorder, ParameterLayout.from_model(series.run.model)
        missing = len(recorder.steps) - len(series.vectors)
        if missing == 1:
            series.vectors.append(layout.vector(series.run.model).numpy().astype(np.float32))
            self._measure(series, series.run.model)
            return
        if missing > 1:  # resumed: what was recorded before is read back
            model = copy.deepcopy(series.run.model)
            with open_run(recorder.path) as stored:
                for i in range(len(series.vectors), len(recorder.steps)):
                    model.load_state_dict(stored.state_dict(i))
                    series.vectors.append(stored.vector(i))
                    self._measure(series, model)

    def _measure(self, series: _Series, model: torch.nn.Module) -> None:
        spec = self.experiment.spec.sal
        blocks = sharpness_aware_learnability(
            model,
            [_sample(series.run.inputs, series.run.targets)],
            epsilon=spec.epsilon,
            p=spec.p,
            blocks=spec.blocks,
            method="gradient",
        )
        series.sal.append(np.array([block.sal for block in blocks]))
        few = _sample(series.run.inputs, series.run.targets, SEARCHED)
        self._search.add(series.run, len(series.sal) - 1, few)
        if self.experiment.role_of(series.run.name) == "clean" and len(blocks) > 1:
            series.midpoints.append(float(threshold_midpoints(series.sal[-1][None])[0]))

    def _describe(self, series: _Series, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        name = series.run.name
        with open_run(series.run.recorder.path) as stored:
            arrays[f"run/{name}/steps"] = stored.steps
            arrays[f"run/{name}/epochs"] = stored.epochs
            for metric, values in stored.metrics.items():
                arrays[f"run/{name}/metric_{metric}"] = values
        arrays[f"run/{name}/sal"] = np.stack(series.sal)
        return {
            "name": name,
            "role": self.experiment.role_of(name),
            "checkpoints": len(series.vectors),
            "total": series.run.trainer.total_checkpoints,
        }

    def _draw(self, started: list[_Series], arrays: dict[str, NDArray[Any]], *, anew: bool) -> dict[str, Any] | None:
        """The paths and the surface on the present plane, or on a new one where that is due."""
        if max(len(s.vectors) for s in started) < 3:
            return None
        stacked = [np.stack(s.vectors) for s in started]
        ground = self._ground
        projected = [] if anew or ground is None else [ground.plane.project(path) for path in stacked]
        if ground is None or not projected or not ground.holds([coordinates for coordinates, _ in projected]):
            ground = self._ground = self._new_ground(started, stacked, ROOM if anew else ROOM_TO_GROW)
            projected = [ground.plane.project(path) for path in stacked]
        for series, (coordinates, residual) in zip(started, projected, strict=True):
            arrays[f"run/{series.run.name}/coordinates"] = coordinates
            arrays[f"run/{series.run.name}/residual"] = residual
        arrays |= ground.arrays
        ratio = ground.plane.explained_variance_ratio
        return {
            "explained_variance_ratio": None if ratio is None else [float(r) for r in ratio],
            "checkpoints": ground.checkpoints,
            "number": ground.number,
        }

    def _new_ground(self, started: list[_Series], stacked: list[NDArray[np.float32]], margin: float) -> _Ground:
        plane = pca_plane(stacked)
        if self._ground is not None:
            plane = _turned_like(plane, self._ground.plane)
        first = started[0].run
        batches = [_sample(first.dataset.x_train, first.dataset.y_train)]
        model = copy.deepcopy(first.model)
        paths = [plane.project(path)[0] for path in stacked]
        begun = time.monotonic()
        evaluate_points(model, [plane.point(a, b) for a, b in (path[-1] for path in paths)], batches)
        self._per_point = min(self._per_point, (time.monotonic() - begun) / len(started))
        arrays = self._coarse_surface(model, plane, paths, batches, margin)
        return _Ground(plane, arrays, sum(map(len, stacked)), len(started), self._number)

    def _coarse_surface(
        self,
        model: torch.nn.Module,
        plane: Plane,
        paths: list[NDArray[np.float64]],
        batches: list[tuple[torch.Tensor, torch.Tensor]],
        margin: float,
    ) -> dict[str, NDArray[Any]]:
        points = SURFACE_BUDGET / max(self._per_point, 1e-6)
        grid = int(np.clip(np.sqrt(points), 7, 25))
        if points < 49:  # even the smallest grid is too dear on this sample: take a smaller one
            keep = max(64, int(len(batches[0][1]) * points / 49))
            batches = [(batches[0][0][:keep], batches[0][1][:keep])]
        alphas, betas = path_box(paths, margin=margin, grid=grid)
        surface = evaluate_surface(model, plane, batches, alphas, betas)
        samples = np.array([surface.samples])
        return {"alphas": alphas, "betas": betas, "loss": surface.loss, "surface_samples": samples}

    def _distances(self, started: list[_Series], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        clean = next((s for s in started if self.experiment.role_of(s.run.name) == "clean"), None)
        if clean is None or not clean.midpoints:
            return {}
        distances: dict[str, Any] = {"threshold": float(np.mean(clean.midpoints)), "arms": {}, "searched": {}}
        for series in started:
            if series is clean:
                continue
            name = series.run.name
            for t in range(len(series.distance) + 1, min(len(clean.sal), len(series.sal)) + 1):
                found = distance_so_far(np.stack(clean.sal[:t]), np.stack(series.sal[:t]), clean.midpoints[:t])
                series.distance.append(found)
            arrays[f"run/{name}/ud"] = np.array(series.distance)
            epochs, searched = self._search.distances(clean.run.name, name)
            arrays[f"run/{name}/search_epochs"], arrays[f"run/{name}/search_ud"] = epochs, searched
            for key, values in (("arms", series.distance), ("searched", searched)):
                if len(values) and np.isfinite(values[-1]):
                    distances[key][name] = float(values[-1])
        return distances


def learnable_counts(snapshot: Result) -> Mapping[str, NDArray[np.int64]]:
    """#LP of every run in a snapshot [T] under the present threshold; empty before there is one."""
    threshold = snapshot.header.get("ud", {}).get("threshold")
    if threshold is None:
        return {}
    return {
        run["name"]: (snapshot.arrays[f"run/{run['name']}/sal"] > threshold).sum(axis=1)
        for run in snapshot.header["runs"]
    }


def _turned_like(plane: Plane, before: Plane) -> Plane:
    """The same plane with the axes pointing as those of the plane before it, so that the picture does not turn over."""
    signs = np.where((plane.axes * before.axes).sum(axis=1) < 0, -1.0, 1.0)
    return replace(plane, axes=plane.axes * signs[:, None])


def _sample(
    inputs: NDArray[np.float32], targets: NDArray[np.int64], count: int = SAMPLES
) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = np.linspace(0, len(targets) - 1, min(count, len(targets))).astype(np.int64)
    return torch.from_numpy(inputs[chosen]), torch.from_numpy(targets[chosen])
