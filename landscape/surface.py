"""Loss surfaces: the loss on a grid of a plane."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from landscape.evaluation import Batches, Evaluator, Loss
from landscape.planes import Plane

NORM_STATISTICS = ("frozen", "recalibrated")


@dataclass(frozen=True, eq=False)
class Surface:
    """Loss and accuracy on a grid: entry [i, j] is at (alphas[i], betas[j]).

    Attributes:
        alphas: [A] in units of the first axis; betas: [B] of the second.
        loss: [A, B] mean over samples, NaN where not evaluated; other non-finite values are results.
        accuracy: [A, B] in [0, 1], or None where targets are no class indices.
        loss_standard_error: [A, B] over samples, or None for a loss of the caller's own.
        samples: Samples behind each mean.
        evaluated: [A, B] bool.
    """

    alphas: NDArray[np.float64]
    betas: NDArray[np.float64]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    loss_standard_error: NDArray[np.float64] | None
    samples: int
    evaluated: NDArray[np.bool_]


def evaluate_surface(
    model: nn.Module,
    plane: Plane,
    batches: Batches,
    alphas: ArrayLike,
    betas: ArrayLike,
    *,
    loss: Loss | None = None,
    precision: torch.dtype | None = None,
    norm_stats: str = "frozen",
    partial: Surface | None = None,
    on_row: Callable[[Surface], None] | None = None,
) -> Surface:
    """Evaluate the mean loss at every grid point of a plane.

    Each point is ``origin + α·x + β·y`` computed from the stored origin in float64 and cast to the model's type, never
    step after step. The model is in evaluation mode meanwhile and as it was afterwards, also after an exception.

    Args:
        model: Any module whose trainable parameters the plane is about; frozen parameters and buffers are its own.
        plane: Of as many parameters as the model trains.
        batches: ``(inputs, targets)`` pairs; the mean is over all samples.
        alphas, betas: [A] and [B] grid values.
        loss: ``loss(outputs, targets)``, a mean over the batch; default cross-entropy.
        precision: Compute in this floating type (a copy of the model and inputs is cast); default the model's own.
        norm_stats: ``"frozen"``: the model's running statistics (Li et al. 2018); ``"recalibrated"``: measured anew
            at every point by a pass over the batches.
        partial: A surface of the same grid to complete; only points not evaluated are computed.
        on_row: Called with the surface so far after each row; an exception from it stops the work.

    Raises:
        ValueError: Sizes do not fit, the grid is empty or not finite, there is no data, a label is out of range.
    """
    a, b = _grid(alphas, "alphas"), _grid(betas, "betas")
    if norm_stats not in NORM_STATISTICS:
        raise ValueError(f"norm_stats must be 'frozen' or 'recalibrated', not {norm_stats!r}.")
    if precision is not None:
        model, batches = _cast(model, batches, precision)
    evaluator = Evaluator(model, batches, loss)
    if plane.size != evaluator.layout.size:
        raise ValueError(f"The plane has {plane.size} parameters, but the model trains {evaluator.layout.size}.")
    surface = _begin(evaluator, a, b, partial)
    with evaluator.borrowed(model):
        for i in range(len(a)):
            missing = np.flatnonzero(~surface.evaluated[i])
            if missing.size == 0:
                continue
            for j in missing:
                measured = _measure(evaluator, plane.point(a[i], b[j]), norm_stats)
                _fill(surface, i, int(j), measured)
            if on_row is not None:
                on_row(surface)
    return surface


def path_box(
    paths: Sequence[ArrayLike], *, margin: float = 0.2, grid: int = 51
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grid values [grid] along both axes that hold every path [T, 2] with room around them.

    ``margin`` is the room on each side as a share of the paths' extent. An axis along which nothing moves gets the
    extent of the other one (or 1 when nothing moves at all).
    """
    if grid < 2:
        raise ValueError(f"A grid of {grid} points a side draws no surface; use at least 2.")
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"The margin must be 0 or more, not {margin}.")
    points = np.concatenate([np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in paths])
    if len(points) == 0 or not np.isfinite(points).all():
        raise ValueError("The paths hold no points or points that are not finite; no box can be drawn around them.")
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
        )
    shape = (len(a), len(b))
    return Surface(
        a,
        b,
        np.full(shape, np.nan),
        np.full(shape, np.nan) if evaluator.classes else None,
        np.full(shape, np.nan) if evaluator.loss is None else None,
        evaluator.samples,
        np.zeros(shape, bool),
    )


def _fill(surface: Surface, i: int, j: int, measured: tuple[float, float, float]) -> None:
    surface.loss[i, j] = measured[0]
    if surface.accuracy is not None:
        surface.accuracy[i, j] = measured[1]
    if surface.loss_standard_error is not None:
        surface.loss_standard_error[i, j] = measured[2]
    surface.evaluated[i, j] = True


def _measure(evaluator: Evaluator, vector: NDArray[np.float64], norm_stats: str) -> tuple[float, float, float]:
    if norm_stats == "frozen":
        return evaluator.at(vector)
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
