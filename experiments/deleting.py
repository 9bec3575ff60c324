"""Deleting experiments and benchmarks so that nothing is lost: they move into a bin and can be restored.

The bin is ``<home>/.deleted``. Each entry ``NAME-TIME`` holds the folder at the place that it had below the home, so
that one rename deletes it, one rename restores it, and a kill between leaves it in one of the two places, whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from checkpoints import CheckpointError, open_run
from checkpoints.durable import Lock, sync_folder
from checkpoints.importing.report import size
from experiments import jobs
from experiments.bench_spec import BENCH_FILE
from experiments.catalogue import GALLERY, folders, home, nearest_first
from experiments.classroom import free_name, limits
from experiments.experiment import LIVE_SUFFIX, SPEC_FILE, Experiment, ExperimentError
from experiments.stored import TASK_SURFACES

BIN = ".deleted"
GOING = ".going-"  # begins the name of an entry that is being deleted for good
SURFACES = ("surfaces", TASK_SURFACES)
_ENTRY = re.compile(r"(?P<name>.+)-(?P<time>\d{8}T\d{6}Z)(?:-\d+)?\Z")


@dataclass(frozen=True)
class Contents:
    """What the folder of an experiment or benchmark holds."""

    runs: int
    checkpoints: int  # of all runs, each with its first, before any step
    surfaces: int
    bytes: int

    def in_words(self) -> str:
        """For a sentence, as ``2 runs with 62 checkpoints in all, 3 surfaces, 4.1 MiB``."""
        runs = _count(self.runs, "run")
        if self.checkpoints:
            runs += f" with {_count(self.checkpoints, 'checkpoint')}" + (" in all" if self.runs > 1 else "")
        return ", ".join([runs, _count(self.surfaces, "surface"), size(self.bytes)])


@dataclass(frozen=True)
class Deleted:
    """An experiment or benchmark in the bin.

    Attributes:
        entry: Its entry in the bin.
        place: The place that it had, relative to the folder of experiments.
        when: It was deleted, in local time.
    """

    entry: Path
    place: Path
    when: datetime

    @property
    def id(self) -> str:
        """The entry's name, of which there is one only."""
        return self.entry.name

    @property
    def name(self) -> str:
        """What it was called."""
        return self.place.name

    @property
    def folder(self) -> Path:
        """Where it lies now."""
        return self.entry / self.place


def contents(folder: Path) -> Contents:
    """Count what is in the folder of an experiment or benchmark; what is damaged counts as a file alone."""
    inside = [folder, *folders(folder)] if (folder / BENCH_FILE).is_file() else [folder]
    runs = {run for one in inside for run in _runs(one)}
    checkpoints = 0
    for run in runs:
        with contextlib.suppress(CheckpointError, OSError), open_run(run) as opened:
            checkpoints += len(opened)
    surfaces = [path for one in inside for kind in SURFACES for path in Experiment(one).result_files(kind)]
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return Contents(len(runs), checkpoints, len(surfaces), sum(path.stat().st_size for path in files))


def can_delete(folder: Path) -> bool:
    """Whether deleting may be offered at all: it is one of the user's own, and this is no class."""
    allowed = limits()
    return (allowed is None or allowed.deleting) and _place(folder) is not None


def why_not(folder: Path) -> str:
    """Why a folder cannot be deleted now, in one sentence; empty where it can."""
    allowed, name, place = limits(), Path(os.path.abspath(folder)).name, _place(folder)
    if allowed is not None and not allowed.deleting:
        return "Nothing is deleted in class; ask whoever runs the server."
    if GALLERY in folder.resolve().parents:
        return f"{name} ships with the project and cannot be deleted."
    if place is None or not any((folder / file).is_file() for file in (SPEC_FILE, BENCH_FILE)):
        return f"{folder} is no experiment in {home()}; what lies elsewhere you delete yourself."
    if any(job.running for one in {*place.parts, *_names_inside(folder)} for job in jobs.list_jobs(one)):
        return f"A job of {name} is running; stop it, or wait for its end, and delete it then."
    if _is_written(folder):
        return f"{name} is being trained in another process; stop that, and delete it then."
    return ""


