"""How often pages that move look again: the more of them there are, the less often, so that the server has time left.

All sessions share one Python process. Their looks together take at most a part of one processor core; whoever opens
another page meanwhile is answered in the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SHARE = 0.4  # of one processor core, for the looks of all sessions together
STEP = 2.0  # a pace is the base times a power of this, so that it changes seldom
EASE = 0.7  # of a faster pace's room, that the looks must fit into before it is taken up again
SLOWEST = 12.8  # seconds between two looks at most
GONE = 3.0  # looks in a row that a session may leave out before it counts as gone


class Pace:
    """Keeps count of the sessions that look, and of what a look costs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._looks: dict[str, tuple[float, float, float]] = {}  # {session: (when, its pace then, cost in seconds)}

    def looked(self, session: str, pace: float, cost: float) -> None:
        """Take note of a look that cost so many seconds of processor time, by a session that looks every ``pace``."""
        with self._guard:
            before = self._looks.get(session)
            smooth = cost if before is None else 0.7 * before[2] + 0.3 * cost
            self._looks[session] = (self._clock(), pace, smooth)

    def seconds(self, base: float, present: float | None = None) -> float:
        """Seconds between two looks of a session that would like ``base`` and looks every ``present`` so far."""
        needed = self._needed()
        pace = base
        while pace < min(needed, SLOWEST):
            pace = min(STEP * pace, SLOWEST)
        if present is not None and pace < present and needed > EASE * present / STEP:
            return present
        return pace

    def _needed(self) -> float:
        """Seconds between two looks of everyone with which all looks take their share, and no more."""
        with self._guard:
            now = self._clock()
            for session, (when, pace, _) in list(self._looks.items()):
                if now - when > GONE * max(pace, 1.0):
                    del self._looks[session]
            return sum(cost for _, _, cost in self._looks.values()) / SHARE


PACE = Pace()  # of all sessions of this server
