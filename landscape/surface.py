"""Loss surfaces: the loss on a grid of a plane."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from landscape.evaluation import Batches, Evaluator, Measured
from landscape.kernel import Strategy
from landscape.planes import Plane
from landscape.refinement import Indices, grid_groups, groups, refine
from landscape.scoring import Loss, Metric
from landscape.strategy import PlaneEvaluator

FEWER_POINTS = 5  # that a tolerance may be expected to leave out, to judge whether a trial pays
NORM_STATISTICS = ("frozen", "recalibrated")
Run = Callable[[Iterable[Indices]], Iterable[tuple[Indices, NDArray[np.float64]]]]


@dataclass(frozen=True, eq=False)
class Surface:
    """Loss and accuracy on a grid: entry [i, j] is at (alphas[i], betas[j]).

    Attributes:
        alphas: [A] in units of the first axis; betas: [B] of the second.
        loss: [A, B] mean over samples, NaN where not evaluated (interpolated there if a tolerance was given); other
            non-finite values are results.
        accuracy: [A, B] in [0, 1], or None where targets are no class indices.
        loss_standard_error: [A, B] over samples, or None for a loss of the caller's own.
        samples: Samples behind each mean.
        evaluated: [A, B] bool.
        strategy: How the points were evaluated.
        interpolation_error: Largest error met when interpolated points were evaluated after all, in units of the
            loss; None when nothing is interpolated.
        precision_error: Largest difference of the loss to the model's own precision at some points, where another
            precision was asked for.
        metric: [A, B] of a metric of the caller's own, or None.
    """

    alphas: NDArray[np.float64]
    betas: NDArray[np.float64]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    loss_standard_error: NDArray[np.float64] | None
    samples: int
    evaluated: NDArray[np.bool_]
    strategy: str = "plain"
    interpolation_error: float | None = None
    precision_error: float | None = None
    metric: NDArray[np.float64] | None = None


def evaluate_surface(
    model: nn.Module,
    plane: Plane,
    batches: Batches,
    alphas: ArrayLike,
    betas: ArrayLike,
    *,
    loss: Loss | None = None,
    metric: Metric | None = None,
    precision: torch.dtype | None = None,
    norm_stats: str = "frozen",
    tolerance: float | None = None,
    strategy: str | Strategy = "auto",
    partial: Surface | None = None,
    on_group: Callable[[Surface], None] | None = None,
) -> Surface:
    """Evaluate the mean loss at every grid point of a plane.

    Each point is ``origin + α·x + β·y`` computed from the stored origin in float64 and cast to the model's type, never
    step after step. Points come in coarse-to-fine order, so that a surface can be shown early. The model is in
    evaluation mode meanwhile and as it was afterwards, also after an exception.

    Args:
        model: Any module whose trainable parameters the plane is about; frozen parameters and buffers are its own.
        plane: Of as many parameters as the model trains.
        batches: ``(inputs, targets)`` pairs; the mean is over all samples.
        alphas, betas: [A] and [B] grid values.
        loss: ``loss(outputs, targets)``, a mean over the batch; default cross-entropy.
        metric: ``metric(outputs, targets)``, one number for a batch; the surface holds its mean over the samples too.
        precision: Compute in this floating type (a copy of the model and inputs is cast); default the model's own.
            The surface says how far its losses are from the model's own precision.
        norm_stats: ``"frozen"``: the model's running statistics (Li et al. 2018); ``"recalibrated"``: measured anew
            at every point by a pass over the batches.
        tolerance: Largest interpolation error, as a share of the range of the losses: points are evaluated until
            new ones come out as predicted, the others are interpolated.
        strategy: ``"auto"``: the fastest way that agrees with the model itself; ``"plain"``: the model itself, batch
            by batch; or one that another surface was made with. Ways differ by rounding only.
        partial: A surface of the same grid to complete; groups of points that are complete are not computed again.
        on_group: Called with the surface so far after each group; an exception from it stops the work.

    Raises:
        ValueError: Sizes do not fit, the grid is empty or not finite, there is no data, a label is out of range.
    """
    a, b = _grid(alphas, "alphas"), _grid(betas, "betas")
    _check_options(norm_stats, tolerance)
    given = (model, [(inputs, targets) for inputs, targets in batches])
    if precision is not None:
        model, batches = _cast(*given, precision)
    evaluator = Evaluator(model, batches, loss, metric)
    if plane.size != evaluator.layout.size:
        raise ValueError(f"The plane has {plane.size} parameters, but the model trains {evaluator.layout.size}.")
    surface = _begin(evaluator, a, b, partial)
    with evaluator.borrowed(model):
        points = len(a) * len(b) // (1 if tolerance is None else FEWER_POINTS)
        measure, used = _measurer(evaluator, plane, a, b, norm_stats, strategy, points)

        def run(work: Iterable[Indices]) -> Iterator[tuple[Indices, NDArray[np.float64]]]:
            for group in work:
                i, j = np.unravel_index(group, surface.loss.shape)
                yield group, measure(a[i], b[j])

        surface = complete_surface(surface, plane.size, run, tolerance=tolerance, on_group=on_group)
        surface = replace(surface, strategy=str(used()))
    if precision is not None:
        error = precision_error(surface, given[0], plane, given[1], loss=loss, norm_stats=norm_stats)
        surface = replace(surface, precision_error=error)
    return surface


def empty_surface(
    a: ArrayLike, b: ArrayLike, *, samples: int, accuracy: bool = True, spread: bool = True, metric: bool = False
) -> Surface:
    """A surface of which no point is evaluated yet; ``accuracy``, ``spread``, ``metric`` say what will be measured."""
    alphas, betas = _grid(a, "alphas"), _grid(b, "betas")
    shape = (len(alphas), len(betas))
    unknown = np.full(shape, np.nan)
    return Surface(
        alphas,
        betas,
        unknown.copy(),
        unknown.copy() if accuracy else None,
        unknown.copy() if spread else None,
        samples,
        np.zeros(shape, bool),
        metric=unknown.copy() if metric else None,
    )


def complete_surface(
    surface: Surface,
    parameters: int,
    run: Run,
    *,
    tolerance: float | None = None,
    on_group: Callable[[Surface], None] | None = None,
) -> Surface:
    """Evaluate what is missing of a surface, wherever the work is done.

    Args:
        surface: Complete groups of points are not computed again. It is changed.
        parameters: D; the cut into groups depends on it and on the grid alone.
        run: Takes groups of flat indices and gives each back, in any order, with its table [P, 4] of mean loss,
            accuracy, standard error and metric.
        tolerance, on_group: As in :func:`evaluate_surface`.
    """

    def evaluate(work: Iterable[Indices]) -> None:
        for group, table in run(work):
            _fill(surface, group, table)
            if on_group is not None:
                on_group(surface)

    if tolerance is None:
        whole = grid_groups(surface.loss.shape, parameters)
        evaluate([group for group in whole if not surface.evaluated.flat[group].all()])
        return surface
    error = refine(surface, lambda indices: evaluate(list(groups(indices, parameters))), tolerance)
    return replace(surface, interpolation_error=error)


def _measurer(
    evaluator: Evaluator,
    plane: Plane,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    norm_stats: str,
    strategy: str | Strategy,
    points: int,
) -> tuple[Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]], Callable[[], Strategy]]:
    """What gives [P, 4] for P points, and what tells the strategy it followed."""
    if norm_stats == "recalibrated":

        def recalibrated(alphas: NDArray[np.float64], betas: NDArray[np.float64]) -> NDArray[np.float64]:
            pairs = zip(alphas, betas, strict=True)
            return np.array([_recalibrated(evaluator, plane.point(x, y)) for x, y in pairs]).reshape(-1, 4)

        return recalibrated, Strategy
    checks = check_points(a, b)
    if strategy == "auto":
        chosen = PlaneEvaluator(evaluator, plane, checks, points)
    else:
        wanted = strategy if isinstance(strategy, Strategy) else Strategy.parse(strategy)
        chosen = PlaneEvaluator.with_strategy(evaluator, plane, wanted, checks)
    return chosen.measure, lambda: chosen.strategy


def check_points(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Points of a grid at which ways of evaluating it are compared: two corners and the middle."""
    return [(a[0], b[-1]), (a[len(a) // 2], b[len(b) // 2]), (a[-1], b[0])]


def precision_error(
    surface: Surface,
    model: nn.Module,
    plane: Plane,
    batches: Batches,
    *,
    loss: Loss | None = None,
    norm_stats: str = "frozen",
) -> float:
    """Largest difference of a surface's loss to the model's own precision, at nine points of the grid."""
    rows, columns = ([0, n // 2, n - 1] for n in surface.loss.shape)
    alphas, betas = surface.alphas[rows], surface.betas[columns]
    here = evaluate_surface(
        model, plane, batches, alphas, betas, loss=loss, norm_stats=norm_stats, strategy="plain"
    ).loss
    there = surface.loss[np.ix_(rows, columns)]
    both = np.isfinite(here) & np.isfinite(there)
    return float(np.abs(here - there)[both].max()) if both.any() else float("nan")


def path_box(
    paths: Sequence[ArrayLike], *, margin: float = 0.2, grid: int = 51, least: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grid values [grid] along both axes that hold every path [T, 2] with room around them.

    ``margin`` is the room on each side as a share of the paths' extent. An axis along which nothing moves gets the
    extent of the other one (or 1 when nothing moves at all). The box reaches at least from −``least`` to ``least``.
    """
    if grid < 2:
        raise ValueError(f"A grid of {grid} points a side draws no surface; use at least 2.")
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"The margin must be 0 or more, not {margin}.")
    points = np.concatenate([np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in paths])
    if len(points) == 0 or not np.isfinite(points).all():
        raise ValueError("The paths hold no points or points that are not finite; no box can be drawn around them.")
    if least > 0:
        points = np.concatenate([points, [[-least, -least], [least, least]]])
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    widest = float(extent.max())
    extent = np.where(extent > 1e-9 * max(widest, 1e-300), extent, widest if widest > 0 else 1.0)
    centre = (low + high) / 2
    half = extent * (0.5 + margin)
    sides = [np.linspace(c - h, c + h, grid) for c, h in zip(centre, half, strict=True)]
    return sides[0], sides[1]


def _grid(values: ArrayLike, name: str) -> NDArray[np.float64]:
    grid = np.array(values, dtype=np.float64)
    if grid.ndim != 1 or grid.size == 0 or not np.isfinite(grid).all():
        raise ValueError(f"{name} must be a list of at least one finite number.")
    return grid


def _begin(evaluator: Evaluator, a: NDArray[np.float64], b: NDArray[np.float64], partial: Surface | None) -> Surface:
    if partial is not None:
        if not (np.array_equal(partial.alphas, a) and np.array_equal(partial.betas, b)):
            raise ValueError("The partial surface has another grid; start anew.")
        return replace(
            partial,
            loss=partial.loss.copy(),
            accuracy=None if partial.accuracy is None else partial.accuracy.copy(),
            loss_standard_error=None if partial.loss_standard_error is None else partial.loss_standard_error.copy(),
            evaluated=partial.evaluated.copy(),
            metric=None if partial.metric is None else partial.metric.copy(),
        )
    return empty_surface(
        a,
        b,
        samples=evaluator.samples,
        accuracy=evaluator.classes,
        spread=evaluator.loss is None,
        metric=evaluator.metric is not None,
    )


def _fill(surface: Surface, group: Indices, table: NDArray[np.float64]) -> None:
    measured = (surface.loss, surface.accuracy, surface.loss_standard_error, surface.metric)
    for column, values in enumerate(measured):
        if values is not None:
            values.flat[group] = table[:, column]
    surface.evaluated.flat[group] = True


def _check_options(norm_stats: str, tolerance: float | None) -> None:
    if norm_stats not in NORM_STATISTICS:
        raise ValueError(f"norm_stats must be 'frozen' or 'recalibrated', not {norm_stats!r}.")
    if tolerance is not None and not 0 < tolerance < 1:
        raise ValueError(f"The tolerance is a share of the loss's range between 0 and 1, not {tolerance}.")


def _recalibrated(evaluator: Evaluator, vector: NDArray[np.float64]) -> Measured:
    evaluator.layout.load(evaluator.model, vector)
    norms = [m for m in evaluator.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative average over the pass
            norm.train()
        with torch.no_grad():
            for inputs, _ in evaluator.batches:
                evaluator.model(inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    return evaluator.measure()


def _cast(model: nn.Module, batches: Batches, precision: torch.dtype) -> tuple[nn.Module, Batches]:
    if not precision.is_floating_point:
        raise ValueError(f"precision must be a floating type such as torch.float64, not {precision}.")
    cast = [(x.to(precision) if x.is_floating_point() else x, y) for x, y in batches]
    return copy.deepcopy(model).to(precision), cast
