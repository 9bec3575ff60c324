"""Lessons and classes in a real browser: predict, run, read; a class's server keeps its limits."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, serve
from tests.browser.steps import address, open_page, settle, wait_until


def test_a_lesson_is_predicted_run_explored_and_reopened(server: Server, page: Page):
    open_page(page, server.url + "/lessons")
    run = page.get_by_role("button", name="Run it")
    expect(run).to_be_disabled()
    page.get_by_text("it at least doubles").click()
    expect(run).to_be_enabled()
    run.click()
    page.get_by_text("You predicted").wait_for(timeout=60_000)
    page.locator("[data-testid=stPlotlyChart] .contourlayer").wait_for(timeout=60_000)
    loss = page.get_by_test_id("stMetric").filter(has_text="Loss where you stand")
    before = loss.inner_text()
    slider = page.get_by_test_id("stSlider").filter(has_text="First direction").locator("input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    wait_until(lambda: loss.inner_text() != before, seconds=30, what="another evaluation")
    settle(page)
    wait_until(lambda: "done=1" in address(page) and "g1=" in address(page), seconds=10, what="progress in the address")
    moved = loss.inner_text()
    open_page(page, page.url)
    loss.wait_for(timeout=60_000)
    assert loss.inner_text() == moved, "the link reopens prediction, result and place"
    assert page.get_by_test_id("stAlert").count() == 0
    page.get_by_role("button", name="2. What does PCA").click()
    page.get_by_text("walk of 30 steps").wait_for(timeout=30_000)
    wait_until(lambda: "lesson=2" in address(page), seconds=10, what="the lesson in the address")


def test_a_lesson_fits_a_phone(server: Server, page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, server.url + "/lessons?lesson=4&g4=50&done=4")
    page.get_by_text("Right without the poison").wait_for(timeout=60_000)
    page.locator("[data-testid=stPlotlyChart] .contourlayer").first.wait_for(timeout=60_000)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 1


def handshake(url: str, host: str) -> str:
    """The first line of the answer to a WebSocket handshake under a host's name."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as line:
        line.sendall(
            f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        return line.recv(200).decode(errors="replace").splitlines()[0]


def test_a_class_has_limits_hosts_by_name_and_no_internals(page: Page, tmp_path: Path):
    with serve(tmp_path, "--classroom", "--allow-host", "lab.example.org", "--address", "127.0.0.1") as room:
        port = urlsplit(room.url).port
        assert "101" in handshake(room.url, f"lab.example.org:{port}")
        assert "101" not in handshake(room.url, f"evil.example.org:{port}")
        assert "http://lab.example.org:" in (tmp_path / "server.log").read_text()
        open_page(page, room.url + "/live?epochs-toy-ops=150&preset=mnist-ops")
        note = page.get_by_test_id("stAlert").filter(has_text="the nearest view is shown")
        expect(note).to_contain_text("epochs-toy-ops=150")
        expect(note).to_contain_text("preset=mnist-ops")
        assert page.get_by_text("Keep this view").count() == 0
        open_page(page, room.url + "/benchmark")
        page.get_by_role("button", name="Start it").first.click()
        page.get_by_text("Benchmarks take too long for a class").wait_for(timeout=30_000)
        assert page.get_by_test_id("stFileUploader").count() == 0
        assert not (tmp_path / "jobs").exists()
        page.goto("about:blank")  # a page that is left open would miss its server
