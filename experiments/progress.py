"""How long work reports where it is, and how it is asked to stop."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from checkpoints import write_bytes
from experiments.launch import birth

PROGRESS_VARIABLE = "UNLEARNSCAPE_PROGRESS"


class Stopped(Exception):
    """The user asked for the work to stop; everything acknowledged so far is kept."""


class Progress(Protocol):
    """What a pipeline step calls while it works."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Begin a phase of ``total`` units, ``done`` of which exist already."""

    def advance(self, units: int = 1) -> None:
        """Report finished units of the current phase. May raise :class:`Stopped`."""


class Silent:
    """Progress for callers that do not watch."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Ignore the phase."""

    def advance(self, units: int = 1) -> None:
        """Ignore the units."""


class ProgressFile:
    """Progress as a small JSON file that another process reads: state, label, done, total, message.

    Written at most four times a second, and always at the start of a phase and at the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._status: dict[str, Any] = {"state": "running", **_myself(), "label": "", "done": 0}
        self._phase_started, self._written = time.monotonic(), 0.0

    @classmethod
    def from_environment(cls) -> ProgressFile | None:
        """The progress file this process was asked to keep, if any."""
        path = os.environ.get(PROGRESS_VARIABLE)
        return cls(Path(path)) if path else None

    def claim(self) -> bool:
        """Note that this process does the work, before anything else is done.

        Returns:
            False where the file is there already: another process has the work, or it was ended before it began.
        """
        try:
            with self.path.open("x") as file:
                file.write(json.dumps(self._status))
        except FileExistsError:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                said = json.loads(self.path.read_text())
                return {name: said.get(name) for name in _myself()} == _myself()
            return False
        except OSError:  # a full disk: the work itself will say so
            return True
        return True

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Begin a phase."""
        self._phase_started = time.monotonic()
        self._status.update(label=label, total=total, done=done, first=done, seconds=0.0)
        self._write()

    def advance(self, units: int = 1) -> None:
        """Count finished units."""
        self._status["done"] += units
        if time.monotonic() - self._written > 0.25:
            self._write()

    def end(self, state: str, message: str = "") -> None:
        """Leave the final word: ``done``, ``stopped`` or ``failed`` and, if failed, the sentence why."""
        self._status.update(state=state, message=message)
        try:
            self._write()
        except ValueError:  # a full disk has no room for a second file, but for other words in this one
            text = json.dumps({**_myself(), "state": state, "message": message}).encode()
            with self.path.open("r+b") as file:
                file.write(text)
                file.truncate(len(text))

    def _write(self) -> None:
        now = time.monotonic()
        self._status["seconds"] = round(now - self._phase_started, 2)
        write_bytes(self.path, json.dumps(self._status).encode())
        self._written = now


def _myself() -> dict[str, Any]:
    """What tells this process from all others, also from later ones of its number."""
    return {"pid": os.getpid(), "birth": birth(os.getpid())}


class Stopwatch:
    """Seconds since the last reset, for work that is done now and then."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the last reset."""
        return time.monotonic() - self._since

    def older_than(self, seconds: float) -> bool:
        """Whether more than ``seconds`` have passed since the last reset."""
        return time.monotonic() - self._since > seconds


class TerminalBar:
    """Progress as one tqdm bar per phase on standard error, where that is a terminal; elsewhere nothing."""

    def __init__(self) -> None:
        self._bar: Any = None

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Begin a new bar."""
        self.close()
        self._bar = tqdm(total=total, initial=done, desc=label, file=sys.stderr, dynamic_ncols=True, disable=None)

    def advance(self, units: int = 1) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(units)

    def close(self) -> None:
        """Leave the last bar as it is."""
        if self._bar is not None:
            self._bar.close()


class Several:
    """Progress handed to several receivers."""

    def __init__(self, *receivers: Progress) -> None:
        self._receivers = receivers

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Begin a phase everywhere."""
        for receiver in self._receivers:
            receiver.start(label, total, done)

    def advance(self, units: int = 1) -> None:
        """Count everywhere."""
        for receiver in self._receivers:
            receiver.advance(units)
