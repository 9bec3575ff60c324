"""Lesson 3, how single pixels poison every class: One-Pixel Shortcut on the digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.lessons.short_run import Schedule, accuracy, short_run, small_data
from training import poison
from training.unlearnable.ops import Shortcut, find_shortcuts

SIZE = 12  # pixels a side
SCHEDULES = {
    "resnet-small": Schedule("resnet-small", epochs=4, lr=0.05),
    "linear": Schedule("linear", epochs=10, lr=0.1),
}
MOST_PIXELS = 3


@dataclass(frozen=True, eq=False)
class Pinned:
    """The pixels of every class, and one sample of each class before and after.

    Attributes:
        pixels: For each class, (row, column, value) of its pixels.
        clean, poisoned: [K, 1, S, S] samples of the classes in order.
        shares: [K] share of the class's training images whose pixel is far from the value (by more than one half).
    """

    pixels: tuple[tuple[tuple[int, int, float], ...], ...]
    clean: NDArray[np.float32]
    poisoned: NDArray[np.float32]
    shares: NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """Accuracies in [0, 1]: of the clean run on test data, of the poisoned run on its training and on test data.

    ``follows``: share of test images that the poisoned network calls class k once the pixel of k is drawn into them.
    """

    clean_test: float
    poisoned_train: float
    poisoned_test: float
    follows: float


def find_pixels(count: int) -> Pinned:
    """Search the digits for the pixels of every class, ``count`` each, and pin them."""
    data = small_data("digits", SIZE)
    chosen = _shortcuts(count)
    first = [int(np.flatnonzero(data.y_train == k)[0]) for k in range(data.n_classes)]
    made = poison("ops", data, seed=0, sparsity=count)
    pixels = tuple(tuple((*divmod(one.position, SIZE), one.colour[0]) for one in mine) for mine in chosen)
    flat = data.x_train.reshape(len(data.x_train), -1)
    shares = [
        float((np.abs(flat[data.y_train == k][:, mine[0].position] - mine[0].colour[0]) > 0.5).mean())
        for k, mine in enumerate(chosen)
    ]
    return Pinned(pixels, data.x_train[first], made.x_train[first], np.array(shares))


def train_on_pixels(network: str, count: int, seed: int = 0) -> Effect:
    """Train one network on clean digits and one on digits with pinned pixels; both start from the same weights."""
    data = small_data("digits", SIZE)
    made = poison("ops", data, seed=seed, sparsity=count)
    clean = short_run(data, SCHEDULES[network], seed=seed)
    poisoned = short_run(data, SCHEDULES[network], seed=seed, inputs=made.x_train)
    drawn, wanted = _draw_into_test(_shortcuts(count))
    follows = accuracy(poisoned.model, drawn, wanted)
    return Effect(clean.test_accuracy, poisoned.train_accuracy, poisoned.test_accuracy, follows)


def _shortcuts(count: int) -> list[list[Shortcut]]:
    data = small_data("digits", SIZE)
    pixels = data.x_train.reshape(len(data.x_train), -1, 1).astype(np.float64)
    return find_shortcuts(pixels, data.y_train, data.n_classes, sparsity=count)


def _draw_into_test(chosen: list[list[Shortcut]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Test images with the pixels of the class after their own, and that class."""
    data = small_data("digits", SIZE)
    wanted = (data.y_test + 1) % data.n_classes
    drawn = data.x_test.reshape(len(data.x_test), -1).copy()
    for k, mine in enumerate(chosen):
        for one in mine:
            drawn[wanted == k, one.position] = one.colour[0]
    return drawn.reshape(data.x_test.shape), wanted
