"""Background jobs: the command line in a child process, watched through small files.

A job outlives the page that started it, and the server. Its folder ``<home>/jobs/<id>`` holds what was started
(``job.json``), how far it is (``progress.json``, written by the job itself) and what it printed (``log.txt``).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from checkpoints import write_bytes
from experiments.catalogue import home
from experiments.classroom import check_job
from experiments.experiment import ExperimentError
from experiments.progress import PROGRESS_VARIABLE

CLI = Path(__file__).parent.parent / "cli.py"
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
KEEP = 50  # folders of ended jobs


@dataclass(frozen=True)
class Job:
    """One job as it stands now. ``state`` is running, done, stopped, failed or lost (died without a word)."""

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

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.state == "running"

    @property
    def fraction(self) -> float:
        """Share of the present phase that is done, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate for the present phase from its own pace; None before there is one."""
        made = self.done - self.first
        return self.seconds / made * (self.total - self.done) if made > 0 and self.total else None


def start(arguments: Sequence[str], *, experiment: str) -> Job:
    """Start ``cli.py`` with these arguments, or return the running job that does just that."""
    check_job(arguments)
    for job in list_jobs(experiment):
        if job.running and job.arguments == tuple(arguments):
            return job
    folder = _jobs() / f"{int(time.time() * 1000):013d}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True)
        log = (folder / "log.txt").open("wb")
    except OSError as error:
        raise ExperimentError(f"No job can be started: {folder} cannot be written ({error.strerror}).") from None
    environment = os.environ | {PROGRESS_VARIABLE: str(folder / "progress.json"), "PYTHONUNBUFFERED": "1"}
    # Idle threads that spin would fight the server and the browser for the cores.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with log:
        process = subprocess.Popen(
            [sys.executable, str(CLI), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    record = {
        "arguments": list(arguments),
        "experiment": experiment,
        "pid": process.pid,
        "created": _created(process.pid),
        "started": time.time(),
    }
    write_bytes(folder / "job.json", json.dumps(record).encode())
    _forget_old()
    return read_job(folder)


def list_jobs(experiment: str | None = None) -> list[Job]:
    """Jobs on record, newest first, of one experiment or of all."""
    folders = sorted(_jobs().iterdir(), reverse=True) if _jobs().is_dir() else []
    jobs = []
    for folder in folders:
        if (folder / "job.json").is_file():
            with contextlib.suppress(OSError, ValueError, KeyError):
                jobs.append(read_job(folder))
    return [job for job in jobs if experiment is None or job.experiment == experiment]


def read_job(folder: Path) -> Job:
    """Read one job's folder and look whether its process lives."""
    record = json.loads((folder / "job.json").read_text())
    status: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        status = json.loads((folder / "progress.json").read_text())
    state = status.get("state", "running")
    if state == "running" and not _alive(int(record["pid"]), record.get("created")):
        # The last word may have been written between the two looks.
        with contextlib.suppress(OSError, ValueError):
            status = json.loads((folder / "progress.json").read_text())
        state = status.get("state", "running")
        state = "lost" if state == "running" else state
    message = status.get("message", "")
    if state == "lost":
        message = message or "The process ended without a word; its finished checkpoints are kept."
    return Job(
        id=folder.name,
        folder=folder,
        arguments=tuple(record["arguments"]),
        experiment=str(record["experiment"]),
        pid=int(record["pid"]),
        state=state,
        label=str(status.get("label", "starting")),
        done=int(status.get("done", 0)),
        total=int(status.get("total", 0)),
        first=int(status.get("first", 0)),
        seconds=float(status.get("seconds", 0.0)),
        message=str(message),
        started=float(record.get("started", 0.0)),
    )


def stop(job: Job) -> Job:
    """Ask a job to stop, and end it if it does not within a few seconds. What it acknowledged is kept."""
    if job.running:
        _signal(job, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            job = read_job(job.folder)
            if not job.running and not _alive(job.pid, None):
                return job
            time.sleep(0.05)
        _signal(job, signal.SIGKILL)
        time.sleep(0.1)
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
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(job.pid, number)


def _created(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _alive(pid: int, created: float | None) -> bool:
    """Whether this very process lives: a number may have been given to another one since."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        process = psutil.Process(pid)
        same = created is None or abs(process.create_time() - created) < 2.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _forget_old() -> None:
    for job in list_jobs()[KEEP:]:
        if not job.running:
            for file in job.folder.iterdir():
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                job.folder.rmdir()
