"""Lesson 4, why the poisoned path goes elsewhere: one end point, judged by clean and by poisoned data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.lessons.short_run import WHOLE, Schedule, ShortRun, sample, short_run, small_data
from landscape import Plane, evaluate_surface, path_box, pca_plane
from landscape.figures import PathData, SurfaceData
from training import batches, mean_loss, poison

SCHEDULE = Schedule("linear", epochs=10, lr=0.1, batch_size=128, momentum=0.0, every=8)
SAMPLES = 1000
GRID = 31


@dataclass(frozen=True)
class Judged:
    """Loss in nats and accuracy in [0, 1] of one end point on one kind of data."""

    end: str  # clean or poisoned
    data: str  # clean training, poisoned training, test
    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Parting:
    """Both end points on all data, and both paths on the surfaces of clean and of poisoned training data."""

    table: tuple[Judged, ...]
    surfaces: tuple[SurfaceData, SurfaceData]
    paths: tuple[PathData, ...]

    def find(self, end: str, data: str) -> Judged:
        """One entry of the table."""
        return next(one for one in self.table if (one.end, one.data) == (end, data))


def judge_both_ends(seed: int) -> Parting:
    """Train one linear layer on the toy data, clean and with One-Pixel Shortcut, and judge each by the other's data."""
    data = small_data("toy")
    made = poison("ops", data, seed=seed)
    runs = {"clean": short_run(data, SCHEDULE, seed=seed)}
    runs["poisoned"] = short_run(data, SCHEDULE, seed=seed, inputs=made.x_train)
    kinds = {
        "clean training": (data.x_train, data.y_train),
        "poisoned training": (made.x_train, data.y_train),
        "test": (data.x_test, data.y_test),
    }
    table = tuple(
        Judged(end, kind, *mean_loss(run.model, batches(x, y, WHOLE)))
        for end, run in runs.items()
        for kind, (x, y) in kinds.items()
    )
    plane = pca_plane([run.vectors for run in runs.values()])
    paths = tuple(_path(end, run, plane) for end, run in runs.items())
    surfaces = tuple(
        _surface(runs["clean"], plane, inputs, paths, f"{kind} data", seed)
        for kind, inputs in (("clean", data.x_train), ("poisoned", made.x_train))
    )
    return Parting(table, (surfaces[0], surfaces[1]), paths)


def _path(end: str, run: ShortRun, plane: Plane) -> PathData:
    coordinates, residual = plane.project(run.vectors)
    return PathData(end, end, coordinates, run.steps, run.epochs, residual, None, None)


def _surface(
    run: ShortRun, plane: Plane, inputs: np.ndarray, paths: tuple[PathData, ...], on: str, seed: int
) -> SurfaceData:
    alphas, betas = path_box([path.coordinates for path in paths], grid=GRID)
    found = evaluate_surface(run.model, plane, sample(small_data("toy"), SAMPLES, inputs), alphas, betas)
    ratio = plane.explained_variance_ratio
    assert ratio is not None
    return SurfaceData(
        alphas,
        betas,
        found.loss,
        found.accuracy,
        found.samples,
        tuple(f"PC {k + 1} ({100 * share:.0f} %)" for k, share in enumerate(ratio)),
        on,
        "joint PCA",
        (float(ratio[0]), float(ratio[1])),
        found.loss_standard_error,
        (seed,),
    )
