"""What a method returns, and the budgets that methods share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset


@dataclass(frozen=True, eq=False)
class Perturbation:
    """Perturbations of every training sample.

    Attributes:
        delta: [N, …] float64, before clipping and rounding.
        description: Method and budget in words.
    """

    delta: NDArray[np.float64]
    description: str


def linf_budget(dataset: Dataset, strength: float | None) -> tuple[float, str]:
    """The L∞ radius of noise and how to say it.

    Default: 8/255 for colour images; 0.3 for grey ones, as is customary for MNIST; one standard deviation for
    feature vectors, whose radius is in units of each feature's standard deviation.
    """
    if dataset.kind == "features":
        radius = 1.0 if strength is None else strength
        return radius, f"L∞ ≤ {radius:g} standard deviations"
    radius = strength if strength is not None else (8 / 255 if dataset.input_shape[0] == 3 else 0.3)
    if dataset.eight_bit:
        radius = np.floor(radius * 255 + 1e-6) / 255
        return float(radius), f"L∞ ≤ {round(radius * 255)}/255"
    return float(radius), f"L∞ ≤ {radius:g}"


def feature_scale(dataset: Dataset) -> NDArray[np.float64]:
    """What one unit of noise is: 1 for images, each feature's standard deviation for vectors."""
    if dataset.kind == "image":
        return np.ones(dataset.input_shape)
    return np.asarray(dataset.x_train.std(axis=0, dtype=np.float64))
