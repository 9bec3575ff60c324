"""The app command: what it passes on, and what it says to a class."""

from __future__ import annotations

import gc
import os
import socket

import pytest
from click.testing import CliRunner
from streamlit import net_util
from streamlit.web.server import server_util

from commands.app import app
from experiments import classroom


@pytest.fixture
def started(monkeypatch):
    """Run the command up to where the server would start; return what Streamlit would be given."""
    given: list[list[str]] = []
    monkeypatch.setattr("streamlit.web.cli.main", lambda arguments, **_: given.append(arguments))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(net_util, "get_external_ip", net_util.get_external_ip)
    for name in (classroom.CLASSROOM_VARIABLE, classroom.JOBS_VARIABLE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def start(*arguments: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        result = CliRunner().invoke(app, ["--port", str(port), *arguments])
        return result, given[-1] if given else []

    yield start
    gc.unfreeze()
    for name in (classroom.CLASSROOM_VARIABLE, classroom.JOBS_VARIABLE):
        os.environ.pop(name, None)


def test_alone_it_listens_to_this_machine_only(started):
    result, flags = started()
    assert result.exit_code == 0, result.output
    assert "--server.address=127.0.0.1" in flags
    assert not any("allowedHosts" in flag for flag in flags)
    assert classroom.CLASSROOM_VARIABLE not in os.environ


def test_a_page_that_moves_does_not_look_through_all_that_was_imported(started):
    assert gc.get_freeze_count() == 0
    _, flags = started()
    assert "--runner.postScriptGC=false" in flags
    assert gc.get_freeze_count() > 100_000


def test_a_class_has_hosts_by_name_few_jobs_and_no_uploads(started):
    result, flags = started("--classroom", "--allow-host", "lab.example.org", "--allow-host", "*.school.example")
    assert result.exit_code == 0, result.output
    hosts = [flag.partition("=")[2] for flag in flags if "allowedHosts" in flag]
    assert {"localhost", "127.0.0.1", "lab.example.org", "*.school.example"} <= set(hosts)
    assert "*" not in hosts
    assert {"--server.maxUploadSize=0", "--client.showErrorDetails=none", "--server.address=0.0.0.0"} <= set(flags)
    assert os.environ[classroom.CLASSROOM_VARIABLE] == "1"
    assert os.environ[classroom.JOBS_VARIABLE] == "2"
    assert "http://lab.example.org:" in result.output
    assert "/lessons" in result.output


@pytest.mark.parametrize("arguments", [("--classroom",), ("--address", "0.0.0.0"), ()])
def test_streamlit_asks_nobody_for_this_machines_address(started, monkeypatch, arguments):
    asked: list[str] = []
    monkeypatch.setattr(net_util, "_external_ip", None)
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda url, **_: asked.append(url))
    result, _ = started(*arguments)
    assert result.exit_code == 0, result.output
    assert net_util.get_external_ip() is None
    assert not server_util.is_url_from_allowed_origins("http://elsewhere.example:8501")
    assert asked == []


def test_a_class_is_told_its_address_once(started):
    assert "--logger.hideWelcomeMessage=true" in started("--classroom")[1]
    assert "--logger.hideWelcomeMessage=false" in started()[1]


def test_the_number_of_jobs_can_be_chosen(started):
    result, _ = started("--classroom", "--jobs", "5")
    assert os.environ[classroom.JOBS_VARIABLE] == "5"
    assert "5 jobs at a time" in result.output


@pytest.mark.parametrize("host", ["*", "a b", "http://x", "", "-x", "a" * 300, "x\n--server.address=0.0.0.0"])
def test_what_is_no_host_name_is_refused(started, host):
    result, flags = started("--classroom", "--allow-host", host)
    assert result.exit_code == 2
    assert "no host name" in result.output
    assert not flags
