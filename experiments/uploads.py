"""Runs from strangers: files are examined, and made into an experiment, in a process of their own under limits.

A browser's files, or links to those of a folder, are laid into a temporary folder under names that cannot leave it. A
child process reads them there with limits on memory, processor time, file size and wall clock, and answers in JSON;
the folder is removed whatever happens. The server itself parses nothing of them until an experiment is made, which is
files of the store that the child wrote.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from checkpoints import CheckpointError, write_bytes
from checkpoints.importing.finding import ENDINGS, INNER, ending_of, is_part
from checkpoints.importing.shards import INDEXES
from experiments import classroom
from experiments.catalogue import check_name, home, list_experiments
from experiments.experiment import SPEC_FILE, Experiment, ExperimentError
from experiments.importing_adding import takes_runs
from experiments.importing_sources import arm_name
from experiments.progress import Stopped

RECORDED, TABLE = ".h5", ".csv"
ACCEPTED = (RECORDED, *ENDINGS, TABLE, ".json")  # of the last only indexes of models in several files are read
MAX_FILES = 2000
LONGEST = 120  # characters of a file's name
LOOK = 0.1  # seconds between looks whether to stop
LOOSE = "uploaded"  # the run that checkpoint files without a folder belong to
_ROOT = Path(__file__).parent.parent
Content = bytes | memoryview | Path  # of a file; or where on this machine it lies


@dataclass(frozen=True)
class Limits:
    """What a child process may use: bytes above what it needs for itself, seconds, bytes of one written file."""

    memory: int = 2 << 30
    seconds: int = 120
    disk: int = 2 << 30


OWN_FOLDER = Limits(memory=16 << 30, seconds=1800, disk=64 << 30)  # for files that lie on this machine anyway


@dataclass(frozen=True)
class Choices:
    """What is said about the files.

    Attributes:
        model, data: A registered network and a data set by name or ``.npz`` file; empty when not known.
        clean: Which run to compare the others with; empty for the first.
        names: New names of runs.
    """

    model: str = ""
    data: str = ""
    clean: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """One run as it was given: a recording, or checkpoint files with an optional table of metrics."""

    name: str
    files: tuple[tuple[str, Content], ...]  # names within the run's folder
    recorded: bool = False
    table: Content | None = None


def examine(
    runs: Sequence[Given], choices: Choices, limits: Limits | None = None, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """What a child process understood of some runs.

    Args:
        stop: Asked now and then; once it says yes, the child is ended and :class:`Stopped` raised.

    Returns:
        ``{"problem": sentence}``, or the report of :func:`experiments.upload_check.examine`.
    """
    with laid_out(runs, choices) as task:
        return ask([task | {"what": "examine"}], limits or Limits(), stop)[0]


def make(
    runs: Sequence[Given],
    name: str,
    choices: Choices,
    limits: Limits | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Experiment:
    """Make an experiment in the user's folder of some runs, whole or not at all. ``stop`` as for :func:`examine`.

    Raises:
        ExperimentError: It cannot be made.
        Stopped: As ``stop`` said.
    """
    _refuse_in_class()
    target = home().absolute() / check_name(name)
    if target.exists():
        raise ExperimentError(f"There is an experiment called {name} already; choose another name.")
    with laid_out(runs, choices) as task:
        answer = ask([task | {"what": "make", "name": name}], limits or Limits(), stop)[0]
        if "problem" in answer:
            raise ExperimentError(answer["problem"])
        _move_in(Path(task["folder"]) / "made" / name, target)
    return Experiment.open(target)


def add(
    runs: Sequence[Given],
    name: str,
    choices: Choices,
    limits: Limits | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Experiment:
    """Add some runs to an experiment of the user's that was imported, whole or not at all. Arguments as :func:`make`.

    Raises:
        ExperimentError: They do not fit it, or it takes none; it is as it was.
        Stopped: As ``stop`` said.
    """
    _refuse_in_class()
    there = Experiment.open(home().absolute() / check_name(name))
    if not takes_runs(there):
        raise ExperimentError(f"{name} was not made of imported runs; make a new experiment.")
    before = (there.path / SPEC_FILE).read_bytes()
    with laid_out(runs, replace(choices, clean="")) as task:
        order = task | {"what": "add", "name": name, "there": str(there.path)}
        answer = ask([order], limits or Limits(), stop)[0]
        if "problem" in answer:
            raise ExperimentError(answer["problem"])
        _bring(Path(task["folder"]) / "made" / name, there.path, before)
    return Experiment.open(there.path)


def receivers() -> list[str]:
    """Experiments of the user's that runs can be added to."""
    found = []
    for experiment in list_experiments():
        with suppress(ValueError, OSError):
            if experiment.path.parent == home() and takes_runs(experiment):
                found.append(experiment.name)
    return found


# What was given -------------------------------------------------------------------------------------------


