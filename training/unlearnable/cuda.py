"""Convolution-based unlearnable data (CUDA): the images of a class are seen through a blurring filter of its own.

Sadasivan, Soltanolkotabi and Feizi, *CUDA: Convolution-based Unlearnable Datasets* (CVPR 2023): a 3×3
filter per class with one weight of 1, the others from U(0, b), and every filtered image divided by its largest value.
Not bounded by a norm. Class-wise filters, and without a network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation, method_generator

BLUR = 0.3  # the authors' for CIFAR-10


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None) -> Perturbation:
    """Filter every image by its class's filter; δ is the filtered image minus the clean one.

    ``strength`` is the blur b, the upper end of the side weights, at most 1.

    Raises:
        ValueError: Feature vectors, or a blur above 1.
    """
    blur = BLUR if strength is None else strength
    if dataset.kind != "image":
        raise ValueError("CUDA filters images; this data set holds feature vectors.")
    if blur > 1:
        raise ValueError(f"The strength of CUDA is the largest weight beside the filter's 1; {blur:g} exceeds 1.")
    kernels = draw_filters(method_generator(seed, "cuda"), dataset.n_classes, blur)
    delta = np.empty(dataset.x_train.shape)
    for k, kernel in enumerate(kernels):
        members = dataset.y_train == k
        clean = dataset.x_train[members].astype(np.float64)
        delta[members] = filtered(clean, kernel) - clean
    return Perturbation(delta, "class-wise convolution", f"a 3×3 filter per class, blur {blur:g}", blur)


def draw_filters(rng: np.random.Generator, count: int, blur: float) -> NDArray[np.float64]:
    """``count`` filters [count, 3, 3] with weights from U(0, blur), and one of 1 at a random place."""
    kernels = rng.uniform(0, blur, size=(count, 9))
    kernels[np.arange(count), rng.integers(9, size=count)] = 1.0
    return kernels.reshape(count, 3, 3)


def filtered(images: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cross-correlate images [n, C, H, W] with one filter [3, 3] and divide each by its own largest value.

    Channels are filtered alike, with zeros beyond the border. An image that is black stays black.
    """
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    seen = np.zeros_like(images)
    for i in range(3):
        for j in range(3):
            seen += kernel[i, j] * padded[:, :, i : i + height, j : j + width]
    largest = seen.max(axis=(1, 2, 3), keepdims=True)
    return seen / np.where(largest > 0, largest, 1.0)