def delete(folder: Path) -> Deleted:
    """Move the folder of an experiment or benchmark into the bin, by one rename.

    Raises:
        ExperimentError: As :func:`why_not` says, or it cannot be moved.
    """
    place = _place(folder)
    if reason := why_not(folder):
        raise ExperimentError(reason)
    assert place is not None
    try:
        deleted = _new_entry(place)
        deleted.folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(home() / place, deleted.folder)
    except OSError as error:
        raise ExperimentError(f"{place.name} cannot be moved into {home() / BIN} ({error.strerror}).") from None
    sync_folder(home())
    return deleted


def list_deleted() -> list[Deleted]:
    """What is in the bin, the latest first."""
    found = []
    for entry in folders(home() / BIN):
        match = _ENTRY.match(entry.name)
        place = None if match is None else _held(entry)
        if match is not None and place is not None:
            when = datetime.strptime(match["time"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).astimezone()
            found.append(Deleted(entry, place, when))
    return sorted(found, key=lambda one: (one.when, one.id), reverse=True)


def find_deleted(name: str) -> Deleted:
    """The latest of a name in the bin, or the one of an id. Raises :class:`ExperimentError` naming what there is."""
    known = list_deleted()
    for one in known:
        if name in (one.name, one.id):
            return one
    listed = nearest_first(name, {"in the bin": list(dict.fromkeys(one.name for one in known))})
    raise ExperimentError(f"There is no {name!r} among what was deleted; {listed or 'nothing is in the bin'}.")


def restore(deleted: Deleted) -> Path:
    """Move something from the bin to where it was, by one rename; returns its folder.

    Where its name has been taken meanwhile, it gets the next free number: nothing is overwritten.
    """
    parent = home() / deleted.place.parent
    if parent != home() and not (parent / BENCH_FILE).is_file():  # the benchmark that it was part of is not there
        parent = home()
    target = parent / free_name(deleted.name, parent)
    try:
        os.rename(deleted.folder, target)
    except OSError as error:
        raise ExperimentError(f"{deleted.name} cannot be restored to {target} ({error.strerror}).") from None
    sync_folder(parent)
    shutil.rmtree(deleted.entry, ignore_errors=True)
    return target


def delete_for_good(deleted: Deleted) -> None:
    """Remove something from the bin; it cannot be restored after that."""
    going = deleted.entry.with_name(GOING + deleted.id)
    try:
        os.rename(deleted.entry, going)
        for one in folders(going.parent):
            if one.name.startswith(GOING):  # also one whose removal was interrupted
                shutil.rmtree(one)
    except OSError as error:
        raise ExperimentError(f"{deleted.name} cannot be deleted for good ({error.strerror}).") from None


def _place(folder: Path) -> Path | None:
    """The place of a folder below the user's home, None for one that lies elsewhere."""
    folder = Path(os.path.abspath(folder))
    try:  # a folder may be a link of the user's; it is the link that moves
        place = (folder.parent.resolve() / folder.name).relative_to(home().resolve())
    except ValueError:
        return None
    return place if 1 <= len(place.parts) <= 2 and not place.parts[0].startswith(".") else None


def _new_entry(place: Path) -> Deleted:
    now, number = datetime.now(UTC).replace(microsecond=0), 1
    while True:
        entry = home() / BIN / (f"{place.name}-{now:%Y%m%dT%H%M%SZ}" + (f"-{number}" if number > 1 else ""))
        try:
            entry.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return Deleted(entry, place, now.astimezone())


def _held(entry: Path) -> Path | None:
    """The place of what an entry holds; None for an empty one, which a kill in the midst may leave."""
    for pattern in (BENCH_FILE, SPEC_FILE):
        for depth in ("*", "*/*"):
            found = next(iter(sorted(entry.glob(f"{depth}/{pattern}"))), None)
            if found is not None:
                return found.parent.relative_to(entry)
    return None


def _names_inside(folder: Path) -> list[str]:
    return [one.name for one in folders(folder)] if (folder / BENCH_FILE).is_file() else []


def _runs(folder: Path) -> list[Path]:
    """Runs of an experiment, finished or not, by the name that they have once they are finished."""
    found = [*(folder / "runs").glob("*.h5"), *(folder / "runs").glob(f"*.h5{LIVE_SUFFIX}")]
    return [path.with_name(path.name.removesuffix(LIVE_SUFFIX)) for path in found]


def _is_written(folder: Path) -> bool:
    """Whether a process is recording one of its runs."""
    for lock in folder.rglob(f"*.h5{LIVE_SUFFIX}/lock"):
        try:
            Lock(lock).release()
        except CheckpointError:
            return True
        except OSError:
            continue
    return False


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
