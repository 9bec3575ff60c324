"""One point of a plane: its loss and accuracy on every data set, the checkpoints near it, the slices through it."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from checkpoints import Result
from experiments.engine import one_thread
from experiments.experiment import Experiment, ExperimentError
from experiments.finite import finite_run
from experiments.materials import Sample, dataset_of, network, network_for_run, sample
from experiments.poisons import poison_folder, poison_key
from experiments.spec import CLEAN_METHOD, IMPORTED_METHOD
from experiments.surface_view import check_point
from landscape import Plane, evaluate_points
from landscape.figure_data import interpolate
from training import UNLEARNABLE, Dataset

LINE_POINTS = 15  # from the point to the nearest checkpoint
LINE_WORK = 6e9  # parameters × samples × points; a line that takes more is read off the surface alone


@dataclass(frozen=True)
class PointLoss:
    """The loss of one point on one data set: mean and standard errors over ``samples`` samples."""

    label: str
    kind: str  # clean, poisoned, control or test: how it is drawn
    loss: float  # nats for cross-entropy
    loss_error: float
    accuracy: float  # fraction
    accuracy_error: float
    samples: int
    metric: float = float("nan")  # of the user's own
    metric_name: str = ""
    loss_name: str = ""  # empty for cross-entropy


@dataclass(frozen=True)
class NearCheckpoint:
    """The checkpoint of a run whose projection lies nearest to the point."""

    run: str
    role: str
    step: int
    epoch: float
    distance: float  # within the plane, weight units
    off_plane: float  # of the checkpoint itself, weight units
    coordinates: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Slice:
    """Losses [N] along a straight line of the plane; ``places`` [N] in weight units, 0 at the point.

    ``exact`` says whether they were evaluated, or read off the surface between its grid points.
    """

    direction: str
    on: str
    kind: str
    places: NDArray[np.float64]
    loss: NDArray[np.float64]
    exact: bool
    loss_name: str = ""


@dataclass(frozen=True, eq=False)
class PointAnswer:
    """All that is known of a point: coordinates in units of the plane's axes."""

    alpha: float
    beta: float
    losses: tuple[PointLoss, ...]
    near: tuple[NearCheckpoint, ...]
    slices: tuple[Slice, ...]
    notes: tuple[str, ...] = field(default=())


def probe_point(experiment: Experiment, stored: Result, alpha: float, beta: float) -> PointAnswer:
    """Evaluate the network at a point of a stored surface's plane.

    Args:
        experiment: The experiment the surface belongs to.
        stored: The surface's file.
        alpha, beta: Coordinates on the plane.

    Returns:
        Losses on clean training, each arm's own training, and test data, on as many samples as the surface; data
        that cannot be had at once is named in the notes. Raises :class:`ExperimentError` outside the surface.
    """
    check_point(stored, alpha, beta)
    near = nearest_checkpoints(experiment, stored, alpha, beta)
    slices = [*_axis_slices(experiment, stored, alpha, beta)]
    notes: list[str] = []
    losses: list[PointLoss] = []
    try:
        plane, model = plane_of(stored), network_of(experiment, stored)
        data = list(_data(experiment, stored, notes))
    except ValueError as error:
        return PointAnswer(alpha, beta, (), near, tuple(slices), (str(error),))
    line = _line(alpha, beta, near[0].coordinates) if near else None
    slow = sum(measured_on.samples for _, measured_on in data) * LINE_POINTS * plane.size > LINE_WORK
    with one_thread():
        for kind, measured_on in data:
            losses.append(_loss(model, plane, (alpha, beta), kind, measured_on))
            if line is None or slow:
                continue
            vectors = (plane.point(a, b) for a, b in line[1])
            found = evaluate_points(model, vectors, measured_on.batches, loss=measured_on.loss).loss
            label, named = measured_on.label, measured_on.loss_name
            slices.append(Slice(f"towards {near[0].run}", label, kind, line[0], found, True, named))
    if slow and line is not None:
        found = interpolate(stored.arrays["alphas"], stored.arrays["betas"], stored.arrays["loss"], line[1])
        on, kind = experiment.data_words(stored.header["measured_on"]), _kind(experiment, stored)
        slices.append(Slice(f"towards {near[0].run}", on, kind, line[0], found, False, _loss_name(stored)))
        notes.append("This network is large: the line to the nearest checkpoint is read off the surface.")
    return PointAnswer(alpha, beta, tuple(losses), near, tuple(slices), tuple(notes))


def nearest_checkpoints(
    experiment: Experiment, stored: Result, alpha: float, beta: float
) -> tuple[NearCheckpoint, ...]:
    """The nearest checkpoint of every run of a surface, nearest run first; distances are Euclidean, in weight units."""
    axes = stored.arrays["axes"].astype(np.float64) if "axes" in stored.arrays else None
    gram = np.eye(2) if axes is None else axes @ axes.T
    found = []
    for run in stored.header["runs"]:
        points = stored.arrays[f"path/{run}/coordinates"]
        apart = points - np.array([alpha, beta])
        distance = np.sqrt(np.maximum(np.einsum("ti,ij,tj->t", apart, gram, apart), 0.0))
        i = int(np.argmin(distance))
        found.append(
            NearCheckpoint(
                run,
                experiment.drawn_as(run),
                int(stored.arrays[f"path/{run}/steps"][i]),
                float(stored.arrays[f"path/{run}/epochs"][i]),
                float(distance[i]),
                float(stored.arrays[f"path/{run}/residual"][i]),
                (float(points[i, 0]), float(points[i, 1])),
            )
        )
    return tuple(sorted(found, key=lambda one: one.distance))


