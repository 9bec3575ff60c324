"""Autoregressive perturbations (AR): every class has a linear recursion that its noise obeys from pixel to pixel.

Sandoval-Segura, Singla, Geiping, Goldblum, Goldstein and Jacobs, *Autoregressive Perturbations for Data Poisoning*
(NeurIPS 2022). A pixel is a fixed linear combination of the eight others in
the 3×3 window that ends in it; the first rows and columns are Gaussian, and fresh for every image, so that the process
is class-wise and the noise is not. One filter per class gives exactly zero on its own noise. Needs no network. The
noise is as fine as a pixel, and a network takes to it late: on 5,000 images after some ten epochs, see docs/results.

For feature vectors the window holds three features in their order, and the process is the oscillation
δ_j = 2 cos θ_k · δ_{j−1} − δ_{j−2}, of one frequency for each class.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from training.data import Dataset
from training.unlearnable.perturbation import (
    Perturbation,
    feature_scale,
    l2_budget,
    linf_budget,
    method_generator,
    norm_order,
    scaled_to,
)

RMS = 1 / math.sqrt(3 * 32 * 32)  # of a pixel: L2 norm 1 on CIFAR-10
CROP = 4  # first rows and columns cut off, which hold the Gaussian start
FIELDS = 3  # tried for each candidate of the search
MAX_RMS = 50 / math.sqrt(3 * 32 * 32)  # of a candidate's fields before scaling: 50 in L2 norm on CIFAR-10
RESPONSE = {10: 10.0, 10_000: 3.0}  # least response between processes, by the number of classes, on 32×32 pixels
FIRST_ROWS = 8  # of the short field that every candidate is tried on first
BATCH, PATIENCE, RELAX = 1024, 10, 0.9  # channels tried at once; batches in vain, after which less is asked for
CHUNK = 512  # images generated at once, which fit the cache


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None, norm: int | float | str = 2) -> Perturbation:
    """Add noise of the class's process, scaled to one norm.

    Args:
        strength: Norm of every perturbation. Default in L2: 1 on CIFAR-10 and the same root mean square on other
            colour images, grown with the customary L∞ radius for other data (see
            :func:`~training.unlearnable.perturbation.l2_budget`).
        norm: 2 or ``"inf"``; the authors find the L∞ form weaker.

    Raises:
        ValueError: Another norm, or samples smaller than the window.
    """
    order = norm_order(norm)
    radius, budget = l2_budget(dataset, strength, RMS) if order == 2 else linf_budget(dataset, strength)
    rng = method_generator(seed, "ar")
    if dataset.kind == "features":
        windows = oscillations(rng, dataset.input_shape[0], dataset.n_classes)
    else:
        windows = find_windows(rng, dataset.input_shape, dataset.n_classes)
    delta = np.empty(dataset.x_train.shape)
    for k in range(dataset.n_classes):
        members = np.flatnonzero(dataset.y_train == k)
        for some in np.split(members, range(CHUNK, len(members), CHUNK)):
            noise = generate(rng, windows[k], len(some), dataset.input_shape)
            delta[some] = scaled_to(noise, radius, order=order)
    return Perturbation(delta * feature_scale(dataset), "autoregressive process per class", budget, radius)


def generate(
    rng: np.random.Generator, window: NDArray[np.float64], count: int, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw ``count`` samples [count, *shape] of a process, not yet scaled.

    Args:
        window: [C, 3, 3] coefficients for images; [1, 1, 3] for features. The last one, of the new value, is 0.
        shape: (C, H, W), or (features,).
    """
    start = rng.standard_normal((count, *_field_shape(shape)))
    return _cropped(_recur(window[None], start), shape)


