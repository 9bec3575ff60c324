"""Where work is done: in this process, in several of this machine (joblib), or on a Dask cluster.

Work comes as small items that carry paths and numbers, never weights; whoever does it loads those once. Items may end
in any order, and every engine gives the same results. A worker that dies costs only what it had not finished.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeVar

import joblib
import torch

from experiments.experiment import ExperimentError

Item = TypeVar("Item")
Found = TypeVar("Found")
ATTEMPTS = 4  # how often work is handed out again when workers die
WORTH_PROCESSES = 15.0  # seconds of work below which starting processes does not pay
_one_at_a_time = threading.Lock()


class Engine(Protocol):
    """Something that does work."""

    def run(self, function: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[tuple[Item, Found]]:
        """Give each item back with its result, as they end."""


@dataclass(frozen=True)
class Where:
    """Where the user wants work done: on a Dask scheduler, or by some processes (None: as many as pay)."""

    jobs: int | None = None
    cluster: str | None = None

    def engine(self, seconds: float) -> Engine:
        """The engine for work of about this many seconds."""
        if self.cluster:
            return Cluster(self.cluster)
        jobs = self.jobs
        if jobs is None:
            jobs = joblib.cpu_count() if seconds > WORTH_PROCESSES else 1
        if jobs < 1:
            raise ExperimentError(f"--jobs must be 1 or more, not {jobs}.")
        return Here() if jobs == 1 else Processes(jobs)


@dataclass(frozen=True)
class Here:
    """This process, one item after the other."""

    def run(self, function: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[tuple[Item, Found]]:
        for item in items:
            with one_thread():
                found = function(item)
            yield item, found


@dataclass(frozen=True)
class Processes:
    """Processes of this machine."""

    jobs: int

    def run(self, function: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[tuple[Item, Found]]:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import BrokenProcessPool

        left = dict(enumerate(items))
        for attempt in range(ATTEMPTS):
            pool = Parallel(n_jobs=min(self.jobs, max(1, len(left))), return_as="generator_unordered")
            try:
                for number, found in pool(delayed(_alone)(function, n, item) for n, item in list(left.items())):
                    yield left.pop(number), found
                return
            except BrokenProcessPool:
                if attempt == ATTEMPTS - 1:
                    raise ExperimentError(
                        "The worker processes keep dying, perhaps for lack of memory; try fewer with --jobs."
                    ) from None
                continue


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster, reached through its scheduler. Its workers must see the experiment's folder."""

    address: str

    def run(self, function: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[tuple[Item, Found]]:
        try:
            dask: Any = import_module("distributed")
        except ImportError:
            raise ExperimentError(
                "Working on a cluster needs Dask; install it with: pip install -e '.[cluster]'"
            ) from None
        try:
            client = dask.Client(self.address, timeout="5s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise ExperimentError(
                f"No Dask scheduler answers at {self.address}; start one with: dask scheduler  ({error})"
            ) from None
        with client:
            if not client.scheduler_info()["workers"]:
                raise ExperimentError(
                    f"The scheduler at {self.address} has no workers; start some with: dask worker {self.address}"
                )
            futures = {
                client.submit(_alone, function, n, item, pure=False, retries=2): n for n, item in enumerate(items)
            }
            try:
                for future in dask.as_completed(list(futures), loop=client.loop):
                    if future.status == "error":
                        raise _of_worker(future.exception())
                    number, found = future.result()
                    future.release()
                    yield items[number], found
            finally:
                client.cancel(list(futures))


def _alone(function: Callable[[Item], Found], number: int, item: Item) -> tuple[int, Found]:
    """Do one item in a worker: one thread each, so that workers do not fight and results are the same everywhere."""
    with _one_at_a_time, one_thread():
        return number, function(item)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, whatever the machine: how sums are cut up then does not depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of_worker(error: Any) -> ExperimentError:
    if isinstance(error, ExperimentError):
        return error
    return ExperimentError(
        f"A worker of the cluster failed: {type(error).__name__}: {error}. It needs the same versions of this project "
        "and its libraries, and must see the experiment's folder under the same path."
    )