def _axis_slices(experiment: Experiment, stored: Result, alpha: float, beta: float) -> Iterator[Slice]:
    """The surface along both axes through the point, between its grid points."""
    arrays, header = stored.arrays, stored.header
    for axis, (name, grid, own) in enumerate(
        zip(header["axis_names"], (arrays["alphas"], arrays["betas"]), (alpha, beta), strict=True)
    ):
        places = np.sort(np.append(grid, own))
        points = np.tile([alpha, beta], (len(places), 1)).astype(float)
        points[:, axis] = places
        length = float(np.linalg.norm(arrays["axes"][axis].astype(np.float64))) if "axes" in arrays else 1.0
        loss = interpolate(arrays["alphas"], arrays["betas"], arrays["loss"], points)
        away, named = (places - own) * length, _loss_name(stored)
        on, kind = experiment.data_words(header["measured_on"]), _kind(experiment, stored)
        yield Slice(f"along {name}", on, kind, away, loss, False, named)


def _line(
    alpha: float, beta: float, end: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Points [N, 2] from the point to a checkpoint and a little beyond on both sides, and their shares of the way."""
    if math.hypot(end[0] - alpha, end[1] - beta) == 0:
        return None
    shares = np.linspace(-0.25, 1.25, LINE_POINTS)
    start = np.array([alpha, beta])
    return shares, start + shares[:, None] * (np.array(end) - start)


def _loss(model: nn.Module, plane: Plane, at: tuple[float, float], kind: str, measured_on: Sample) -> PointLoss:
    batches, own = measured_on.batches, measured_on.metric
    found = evaluate_points(model, [plane.point(*at)], batches, loss=measured_on.loss, metric=own)
    nan = float("nan")
    accuracy = nan if found.accuracy is None else float(found.accuracy[0])
    error = nan if found.standard_error is None else float(found.standard_error[0])
    spread = math.sqrt(accuracy * (1 - accuracy) / max(found.samples - 1, 1)) if accuracy == accuracy else nan
    metric = nan if found.metric is None else float(found.metric[0])
    return PointLoss(
        measured_on.label,
        kind,
        float(found.loss[0]),
        error,
        accuracy,
        spread,
        found.samples,
        metric,
        measured_on.metric_name.rpartition(":")[2],
        measured_on.loss_name,
    )


def plane_of(stored: Result) -> Plane:
    """The plane of a surface file. Raises :class:`ExperimentError` where it is not stored."""
    if "origin" not in stored.arrays or "axes" not in stored.arrays:
        raise ExperimentError("This surface does not hold its plane; compute it again to ask its points.")
    return Plane(stored.arrays["origin"].astype(np.float64), stored.arrays["axes"].astype(np.float64), None)


def network_of(experiment: Experiment, stored: Result) -> nn.Module:
    """The network whose buffers the surface was evaluated with."""
    dataset, name = dataset_of(experiment.spec), stored.header["runs"][0]
    if name in experiment.run_names():
        with finite_run(experiment, name) as run:
            model = network_for_run(experiment.spec, dataset, run, name)
            model.load_state_dict(run.state_dict(len(run) - 1))
        return model
    model = copy.deepcopy(network(experiment.spec, dataset, seed=0))
    if any(True for _ in model.buffers()):
        raise ExperimentError(
            f"{experiment.name} ships without its runs, and this network keeps statistics in them; train it to ask "
            "points of its plane."
        )
    return model


def _data(experiment: Experiment, stored: Result, notes: list[str]) -> Iterator[tuple[str, Sample]]:
    """Every data set of an experiment that can be had at once."""
    spec, seed = experiment.spec, experiment.seed_of(stored.header["runs"][0])
    samples = int(stored.header["options"]["samples"])
    dataset = dataset_of(spec)
    yield (
        "reference" if experiment.has_own_reference else "clean",
        sample(experiment, "clean", seed=seed, samples=samples),
    )
    for arm in spec.poisoned_arms:
        if spec.arms[arm].method == IMPORTED_METHOD:
            continue
        if not _at_hand(experiment, dataset, arm, seed):
            notes.append(f"The training data of {arm} is not made yet: computing a surface on it makes it.")
            continue
        kind = "control" if spec.arms[arm].control else "poisoned"
        yield kind, sample(experiment, arm, seed=seed, samples=samples)
    yield "test", sample(experiment, "test", seed=seed, samples=samples)


def _at_hand(experiment: Experiment, dataset: Dataset, arm: str, seed: int) -> bool:
    """Whether the training data of an arm is stored or made in a moment: methods that train report their progress."""
    entry = experiment.spec.arms[arm]
    method = UNLEARNABLE.get(entry.method)
    if entry.method == CLEAN_METHOD or method is None or "progress" not in inspect.signature(method).parameters:
        return True
    return (poison_folder(experiment) / f"{poison_key(dataset, entry, seed)}.h5").is_file()


def _loss_name(stored: Result) -> str:
    return str(stored.header.get("loss_name", ""))


def _kind(experiment: Experiment, stored: Result) -> str:
    """How the data of a surface are drawn: as the arm that was trained on them."""
    label = str(stored.header["measured_on"])
    if label.startswith("test"):
        return "test"
    if experiment.has_own_reference:
        return "reference"
    arm = experiment.spec.arms.get(label.removeprefix("training data of "))
    return "clean" if label.startswith("clean") else "control" if arm is not None and arm.control else "poisoned"
