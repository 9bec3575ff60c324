"""Lesson 1, what a loss landscape is: the surface around the end of a tiny training, and single points of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from experiments.lessons.short_run import Schedule, ShortRun, sample, short_run, small_data
from landscape import Plane, Surface, evaluate_points, evaluate_surface, random_plane
from landscape.figures import SurfaceData

SCHEDULE = Schedule("linear", epochs=5, lr=0.1, batch_size=128, momentum=0.0)
SAMPLES = 1000
REACH = 1.5  # how far the surface extends, in lengths of the weights
ANSWERS = ("it falls", "it stays within 10 %", "it rises, but less than doubles", "it at least doubles")


@dataclass(frozen=True, eq=False)
class Valley:
    """A surface of two random directions through the end of a training, and how many weights were trained."""

    surface: Surface
    plane: Plane
    weights: int
    seed: int


@dataclass(frozen=True)
class Height:
    """Loss in nats and accuracy in [0, 1] at one point."""

    loss: float
    accuracy: float


@lru_cache(maxsize=1)
def trained() -> ShortRun:
    """One linear layer, trained on the toy data."""
    return short_run(small_data("toy"), SCHEDULE)


def survey(seed: int, *, grid: int = 31) -> Valley:
    """Train one linear layer on the toy data and evaluate its loss on a grid of a random, filter-normalised plane."""
    run = trained()
    plane = random_plane(run.model, seed=seed)
    axis = np.linspace(-REACH, REACH, grid)
    return Valley(
        evaluate_surface(run.model, plane, sample(small_data("toy"), SAMPLES), axis, axis), plane, plane.size, seed
    )


def height(seed: int, points: NDArray[np.float64]) -> list[Height]:
    """Loss and accuracy at single points [N, 2] of the plane that :func:`survey` draws: one evaluation each."""
    run = trained()
    plane = random_plane(run.model, seed=seed)
    found = evaluate_points(run.model, [plane.point(a, b) for a, b in points], sample(small_data("toy"), SAMPLES))
    assert found.accuracy is not None
    return [Height(float(loss), float(right)) for loss, right in zip(found.loss, found.accuracy, strict=True)]


def answer(valley: Valley) -> str:
    """Which of ``ANSWERS`` holds at one weight length along the first direction."""
    start, there = (one.loss for one in height(valley.seed, np.array([[0.0, 0.0], [1.0, 0.0]])))
    change = there / start
    return ANSWERS[0 if change < 0.9 else 1 if change <= 1.1 else 2 if change < 2 else 3]


def lowest(valley: Valley) -> tuple[float, float, float]:
    """Where the grid is lowest, and the loss there."""
    i, j = np.unravel_index(np.argmin(valley.surface.loss), valley.surface.loss.shape)
    return float(valley.surface.alphas[i]), float(valley.surface.betas[j]), float(valley.surface.loss[i, j])


def to_draw(valley: Valley) -> SurfaceData:
    """The surface for the figure builders."""
    surface = valley.surface
    return SurfaceData(
        surface.alphas,
        surface.betas,
        surface.loss,
        surface.accuracy,
        surface.samples,
        ("first direction (weight lengths)", "second direction (weight lengths)"),
        "clean training data",
        "two random directions, filter-normalised",
        None,
        surface.loss_standard_error,
        (valley.seed,),
    )
