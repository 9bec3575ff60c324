"""What a perturbation looks like: its norms, its class means, how linearly separable it is, and a map of it.

A poison that a linear model tells apart by its perturbations alone is a linear shortcut (Yu, Zhang, Chen, Yin and Liu,
*Availability Attacks Create Shortcuts*, KDD 2022). All functions are pure and take perturbations [N, …] of any shape.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLES = 2000
FEATURES = 3072  # what a 32×32 colour image has; more are projected at random
T_SNE_SAMPLES = 1000
SMALLEST = 4  # samples a class needs, so that both parts have some


@dataclass(frozen=True, eq=False)
class Norms:
    """Norms of each sample's perturbation [N]: L∞ and L2 in the data's units, L0 in pixels (features of vectors)."""

    linf: NDArray[np.float64]
    l2: NDArray[np.float64]
    l0: NDArray[np.int64]


@dataclass(frozen=True)
class Separability:
    """Accuracy of a linear model on perturbations alone.

    Attributes:
        train: On what it was fitted to, in [0, 1].
        held_out: On samples it did not see; this tells a shortcut from the mere room of many dimensions.
        chance: Share of the most frequent class.
        samples: How many were used.
        features: How many were used, after a random projection where there were more.
    """

    train: float
    held_out: float
    chance: float
    samples: int
    features: int


@dataclass(frozen=True, eq=False)
class Embedding:
    """Perturbations in the plane.

    Attributes:
        points: [M, 2].
        rows: [M] int64, which samples these are.
        method: ``"pca"`` or ``"t-sne"``.
        explained: Share of the variance along both axes, of PCA; None for t-SNE, whose distances mean little.
    """

    points: NDArray[np.float64]
    rows: NDArray[np.int64]
    method: str
    explained: float | None


def norms(delta: NDArray[np.floating]) -> Norms:
    """Norms of each perturbation of [N, C, H, W] or [N, F]; a pixel counts if any channel changes."""
    _check(delta)
    flat = delta.reshape(len(delta), -1).astype(np.float64)
    changed = (delta != 0).any(axis=1) if delta.ndim == 4 else delta != 0
    return Norms(
        np.abs(flat).max(axis=1),
        np.sqrt((flat**2).sum(axis=1)),
        changed.reshape(len(delta), -1).sum(axis=1).astype(np.int64),
    )


def class_means(delta: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Mean perturbation of each class [K, …]; zeros for a class without samples."""
    _check(delta, labels)
    means = np.zeros((n_classes, *delta.shape[1:]))
    for label in range(n_classes):
        if (labels == label).any():
            means[label] = delta[labels == label].mean(axis=0, dtype=np.float64)
    return means


