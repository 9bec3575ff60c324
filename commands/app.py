"""``app``: serve the web door."""

from __future__ import annotations

import importlib
import os
import signal
import socket
from pathlib import Path

import click


@click.command()
@click.option("--port", type=int, default=8501, show_default=True)
@click.option("--address", default="127.0.0.1", show_default=True, help="Interface to listen on.")
def app(port: int, address: str) -> None:
    """Serve the web app on this machine (Ctrl-C stops it)."""
    root = Path(__file__).parent.parent
    settings = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.maxUploadSize": 50,
        "server.enableXsrfProtection": "true",
        "server.enableStaticServing": "true",
        "server.disconnectedSessionTTL": 30,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    # What every page needs is imported before the server answers, so that the first page opens at once.
    from streamlit.web.cli import main as streamlit

    from experiments.launch import SPARE_VARIABLE

    for module in ("experiments", "analysis.figures", "landscape.static_export"):
        importlib.import_module(module)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise click.ClickException(
                f"{address}:{port} cannot be used ({error.strerror}); try another --port."
            ) from None
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ[SPARE_VARIABLE] = "1"
    streamlit(["run", str(root / "app.py"), *flags], standalone_mode=False)