def arrange(files: Sequence[tuple[str, Content]]) -> list[Given]:
    """Tell which of some files belong to which run.

    Each ``.h5`` is a run. Checkpoint files belong to the run that their folder is called by, or together to one run
    where their names have no folder; a table (CSV) holds the metrics of the run it lies beside.

    Raises:
        ExperimentError: There is nothing to read, or two files have one name.
    """
    if len(files) > MAX_FILES:
        raise ExperimentError(f"More than {MAX_FILES} files were given; give fewer checkpoints.")
    runs: list[Given] = []
    loose: dict[str, dict[str, Content]] = {}
    tables: dict[str, Content] = {}
    placed = [([safe_name(part) for part in re.split(r"[/\\]", n) if part.strip()] or ["file"], c) for n, c in files]
    # Folders of one checkpoint each, as Hugging Face's trainer makes them: what else lies there is no model.
    single = {tuple(folders) for (*folders, last), _ in placed if last in INNER and len(folders) > 1}
    for (*folders, last), content in placed:
        inside = tuple(folders) in single
        if inside and not (last in INNER or is_part(last)):
            continue
        suffix = Path(last).suffix.lower()
        if suffix == RECORDED:
            runs.append(Given(arm_name(Path(last).stem), ((last, content),), recorded=True))
            continue
        inner = [folders.pop(), last] if inside else [last]
        run, place = arm_name(folders[-1]) if folders else LOOSE, "/".join(inner)
        kept = tables if suffix == TABLE else loose.setdefault(run, {}) if ending_of(last) or last in INDEXES else None
        key = run if suffix == TABLE else place
        if kept is not None and key in kept:
            raise ExperimentError(f"Two files of {run} are called {place} or hold its metrics; leave one of them out.")
        if kept is not None:
            kept[key] = content
    runs += [Given(run, tuple(found.items()), table=tables.get(run)) for run, found in loose.items() if found]
    if not runs:
        raise ExperimentError(f"No run is among these files; its files end in {', '.join((RECORDED, *ENDINGS))}.")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ExperimentError(f"Two runs have one name among {', '.join(names)}; rename one of the files.")
    return runs


def from_paths(paths: Sequence[str]) -> list[Given]:
    """Runs that lie on this machine: recorded files, folders of checkpoints, or folders that hold such.

    Raises:
        ExperimentError: A path that is none, or holds no run.
    """
    found: list[tuple[str, Content]] = []
    for text in paths:
        try:
            place = Path(text.strip()).expanduser()
            if not place.is_absolute():
                raise ExperimentError(f"{text.strip()} is no full path; give one that begins with /.")
            found += _in_place(place)
        except (OSError, ValueError, RuntimeError) as error:  # a user who does not exist is a RuntimeError
            if isinstance(error, ExperimentError):
                raise
            raise ExperimentError(f"{text.strip()[:200]!r} cannot be read; give the path of a folder.") from None
    return arrange(found)


def _in_place(place: Path) -> list[tuple[str, Content]]:
    if place.is_file():
        return [(place.name, place)]
    if not place.is_dir():
        raise ExperimentError(f"There is no folder {place}; give one with the checkpoints of a run.")
    for folder in (place, place / "runs"):
        found = [*_checkpoints(folder), *((file.name, file) for file in _listed(folder) if file.suffix == RECORDED)]
        found = found or [one for inner in _listed(folder) if inner.is_dir() for one in _checkpoints(inner)]
        if found:
            return found
    raise ExperimentError(f"{place} holds no run; its files should end in {', '.join((RECORDED, *ENDINGS))}.")


def _checkpoints(folder: Path) -> list[tuple[str, Content]]:
    """Checkpoint files of one run, and its table where there is just one."""
    entries = _listed(folder)
    files = [e for e in entries if e.is_file() and (ending_of(e.name) or e.name in INDEXES)]
    inner = [file for entry in entries if entry.is_dir() for file in _model(entry)]
    if inner:  # a folder for each checkpoint; beside them lies at most the final model once more
        files = inner
    tables = [entry for entry in entries if entry.suffix.lower() == TABLE and entry.is_file()]
    found = files + (tables if files and len(tables) == 1 else [])
    return [(str(file.relative_to(folder.parent)), file) for file in found]


def _model(folder: Path) -> list[Path]:
    """The file, or the index and the parts, of the model in a folder of one checkpoint."""
    name = next((name for name in INNER if (folder / name).is_file()), None)
    if name is None:
        return []
    parts = [file for file in _listed(folder) if is_part(file.name) and file.is_file()] if name in INDEXES else []
    return [folder / name, *parts]


def _listed(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.name[0] != ".") if folder.is_dir() else []


def safe_name(name: str) -> str:
    """A file's name that cannot leave its folder, hide, or be too long; its ending stays."""
    plain = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in unicodedata.normalize("NFC", name))
    plain = plain.strip().lstrip(".") or "file"
    suffix = ending_of(plain) or Path(plain).suffix[:16]
    while len(plain.encode()) > LONGEST:
        plain = plain.removesuffix(suffix)[:-1] + suffix
    return plain


