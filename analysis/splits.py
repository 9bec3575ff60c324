"""Where one list of SAL values parts into two groups: one function per threshold rule, values [n] in, a value out.

Every function takes at least two values that are not all equal.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BINS = 256  # of Otsu's histogram, as for images of 8 bits


def kmeans(values: NDArray[np.float64]) -> float:
    """Midpoint of scikit-learn's two centres from one seeded start, as the authors of UD call it."""
    return _kmeans(np.ascontiguousarray(values, dtype=np.float64).tobytes())


@lru_cache(maxsize=4096)
def _kmeans(numbers: bytes) -> float:
    """Of float64 numbers; kept, because reports and bootstraps come back to the same checkpoints."""
    from sklearn.cluster import KMeans  # takes most of a second to import
    from sklearn.exceptions import ConvergenceWarning

    values = np.frombuffer(numbers, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(n_clusters=2, random_state=0, n_init="auto").fit(values.reshape(-1, 1))
    return float(found.cluster_centers_.mean())


def two_means(values: NDArray[np.float64]) -> float:
    """Midpoint of the two means of the split with the least squared error."""
    ordered = np.sort(values)
    k = best_split(ordered)
    return float((ordered[:k].mean() + ordered[k:].mean()) / 2)


def best_split(ordered: NDArray[np.float64]) -> int:
    """Size of the lower group in the split of sorted values with the least squared error (exact two-means)."""
    n = np.arange(1, len(ordered))
    sums, squares = np.cumsum(ordered), np.cumsum(ordered**2)
    left = squares[:-1] - sums[:-1] ** 2 / n
    right = (squares[-1] - squares[:-1]) - (sums[-1] - sums[:-1]) ** 2 / (len(ordered) - n)
    return int(np.argmin(left + right)) + 1


def log_two_means(values: NDArray[np.float64]) -> float:
    """Exact two-means on log SAL; the midpoint, transformed back, is the geometric mean of the two groups' centres.

    SAL spans decades, so that on the plain scale a few large blocks make one group and all others the second. A SAL of
    exactly 0 has no logarithm: it belongs to the lower group and does not move the split. Where all positive values are
    equal, the groups are 0 and that value, and half of it parts them.
    """
    positive = values[values > 0]
    if positive.size == 0:
        return 0.0
    if np.all(positive == positive[0]):
        return float(positive[0]) if positive.size == values.size else float(positive[0]) / 2
    return float(np.exp(two_means(np.log(positive))))


def otsu(values: NDArray[np.float64]) -> float:
    """Otsu's threshold (IEEE Trans. Systems, Man, Cybernetics 9, 1979) on a histogram of 256 bins from min to max.

    It seeks the same split as exact two-means (largest variance between the groups) and differs in two ways: values
    within 1/256 of the range are not told apart, and the threshold is the edge between the groups, not the midpoint of
    their means. Where several neighbouring edges part the values alike (a gap), their middle is taken.
    """
    counts, edges = np.histogram(values, BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]  # the largest bin is never empty, so both groups have members
    sums = np.cumsum(counts * centres)
    above = values.size - below
    gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    between = below * above * gap**2
    first = int(np.argmax(between))
    last = first
    while last + 1 < len(between) and below[last + 1] == below[first]:
        last += 1
    return float((edges[first + 1] + edges[last + 1]) / 2)


def gaussian_mixture(values: NDArray[np.float64]) -> float:
    """Where two fitted Gaussians, weighted by their shares, are equally dense, between their means.

    The values are scaled to unit variance first: scikit-learn adds 1e-6 to every variance, which would swamp a SAL of
    a thousandth. Where the densities do not cross between the means, the midpoint of the means is taken.
    """
    weights, means, variances = fit_mixture(values)
    return crossing(weights, means, variances)


def fit_mixture(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weights, means (ascending) and variances [2] of a mixture of two Gaussians, in the units of the values."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    centre, scale = float(values.mean()), float(values.std())
    ordered = np.sort((values - centre) / scale)
    k = best_split(ordered)
    start = np.array([[ordered[:k].mean()], [ordered[k:].mean()]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = GaussianMixture(2, means_init=start, random_state=0, max_iter=300).fit(ordered[:, None])
    order = np.argsort(found.means_[:, 0])
    means = found.means_[order, 0] * scale + centre
    return found.weights_[order], means, found.covariances_[order, 0, 0] * scale**2


def crossing(weights: NDArray[np.float64], means: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
    """The point between two means where the weighted Gaussian densities are equal; the middle where there is none."""
    (w0, w1), (m0, m1), (v0, v1) = weights, means, variances
    with np.errstate(divide="ignore"):
        shift = np.log(w0 / w1) - np.log(v0 / v1) / 2
    quadratic = 1 / (2 * v1) - 1 / (2 * v0)
    linear = m0 / v0 - m1 / v1
    constant = m1**2 / (2 * v1) - m0**2 / (2 * v0) + shift
    if np.isclose(v0, v1, rtol=1e-9):
        roots = np.array([-constant / linear]) if linear != 0 else np.empty(0)
    else:
        roots = np.roots([quadratic, linear, constant])
        roots = roots[np.isreal(roots)].real
    between = roots[(roots > m0) & (roots < m1)]
    return float(between[0]) if between.size else float((m0 + m1) / 2)
