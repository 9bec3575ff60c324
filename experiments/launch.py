"""Processes for jobs: started in a session of their own, told apart from later ones of the same number.

A spare process that has imported everything can stand by, so that the next job begins at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

CLI = Path(__file__).parent.parent / "cli.py"
STAND_BY = "stand-by"  # the command of a spare process
SPARE_VARIABLE = "UNLEARNSCAPE_SPARE"  # set where a spare process may stand by, as in a server
_guard = threading.Lock()
_spares: list[subprocess.Popen[bytes]] = []  # at most one


def launch(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Run ``cli.py`` with these arguments, its output going to a file; return the number of its process.

    Raises OSError when no process can be started or the file cannot be written.
    """
    with log.open("wb"):
        pass
    everything = {**_environment(), **environment}
    with _guard:
        pid = _hand_over(arguments, log, everything)
    if pid is not None:
        return pid
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(CLI), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=everything,
            start_new_session=True,
        ).pid


def stand_by() -> None:
    """Keep one spare process ready, where that is allowed.

    It ends by itself with this process, and when it is not needed for long.
    """
    if os.environ.get(SPARE_VARIABLE) != "1":
        return
    with _guard:
        if _spares and _spares[0].poll() is None:
            return
        _spares.clear()
        with contextlib.suppress(OSError):
            _spares.append(
                subprocess.Popen(
                    [sys.executable, str(CLI), STAND_BY],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                    start_new_session=True,
                )
            )


def _hand_over(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> int | None:
    spare = _spares.pop() if _spares else None
    if spare is None or spare.poll() is not None or spare.stdin is None:
        return None
    order = {
        "arguments": list(arguments),
        "log": str(log.absolute()),
        "environment": dict(environment),
        "folder": os.getcwd(),
    }
    try:
        spare.stdin.write(json.dumps(order).encode() + b"\n")
        spare.stdin.close()
    except OSError:
        return None
    return spare.pid


def _environment() -> dict[str, str]:
    # Idle threads that spin would fight the server and the browser for the cores.
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONUNBUFFERED": "1"}


def birth(pid: int) -> str | None:
    """What tells a process from a later one of the same number, whatever happens to the clock; None without one."""
    try:
        if sys.platform == "linux":  # in ticks since the machine started
            ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
            return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{ticks}"
        return str(round(psutil.Process(pid).create_time()))
    except (OSError, IndexError, psutil.Error):
        return None


def alive(pid: int, born: str | None) -> bool:
    """Whether this very process lives: a number may have been given to another one since."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and born in (None, birth(pid))
    except psutil.Error:
        return False
