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
        y_train: [N] labels in place of the data's own, of controls that are not clean-label; None elsewhere.
    """

    delta: NDArray[np.float64]
    method: str
    budget: str
    strength: float
    y_train: NDArray[np.int64] | None = None


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


def uniform_noise(
    rng: np.random.Generator, dataset: Dataset, count: int, strength: float | None, *, cell: int, shared: bool
) -> tuple[NDArray[np.float64], str, float]:
    """Draw ``count`` patterns from U(−ε, ε) in the shape of a sample.

    Args:
        strength: ε as in :func:`linf_budget`.
        cell: Side in pixels of the squares that share a value per channel; 1 draws every pixel by itself.
        shared: Whether several pixels or samples get the same value. In 8-bit images it is then a whole number of
            grey levels, so that rounding treats them alike.

    Returns:
        The patterns [count, …], the budget in words, and ε.

    Raises:
        ValueError: A radius or cell that the data do not allow.
    """
    radius, budget = linf_budget(dataset, strength)
    if not isinstance(cell, int) or cell < 1:
        raise ValueError(f"The cell is a whole number of pixels, at least 1, not {cell!r}.")
    if dataset.kind == "features":
        if cell > 1:
            raise ValueError(f"Feature vectors have no pixels to share a value; leave cell at 1 instead of {cell}.")
        scale = np.asarray(dataset.x_train.std(axis=0, dtype=np.float64))
        return rng.uniform(-radius, radius, size=(count, *dataset.input_shape)) * scale, budget, radius
    channels, height, width = dataset.input_shape
    coarse = rng.uniform(-radius, radius, size=(count, channels, -(-height // cell), -(-width // cell)))
    if shared and dataset.eight_bit:
        coarse = np.floor(coarse * 255 + 0.5) / 255
    patterns = coarse.repeat(cell, axis=2).repeat(cell, axis=3)[:, :, :height, :width]
    return patterns, budget if cell == 1 else f"{budget} in squares of {cell}×{cell}", radius
