"""How a viewer holds, steps and paces a training while it runs: a small file between the page and the process."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from checkpoints import write_bytes
from checkpoints.durable import cannot_write
from experiments.experiment import Experiment, ExperimentError, gone
from experiments.progress import PROGRESS_VARIABLE

POLL = 0.03  # seconds between looks while training is held
SOON = 0.5  # seconds that a round may take and yet be finished before training is held


@dataclass(frozen=True)
class Control:
    """What the viewer wants.

    Attributes:
        paused: Whether training is held between two optimiser steps.
        steps: Single steps asked for so far; each lets every run go on by one checkpoint while paused.
        speed: Checkpoints a second of every run at most; 0 is as fast as it goes.
    """

    paused: bool = False
    steps: int = 0
    speed: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ExperimentError(f"The number of single steps must be 0 or more, not {self.steps}.")
        if not (math.isfinite(self.speed) and self.speed >= 0):
            raise ExperimentError(f"The speed must be 0 (as fast as it goes) or more, not {self.speed}.")


def read_control(folder: Path) -> Control:
    """What is wanted of the experiment in a folder; full speed where nothing readable says otherwise."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return _control(json.loads(_file(folder).read_text()))
    return Control()


def write_control(folder: Path, control: Control) -> None:
    """Tell the training what is wanted. Raises ValueError where the experiment's folder is gone or not writable."""
    if not folder.is_dir():
        raise ExperimentError(f"{folder.name} is not there any more; start it again.")
    try:
        _file(folder).parent.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(_file(folder), error) from None
    write_bytes(_file(folder), json.dumps(asdict(control)).encode())


def is_held(folder: Path) -> bool:
    """Whether the training of the experiment in a folder is standing still at the viewer's wish."""
    return _held(folder).is_file() and read_control(folder).paused


class Gate:
    """Stands in the way of a training as long as the viewer wants; changes no bit of it.

    A training that no page has started begins unpaused and at full speed, whatever was wanted of an earlier one.
    ``before_waiting`` is called whenever it begins to wait, so that what exists by then can be shown; ``idle(seconds)``
    passes the time of waiting, for about so long at a time.
    """

    def __init__(
        self,
        experiment: Experiment,
        before_waiting: Callable[[], None] | None = None,
        idle: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder, self._before_waiting, self._idle = experiment.path, before_waiting, idle
        if not os.environ.get(PROGRESS_VARIABLE) and _file(self.folder).is_file():
            write_control(self.folder, Control())
        _held(self.folder).unlink(missing_ok=True)
        self._stamp: tuple[int, int] | None = None
        self._control = Control()
        self._taken = self._look().steps
        self._stepping = False
        self._round = -math.inf

    def before_round(self) -> None:
        """Wait before the runs go on by one checkpoint each, as pause and speed demand."""
        self._stepping = False
        self._wait()
        waiting = False
        while not self._stepping:
            speed = self._look().speed
            left = self._round + 1.0 / speed - time.monotonic() if speed > 0 else 0.0
            if left <= 0:
                break
            if not waiting and self._before_waiting is not None:
                self._before_waiting()
            waiting = True
            self._idle(min(POLL, left))
            self._wait()
        self._round = time.monotonic()

    def before_step(self) -> None:
        """Wait before an optimiser step while training is paused.

        A round that is over soon is finished first: all runs then stand at the same checkpoint, and a single step
        moves them all.
        """
        if time.monotonic() - self._round > SOON:
            self._wait()

    def _wait(self) -> None:
        held = False
        try:
            while self._look().paused and not self._stepping:
                if self._control.steps > self._taken:
                    self._taken += 1
                    self._stepping = True
                    break
                if not held:
                    held = True
                    if self._before_waiting is not None:
                        self._before_waiting()
                    with contextlib.suppress(OSError):
                        _held(self.folder).touch()
                self._idle(POLL)
        finally:
            if held:
                with contextlib.suppress(OSError):
                    _held(self.folder).unlink(missing_ok=True)

    def _look(self) -> Control:
        try:
            status = _file(self.folder).stat()
        except OSError:
            if not self.folder.is_dir():
                raise gone(self.folder) from None
            return self._control
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp, self._control = stamp, read_control(self.folder)
        return self._control


def _control(table: Mapping[str, Any]) -> Control:
    return Control(bool(table["paused"]), int(table["steps"]), float(table["speed"]))


def _file(folder: Path) -> Path:
    return folder / "live" / "control.json"


def _held(folder: Path) -> Path:
    return folder / "live" / "held"
