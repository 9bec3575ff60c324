"""SAL by the search while runs train: a few blocks between steps, epoch by epoch, the newest epoch first."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from analysis import threshold_midpoints, unlearnable_distance
from analysis.sal import SharpnessMeter
from checkpoints import open_run
from experiments.spec import SalSpec
from experiments.train_step import RunInTraining

Batch = tuple[torch.Tensor, torch.Tensor]
SHARE = 0.2  # of the time between checkpoints that the search may take
LARGEST_CREDIT = 0.15  # seconds; a pause must not be followed by a long search


@dataclass
class _Searched:
    """What is known of one run: the first checkpoint of every epoch, and SAL [L] of those that were searched."""

    run: RunInTraining
    batch: Batch
    epochs: dict[int, int] = field(default_factory=dict)  # epoch: number of its checkpoint
    sal: dict[int, NDArray[np.float64]] = field(default_factory=dict)


class EpochSearch:
    """Searches all runs once an epoch, at its first checkpoint, block by block, within a share of the time that passes.

    An epoch is searched for all runs before another is begun. While training goes on, the newest epoch is next; those
    left out are searched when there is time, oldest first.
    """

    def __init__(self, options: SalSpec) -> None:
        self._options = options
        self._runs: dict[str, _Searched] = {}
        self._meter: SharpnessMeter | None = None
        self._now: tuple[str, int] | None = None  # run and epoch under way
        self._values: list[float] = []
        self._credit = 0.0
        self._since = time.monotonic()

    def add(self, run: RunInTraining, checkpoint: int, batch: Batch) -> None:
        """Take note of a checkpoint of a run; further ones of the same epoch are passed over."""
        searched = self._runs.setdefault(run.name, _Searched(run, batch))
        searched.epochs.setdefault(run.recorder.steps[checkpoint] // run.trainer.steps_per_epoch, checkpoint)

    def spend(self) -> None:
        """Search as long as the time since the last call allows."""
        now = time.monotonic()
        self._credit = min(self._credit + SHARE * (now - self._since), LARGEST_CREDIT)
        while self._credit > 0 and self.step(newest=True):
            self._credit -= time.monotonic() - now
            now = time.monotonic()
        self._since = time.monotonic()

    @property
    def left(self) -> int:
        """Searches of one run at one epoch that are still to be made."""
        return sum(len(one.epochs) - len(one.sal) for one in self._runs.values())

    def step(self, *, newest: bool = False) -> bool:
        """Search one block; False when there is none to search."""
        if self._now is None:
            self._now = self._next(newest)
            if self._now is None:
                return False
            self._meter, self._values = self._begin(*self._now), []
        name, epoch = self._now
        if self._meter is not None:
            number = len(self._values)
            self._values.append(self._meter.measure([number])[0].sal)
            if len(self._values) < len(self._meter.blocks):
                return True
        self._runs[name].sal[epoch] = np.array(self._values)
        self._now = self._meter = None
        return True

    def measured(self, name: str) -> tuple[list[int], NDArray[np.float64]]:
        """Epochs [E] of a run that were searched, and SAL [E, L]."""
        found = self._runs[name].sal if name in self._runs else {}
        epochs = sorted(epoch for epoch, values in found.items() if len(values))
        return epochs, np.array([found[epoch] for epoch in epochs])

    def distances(self, clean: str, other: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where [E], in epochs, both runs were searched, and UD [E] of what was searched up to each; else NaN."""
        mine, theirs = self.measured(clean), self.measured(other)
        epochs = [epoch for epoch in mine[0] if epoch in theirs[0]]
        if not epochs or mine[1].shape[1] < 2:
            return np.zeros(0), np.zeros(0)
        clean_sal = mine[1][[mine[0].index(epoch) for epoch in epochs]]
        other_sal = theirs[1][[theirs[0].index(epoch) for epoch in epochs]]
        middles = threshold_midpoints(clean_sal)
        values = [distance_so_far(clean_sal[: i + 1], other_sal[: i + 1], middles[: i + 1]) for i in range(len(epochs))]
        run = self._runs[clean].run
        steps = [run.recorder.steps[self._runs[clean].epochs[epoch]] for epoch in epochs]
        return np.array(steps) / run.trainer.steps_per_epoch, np.array(values)

    def _next(self, newest: bool) -> tuple[str, int] | None:
        """A run and epoch to search: first what is left of an epoch begun, else of one that all runs have reached."""
        runs = list(self._runs.items())
        reached = set.intersection(*(set(one.epochs) for _, one in runs)) if runs else set()
        open_ = {epoch for epoch in reached if any(epoch not in one.sal for _, one in runs)}
        begun = {epoch for epoch in open_ if any(epoch in one.sal for _, one in runs)}
        if not open_:
            return None
        epoch = min(begun) if begun else max(open_) if newest else min(open_)
        return next((name, epoch) for name, one in runs if epoch not in one.sal)

    def _begin(self, name: str, epoch: int) -> SharpnessMeter | None:
        searched, options = self._runs[name], self._options
        model = copy.deepcopy(searched.run.model)
        with open_run(searched.run.recorder.path) as stored:
            model.load_state_dict(stored.state_dict(searched.epochs[epoch]))
        try:
            return SharpnessMeter(
                model,
                [searched.batch],
                epsilon=options.epsilon,
                steps=options.steps,
                lr=options.lr,
                p=options.p,
                blocks=options.blocks,
                method="search",
            )
        except ValueError:  # weights that are not finite have no SAL: this epoch stays empty
            return None


def distance_so_far(
    clean: NDArray[np.float64], other: NDArray[np.float64], middles: Sequence[float] | NDArray[np.float64]
) -> float:
    """UD of SAL [T, L] against clean SAL [T, L] under the mean of β's midpoints [T]; NaN where it is undefined."""
    try:
        return unlearnable_distance(clean, other, threshold=float(np.mean(middles))).value
    except ValueError:  # no learnable block so far
        return float("nan")
