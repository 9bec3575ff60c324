"""What a method returns, and the budgets that methods share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset


@dataclass(frozen=True, eq=False)
class Perturbation:
    """Perturbations of every training sample.

    Attributes:
        delta: [N, …] float64, before clipping and rounding.
        method: The method in words.
        budget: What it may change, in words.
        strength: The budget as a number, after defaults and rounding.
    """

    delta: NDArray[np.float64]
    method: str
    budget: str
    strength: float


def linf_budget(dataset: Dataset, strength: float | None) -> tuple[float, str]:
    """The L∞ radius of noise and how to say it.

    Default: 8/255 for colour images (Huang et al. 2021); 0.3 for grey ones, as is customary for MNIST (Feng, Cai and
    Zhou 2019); one standard deviation for feature vectors, whose radius is in units of each feature's standard
    deviation. For 8-bit images the radius is rounded down to whole grey levels.

    Raises:
        ValueError: An image's radius above 1, or below one grey level.
    """
    if dataset.kind == "features":
        radius = 1.0 if strength is None else strength
        return radius, f"L∞ ≤ {radius:g} standard deviations"
    radius = strength if strength is not None else (8 / 255 if dataset.input_shape[0] == 3 else 0.3)
    if radius > 1:
        raise ValueError(
            f"A strength of {radius:g} exceeds the pixels' range [0, 1]; 8 grey levels are 8/255 = 0.0314."
        )
    if not dataset.eight_bit:
        return radius, f"L∞ ≤ {radius:g}"
    levels = math.floor(radius * 255 + 1e-6)
    if levels == 0:
        raise ValueError(f"A strength of {radius:g} is less than one grey level, 1/255 = 0.0039, and changes nothing.")
    return levels / 255, f"L∞ ≤ {levels}/255"


def feature_scale(dataset: Dataset) -> NDArray[np.float64]:
    """What one unit of noise is: 1 for images, each feature's standard deviation for vectors."""
    if dataset.kind == "image":
        return np.ones(dataset.input_shape)
    return np.asarray(dataset.x_train.std(axis=0, dtype=np.float64))
