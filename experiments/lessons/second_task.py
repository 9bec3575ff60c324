"""Lesson 8, a second task: what the pattern of a poison tells of the class of a room, its key points, depth, segments.

The pattern alone, without the image, is read by ridge regression: where it tells the answer, a network need not learn
to see. What networks of all four tasks really lose takes far longer than a lesson; those numbers come from the
published result, of which ``second_task.json`` is an extract. To make it anew from the output of ``cross-task --json``:
``python -m experiments.lessons.second_task docs/results/rooms-four-tasks/cross-task.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import Estimate
from training import Dataset, load_dataset, poison

IMAGES, SIZE, CELLS = 600, 32, 8  # rooms, pixels of a side, cells of a side in which maps are read
RIDGE = 1.0  # in units of the mean diagonal of the kernel
READ, PART = 0.5, 0.2  # shares from which a task counts as told, and as told in part
POISONS = {"linearly separable noise": "lsp", "one pixel per class": "ops"}
MADE = "em-scene"  # a poison that a network makes, which takes too long to be made here
CONTROLS = {"lsp": "lsp-permuted", "ops": "random-pixel", MADE: "em-scene-permuted"}  # of the published result
PATTERN, DEALT, NAME = "the pattern alone", "patterns dealt out at random", "the name of the class"
TASKS = {"scene": "scene class", "keypoints2d": "key points", "depth_euclidean": "depth", "segment_unsup2d": "segments"}
ANSWERS = (
    "of none of them",
    "of the class alone",
    "of the class, and in part of another task",
    "of all four nearly as well",
)
EXTRACT = Path(__file__).with_name("second_task.json")
Rows = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reading:
    """What can be read of every task, and an image with its pattern.

    Attributes:
        told: {source: {task: share}} of ``PATTERN``, ``DEALT`` and ``NAME``: 1 − squared error on rooms that were not
            learned from, divided by that of the mean. 0: nothing; 1: all.
        right: Share of rooms whose class the pattern alone names, and of guessing.
        image, pattern: [H, W, 3] in [0, 1]; the pattern around grey, as strong as can be shown.
        description: How the rooms were poisoned.
    """

    told: Mapping[str, Mapping[str, float]]
    right: tuple[float, float]
    image: NDArray[np.float32]
    pattern: NDArray[np.float32]
    description: str


def read_pattern(poison_name: str, seed: int = 0) -> Reading:
    """Poison small rooms by their class, take the images away, and read every task from what was added."""
    rooms = small_rooms()
    made = poison(POISONS[poison_name], rooms, seed=seed)
    added = made.x_train - rooms.x_train
    answers = _answers(rooms)
    order = np.random.default_rng(seed).permutation(IMAGES)
    sources = {PATTERN: added, DEALT: added[np.random.default_rng(seed + 1).permutation(IMAGES)]}
    rows = {name: values.reshape(IMAGES, -1).astype(np.float64) for name, values in sources.items()}
    rows[NAME] = answers["scene"]
    halves = order[: IMAGES // 2], order[IMAGES // 2 :]
    guessed = {name: {task: ridge(x, y, *halves) for task, y in answers.items()} for name, x in rows.items()}
    truth = {task: y[halves[1]] for task, y in answers.items()}
    means = {task: y[halves[0]].mean(axis=0) for task, y in answers.items()}
    told = {
        name: {task: _share(found[task], truth[task], means[task]) for task in answers}
        for name, found in guessed.items()
    }
    labels = truth["scene"].argmax(axis=1)
    right = float(np.mean(guessed[PATTERN]["scene"].argmax(axis=1) == labels))
    guessing = float(np.mean(means["scene"].argmax() == labels))
    pattern = added[0].transpose(1, 2, 0)
    shown = 0.5 + 0.5 * pattern / max(float(np.abs(pattern).max()), 1e-9)
    return Reading(told, (right, guessing), rooms.x_train[0].transpose(1, 2, 0), shown, made.description)


def answer(found: Reading) -> str:
    """Which of ``ANSWERS`` holds."""
    scene, *others = (found.told[PATTERN][task] for task in TASKS)
    if scene < READ:
        return ANSWERS[0]
    return ANSWERS[3 if min(others) >= READ else 2 if max(others) >= PART else 1]


@lru_cache(maxsize=1)
def small_rooms() -> Dataset:
    """A few small pictures of rooms."""
    return load_dataset("rooms", n_train=IMAGES, n_test=60, size=SIZE)


def ridge(x: Rows, y: Rows, learn: NDArray[np.int64], rest: NDArray[np.int64]) -> Rows:
    """Ridge regression of rows y [N, K] on rows x [N, D]: learned from some, the values [n, K] of the rest."""
    centred = x - x[learn].mean(axis=0)
    kernel = centred @ centred[learn].T
    weight = RIDGE * max(float(np.trace(kernel[learn])) / len(learn), 1e-12)
    mean = y[learn].mean(axis=0)
    factors = np.linalg.solve(kernel[learn] + weight * np.eye(len(learn)), y[learn] - mean)
    return np.asarray(kernel[rest] @ factors + mean)


def _share(found: Rows, truth: Rows, mean: Rows) -> float:
    return 1 - float(((found - truth) ** 2).sum() / ((mean - truth) ** 2).sum())


def _answers(rooms: Dataset) -> dict[str, Rows]:
    """What is read of each task, as rows: the class; means in cells of key points, log depth, and segments' borders."""
    dense = rooms.dense_train
    assert dense is not None
    depth = np.log(dense.depth_euclidean.astype(np.float64))
    depth = np.where(np.isnan(depth), np.nanmedian(depth, axis=0), depth)
    ids = dense.segment_unsup2d
    borders = np.zeros(ids.shape)
    borders[:, :, 1:] += ids[:, :, 1:] != ids[:, :, :-1]
    borders[:, 1:] += ids[:, 1:] != ids[:, :-1]
    maps = {"keypoints2d": dense.keypoints2d, "depth_euclidean": depth, "segment_unsup2d": borders}
    return {"scene": np.eye(rooms.n_classes)[rooms.y_train]} | {task: _cells(one) for task, one in maps.items()}


