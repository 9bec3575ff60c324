"""Transferable unlearnable examples (TUE) in the separability-only form.

Ren, Xu, Wan, Ma, Sun and Tang, *Transferable Unlearnable Examples* (ICLR 2023) minimise a self-supervised
loss plus the class-wise separability discriminant (CSD) of the noise. This is the form with weight 0 on the
self-supervised loss, as the authors' settings for SimCLR and SimSiam have it: the noise is made by the CSD alone, and
no network takes part. The CSD is that of all samples at once, where the authors take it batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation, feature_scale, linf_budget, method_generator

EVEN = 1e-5  # keeps the CSD finite where noise is all alike
TINY = 1e-12  # keeps the direction finite between centres that coincide


def perturb(
    dataset: Dataset,
    *,
    seed: int,
    strength: float | None = None,
    steps: int = 20,
    step_size: float = 0.1,
    progress: Callable[[int, int], None] | None = None,
) -> Perturbation:
    """Add noise that starts uniform in the L∞ ball and descends the CSD by signed gradient steps.

    Args:
        strength: L∞ radius ε.
        steps: Signed steps; the authors' 20.
        step_size: Of one step, as a share of ε; the authors' 0.8/255 of 8/255.
        progress: Called as ``progress(done, total)`` after every step.

    Raises:
        ValueError: No step, or a step size that is not positive.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"TUE takes a whole number of steps, at least 1, not {steps!r}.")
    if not (np.isfinite(step_size) and step_size > 0):
        raise ValueError(f"The step size of TUE is a positive share of the radius, not {step_size!r}.")
    radius, budget = linf_budget(dataset, strength)
    rng = method_generator(seed, "tue")
    noise = rng.uniform(-radius, radius, size=(len(dataset.y_train), int(np.prod(dataset.input_shape))))
    members = [found for k in range(dataset.n_classes) if len(found := np.flatnonzero(dataset.y_train == k))]
    for step in range(steps):
        centres, spreads = class_statistics(noise, members)
        # A centre moves as the mean of its samples does, so that every sample of a class has the same gradient.
        downhill = -np.sign(centre_gradients(centres, spreads)) * step_size * radius
        for found, move in zip(members, downhill, strict=True):
            noise[found] = np.clip(noise[found] + move, -radius, radius)
        if progress is not None:
            progress(step + 1, steps)
    delta = noise.reshape(dataset.x_train.shape) * feature_scale(dataset)
    return Perturbation(delta, "transferable unlearnable examples, separability only", budget, radius)


def class_statistics(
    noise: NDArray[np.float64], members: list[NDArray[np.int64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres [K, D] of the noise [N, D] of each class, and mean Euclidean distances to them [K]."""
    centres = np.stack([noise[found].mean(axis=0) for found in members])
    spreads = [
        np.linalg.norm(noise[found] - centre, axis=1).mean() for found, centre in zip(members, centres, strict=True)
    ]
    return centres, np.array(spreads)


def separability(centres: NDArray[np.float64], spreads: NDArray[np.float64]) -> float:
    """The CSD, mean over pairs a ≠ b of (s_a + s_b) / ‖m_a − m_b‖: small where classes are dense and far apart."""
    apart, pairs = _distances(centres)
    wide = spreads[:, None] + spreads[None, :]
    return float(((wide + EVEN) / (apart + EVEN))[pairs].mean())


def centre_gradients(centres: NDArray[np.float64], spreads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gradient [K, D] of the CSD by the centres, with the spreads held constant as the authors do."""
    apart, pairs = _distances(centres)
    wide = spreads[:, None] + spreads[None, :] + EVEN
    pull = np.where(pairs, -wide / ((apart + EVEN) ** 2 * (apart + ~pairs + TINY)), 0.0)
    pull *= 2 / max(int(pairs.sum()), 1)  # every centre is in the pair (a, b) and in (b, a)
    return np.asarray(pull.sum(axis=1, keepdims=True) * centres - pull @ centres)


def _distances(centres: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distances [K, K] of the centres, and which pairs are of two classes."""
    apart = np.linalg.norm(centres[:, None] - centres[None, :], axis=2)
    return apart, ~np.eye(len(centres), dtype=bool)
