"""In which order the points of a grid are evaluated: coarse to fine, and where interpolation is not good enough yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from landscape.surface import Surface

Indices = NDArray[np.int64]
FIRST_SIDE = 8  # points a side of the first level, about
GROUP_SCALARS = 1 << 22
GROUP_POINTS = 64
START_SIDE = 7  # points a side that adaptive refinement starts from
NEIGHBOURS = 60


def grid_levels(shape: tuple[int, ...]) -> list[Indices]:
    """Flat indices of a grid [A, B], level by level: each level halves the distance of the one before."""
    stride = 1
    while max(shape) > FIRST_SIDE * stride + 1:
        stride *= 2
    seen = np.zeros(shape, bool)
    levels = []
    while stride >= 1:
        level = np.zeros(shape, bool)
        level[np.ix_(*(_every(n, stride) for n in shape))] = True
        levels.append(np.flatnonzero(level & ~seen))
        seen |= level
        stride //= 2
    return levels


def groups(indices: Indices, parameters: int) -> Iterator[Indices]:
    """Cut points into groups that are worked on together: fewer the larger the model, never depending on chance."""
    size = int(np.clip(GROUP_SCALARS // max(1, parameters), 1, GROUP_POINTS))
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def grid_groups(shape: tuple[int, ...], parameters: int) -> list[Indices]:
    """All groups of a grid, coarse to fine. The same for every process, so that results are the same bits."""
    return [group for level in grid_levels(shape) for group in groups(level, parameters)]


def coarse_surface(surface: Surface) -> Surface | None:
    """The finest regular grid that is evaluated completely, or None before the first level is."""
    stride = 1
    while stride < max(surface.loss.shape):
        rows, columns = (_every(n, stride) for n in surface.loss.shape)
        box = np.ix_(rows, columns)
        if surface.evaluated[box].all():
            return replace(
                surface,
                alphas=surface.alphas[rows],
                betas=surface.betas[columns],
                loss=surface.loss[box],
                accuracy=None if surface.accuracy is None else surface.accuracy[box],
                loss_standard_error=(None if surface.loss_standard_error is None else surface.loss_standard_error[box]),
                evaluated=surface.evaluated[box],
                metric=None if surface.metric is None else surface.metric[box],
            )
        stride *= 2
    return None


def refine(surface: Surface, evaluate: Callable[[Indices], None], tolerance: float) -> float | None:
    """Evaluate points until the others can be interpolated, interpolate them, and return the error to expect.

    A cubic radial basis interpolant is fitted to what is known, and doubted by how far a stiffer one (a thin plate)
    is from it. Each round evaluates the points in most doubt and those farthest from everything known, and compares.
    It ends when the doubt is within half the tolerance everywhere and every prediction of the last two rounds was
    within it. The error returned is an estimate, the larger of the two, in units of the loss; None when nothing was
    left to interpolate. Around non-finite losses everything is evaluated.
    """
    shape = surface.loss.shape
    start = np.zeros(shape, bool)
    start[np.ix_(*(np.unique(np.linspace(0, n - 1, START_SIDE).round().astype(int)) for n in shape))] = True
    evaluate(np.flatnonzero(start & ~surface.evaluated))
    met, good = 0.0, 0
    while True:
        _surround_non_finite(surface, evaluate)
        missing = np.flatnonzero(~surface.evaluated)
        if missing.size == 0:
            return None
        known = np.flatnonzero(surface.evaluated & np.isfinite(surface.loss))
        if known.size < 4:  # nothing to interpolate from
            evaluate(missing)
            continue
        values = surface.loss.flat[known]
        predicted = _interpolate(shape, known, values, missing, "cubic")
        doubt = np.abs(predicted - _interpolate(shape, known, values, missing, "thin_plate_spline"))
        allowed = tolerance * float(np.ptp(values))
        if good >= 2 and doubt.max() <= allowed / 2:
            surface.loss.flat[missing] = np.maximum(predicted, values.min())  # nothing below what was met
            _interpolate_rest(surface, known, missing)
            return max(met, float(doubt.max()))
        chosen = _doubtful(shape, known, missing, doubt)
        evaluate(missing[chosen])
        off = np.abs(predicted[chosen] - surface.loss.flat[missing[chosen]])
        within = bool((off <= allowed).all())  # NaN is not within
        worst = float(np.nanmax(off, initial=0.0))
        met, good = (max(worst, met), good + 1) if within else (0.0, 0)


def _every(n: int, stride: int) -> NDArray[np.int64]:
    return np.unique(np.append(np.arange(0, n, stride), n - 1))


def _places(shape: tuple[int, ...], indices: Indices) -> NDArray[np.float64]:
    """Positions [N, 2] in the unit square."""
    grid = np.stack(np.unravel_index(indices, shape), axis=1).astype(np.float64)
    return np.asarray(grid / np.maximum(np.array(shape) - 1, 1))


def _interpolate(
    shape: tuple[int, ...], known: Indices, values: NDArray[np.float64], wanted: Indices, kernel: str
) -> NDArray[np.float64]:
    from scipy.interpolate import RBFInterpolator  # takes a quarter of a second to import

    neighbours = NEIGHBOURS if known.size > 400 else None
    fit = RBFInterpolator(_places(shape, known), values, kernel=kernel, neighbors=neighbours, degree=1)
    return np.asarray(fit(_places(shape, wanted)), dtype=np.float64)


def _doubtful(
    shape: tuple[int, ...], known: Indices, missing: Indices, doubt: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Positions in ``missing`` to evaluate next: half where doubt is largest, half far from everything known."""
    from scipy.spatial import cKDTree

    count = min(missing.size, max(8, known.size // 6))
    places = _places(shape, missing)
    distance = cKDTree(_places(shape, known)).query(places)[0]
    spacing = float(np.median(distance))
    chosen: list[int] = []
    for number in range(count):
        score = distance * (doubt if number % 2 == 0 else 1.0)
        best = int(np.argmax(score))
        if score[best] <= 0:
            best = int(np.argmax(distance))
        chosen.append(best)
        away = np.linalg.norm(places - places[best], axis=1)
        distance = np.minimum(distance, away)
        if spacing > 0:
            doubt = doubt * np.minimum(1.0, away / (2 * spacing))
    return np.unique(np.array(chosen, dtype=np.int64))


def _surround_non_finite(surface: Surface, evaluate: Callable[[Indices], None]) -> None:
    """Evaluate every neighbour of a non-finite loss, until finite ones enclose all of them."""
    while True:
        bad = np.pad(surface.evaluated & ~np.isfinite(surface.loss), 1)
        rows, columns = surface.loss.shape
        near = np.zeros(surface.loss.shape, bool)
        for i in range(3):
            for j in range(3):
                near |= bad[i : i + rows, j : j + columns]
        wanted = np.flatnonzero(near & ~surface.evaluated)
        if wanted.size == 0:
            return
        evaluate(wanted)


def _interpolate_rest(surface: Surface, known: Indices, missing: Indices) -> None:
    """Accuracy, standard error and metric where the loss is interpolated: a stiff interpolant, kept in their range."""
    ranges = ((surface.accuracy, (0.0, 1.0)), (surface.loss_standard_error, (0.0, np.inf)), (surface.metric, None))
    for values, span in ranges:
        if values is None:
            continue
        usable = known[np.isfinite(values.flat[known])]
        if usable.size >= 4:
            found = _interpolate(surface.loss.shape, usable, values.flat[usable], missing, "linear")
            low, high = span or (values.flat[usable].min(), values.flat[usable].max())  # a metric's is what was seen
            values.flat[missing] = np.clip(found, low, high)
