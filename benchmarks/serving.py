"""A server and a browser of their own for measurements of the pages."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
DRAWING = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
NOT_DRAWING = ["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]


@dataclass(frozen=True)
class Served:
    """A running app."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What the server printed."""
        return (self.home / "server.log").read_text(errors="replace")


@contextlib.contextmanager
def serve(home: Path, *, port: int | None = None, seconds: float = 180) -> Iterator[Served]:
    """Serve the app with a folder of experiments; the server ends with the block, its jobs do not."""
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "cli.py", "app", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"UNLEARNSCAPE_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    served = Served(f"http://127.0.0.1:{port}", home, process)
    try:
        _wait(served, time.monotonic() + seconds)
        yield served
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _wait(served: Served, deadline: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{served.url}/_stcore/health", timeout=2):
                return
        except OSError:
            if served.process.poll() is not None:
                raise RuntimeError(f"The server ended: {served.log[-500:]}") from None
            if time.monotonic() > deadline:
                raise RuntimeError("The server did not come up; is the machine very busy?") from None
            time.sleep(0.2)
