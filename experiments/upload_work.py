"""Work that a page started and waits for: it can be stopped, and ends by itself once nobody looks any more."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from experiments.progress import Stopped

ABANDONED = 180.0  # seconds without a look; a browser lets the clock of a hidden page tick once a minute
STOPPING = 10.0  # seconds that a stop waits for the work to have cleaned up
T = TypeVar("T")
_working: weakref.WeakSet[Work[Any]] = weakref.WeakSet()


class Work(Generic[T]):
    """A function that runs in a thread, and asks now and then whether it should stop.

    Args:
        do: Called with a function that tells whether to stop; it then raises :class:`experiments.progress.Stopped`,
            having cleaned up. What it returns or raises is kept.
    """

    def __init__(self, do: Callable[[Callable[[], bool]], T]) -> None:
        self._started = self._seen = time.monotonic()
        self._stop = threading.Event()
        self._value: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(do,), daemon=True)
        _working.add(self)
        self._thread.start()

    def _run(self, do: Callable[[Callable[[], bool]], T]) -> None:
        try:
            self._value.append(do(self._should_stop))
        except BaseException as error:  # raised where the result is asked for
            self._error = error

    def _should_stop(self) -> bool:
        return self._stop.is_set() or time.monotonic() - self._seen > ABANDONED

    @property
    def seconds(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started

    def done(self) -> bool:
        """Whether it has ended; whoever asks still looks."""
        self._seen = time.monotonic()
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop it, and wait until it has cleaned up."""
        self._stop.set()
        self._thread.join(STOPPING)

    def result(self) -> T:
        """What it returned, or raise what it raised. Waits for its end."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value[0]


def stop_all() -> None:
    """Stop whatever still works, as a server does that ends."""
    for work in list(_working):
        work.stop()


atexit.register(stop_all)

__all__ = ["ABANDONED", "Stopped", "Work", "stop_all"]
