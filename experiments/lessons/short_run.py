"""A training that takes seconds and stays in memory: what the lessons compute with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape import ParameterLayout
from training import Dataset, Defence, Trainer, batches, build_model, load_dataset, mean_loss

WHOLE = 2000  # samples that are judged at once


@dataclass(frozen=True)
class Schedule:
    """SGD of a short training; ``every``: steps between checkpoints, None for one after each epoch."""

    network: str
    epochs: int
    lr: float
    batch_size: int = 32
    momentum: float = 0.9
    every: int | None = None


@dataclass(frozen=True, eq=False)
class ShortRun:
    """A finished short training.

    Attributes:
        model: With the weights it ended at.
        vectors: [T, D] float32, the trainable weights at each checkpoint; steps [T], epochs [T].
        train_accuracy, test_accuracy: At the end, in [0, 1], on its own training data and on the test data.
    """

    model: nn.Module
    vectors: NDArray[np.float32]
    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    train_accuracy: float
    test_accuracy: float


@lru_cache(maxsize=4)
def small_data(name: str, size: int = 8) -> Dataset:
    """An embedded data set; digits of ``size``×``size`` pixels."""
    return load_dataset(name, size=size) if name == "digits" else load_dataset(name)


def short_run(
    dataset: Dataset,
    schedule: Schedule,
    *,
    seed: int = 0,
    inputs: NDArray[np.float32] | None = None,
    targets: NDArray[np.int64] | None = None,
    defences: Sequence[Defence] = (),
) -> ShortRun:
    """Train on a data set, or on other training inputs [N, …] and targets [N] in place of its own."""
    x = dataset.x_train if inputs is None else inputs
    y = dataset.y_train if targets is None else targets
    for defence in defences:
        x = defence.prepare(x, y, seed=seed)
    model = build_model(schedule.network, dataset.input_shape, dataset.n_classes, seed=seed)
    memory = _Memory(model)
    trainer = Trainer(
        model,
        torch.from_numpy(np.ascontiguousarray(x)),
        torch.from_numpy(y),
        epochs=schedule.epochs,
        batch_size=schedule.batch_size,
        lr=schedule.lr,
        momentum=schedule.momentum,
        checkpoint_every=schedule.every,
        defences=defences,
        seed=seed,
        recorder=memory,
        evaluation={},
    )
    for _ in trainer.steps():
        pass
    return ShortRun(
        model,
        np.stack(memory.vectors),
        np.array(memory.steps),
        np.array(memory.epochs),
        accuracy(model, x, y),
        accuracy(model, dataset.x_test, dataset.y_test),
    )


def accuracy(model: nn.Module, inputs: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """Accuracy in [0, 1] on inputs [N, …] and targets [N], in evaluation mode."""
    return mean_loss(model, batches(inputs, targets, WHOLE))[1]


@dataclass
class _Memory:
    """Keeps checkpoints in memory where a recorder would write them."""

    model: nn.Module
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)

    def record(self, step: int, *, epoch: float | None = None, **metrics: float) -> None:
        self.vectors.append(ParameterLayout.from_model(self.model).vector(self.model).float().numpy())
        self.steps.append(step)
        self.epochs.append(float("nan") if epoch is None else epoch)

    def restore(self) -> _Point | None:
        return None


@dataclass(frozen=True)
class _Point:
    step: int
    state: Mapping[str, Tensor]


def sample(dataset: Dataset, n: int, inputs: NDArray[np.float32] | None = None) -> list[tuple[Tensor, Tensor]]:
    """The first ``n`` training samples as one batch, with other inputs [N, …] in place of the data set's own."""
    x = dataset.x_train if inputs is None else inputs
    return batches(x[:n], dataset.y_train[:n], n)
