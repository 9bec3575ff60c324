"""``app``: serve the web door."""

from __future__ import annotations

import gc
import importlib
import os
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import click

HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?\Z")
EVERYWHERE = "0.0.0.0"
LOADED: tuple[str, ...] = ("analysis.figures", "analysis.figures_live", "landscape.static_export", "pandas")
LOADED += ("sklearn.cluster", "sklearn.datasets")  # else the first visit of the Poison lab would wait for them


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--address", help=f"Interface to listen on.  [default: 127.0.0.1; in class {EVERYWHERE}]")
@click.option("--classroom", is_flag=True, help="For a class: sane limits, few jobs at a time, nothing uploaded.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="A name the class calls this machine by.")
@click.option("--jobs", type=click.IntRange(min=1), help="Jobs that run at a time; others wait.  [default in class: 2]")
def app(port: int, address: str | None, classroom: bool, hosts: Sequence[str], jobs: int | None) -> None:
    """Serve the web app on this machine (Ctrl-C stops it)."""
    from experiments.classroom import CLASSROOM_VARIABLE, DEFAULT_JOBS, JOBS_VARIABLE

    wrong = next((host for host in hosts if not HOST.match(host)), None)
    if wrong is not None:
        raise click.BadParameter(
            f"{wrong!r} is no host name; give one such as lab.example.org.", param_hint="allow-host"
        )
    if address is None:
        address = EVERYWHERE if classroom else "127.0.0.1"
    if classroom:
        os.environ[CLASSROOM_VARIABLE] = "1"
        jobs = jobs or DEFAULT_JOBS
    if jobs is not None:
        os.environ[JOBS_VARIABLE] = str(jobs)
    allowed = _allowed_hosts(address, hosts) if classroom or hosts else []
    flags = [f"--{name}={value}" for name, value in _settings(address, port, classroom).items()]
    flags += [f"--server.allowedHosts={host}" for host in allowed]
    # What every page needs is imported before the server answers, so that the first page opens at once.
    from streamlit import net_util
    from streamlit.web.cli import main as streamlit

    from experiments.launch import SPARE_VARIABLE
    from lazy_names import load

    load("analysis", "checkpoints", "experiments", "landscape", "training")
    for module in LOADED:
        importlib.import_module(module)
    # What was imported stays: looking through it for garbage would take a fifth of a second each time.
    gc.collect()
    gc.freeze()
    gc.collect()  # lets Python see how little there is to look through now; else it would wait long with the next time
    net_util.get_external_ip = _no_address  # which asks a server on the internet, and complains where there is none
    _check_free(address, port)
    if classroom:
        click.echo(_welcome(allowed, port, int(os.environ[JOBS_VARIABLE])))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ[SPARE_VARIABLE] = "1"
    streamlit(["run", str(Path(__file__).parent.parent / "app.py"), *flags], standalone_mode=False)


def _settings(address: str, port: int, classroom: bool) -> dict[str, object]:
    """Streamlit's configuration."""
    return {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.maxUploadSize": 0 if classroom else 50,
        "server.enableXsrfProtection": "true",
        "server.enableStaticServing": "true",
        "server.disconnectedSessionTTL": 30,
        "runner.postScriptGC": "false",  # several times a second on a page that moves; Python collects by itself
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": "true" if classroom else "false",  # a class is told its address by _welcome
    }


def _allowed_hosts(address: str, named: Sequence[str]) -> list[str]:
    """Names under which the server may be called: this machine's own and those given."""
    own = ["localhost", "127.0.0.1"]
    if address == EVERYWHERE:
        own += [name for name in (_outward_address(), socket.gethostname()) if name and HOST.match(name)]
    elif HOST.match(address):
        own.append(address)
    return list(dict.fromkeys([*own, *named]))


def _outward_address() -> str | None:
    """The address other machines of this network know this one by; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address reserved for documentation
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _no_address() -> None:
    """In place of Streamlit's question to the internet for this machine's address."""


def _check_free(address: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise click.ClickException(
                f"{address}:{port} cannot be used ({error.strerror}); try another --port."
            ) from None


def _welcome(allowed: Sequence[str], port: int, jobs: int) -> str:
    """What the teacher tells the class."""
    best = next((host for host in reversed(allowed) if not host.startswith("*")), "localhost")
    others = ", ".join(host for host in allowed if host != best)
    return (
        f"Classroom: http://{best}:{port}/lessons\n"
        f"It also answers to {others}. Other names: --allow-host NAME.\n"
        f"{jobs} job{'s' if jobs > 1 else ''} at a time; nothing is uploaded or downloaded."
    )
