"""A running app and a headless Chromium for the browser tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]
HARMLESS = ("metrics", "NAME_NOT_RESOLVED", "when disconnected from server")  # the last: a page that is left
PATIENCE = 30_000  # milliseconds until what is expected is there, also on a busy machine
PROBES = "/_stcore/"  # Streamlit looks for its own address behind deep links


@dataclass(frozen=True)
class Server:
    """The app under test."""

    url: str
    home: Path
    pid: int


@contextmanager
def serve(home: Path, *arguments: str) -> Iterator[Server]:
    """Serve the app on a free port with a folder of experiments, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (home / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "cli.py", "app", "--port", str(port), *arguments],
        cwd=ROOT,
        env=os.environ | {"UNLEARNSCAPE_HOME": str(home)},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                break
        except OSError:
            assert process.poll() is None, (home / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.2)
    yield Server(url, home, process.pid)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    log.close()
    for pid in job_processes(home):  # jobs outlive their server
        psutil.Process(pid).kill()


def job_processes(home: Path) -> list[int]:
    """Numbers of processes of jobs that still live."""
    pids = [json.loads(record.read_text())["pid"] for record in (home / "jobs").glob("*/job.json")]
    return [
        pid for pid in pids if pid and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the app with an empty folder of experiments."""
    with serve(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh session at desktop size; an error in the browser's console fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    problems: list[str] = []
    opened.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.type == "error"
            and PROBES not in message.location["url"]
            and not any(word in message.text for word in HARMLESS)
            else None
        ),
    )
    yield opened
    context.close()
    assert not problems, problems


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here as a browser test, skipped where there is no browser."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"))
