"""Progress on the terminal, and in a job's file, for work that may turn out to be short."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 1.0  # seconds before a bar appears


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yield ``tell(done, total)``; a bar appears when the work takes longer than a second."""
    from experiments import ProgressFile, Several, TerminalBar

    bar, file, started = TerminalBar(), ProgressFile.from_environment(), time.monotonic()
    receiver = Several(bar, file) if file else bar
    shown: int | None = None

    def tell(done: int, total: int) -> None:
        nonlocal shown
        if shown is None and time.monotonic() - started < PATIENCE:
            return
        if shown is None or done < shown:
            receiver.start(label, total, done)
        else:
            receiver.advance(done - shown)
        shown = done

    try:
        yield tell
    finally:
        bar.close()
