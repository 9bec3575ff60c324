"""Linearly separable synthetic perturbations (LSP): every class gets patches drawn around a centre of its own.

Yu, Zhang, Chen, Yin and Liu, *Availability Attacks Create Shortcuts* (KDD 2022): Gaussian blobs around
corners of a hypercube, one corner a class, are enlarged to coarse patches and scaled to one L2 norm. Sample-wise, and
without a network. For feature vectors the blobs are the perturbation, a coordinate for each feature.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset
from training.unlearnable.perturbation import (
    Perturbation,
    enlarged,
    feature_scale,
    l2_budget,
    method_generator,
    scaled_to,
    squares_shape,
)

RMS = 6 / 255  # of a pixel, the authors' radius for colour images
PATCHES = 4  # along the longer side, as the authors' 8×8 patches on 32×32 pixels


def perturb(
    dataset: Dataset, *, seed: int, strength: float | None = None, patch: int | None = None, class_sep: float = 10.0
) -> Perturbation:
    """Add a blob of the sample's class, in patches.

    Args:
        strength: L2 norm of every perturbation; default 6/255 · √D for colour images, grown with the customary L∞
            radius for others (see :func:`~training.unlearnable.perturbation.l2_budget`).
        patch: Side in pixels of the squares that share a value per channel; default a quarter of the longer side.
        class_sep: Half the side of the hypercube, in units of which a blob is about √D/3 wide.

    Raises:
        ValueError: A patch that leaves too few values to tell the classes apart, or a setting that means nothing.
    """
    radius, budget = l2_budget(dataset, strength, RMS)
    if not (np.isfinite(class_sep) and class_sep > 0):
        raise ValueError(f"class_sep must be a positive number, not {class_sep!r}.")
    side = _default_patch(dataset) if patch is None else patch
    shape = squares_shape(dataset, side, "patch")
    blobs = _blobs(dataset, math.prod(shape), class_sep, seed).reshape(-1, *shape)
    delta = scaled_to(enlarged(blobs, side, dataset.input_shape), radius) * feature_scale(dataset)
    squares = "" if dataset.kind == "features" else f", patches of {side}×{side}"
    return Perturbation(delta, "linearly separable noise", budget + squares, radius)


def _default_patch(dataset: Dataset) -> int:
    return 1 if dataset.kind == "features" else -(-max(dataset.input_shape[1:]) // PATCHES)


def _blobs(dataset: Dataset, size: int, class_sep: float, seed: int) -> NDArray[np.float64]:
    """Blobs [N, size]: the i-th sample of a class gets the i-th drawn for it."""
    needed = math.ceil(math.log2(dataset.n_classes))
    if size < needed:
        raise ValueError(
            f"LSP needs {needed} values to tell {dataset.n_classes} classes apart, not {size}; use smaller patches or "
            "more features."
        )
    from sklearn.datasets import make_classification  # takes most of a second to import

    # A stream of its own: with the bare seed, a data set that make_classification drew with it would be its own poison.
    draw = np.random.RandomState(method_generator(seed, "lsp").integers(2**32, size=8))
    drawn, classes = make_classification(
        n_samples=dataset.n_classes * int(np.bincount(dataset.y_train).max()),  # as many a class as the largest has
        n_features=size,
        n_informative=size,
        n_redundant=0,
        n_repeated=0,
        n_classes=dataset.n_classes,
        n_clusters_per_class=1,
        class_sep=class_sep,
        flip_y=0.0,
        random_state=draw,
    )
    blobs = np.empty((len(dataset.y_train), size))
    for k in range(dataset.n_classes):
        members = dataset.y_train == k
        blobs[members] = drawn[classes == k][: members.sum()]
    return blobs