def responses(delta: NDArray[np.float64], windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the image of what each process's filter leaves above zero, channels added: [n, K].

    The filter is the window with −1 for the new value, so that a process's own filter gives 0: the least response
    names the class.

    Args:
        delta: [n, C, H, W], or [n, features].
        windows: [K, C, 3, 3], or [K, 1, 1, 3].
    """
    filters = windows.copy()
    filters[:, :, -1, -1] = -1
    images = delta[:, None, None, :] if delta.ndim == 2 else delta
    seen = sliding_window_view(images, filters.shape[2:], axis=(2, 3))  # [n, C, H − 2, W − 2, 3, 3]
    left = np.einsum("nchwij,kcij->nkhw", seen, filters, optimize=True)
    return np.asarray(np.maximum(left, 0).sum(axis=(2, 3)))


def find_windows(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> NDArray[np.float64]:
    """Search ``count`` processes that do not explode and are told apart by their filters, as the authors do.

    Candidates are Gaussian windows whose eight coefficients sum to 1 in every channel. One is accepted if three fields
    of it stay small in every channel, and if the filters of all processes accepted before respond to its noise by at
    least 10 on 32×32 pixels at norm 1 (3 for more than ten classes), in proportion on other sizes. After ten batches
    of candidates in vain a tenth less is asked for, so that the search ends on small images and with many classes.

    Returns:
        [count, C, 3, 3] windows.

    Raises:
        ValueError: Images smaller than 3×3.
    """
    channels, height, width = shape
    if min(height, width) < 3:
        raise ValueError(f"AR takes images of at least 3×3 pixels, not {height}×{width}.")
    # A unit-norm perturbation has root mean square 1/√(CHW), so that the sum over channels and pixels grows thus.
    least = next(value for most, value in RESPONSE.items() if count <= most)
    least *= (height - 2) * (width - 2) / 30**2 * 32 / math.sqrt(height * width)
    accepted = np.empty((0, channels, 3, 3))
    vain = 0
    while len(accepted) < count:
        windows, delta = _candidates(rng, shape)
        before = len(accepted)
        for window, noise in zip(windows, delta, strict=True):
            if len(accepted) < count and (not len(accepted) or responses(noise[None], accepted).min() >= least):
                accepted = np.concatenate([accepted, window[None]])
        vain = 0 if len(accepted) > before else vain + 1
        if vain == PATIENCE:
            least, vain = RELAX * least, 0
    return accepted


def oscillations(rng: np.random.Generator, features: int, count: int) -> NDArray[np.float64]:
    """Windows [count, 1, 1, 3] of AR(2) processes with both roots on the unit circle, evenly apart in 2 cos θ.

    A process so neither dies nor explodes along the features, and another class's filter leaves at least 4/K of it.
    """
    if features < 3:
        raise ValueError(f"AR takes at least 3 features, not {features}.")
    windows = np.zeros((count, 1, 1, 3))
    windows[:, 0, 0, 0] = -1
    windows[:, 0, 0, 1] = rng.permutation(-2 + 4 * (np.arange(count) + 0.5) / count)
    return windows


def _candidates(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random windows [n, C, 3, 3] that do not explode, and a unit-norm field [n, C, H, W] of each.

    Channels do not know each other, so that they are tried one by one and joined to windows afterwards.
    """
    channels, height, width = shape
    windows = rng.standard_normal((BATCH, 1, 3, 3))
    windows[:, :, 2, 2] = 0
    windows /= windows.sum(axis=(2, 3), keepdims=True)
    small, _ = _trial(rng, windows, 1, FIRST_ROWS, width)  # most explode at once
    windows = windows[small]
    small, noise = _trial(rng, windows, FIELDS, height, width)
    count = int(small.sum()) // channels
    joined = noise[small][: count * channels].reshape(count, *shape)
    return windows[small][: count * channels].reshape(count, channels, 3, 3), scaled_to(joined, 1.0)


def _trial(
    rng: np.random.Generator, windows: NDArray[np.float64], fields: int, height: int, width: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of n windows of one channel stay small in all of some fields, and the last field [n, 1, H, W] of each."""
    start = rng.standard_normal((fields * len(windows), 1, height + CROP, width + CROP))
    with np.errstate(over="ignore", invalid="ignore"):  # what explodes is not small, nor is NaN
        noise = _recur(np.tile(windows, (fields, 1, 1, 1)), start)[:, :, CROP:, CROP:]
        small = np.sqrt(np.square(noise).mean(axis=(1, 2, 3))) <= MAX_RMS
    return small.reshape(fields, -1).all(axis=0), noise[(fields - 1) * len(windows) :]


def _recur(windows: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overwrite all but the first rows and columns by the recursion, in row order.

    Args:
        windows: [n, C, h, 3], or [1, C, h, 3] for all alike; the last coefficient is 0.
        start: [n, C, H, W].
    """
    field = np.ascontiguousarray(start.transpose(2, 3, 1, 0))  # samples last: a step works on contiguous memory
    window = np.ascontiguousarray(windows.transpose(2, 3, 1, 0))
    rows, columns = window.shape[:2]
    for i in range(field.shape[0] - rows + 1):
        for j in range(field.shape[1] - columns + 1):
            seen = field[i : i + rows, j : j + columns]
            field[i + rows - 1, j + columns - 1] = (window * seen).sum(axis=(0, 1))
    return field.transpose(3, 2, 0, 1)


def _field_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Of what the recursion runs over: images with the rows and columns to cut off, features as one row."""
    if len(shape) == 1:
        return 1, 1, shape[0]
    return shape[0], shape[1] + CROP, shape[2] + CROP


def _cropped(field: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    return field[:, 0, 0] if len(shape) == 1 else field[:, :, CROP:, CROP:]
