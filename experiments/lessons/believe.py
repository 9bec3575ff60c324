"""Lesson 6, what UD says and does not: poisons, noise, and clean data of another seed, over several seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis import Floor, SeedSummary, floor, sharpness_aware_learnability, summarise_seeds, unlearnable_distance
from experiments.lessons.short_run import Schedule, ShortRun, short_run, small_data
from landscape import ParameterLayout
from training import batches, build_model, poison

SCHEDULE = Schedule("linear", epochs=10, lr=0.1, batch_size=128, momentum=0.0, every=64)
ARMS = {"one-pixel shortcut": "ops", "random pattern per class": "class-random", "noise": "uniform-noise"}
STRENGTHS = {"class-random": 2.0, "uniform-noise": 2.0}  # standard deviations of the features
ROLES = {name: "control" if method == "uniform-noise" else "poisoned" for name, method in ARMS.items()}
SAMPLES = 1000
LEAST_SEEDS, MOST_SEEDS = 2, 6
ANSWERS = ("none of the three", "the shortcut alone", "both poisons, not the noise", "all three")


@dataclass(frozen=True, eq=False)
class Belief:
    """UD of every arm over seeds, the floor of clean against clean, and mean test accuracy of every arm.

    ``told``: arms whose 95 % interval over seeds excludes 1.
    """

    summaries: dict[str, SeedSummary]
    values: dict[str, tuple[float, ...]]
    floor: Floor
    accuracy: dict[str, float]
    told: tuple[str, ...]


def measure(seeds: int) -> Belief:
    """Train the toy network clean and on every arm for seeds 0, 1, …, and measure UD of each pair of equal seeds."""
    if not LEAST_SEEDS <= seeds <= MOST_SEEDS:
        raise ValueError(f"The lesson compares {LEAST_SEEDS} to {MOST_SEEDS} seeds, not {seeds}.")
    data = small_data("toy")
    clean_sal: list[NDArray[np.float64]] = []
    values: dict[str, list[float]] = {name: [] for name in ARMS}
    right: dict[str, list[float]] = {name: [] for name in ("clean", *ARMS)}
    for seed in range(seeds):
        clean = short_run(data, SCHEDULE, seed=seed)
        clean_sal.append(_sal(clean, data.x_train))
        right["clean"].append(clean.test_accuracy)
        for name, method in ARMS.items():
            made = poison(method, data, seed=seed, strength=STRENGTHS.get(method))
            run = short_run(data, SCHEDULE, seed=seed, inputs=made.x_train)
            values[name].append(unlearnable_distance(clean_sal[-1], _sal(run, made.x_train)).value)
            right[name].append(run.test_accuracy)
    summaries = {name: summarise_seeds(found) for name, found in values.items()}
    return Belief(
        summaries,
        {name: tuple(found) for name, found in values.items()},
        floor(clean_sal),
        {name: float(np.mean(found)) for name, found in right.items()},
        tuple(name for name, one in summaries.items() if _excludes_one(one)),
    )


def answer(belief: Belief) -> str | None:
    """Which of ``ANSWERS`` holds; None where the truth is another combination."""
    shortcut, pattern, noise = ARMS
    sets = ((), (shortcut,), (shortcut, pattern), (shortcut, pattern, noise))
    return next((words for words, told in zip(ANSWERS, sets, strict=True) if told == belief.told), None)


def _excludes_one(summary: SeedSummary) -> bool:
    return summary.low is not None and summary.high is not None and not summary.low <= 1 <= summary.high


def _sal(run: ShortRun, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """SAL [T, L] of every weight at every checkpoint, to first order, on the run's own training data."""
    data = small_data("toy")
    model = build_model(SCHEDULE.network, data.input_shape, data.n_classes, seed=0)
    layout = ParameterLayout.from_model(model)
    own = batches(inputs[:SAMPLES], data.y_train[:SAMPLES], SAMPLES)
    rows = []
    for vector in run.vectors:
        layout.load(model, vector)
        blocks = sharpness_aware_learnability(model, own, blocks="parameter", method="gradient")
        rows.append([block.sal for block in blocks])
    return np.array(rows)