def _cells(maps: NDArray[Any]) -> Rows:
    n, height, width = maps.shape
    means = maps.reshape(n, CELLS, height // CELLS, CELLS, width // CELLS).mean(axis=(2, 4))
    return np.asarray(means.reshape(n, -1), dtype=np.float64)


# The published result --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """Damage in the published result.

    Attributes:
        images, seeds: Test images and seeds.
        damage: {arm: {task: damage}} of the poisons and their controls; net: {arm: {task: net of its control}}.
    """

    images: int
    seeds: int
    damage: Mapping[str, Mapping[str, Estimate]]
    net: Mapping[str, Mapping[str, Estimate]]


def published() -> Published | None:
    """The extract that ships with the project; None where there is none."""
    if not EXTRACT.is_file():
        return None
    table = json.loads(EXTRACT.read_text())
    damage, net = ({arm: _estimates(row) for arm, row in table[key].items()} for key in ("damage", "net_damage"))
    return Published(int(table["images"]), int(table["seeds"]), damage, net)


def _estimates(row: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    found = {}
    for task, one in row.items():
        value = float("nan") if one["value"] is None else float(one["value"])
        found[task] = Estimate(value, one["low"], one["high"], one["level"], "percentile", one["seeds"], one["note"])
    return found


def extract(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the lesson tells of the output of ``cross-task --json``.

    Raises:
        ValueError: A task, a poison or its control is not in it.
    """
    tasks = report["tasks"]
    arms = [*CONTROLS, *CONTROLS.values()]
    for task in TASKS:
        missing = [arm for arm in arms if task not in tasks or arm not in tasks[task]["damage"]]
        if missing:
            raise ValueError(f"The report has no damage of {missing[0]} to the task {task}; measure it first.")
    return {
        "experiment": report["experiment"],
        "images": report["images"],
        "seeds": min(len(report["seeds"][arm]) for arm in arms),
        "damage": {arm: {task: tasks[task]["damage"][arm] for task in TASKS} for arm in arms},
        "net_damage": {
            arm: {task: tasks[task]["net_damage"][control][arm] for task in TASKS} for arm, control in CONTROLS.items()
        },
    }


def main(arguments: list[str]) -> None:
    """Write the extract of a report."""
    if len(arguments) != 1:
        raise SystemExit("Give the file that cross-task --json wrote, and no other argument.")
    try:
        table = extract(json.loads(Path(arguments[0]).read_text()))
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{arguments[0]} is no report of the four tasks: {error}") from None
    EXTRACT.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
