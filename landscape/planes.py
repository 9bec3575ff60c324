"""Planes through parameter space, and the projection of paths onto them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from landscape.directions import filter_normalize
from landscape.parameters import BlockSelection, ParameterLayout
from landscape.principal import principal_axes

Vector = NDArray[np.float64]
CHUNK = 1 << 16  # scalars of a vector handled at once


class Checkpoints(Protocol):
    """Anything that gives parameter vectors by number, such as :class:`checkpoints.Run`."""

    def __len__(self) -> int: ...

    def vector(self, i: int) -> NDArray[np.floating]:
        """Checkpoint ``i`` [D]."""


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane ``origin + α·axes[0] + β·axes[1]`` in parameter space.

    The axes may have any length and angle, as long as they span a plane.

    Attributes:
        origin: [D] float64.
        axes: [2, D] float64.
        explained_variance_ratio: [2] shares of the variance of the path about its mean, for PCA planes. It says
            how much of the path's spread the axes hold, not how close the path is to the plane: see ``project``.
    """

    origin: Vector
    axes: NDArray[np.float64]
    explained_variance_ratio: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        origin = np.ascontiguousarray(self.origin, dtype=np.float64)
        axes = np.ascontiguousarray(self.axes, dtype=np.float64)
        if origin.ndim != 1 or axes.shape != (2, origin.size):
            raise ValueError(f"A plane needs an origin [D] and axes [2, D], not {origin.shape} and {axes.shape}.")
        if not (np.isfinite(origin).all() and np.isfinite(axes).all()):
            raise ValueError("The plane's origin or axes hold NaN or infinite weights; choose other checkpoints.")
        gram = axes @ axes.T
        lengths = np.sqrt(np.diag(gram))
        if not (lengths > 0).all() or abs(gram[0, 1]) >= (1 - 1e-12) * lengths[0] * lengths[1]:
            raise ValueError("The two axes span no plane: one is zero or they are parallel; choose other points.")
        ratio = self.explained_variance_ratio
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "explained_variance_ratio", None if ratio is None else np.asarray(ratio, float))

    @property
    def size(self) -> int:
        """D, the number of parameters."""
        return self.origin.size

    def point(self, alpha: float, beta: float) -> Vector:
        """The parameter vector [D] at (α, β), computed from the stored origin."""
        return np.asarray(self.origin + alpha * self.axes[0] + beta * self.axes[1])

    def project(
        self, vectors: Iterable[ArrayLike] | NDArray[Any], *, method: str = "least-squares"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project parameter vectors onto the plane.

        Args:
            vectors: [T, D], or anything that gives T vectors one after the other.
            method: ``"least-squares"``, right for any axes, or ``"cos"``: ⟨d, x⟩/‖x‖ for each axis, right only for
                orthonormal axes and kept to compare with the tool of Li et al. (2018).

        Returns:
            Coordinates [T, 2] in units of the axes, and the Euclidean distances [T] to the plane.
        """
        if method not in ("least-squares", "cos"):
            raise ValueError(f"method must be 'least-squares' or 'cos', not {method!r}.")
        gram = self.axes @ self.axes.T
        coordinates, residual = [], []
        for vector in vectors:
            flat = np.asarray(vector)
            if flat.shape != (self.size,):
                raise ValueError(f"The plane has {self.size} parameters, but a vector has shape {flat.shape}.")
            products = np.zeros(2)
            for part, offset in self._offsets(flat):
                products += self.axes[:, part] @ offset
            best = np.linalg.solve(gram, products)
            squares = 0.0
            for part, offset in self._offsets(flat):
                apart = offset - best @ self.axes[:, part]
                squares += float(apart @ apart)
            residual.append(np.sqrt(squares))
            coordinates.append(best if method == "least-squares" else products / np.sqrt(np.diag(gram)))
        return np.array(coordinates).reshape(-1, 2), np.array(residual)

    def _offsets(self, vector: NDArray[Any]) -> Iterator[tuple[slice, Vector]]:
        """The vector minus the origin in float64, in pieces that stay in the processor's cache."""
        for start in range(0, self.size, CHUNK):
            part = slice(start, start + CHUNK)
            yield part, vector[part].astype(np.float64) - self.origin[part]


def random_plane(
    model: nn.Module,
    *,
    seed: int,
    norm: str | None = "filter",
    ignore: str | None = "biasbn",
    block: BlockSelection = None,
) -> Plane:
    """A plane at the model's weights along two random directions (Li et al. 2018).

    Both are standard normal, x drawn before y, not orthogonalised, and scaled by :func:`filter_normalize`. The
    global random state is neither used nor changed.
    """
    layout = ParameterLayout.from_model(model)
    generator = torch.Generator().manual_seed(seed)
    trainable = dict(model.named_parameters())
    weights = {name: trainable[name].detach().to("cpu", torch.float32) for name in layout.names}
    axes = []
    for _ in range(2):
        raw = {name: torch.randn(weight.shape, generator=generator) for name, weight in weights.items()}
        scaled = filter_normalize(raw, weights, norm=norm, ignore=ignore)
        axes.append(torch.cat([scaled[name].reshape(-1) for name in layout.names]).double().numpy())
    keep = np.zeros(layout.size, bool)
    keep[layout.select(block)] = True
    return Plane(layout.vector(model).numpy(), np.where(keep, np.stack(axes), 0.0))


def three_point_plane(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Plane:
    """The plane through three parameter vectors [D]: a at (0, 0), b at (1, 0), c at (0, 1)."""
    origin, second, third = (np.asarray(v, dtype=np.float64) for v in (a, b, c))
    if not origin.shape == second.shape == third.shape:
        raise ValueError("The three points have different numbers of parameters; give three of one model.")
    try:
        return Plane(origin, np.stack([second - origin, third - origin]))
    except ValueError:
        if not all(np.isfinite(v).all() for v in (origin, second, third)):
            raise
        raise ValueError("The three points lie on one line or coincide; choose three that span a plane.") from None


def parameter_plane(origin: ArrayLike, i: int, j: int) -> Plane:
    """The plane of two single parameters, by flat index: the axes are unit steps of these weights."""
    start = np.asarray(origin, dtype=np.float64)
    if i == j or not (0 <= i < start.size and 0 <= j < start.size):
        raise ValueError(f"Parameters {i} and {j} must be two different indices in 0…{start.size - 1}.")
    axes = np.zeros((2, start.size))
    axes[0, i] = axes[1, j] = 1.0
    return Plane(start, axes)


def pca_plane(
    run_or_runs: Checkpoints | Sequence[Checkpoints] | NDArray[Any] | Sequence[NDArray[Any]],
    *,
    origin: str | ArrayLike = "final",
    ignore: str | None = None,
    block: BlockSelection = None,
) -> Plane:
    """The plane of largest variance of one path, or of several together (joint PCA).

    Rows are checkpoint − origin. As in scikit-learn's PCA the row mean is subtracted to find the axes, while the
    plane passes through the origin (Li et al. 2018). Computed from the T×T Gram matrix, streamed over the parameters
    in float64: each file is read twice from start to end, and memory does not grow with T × D.

    Args:
        run_or_runs: One or several runs (or arrays [T, D]) of one model.
        origin: ``"final"``: last checkpoint of the first run; ``"init"``: its first; ``"mean"`` of all; or a
            vector [D].
        ignore: ``"biasbn"`` leaves parameters of at most one axis out of the axes (runs only).
        block: Restrict the axes to some parameters; the others stay at the origin.

    Returns:
        Orthonormal axes, the largest entry of each positive, with the explained variance ratio. When all movement
        is along one line, the second axis is a fixed unit vector at right angles to it, of ratio 0.
    """
    runs = _as_runs(run_or_runs)
    size = _common_size(runs)
    start = _origin(runs, origin, size)
    keep = _kept(runs[0], size, ignore, block)
    if sum(len(run) for run in runs) < 2:
        raise ValueError("A PCA plane needs at least two checkpoints; record more, or choose a random plane.")
    ratio, axes = principal_axes(runs, start, keep)
    return Plane(start, axes, ratio)


class _Rows:
    """An array [T, D] that answers like a run."""

    def __init__(self, rows: NDArray[Any]) -> None:
        if rows.ndim != 2:
            raise ValueError(f"Checkpoints given as an array must have shape [T, D], not {rows.shape}.")
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def vector(self, i: int) -> NDArray[Any]:
        return np.asarray(self._rows[i])


def _as_runs(given: Any) -> list[Checkpoints]:
    if isinstance(given, np.ndarray) or hasattr(given, "vector"):
        given = [given]
    runs = [_Rows(run) if isinstance(run, np.ndarray) else run for run in given]
    if not runs:
        raise ValueError("No run was given; a PCA plane needs at least one.")
    for number, run in enumerate(runs):
        if len(run) == 0:
            raise ValueError(f"Run {number + 1} of {len(runs)} has no checkpoint; record it first or leave it out.")
    return runs


def _common_size(runs: Sequence[Checkpoints]) -> int:
    first = runs[0]
    size = np.asarray(first.vector(0)).size
    for number, run in enumerate(runs[1:], start=2):
        other = np.asarray(run.vector(0)).size
        different = getattr(run, "parameters", None) != getattr(first, "parameters", None)
        if other != size or (different and hasattr(run, "parameters") and hasattr(first, "parameters")):
            raise ValueError(
                f"Run {number} is of another model than run 1 ({other} and {size} parameters, or other names); "
                "compare runs of one model."
            )
    return int(size)


def _origin(runs: Sequence[Checkpoints], origin: str | ArrayLike, size: int) -> Vector:
    if not isinstance(origin, str):
        given = np.asarray(origin, dtype=np.float64)
        if given.shape != (size,):
            raise ValueError(f"The origin has shape {given.shape}, but the runs have {size} parameters.")
        return given
    if origin == "final":
        return np.asarray(runs[0].vector(len(runs[0]) - 1), dtype=np.float64)
    if origin == "init":
        return np.asarray(runs[0].vector(0), dtype=np.float64)
    if origin == "mean":
        total, count = np.zeros(size), 0
        for run in runs:
            for i in range(len(run)):
                total += run.vector(i)
                count += 1
        return total / count
    raise ValueError(f"origin must be 'final', 'init', 'mean' or a vector, not {origin!r}.")


def _kept(run: Checkpoints, size: int, ignore: str | None, block: BlockSelection) -> NDArray[np.bool_]:
    """Which parameters the axes may use [D]."""
    if ignore not in (None, "biasbn"):
        raise ValueError(f"ignore must be 'biasbn' or None, not {ignore!r}.")
    keep = np.ones(size, bool)
    named = getattr(run, "parameters", None)
    if ignore is None and block is None:
        return keep
    if named is None:
        if ignore is None and not isinstance(block, str):
            layout = ParameterLayout(("parameters",), ((size,),))
        else:
            raise ValueError("Arrays have no parameter names; give runs to use ignore= or a block by name.")
    else:
        layout = ParameterLayout(tuple(named.names), tuple(tuple(s) for s in named.shapes))
    keep[:] = False
    keep[layout.select(block)] = True
    if ignore == "biasbn":
        for where, shape in zip(layout.slices.values(), layout.shapes, strict=True):
            if len(shape) <= 1:
                keep[where] = False
    if keep.sum() < 2:
        raise ValueError("The block leaves fewer than two parameters to move; choose a larger one.")
    return keep
