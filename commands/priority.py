"""How a job in the background steps back for the server, the browser and whatever else runs."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path

JOB_VARIABLE = "UNLEARNSCAPE_PROGRESS"  # set for every job
BY_VARIABLE = "UNLEARNSCAPE_NICE"  # by how much it steps back at first
FROM_VARIABLE = "UNLEARNSCAPE_NICE_FROM"  # where it stood before: the next job, which it may start, begins there
BEHIND = 10  # by how much where nobody watches
SESSION = Path("/proc/self/autogroup")


@cache
def _began() -> int:
    """Niceness before any step back: of the first call."""
    return int(os.environ.setdefault(FROM_VARIABLE, str(os.nice(0))))


def step_back(by: int | None = None) -> None:
    """Stand this far behind where the job began, or as far as the environment says; what is no job stays where it is.

    Linux shares the processors out between sessions first, unless groups are set up otherwise, and within a session
    only then by niceness. A job leads a session of its own, so that has to step back too.
    """
    if not os.environ.get(JOB_VARIABLE) or not hasattr(os, "nice"):
        return
    if by is None:
        by = int(os.environ.get(BY_VARIABLE, BEHIND))
    reached = os.nice(max(0, _began() + by - os.nice(0)))
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            SESSION.write_text(str(reached))
