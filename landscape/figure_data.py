"""What surface figures are drawn from: surfaces, paths, curves, and how a path lies on its surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landscape.loss_words import loss_word

BUILT_IN = ("loss", "accuracy")  # have their own names and units, whatever else is called so
COMPUTED = "computed"  # key of a metric of the checkpoints that was computed anew, not recorded
OFF_PLANE = 0.2  # share of a path's length beyond which its markers get thin


@dataclass(frozen=True, eq=False)
class SurfaceData:
    """A surface to draw: [A] alphas, [B] betas, and [A, B] loss and accuracy at (alphas[i], betas[j]).

    ``note`` says in a few words what else its numbers leave out. ``metric`` [A, B] is one of the user's own.
    ``loss_name`` is empty for cross-entropy.
    """

    alphas: NDArray[np.float64]
    betas: NDArray[np.float64]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    samples: int
    axis_names: tuple[str, ...]
    evaluated_on: str
    plane_name: str
    explained: tuple[float, float] | None
    standard_error: NDArray[np.float64] | None
    seeds: tuple[int, ...]
    note: str = ""
    metric: NDArray[np.float64] | None = None
    metric_name: str = ""
    loss_name: str = ""


@dataclass(frozen=True, eq=False)
class PathData:
    """A run's path to draw: coordinates [T, 2] on the plane, and [T] of everything else."""

    name: str
    role: str  # of landscape.style: clean, poisoned, control, other, reference, compared …
    coordinates: NDArray[np.float64]
    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    residual: NDArray[np.float64]
    loss_true: NDArray[np.float64] | None
    loss_in_plane: NDArray[np.float64] | None
    metric_true: NDArray[np.float64] | None = None
    metric_in_plane: NDArray[np.float64] | None = None
    loss_name: str = ""


@dataclass(frozen=True, eq=False)
class RunCurves:
    """A run's metrics over its checkpoints [T]; epochs are NaN where they are not known.

    ``metric_name`` is what a metric of the user's own is called: recorded as ``test_NAME``, ``train_NAME`` or ``NAME``,
    or, under the key ``COMPUTED``, computed anew on the data that ``computed_on`` names.
    """

    name: str
    role: str
    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    metrics: dict[str, NDArray[np.float64]]
    loss_name: str = ""  # of the losses among them
    metric_name: str = ""
    computed_on: str = ""


def values_of(surface: SurfaceData, quantity: str) -> NDArray[np.float64]:
    """Loss, accuracy or the user's own metric [A, B] of a surface. Raises ValueError where there is none."""
    if quantity == "loss":
        return surface.loss
    if quantity == "metric":
        if surface.metric is None:
            raise ValueError("This surface has no metric; name one with surface --metric PACKAGE.MODULE:FUNCTION.")
        return surface.metric
    if quantity != "accuracy":
        raise ValueError(f"quantity must be 'loss', 'accuracy' or 'metric', not {quantity!r}.")
    if surface.accuracy is None:
        raise ValueError("This surface has no accuracy; its targets are not class indices.")
    return surface.accuracy


def name_of(surfaces: Sequence[SurfaceData], quantity: str) -> str:
    """What a quantity is called in a figure of surfaces."""
    if quantity == "loss":
        return loss_word(surfaces[0].loss_name)
    return surfaces[0].metric_name or quantity if quantity == "metric" else quantity


def on_surface(surface: SurfaceData, path: PathData, quantity: str) -> NDArray[np.float64]:
    """Height of a path: its own in-plane loss or metric where known, else the surface between the grid points."""
    own = {"loss": path.loss_in_plane, "metric": path.metric_in_plane}.get(quantity)
    if own is not None and len(own) == len(path.coordinates):
        return own
    return interpolate(surface.alphas, surface.betas, values_of(surface, quantity), path.coordinates)


def interpolate(
    alphas: NDArray[np.float64],
    betas: NDArray[np.float64],
    values: NDArray[np.float64],
    points: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Bilinear interpolation of grid values [A, B] at points [T, 2]; points outside take the nearest edge."""
    i, u = _cell(alphas, points[:, 0])
    j, v = _cell(betas, points[:, 1])
    low = (1 - v) * values[i, j] + v * values[i, j + 1]
    high = (1 - v) * values[i + 1, j] + v * values[i + 1, j + 1]
    return np.asarray((1 - u) * low + u * high)


def _cell(grid: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    i = np.clip(np.searchsorted(grid, x) - 1, 0, len(grid) - 2)
    return i, np.clip((x - grid[i]) / (grid[i + 1] - grid[i]), 0.0, 1.0)


def far_off(path: PathData) -> NDArray[np.bool_]:
    """Whether each checkpoint [T] is far off the plane, measured by the path's own length on it."""
    steps = np.diff(path.coordinates, axis=0)
    length = float(np.linalg.norm(steps, axis=1).sum()) if len(steps) else 0.0
    far: NDArray[np.bool_] = path.residual > OFF_PLANE * max(length, 1e-300)
    return far


def marker_sizes(path: PathData, full: float, thin: float) -> list[float]:
    """Marker sizes: thin where the path is far off the plane."""
    return [thin if off else full for off in far_off(path)]


def nearest(path: PathData, step: int) -> int:
    """Index of the checkpoint nearest to a step."""
    return int(np.argmin(np.abs(path.steps - step)))


def f32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Typed arrays travel to the browser as bytes."""
    return np.ascontiguousarray(values, dtype=np.float32)


def held_out(label: str) -> list[tuple[str, str]]:
    """Names under which runs record a metric on data that they do not train on, each with the word for the data.

    Loggers write ``val_margin``, ``val/margin`` or ``eval_margin``.
    """
    parts = {"test": "test", "eval": "evaluation", "val": "validation"}
    return [(f"{part}{mark}{label}", word) for part, word in parts.items() for mark in "_/"]
