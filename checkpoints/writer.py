"""Work that goes on beside a training, one piece after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

WAITING = 2  # checkpoints in memory at most: one being written, one behind it


class Writer:
    """Does what it is given in a thread of its own, in order; whoever comes too fast waits.

    The first piece that fails ends it: the pieces behind it are dropped, and the exception is raised by the next call
    of :meth:`reserve` or :meth:`flush`, each time.
    """

    def __init__(self) -> None:
        self._room = threading.Semaphore(WAITING)
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def reserve(self) -> None:
        """Wait until there is room for one more piece; call it before taking the memory the piece needs."""
        self._room.acquire()
        if self._failed is not None:
            self._room.release()
            raise self._failed

    def release(self) -> None:
        """Give back what was reserved, when there is no piece after all."""
        self._room.release()

    def put(self, piece: Callable[[], None]) -> None:
        """Hand over a piece of work, after :meth:`reserve`."""
        self._queue.put(piece)

    def flush(self) -> None:
        """Wait until everything handed over is done. Raises what failed."""
        for _ in range(WAITING):
            self._room.acquire()
        for _ in range(WAITING):
            self._room.release()
        if self._failed is not None:
            raise self._failed

    def end(self) -> None:
        """Do what was handed over, then end the thread; raises nothing."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (piece := self._queue.get()) is not None:
            try:
                if self._failed is None:
                    piece()
            except BaseException as error:  # handed to the training's thread
                self._failed = error
            finally:
                del piece
                self._room.release()