@contextmanager
def laid_out(runs: Sequence[Given], choices: Choices) -> Iterator[dict[str, Any]]:
    """The runs in a temporary folder of their own, as a child's task; the folder is removed afterwards."""
    _refuse_in_class()
    names = {run.name: arm_name(choices.names.get(run.name) or run.name) for run in runs}
    if len(set(names.values())) < len(names):
        raise ExperimentError(f"Two runs have one name among {', '.join(names.values())}; rename one of them.")
    with_table = {run.table is not None for run in runs if not run.recorded}
    if len(with_table) > 1:
        raise ExperimentError("Give a table of metrics (CSV) for every run of checkpoints, or for none.")
    with tempfile.TemporaryDirectory(prefix="unlearnscape-upload-") as made:
        folder = Path(made).resolve()
        places, tables = [], []
        for run in runs:
            place = folder / "given" / (names[run.name] + (RECORDED if run.recorded else ""))
            places.append(str(place))
            for name, content in run.files:
                _lay(content, place if run.recorded else place / name)
            if run.table is not None:
                tables.append(str(folder / "tables" / f"{names[run.name]}{TABLE}"))
                _lay(run.table, Path(tables[-1]))
        clean = names.get(choices.clean, choices.clean)
        yield {
            "folder": str(folder),
            "places": places,
            "metrics": tables,
            "clean": clean,
            "model": choices.model,
            "data": choices.data,
        }


def _lay(content: Content, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        place.symlink_to(content.resolve())
    else:
        place.write_bytes(content)


def _refuse_in_class() -> None:
    allowed = classroom.limits()
    if allowed is not None and not allowed.uploads:
        raise classroom.ClassroomError("Nothing can be uploaded in a class; look at the experiments that are here.")


def _move_in(made: Path, target: Path) -> None:
    """Give an experiment its place, whole or not at all."""
    if any(file.is_symlink() for file in made.rglob("*")):
        raise ExperimentError("The import left links in place of files; nothing was made.")
    try:
        home().mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=home()))
        try:
            shutil.copytree(made, staging, dirs_exist_ok=True)
            os.replace(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise ExperimentError(f"{target} cannot be written: {error.strerror or error}.") from None


def _bring(made: Path, target: Path, before: bytes) -> None:
    """Give new runs their place and then name them in the spec, or leave the experiment as it was."""
    spec = (made / SPEC_FILE).read_bytes()
    new = [file for file in sorted((made / "runs").glob("*.h5")) if not file.is_symlink() and file.is_file()]
    moved: list[Path] = []
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for file in new:
                shutil.copyfile(file, staging / file.name)
            if (target / SPEC_FILE).read_bytes() != before or any((target / "runs" / f.name).exists() for f in new):
                raise ExperimentError(f"{target.name} was changed while runs were added to it; add them again.")
            for file in new:
                os.replace(staging / file.name, target / "runs" / file.name)
                moved.append(target / "runs" / file.name)
            write_bytes(target / SPEC_FILE, spec)
        except BaseException:
            for file in moved:
                file.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except (OSError, CheckpointError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else error
        raise ExperimentError(f"{target} cannot be written: {reason}.") from None


# The child ------------------------------------------------------------------------------------------------


def ask(
    tasks: Sequence[Mapping[str, Any]], limits: Limits, stop: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """Answers of one child process to some tasks, which share its limits.

    A child that dies, or takes too long, has its sentence as the answer to the task it was at; those after it get
    the same one. Raises :class:`Stopped` where ``stop`` says so; the child has ended by then.
    """
    order = json.dumps({"limits": asdict(limits), "tasks": [dict(task) for task in tasks]})
    ended = f"needs more than {limits.memory >> 20} MiB of memory, or is damaged so that reading it ends the process"
    late, unsent = time.monotonic() + limits.seconds, [order]
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.upload_check"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tasks[0]["folder"],
        env=_environment(str(tasks[0]["folder"])),
        start_new_session=True,
        text=True,
    ) as child:
        try:
            while True:
                try:
                    wait = min(LOOK, max(0.01, late - time.monotonic()))
                    said, _ = child.communicate(unsent.pop() if unsent else None, timeout=wait)
                    break
                except subprocess.TimeoutExpired:
                    if stop():
                        raise Stopped from None
                    if time.monotonic() >= late:
                        ended = f"takes longer than {limits.seconds} s"
                        _kill(child.pid)
        finally:
            _kill(child.pid)  # whatever it may have started
    answers: list[dict[str, Any]] = []
    for line in said.splitlines():
        with suppress(ValueError):
            answers.append(json.loads(line))
    missing: dict[str, Any] = {"problem": f"What was given {ended}; give fewer or smaller files."}
    return answers[: len(tasks)] + [missing] * (len(tasks) - len(answers))


def _environment(folder: str) -> dict[str, str]:
    """Of a child: our modules, one thread, the CPU alone, and the folder for whatever it writes by the way."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **threads, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "", "TMPDIR": folder}


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