def class_share(delta: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Share of the perturbations' energy that their class means carry: 1 for class-wise ones, about K / N for noise.

    Σ_i ‖mean of the class of i‖² / Σ_i ‖δ_i‖²; 0 if nothing is perturbed.
    """
    _check(delta, labels)
    total = float((delta.astype(np.float64) ** 2).sum())
    if total == 0:
        return 0.0
    classes, counts = np.unique(labels, return_counts=True)
    means = [delta[labels == label].mean(axis=0, dtype=np.float64) for label in classes]
    return float(sum(n * (mean**2).sum() for n, mean in zip(counts, means, strict=True)) / total)


def is_class_wise(delta: NDArray[np.floating], labels: NDArray[np.int64]) -> bool:
    """Whether all samples of a class share one perturbation. Clipping and rounding at the images' limits break this."""
    _check(delta, labels)
    return all((delta[labels == label] == delta[labels == label][:1]).all() for label in np.unique(labels))


def linear_separability(
    delta: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    seed: int,
    samples: int = SAMPLES,
    features: int = FEATURES,
    held_out: float = 0.25,
) -> Separability:
    """Fit scikit-learn's logistic regression to standardised, flattened perturbations.

    Args:
        delta: [N, …].
        labels: [N].
        seed: Of the choice of samples, the split and the projection.
        samples: At most so many are used, class by class in proportion.
        features: More than these are projected onto so many random directions, which keeps what is separable.
        held_out: Share of the samples that the model does not see.

    Raises:
        ValueError: Fewer than two classes of four samples, or settings out of range.
    """
    from sklearn.exceptions import ConvergenceWarning  # takes most of a second to import
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    _check(delta, labels)
    if not 0 < held_out < 1 or samples < 2 or features < 1:
        raise ValueError("Linear separability needs 0 < held_out < 1, two samples and one feature or more.")
    rows = _enough(choose(labels, samples, seed), labels)
    flat = _standardised(delta[rows].reshape(len(rows), -1), features, seed)
    fit, test = train_test_split(np.arange(len(rows)), test_size=held_out, stratify=labels[rows], random_state=seed)
    model = LogisticRegression(max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unfinished fit is a lower bound, and good enough
        model.fit(flat[fit], labels[rows][fit])
    scores = [float(model.score(flat[part], labels[rows][part])) for part in (fit, test)]
    chance = float(np.bincount(labels[rows]).max() / len(rows))
    return Separability(scores[0], scores[1], chance, len(rows), flat.shape[1])


def embed(
    delta: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    seed: int,
    method: str = "pca",
    samples: int | None = None,
) -> Embedding:
    """A map of perturbations: their first two principal components, or t-SNE of the first fifty.

    Args:
        delta: [N, …].
        labels: [N], only so that every class is shown in proportion.
        seed: Of the choice of samples and of t-SNE.
        method: ``"pca"`` or ``"t-sne"``.
        samples: At most so many; default 2,000 for PCA and 1,000 for t-SNE, which takes seconds.

    Raises:
        ValueError: An unknown method, or fewer than three samples.
    """
    from sklearn.decomposition import PCA  # takes most of a second to import
    from sklearn.manifold import TSNE

    _check(delta, labels)
    if method not in ("pca", "t-sne"):
        raise ValueError(f"Perturbations are drawn by pca or t-sne, not by {method!r}.")
    rows = choose(labels, samples or (SAMPLES if method == "pca" else T_SNE_SAMPLES), seed)
    flat = delta[rows].reshape(len(rows), -1).astype(np.float64)
    if len(flat) < 3 or flat.shape[1] < 2:
        raise ValueError("A map needs three perturbations of two values or more.")
    wanted = 2 if method == "pca" else min(50, *flat.shape)
    if not flat.any():
        return Embedding(np.zeros((len(rows), 2)), rows, method, None)
    pca = PCA(wanted, svd_solver="randomized", random_state=seed)
    components = pca.fit_transform(flat)
    if method == "pca":
        explained = float(np.nan_to_num(pca.explained_variance_ratio_).sum())
        return Embedding(components, rows, method, explained)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    return Embedding(points.astype(np.float64), rows, method, None)


def choose(labels: NDArray[np.int64], samples: int, seed: int) -> NDArray[np.int64]:
    """At most ``samples`` rows in their order, every class in proportion."""
    n = len(labels)
    if n <= samples:
        return np.arange(n)
    shuffled = np.random.default_rng(seed).permutation(n)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[np.arange(samples) * n // samples])


def _enough(rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the classes that have samples for both parts of a split."""
    counts = np.bincount(labels[rows])
    kept = rows[counts[labels[rows]] >= SMALLEST]
    if len(np.unique(labels[kept])) < 2:
        raise ValueError(f"Linear separability needs two classes of {SMALLEST} samples or more.")
    return kept


def _standardised(flat: NDArray[np.floating], features: int, seed: int) -> NDArray[np.float32]:
    """Each feature with mean 0 and deviation 1; constant ones stay 0."""
    centred = flat.astype(np.float32) - flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = centred.std(axis=0, dtype=np.float64).astype(np.float32)
    scaled = centred / np.where(deviation > 1e-12, deviation, np.float32(1))
    if scaled.shape[1] <= features:
        return np.asarray(scaled, np.float32)
    from sklearn.random_projection import GaussianRandomProjection

    projection = GaussianRandomProjection(features, random_state=seed)
    return np.asarray(projection.fit_transform(scaled), np.float32)


def _check(delta: NDArray[np.floating], labels: NDArray[np.int64] | None = None) -> None:
    if delta.ndim < 2 or delta.size == 0:
        raise ValueError(f"Perturbations are [N, …] with a value or more each, not of shape {list(delta.shape)}.")
    if labels is not None and labels.shape != (len(delta),):
        raise ValueError(f"{len(delta)} perturbations need as many labels, not {list(labels.shape)}.")
