"""Lesson 2, what PCA of a path shows and hides: a training beside a random walk of the same steps.

The path of a random walk in many dimensions looks neat under PCA: its coordinates over time are cosines, the first two
components hold about 61 % and 15 % of its variance, and drawn against each other they make a Lissajous curve (Antognini
and Sohl-Dickstein, *PCA of high dimensional random walks with comparison to neural network training*, NeurIPS 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.lessons.short_run import Schedule, short_run, small_data
from landscape import pca_plane

EXPECTED = (6 / math.pi**2, 6 / (4 * math.pi**2))  # shares of the first two components of a long random walk
ANSWERS = ("less than 5 %", "5 to 30 %", "30 to 60 %", "more than 60 %")
SCHEDULE = Schedule("mlp", epochs=10, lr=0.02, every=15)
WALK = 1 << 21  # random stream of the walk


@dataclass(frozen=True, eq=False)
class Shadow:
    """A path on its own best plane.

    Attributes:
        coordinates: [T, 2]; residual: [T], distance of each point to the plane.
        shares: [2] of the variance that the axes hold. length: of the path. dimensions: D.
    """

    coordinates: NDArray[np.float64]
    residual: NDArray[np.float64]
    shares: NDArray[np.float64]
    length: float
    dimensions: int


@dataclass(frozen=True, eq=False)
class Walks:
    """A training and a walk in random directions with steps of the same lengths; test accuracy of the training."""

    training: Shadow
    random: Shadow
    test_accuracy: float


def compare_with_random_walk(seed: int) -> Walks:
    """Train a small network on the digits, let chance walk as far in as many steps, and apply PCA to both."""
    run = short_run(small_data("digits"), SCHEDULE, seed=seed)
    walk = random_walk(run.vectors.astype(np.float64), seed=seed)
    return Walks(_shadow(run.vectors.astype(np.float64)), _shadow(walk), run.test_accuracy)


def random_walk(path: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """A walk [T, D] from the start of a path [T, D], each step as long as the path's but in a random direction."""
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    steps = np.random.default_rng([seed, WALK]).standard_normal((len(lengths), path.shape[1]))
    steps *= (lengths / np.linalg.norm(steps, axis=1))[:, None]
    return np.concatenate([path[:1], path[0] + np.cumsum(steps, axis=0)])


def answer(walks: Walks) -> str:
    """Which of ``ANSWERS`` the plane of the random walk holds of its variance."""
    share = float(walks.random.shares.sum())
    return ANSWERS[0 if share < 0.05 else 1 if share < 0.3 else 2 if share <= 0.6 else 3]


def _shadow(path: NDArray[np.float64]) -> Shadow:
    plane = pca_plane(path, origin="mean")
    coordinates, residual = plane.project(path)
    assert plane.explained_variance_ratio is not None
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    return Shadow(coordinates, residual, plane.explained_variance_ratio, length, path.shape[1])
