"""Background jobs: the command line in a child process, watched through small files.

A job outlives the page that started it, and the server. Its folder ``<home>/jobs/<id>`` holds what was started
(``job.json``), how far it is (``progress.json``, written by the job itself) and what it printed (``log.txt``).

At most ``$UNLEARNSCAPE_JOBS`` of them work at a time (default: one per core); the others wait, and whichever process
looks at the jobs next starts them in turn. Where nobody looks, as when all pages are closed, a job that ends does. One
that its viewer has paused takes no turn.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from checkpoints import CheckpointError, write_bytes
from checkpoints.durable import Lock
from experiments.catalogue import home
from experiments.classroom import check_job
from experiments.control import is_held
from experiments.experiment import ExperimentError
from experiments.launch import alive, birth, launch
from experiments.progress import PROGRESS_VARIABLE

JOBS_VARIABLE = "UNLEARNSCAPE_JOBS"
NICE_VARIABLE = "UNLEARNSCAPE_NICE"  # by how much a job steps back for the server and other programs
UNSEEN = 2.0  # seconds after a job's end in which somebody who looks would have started the next
PATIENCE = 10.0  # seconds to wait for others who look at the jobs
UNBORN = "none"  # the birth of what had ended before it could be looked at: no living process has it
FULL = 1 << 20  # bytes left on a disk that count as none
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
KEEP = 50  # folders of ended jobs


@dataclass(frozen=True)
class Job:
    """One job as it stands now.

    ``state`` is waiting (for its turn), running, done, stopped, failed or lost (died without a word).
    """

    id: str
    folder: Path
    arguments: tuple[str, ...]
    experiment: str
    pid: int
    state: str
    label: str = ""
    done: int = 0
    total: int = 0
    first: int = 0
    seconds: float = 0.0  # in the present phase
    message: str = ""
    started: float = 0.0
    birth: str = ""  # tells its process from a later one of the same number

    @property
    def running(self) -> bool:
        """Whether it has not ended: its process lives, or it waits for its turn."""
        return self.state in ("running", "waiting")

    @property
    def waiting(self) -> bool:
        """Whether it waits for its turn."""
        return self.state == "waiting"

    @property
    def paused(self) -> bool:
        """Whether its viewer holds it: it waits between two steps and takes no turn."""
        return self.state == "running" and is_held(home() / self.experiment)

    @property
    def working(self) -> bool:
        """Whether its process lives and is not paused."""
        return self.state == "running" and not self.paused

    @property
    def fraction(self) -> float:
        """Share of the present phase that is done, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate for the present phase from its own pace; None before there is one."""
        made = self.done - self.first
        return self.seconds / made * (self.total - self.done) if made > 0 and self.total else None


def cap() -> int:
    """How many jobs may work at a time. Raises :class:`ExperimentError` where the variable holds no such number."""
    text = os.environ.get(JOBS_VARIABLE)
    if not text:
        return max(1, int(joblib.cpu_count()))
    if not text.isdecimal() or int(text) < 1:
        raise ExperimentError(f"{JOBS_VARIABLE} is {text!r}; it must be a whole number of at least 1.")
    return int(text)


def start(arguments: Sequence[str], *, experiment: str) -> Job:
    """Start ``cli.py`` with these arguments, or return the job that does just that.

    Where as many jobs work as may, the new one waits for its turn.
    """
    check_job(arguments)
    cap()
    try:
        _jobs().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"No job can be started: {_jobs()} cannot be written ({error.strerror}).") from None
    with _locked(PATIENCE):
        for job in _read_all():
            if job.running and job.experiment == experiment and job.arguments == tuple(arguments):
                return job
        folder = _jobs() / f"{_next_number():013d}-{secrets.token_hex(3)}"
        record = {"arguments": list(arguments), "experiment": experiment, "pid": None, "started": time.time()}
        try:
            folder.mkdir()
            write_bytes(folder / "job.json", json.dumps(record).encode())
            _serve(asked=folder)
        except (OSError, CheckpointError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            reason = f"{folder} cannot be written ({error.strerror})." if isinstance(error, OSError) else error
            raise ExperimentError(f"No job can be started: {reason}") from None
        _forget_old()
    return read_job(folder)


def list_jobs(experiment: str | None = None) -> list[Job]:
    """Jobs on record, newest first, of one experiment or of all; starts those whose turn has come."""
    jobs = _read_all()
    if any(job.waiting for job in jobs):
        with contextlib.suppress(ValueError, OSError), _locked(0.0):
            _serve()
        jobs = _read_all()
    return [job for job in jobs if experiment is None or job.experiment == experiment]


def hand_on() -> None:
    """At the end of a job, in its own process: where others wait and nobody looks, give the next its turn."""
    with contextlib.suppress(ValueError, OSError):
        if any(job.waiting for job in _read_all()):
            time.sleep(UNSEEN)  # a server starts it sooner, and as one that is watched
            list_jobs()


def read_job(folder: Path) -> Job:
    """Read one job's folder and look whether its process lives."""
    record = json.loads((folder / "job.json").read_text())
    status = _status(folder)
    # What the process says of itself comes first: who launched it may have been killed before noting its number.
    said = status if status.get("pid") else record
    pid, born = said.get("pid"), str(said.get("birth") or UNBORN)
    if not pid:
        state = status.get("state", "waiting")
    else:
        state = status.get("state", "running")
        if state == "running" and not alive(int(pid), born):
            # The last word may have been written between the two looks.
            status = _status(folder)
            state = status.get("state", "running")
            state = "lost" if state == "running" else state
    message = status.get("message", "")
    if state == "lost":
        message = message or _last_words(folder)
    return Job(
        id=folder.name,
        folder=folder,
        arguments=tuple(record["arguments"]),
        experiment=str(record["experiment"]),
        pid=int(pid or 0),
        state=state,
        label="waiting for its turn" if state == "waiting" else str(status.get("label") or "starting"),
        done=int(status.get("done", 0)),
        total=int(status.get("total", 0)),
        first=int(status.get("first", 0)),
        seconds=float(status.get("seconds", 0.0)),
        message=str(message),
        started=float(record.get("started", 0.0)),
        birth=born,
    )


