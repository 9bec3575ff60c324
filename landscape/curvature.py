"""Curvature at a model's weights: the Hessian's top eigenpairs with residuals, its trace with a standard error.

Hessian-vector products come from curvlinops (Dangel et al. 2025), the eigenpairs from ARPACK through SciPy. Nothing of
size D × D is formed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from landscape.evaluation import Batches, Evaluator
from landscape.planes import Plane
from landscape.scoring import Loss


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """The largest eigenvalues of the Hessian of the mean loss.

    Attributes:
        values: [k] descending, in units of the loss.
        vectors: [k, D] unit length; zero for parameters that were left out.
        residuals: [k] ``‖Hv − λv‖ / |λ|``: how far each pair is from an exact one.
    """

    values: NDArray[np.float64]
    vectors: NDArray[np.float64]
    residuals: NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """The Hessian's trace, estimated by random probes (Hutchinson 1989), with its standard error."""

    value: float
    standard_error: float
    probes: int


def hessian_eigenpairs(
    model: nn.Module,
    batches: Batches,
    *,
    k: int = 2,
    loss: Loss | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> Eigenpairs:
    """The k largest eigenvalues (algebraic) of the Hessian of the mean loss, at the model's weights.

    Args:
        model: In evaluation mode meanwhile, and as it was afterwards.
        batches: ``(inputs, targets)`` pairs; the mean is over all samples.
        k: Number of pairs, below the number of parameters.
        loss: ``loss(outputs, targets)``, a mean over the batch; default cross-entropy.
        layers: Restrict the Hessian to parameters by name or module prefix; default all trainable ones.
        seed: Of the start vector.
        tolerance: Relative accuracy that ARPACK is asked for.

    Raises:
        ValueError: Too few parameters, no data, no convergence, or a Hessian that is not finite.
    """
    with _Hessian(model, batches, loss, layers) as hessian:
        if not 1 <= k < hessian.size:
            raise ValueError(f"k must be between 1 and {hessian.size - 1}, one less than the parameters; it is {k}.")
        start = np.random.default_rng(seed).standard_normal(hessian.size)
        first = hessian.times(start)
        if not np.isfinite(first).all():
            raise ValueError("The Hessian is not finite at these weights; choose another checkpoint.")
        if not first.any():
            raise ValueError(
                "The Hessian is zero at these weights (every loss is saturated); choose another checkpoint."
            )
        if hessian.size <= 2 * k + 2:  # too small for Lanczos
            dense = np.stack([hessian.times(unit) for unit in np.eye(hessian.size)])
            values, vectors = np.linalg.eigh((dense + dense.T) / 2)
        else:
            from scipy.sparse.linalg import ArpackError, eigsh  # takes a tenth of a second to import

            try:
                values, vectors = eigsh(hessian.operator, k=k, which="LA", v0=start, tol=tolerance)
            except ArpackError:
                raise ValueError(
                    f"The {k} largest eigenvalues did not converge; ask for fewer or for a larger tolerance."
                ) from None
        order = np.argsort(values)[::-1][:k]
        values, vectors = values[order], vectors[:, order].T
        off = [np.linalg.norm(hessian.times(v) - value * v) for value, v in zip(values, vectors, strict=True)]
        return Eigenpairs(values, hessian.spread(vectors), np.array(off) / np.maximum(np.abs(values), 1e-300))


def hessian_trace(
    model: nn.Module,
    batches: Batches,
    *,
    probes: int = 30,
    loss: Loss | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> Trace:
    """The trace of the Hessian of the mean loss, by ``probes`` random sign vectors; arguments as above."""
    if probes < 2:
        raise ValueError(f"A trace with a standard error needs at least 2 probes, not {probes}.")
    generator = np.random.default_rng(seed)
    with _Hessian(model, batches, loss, layers) as hessian:
        found = []
        for _ in range(probes):
            probe = generator.choice((-1.0, 1.0), hessian.size)
            found.append(float(probe @ hessian.times(probe)))
    return Trace(float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(probes)), probes)


def hessian_plane(
    model: nn.Module,
    batches: Batches,
    *,
    loss: Loss | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> Plane:
    """The plane at the model's weights along the top two eigenvectors of the Hessian; largest entries positive."""
    pairs = hessian_eigenpairs(model, batches, k=2, loss=loss, layers=layers, seed=seed)
    axes = pairs.vectors.copy()
    for axis in axes:
        if axis[np.argmax(np.abs(axis))] < 0:
            axis *= -1
    return Plane(Evaluator(model, batches, loss).layout.vector(model).numpy(), axes)


class _Hessian:
    """The Hessian as an operator on vectors [n] in float64, with the model borrowed for as long as it lives."""

    def __init__(self, model: nn.Module, batches: Batches, loss: Loss | None, layers: Sequence[str] | None) -> None:
        evaluator = Evaluator(model, batches, loss)
        layout = evaluator.layout
        self._kept = layout.select(list(layers) if layers is not None else None)
        self._total = layout.size
        self._borrowed = evaluator.borrowed(model)
        self._model = model
        trainable = dict(model.named_parameters())
        starts = {n: where.start for n, where in layout.slices.items()}
        names = [n for n, inside in zip(starts, np.isin(list(starts.values()), self._kept), strict=True) if inside]
        self.size = int(self._kept.size)
        self._parts = (model, _MeanLoss(loss), [trainable[n] for n in names], evaluator.batches)

    def __enter__(self) -> _Hessian:
        self._borrowed.__enter__()
        with warnings.catch_warnings(record=True):  # importing curvlinops warns of other packages' plans
            from curvlinops import HessianLinearOperator

            linear: Any = HessianLinearOperator(*self._parts, check_deterministic=False)
        self.operator: Any = linear.to_scipy()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._borrowed.__exit__(*exception)

    def times(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """H v."""
        return np.asarray(self.operator @ vector, dtype=np.float64)

    def spread(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors [k, n] among all parameters [k, D]."""
        full = np.zeros((len(vectors), self._total))
        full[:, self._kept] = vectors
        return full


class _MeanLoss(nn.Module):
    """A loss that says of itself that it is a mean over the batch."""

    reduction = "mean"

    def __init__(self, loss: Loss | None) -> None:
        super().__init__()
        self.loss = loss or functional.cross_entropy

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(outputs, targets)


__all__ = ["Eigenpairs", "Trace", "hessian_eigenpairs", "hessian_plane", "hessian_trace"]
