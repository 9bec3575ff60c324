"""The points of one surface as work that any process can do: a file says what, an item says which points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from checkpoints import read_result, write_result
from experiments.engine import Engine
from experiments.experiment import Experiment
from experiments.finite import finite_run
from experiments.materials import Sample, same_data
from experiments.spec import SurfaceSpec
from experiments.surface_plan import SurfaceRequest, surface_network, surface_sample
from landscape import Plane, PlaneEvaluator, Strategy, check_points
from landscape.evaluation import Evaluator

KIND = "surface-work"
Table = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """Some points of the grid: where the work is described, how it is to be done, and flat indices."""

    experiment: str
    file: str
    strategy: str
    indices: tuple[int, ...]


class SurfaceWorker:
    """A model on a plane with its data, loaded once, that measures points of one grid."""

    def __init__(
        self,
        model: nn.Module,
        plane: Plane,
        measured_on: Sample,
        alphas: NDArray[np.float64],
        betas: NDArray[np.float64],
        precision: str = "",
        strategy: str = "auto",
    ) -> None:
        kind = PRECISIONS[precision]
        batches = measured_on.batches
        if kind is not None:
            model = model.to(kind)
            batches = [(x.to(kind) if x.is_floating_point() else x, y) for x, y in batches]
        self.alphas, self.betas = alphas, betas
        self.evaluator = Evaluator(model.eval(), batches, measured_on.loss, measured_on.metric)
        checks = check_points(alphas, betas)
        with self.evaluator.borrowed(model):
            if strategy == "auto":
                self.measurer = PlaneEvaluator(self.evaluator, plane, checks, len(alphas) * len(betas))
            else:
                wanted = Strategy.parse(strategy)
                self.measurer = PlaneEvaluator.with_strategy(self.evaluator, plane, wanted, checks)

    def measure(self, indices: Iterable[int]) -> Table:
        """Mean loss, accuracy, standard error and metric [P, 4]."""
        i, j = np.unravel_index(np.fromiter(indices, np.int64), (len(self.alphas), len(self.betas)))
        return self.measurer.measure(self.alphas[i], self.betas[j])


PRECISIONS = {"": None, "float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def describe_work(
    file: Path,
    request: SurfaceRequest,
    plane: Plane,
    alphas: NDArray[np.float64],
    betas: NDArray[np.float64],
    data: str,
) -> None:
    """Write what a worker must know; the plane in float32, as the result will hold it."""
    arrays: dict[str, NDArray[Any]] = {
        "origin": plane.origin.astype(np.float32),
        "axes": plane.axes.astype(np.float32),
        "alphas": alphas,
        "betas": betas,
    }
    header = {"options": asdict(request.options), "run": request.runs[0], "task": request.task, "data": data}
    write_result(file, kind=KIND, header=header, arrays=arrays)


def measure_elsewhere(points: Points) -> Table:
    """Measure points in whatever process this is."""
    return _worker(points.experiment, points.file, points.strategy).measure(points.indices)


@lru_cache(maxsize=1)
def _worker(experiment: str, file: str, strategy: str) -> SurfaceWorker:
    described = read_result(Path(file), kind=KIND)
    place, name = Experiment.open(Path(experiment)), str(described.header["run"])
    options, task = described.header["options"], str(described.header["task"])
    measured_on = surface_sample(
        place, SurfaceSpec(**options | {"parameters": tuple(options["parameters"])}), name, task
    )
    same_data(measured_on, str(described.header["data"]))
    model = surface_network(place.spec, finite_run(place, name), name, task)
    arrays = described.arrays
    plane = Plane(arrays["origin"].astype(np.float64), arrays["axes"].astype(np.float64))
    return SurfaceWorker(
        model,
        plane,
        measured_on,
        arrays["alphas"],
        arrays["betas"],
        options.get("precision", ""),
        strategy,
    )


def run_groups(
    engine: Engine,
    worker: SurfaceWorker | None,
    experiment: Path,
    file: Path,
    strategy: str,
    work: Iterable[Indices],
) -> Iterator[tuple[Indices, Table]]:
    """Groups of points with their tables, as they end; done by ``worker`` itself where the engine is this process."""
    items = [Points(str(experiment), str(file), strategy, tuple(int(k) for k in group)) for group in work]
    function = measure_elsewhere if worker is None else lambda points: worker.measure(points.indices)
    for points, table in engine.run(function, items):
        yield np.array(points.indices, dtype=np.int64), table