def stop(job: Job) -> Job:
    """Ask a job to stop, and end it if it does not within a few seconds. What it acknowledged is kept."""
    job = read_job(job.folder)
    if job.waiting:
        with _locked(PATIENCE):
            job = read_job(job.folder)
            if job.waiting:
                _note_end(job.folder, "stopped", "")
    if job.running and job.pid:
        _signal(job, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            job = read_job(job.folder)
            if not job.running and not alive(job.pid, job.birth):
                break
            time.sleep(0.05)
        else:
            _signal(job, signal.SIGKILL)
            time.sleep(0.1)
        job = read_job(job.folder)
        if job.state == "lost":  # it had only just begun, or was too busy to answer, and ended as it was asked to
            _note_end(job.folder, "stopped", "")
    return read_job(job.folder)


def log_tail(job: Job, lines: int = 20) -> str:
    """The last lines a job printed."""
    try:
        text = (job.folder / "log.txt").read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.replace("\r", "\n").splitlines()[-lines:])


def _jobs() -> Path:
    return home() / "jobs"


def _signal(job: Job, number: signal.Signals) -> None:
    if alive(job.pid, job.birth):
        _signal_group(job.pid, number)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _read_all() -> list[Job]:
    folders = sorted(_jobs().iterdir(), reverse=True) if _jobs().is_dir() else []
    found = []
    for folder in folders:
        if (folder / "job.json").is_file():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found.append(read_job(folder))
    return found


def _serve(asked: Path | None = None) -> None:
    """Start waiting jobs, the oldest first, as long as there is room. Only under the lock.

    One that cannot be started is ended with the reason why. Where even that cannot be noted, as on a full disk, it
    waits until there is room; for the one in the folder ``asked`` the error is raised.
    """
    jobs = _read_all()
    room = cap() - sum(job.working for job in jobs)
    waiting = [job for job in reversed(jobs) if job.waiting]
    for job in waiting:
        if room <= 0:
            return
        # One that is watched must keep up with its viewer; others may take their time, and so may one of many.
        watched = "--live" in job.arguments and len(waiting) <= cap()
        try:
            _begin(job, nice=3 if watched else 10)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
            try:
                _note_end(job.folder, "failed", f"The job could not be started ({reason}).")
            except (OSError, ValueError):
                if job.folder == asked:
                    raise
        room -= 1


def _begin(job: Job, *, nice: int) -> None:
    """Launch a job and note its process; none is left where that cannot be noted."""
    file = job.folder / "job.json"
    record = json.loads(file.read_text())
    write_bytes(file, json.dumps(record).encode())  # before anything is launched: is there room?
    environment = {NICE_VARIABLE: str(nice), PROGRESS_VARIABLE: str((job.folder / "progress.json").absolute())}
    pid = launch(job.arguments, job.folder / "log.txt", environment)
    try:
        write_bytes(file, json.dumps(record | {"pid": pid, "birth": birth(pid) or UNBORN}).encode())
    except (OSError, ValueError):
        _signal_group(pid, signal.SIGKILL)
        raise


def _note_end(folder: Path, state: str, message: str) -> None:
    write_bytes(folder / "progress.json", json.dumps({"state": state, "message": message}).encode())


@contextlib.contextmanager
def _locked(patience: float) -> Iterator[None]:
    """One process or thread at a time decides who is next. Raises ValueError when others take longer than that."""
    deadline = time.monotonic() + patience
    while True:
        try:
            lock = Lock(_jobs() / "lock")
            break
        except CheckpointError:
            if time.monotonic() >= deadline:
                raise ExperimentError("Other jobs are being started just now; try again in a moment.") from None
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.release()


def _next_number() -> int:
    """Milliseconds, but always more than any job before has, even if the clock was set back."""
    numbers = [int(name[0]) for folder in _jobs().iterdir() if (name := folder.name.split("-"))[0].isdecimal()]
    return max(int(time.time() * 1000), max(numbers, default=0) + 1)


def _status(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        status = json.loads((folder / "progress.json").read_text())
        return status if isinstance(status, dict) else {}
    return {}


def _last_words(folder: Path) -> str:
    with contextlib.suppress(OSError):
        if shutil.disk_usage(folder).free < FULL:
            return "The disk is full; free some space and go on. Finished checkpoints are kept."
    return "The process ended without a word; its finished checkpoints are kept."


def _forget_old() -> None:
    for job in _read_all()[KEEP:]:
        if not job.running:
            for file in job.folder.iterdir():
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                job.folder.rmdir()
