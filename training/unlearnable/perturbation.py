"""What a method returns, and the budgets that methods share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset

COLOUR_RADIUS = 8 / 255  # the L∞ radius for colour images


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
    radius = _customary(dataset) if strength is None else strength
    if dataset.kind == "features":
        return radius, f"L∞ ≤ {radius:g} standard deviations"
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


def l2_budget(dataset: Dataset, strength: float | None, rms: float) -> tuple[float, str]:
    """The L2 norm of a perturbation and how to say it.

    Args:
        rms: Root mean square of a value in the published budget for colour images. The default norm for other data
            grows as the default L∞ radius does, from 8/255 to 0.3 for grey images and to one standard deviation for
            feature vectors.

    Raises:
        ValueError: An image's norm above that of the whole range of pixels.
    """
    size = math.prod(dataset.input_shape)
    radius = rms * _customary(dataset) / COLOUR_RADIUS * math.sqrt(size) if strength is None else strength
    if dataset.kind == "features":
        return radius, f"L2 = {radius:.4g} standard deviations"
    if radius > math.sqrt(size):
        raise ValueError(
            f"A strength of {radius:g} exceeds {math.sqrt(size):.4g}, the L2 norm of changing every pixel from 0 to 1."
        )
    # Clipping shortens a perturbation; rounding may lengthen it, by up to three in a hundred in squares of 8×8 pixels.
    return radius, f"L2 = {radius:.4g} before clipping{' and rounding' if dataset.eight_bit else ''}"


def _customary(dataset: Dataset) -> float:
    """The default L∞ radius, by the kind of data."""
    if dataset.kind == "features":
        return 1.0
    return COLOUR_RADIUS if dataset.input_shape[0] == 3 else 0.3


def feature_scale(dataset: Dataset) -> NDArray[np.float64]:
    """The unit of budgets: each feature's standard deviation, and 1 for pixels."""
    return np.asarray(dataset.x_train.std(axis=0, dtype=np.float64)) if dataset.kind == "features" else np.ones(1)


def norm_order(norm: float | str) -> float:
    """The option ``norm`` of methods that have two forms as a number: 2 or infinity; "2" and "inf" mean the same."""
    if str(norm) not in ("2", "2.0", "inf"):
        raise ValueError(f"The norm of a perturbation must be 2 or inf, not {norm!r}.")
    return float(norm)


def scaled_to(noise: NDArray[np.float64], radius: float, *, order: float = 2) -> NDArray[np.float64]:
    """Scale each sample of noise [n, …] to norm ``radius``; ``order`` is 2 or inf."""
    norms = np.linalg.norm(noise.reshape(len(noise), math.prod(noise.shape[1:])), ord=order, axis=1)
    return np.asarray(noise * (radius / norms).reshape(-1, *[1] * (noise.ndim - 1)))


def method_generator(seed: int, method: str) -> np.random.Generator:
    """Random numbers of a method's own, which follow neither another method's nor the order of any epoch."""
    return np.random.default_rng([seed, *method.encode()])


def squares_shape(dataset: Dataset, side: int, option: str) -> tuple[int, ...]:
    """Shape of a sample in which squares of ``side`` pixels are one value; feature vectors have none but single ones.

    Raises:
        ValueError: A side that is no whole number of pixels, or squares of features; ``option`` is what to call it.
    """
    if not isinstance(side, int) or side < 1:
        raise ValueError(f"The {option} is a whole number of pixels, at least 1, not {side!r}.")
    if dataset.kind == "features":
        if side > 1:
            raise ValueError(f"Feature vectors have no pixels to share a value; leave {option} at 1 instead of {side}.")
        return dataset.input_shape
    channels, height, width = dataset.input_shape
    return channels, -(-height // side), -(-width // side)


def enlarged(coarse: NDArray[np.float64], side: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Enlarge values [n, C, h, w] to squares of ``side`` pixels, cropped to samples of a shape; features stay."""
    if len(shape) == 1:
        return coarse
    return coarse.repeat(side, axis=2).repeat(side, axis=3)[:, :, : shape[1], : shape[2]]


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
    shape = squares_shape(dataset, cell, "cell")
    coarse = rng.uniform(-radius, radius, size=(count, *shape))
    if shared and dataset.eight_bit:
        coarse = np.floor(coarse * 255 + 0.5) / 255
    patterns = enlarged(coarse, cell, dataset.input_shape) * feature_scale(dataset)
    return patterns, budget if cell == 1 else f"{budget} in squares of {cell}×{cell}", radius
