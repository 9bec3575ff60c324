"""Results as their files hold them: SAL of runs, and surfaces. Reading them needs nothing that computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints import CheckpointError, Result, read_result
from experiments.experiment import Experiment
from experiments.spec import SalSpec

SAL_KIND, SURFACE_KIND = "sal", "surface"
TASK_SURFACES = "cross-task/surfaces"
MIDPOINTS = "kmeans_midpoints"  # array of a SAL file: of the clean run alone, and not of older files
_kept: ContextVar[dict[tuple[object, ...], Result] | None] = ContextVar("_kept", default=None)


@contextmanager
def each_file_once() -> Iterator[None]:
    """While this lasts, :func:`read_stored` reads a file again only if it changed; afterwards nothing is kept."""
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def read_stored(path: Path, kind: str) -> Result:
    """Read a result file, or give again what was read of it under :func:`each_file_once`; change nothing in it."""
    kept = _kept.get()
    if kept is None:
        return read_result(path, kind=kind)
    try:
        now = path.stat()
    except OSError:
        return read_result(path, kind=kind)  # says what is wrong
    key = (path, kind, now.st_ino, now.st_size, now.st_mtime_ns)
    if key not in kept:
        kept[key] = read_result(path, kind=kind)
    return kept[key]


@dataclass(frozen=True)
class SalSeries:
    """SAL of one run over its checkpoints, as a result file holds it."""

    run: str
    header: dict[str, Any]
    blocks: tuple[str, ...]  # [L]
    sizes: NDArray[np.int64]  # [L] scalars per block
    steps: NDArray[np.int64]  # [T]
    epochs: NDArray[np.float64]  # [T]
    sal: NDArray[np.float64]  # [T, L], in nats for cross-entropy
    loss: NDArray[np.float64]  # [T] at the checkpoint, in nats for cross-entropy
    metrics: dict[str, NDArray[np.float64]]  # {name: [T]}
    midpoints: NDArray[np.float64] | None = None  # [T] of k-means; None where the file lacks them

    @property
    def uncounted_words(self) -> str:
        """Which weights of the network are no block, in a sentence; empty where all are, or where it is not known."""
        names = [str(name) for name in self.header.get("uncounted", ())]
        if not names:
            return ""
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        return (
            f"Blocks are the weights of Conv2d and Linear layers; {', '.join(names[:4])}{more} "
            f"{'is' if len(names) == 1 else 'are'} not among them, so SAL and UD say nothing of "
            f"{'it' if len(names) == 1 else 'them'}."
        )

    @property
    def loss_name(self) -> str:
        """The loss that SAL is a change of; empty for cross-entropy."""
        return str(self.header.get("loss_name", ""))


def read_sal(path: Path) -> SalSeries:
    """Read one SAL result file."""
    result = read_stored(path, SAL_KIND)
    arrays = result.arrays
    midpoints = arrays.get(MIDPOINTS)
    return SalSeries(
        run=str(result.header["run"]),
        header=result.header,
        blocks=tuple(bytes(arrays["block_names"]).decode().split("\n")),
        sizes=arrays["sizes"],
        steps=arrays["steps"],
        epochs=arrays["epochs"],
        sal=arrays["sal"],
        loss=arrays["loss"],
        metrics={k.removeprefix("metric_"): v for k, v in arrays.items() if k.startswith("metric_")},
        midpoints=midpoints if midpoints is not None and midpoints.shape == arrays["steps"].shape else None,
    )


def stored_sal(experiment: Experiment) -> dict[SalSpec, dict[str, SalSeries]]:
    """SAL results that exist, by the settings they were measured with and by run; unreadable files are left out."""
    found: dict[SalSpec, dict[str, SalSeries]] = {}
    for path in experiment.result_files("sal"):
        series = read_or_none(path)
        if series is not None:
            found.setdefault(SalSpec(**series.header["options"]), {})[series.run] = series
    return found


def read_or_none(path: Path) -> SalSeries | None:
    """A SAL result, or None when the file cannot be read."""
    try:
        return read_sal(path)
    except (CheckpointError, KeyError, TypeError):
        return None


def sal_folder(task: str) -> str:
    """Where SAL is kept: that of one task of several apart from the others."""
    return f"cross-task/sal/{task}" if task else "sal"
