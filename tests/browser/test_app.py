"""The app in a real browser: pages open, surfaces are drawn, links reopen views, live runs start, stop and survive."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page

from checkpoints import open_run
from tests.browser.conftest import Server, serve
from tests.browser.steps import PAGES, address, colours, open_page, settle, wait_until


def test_the_first_screen_draws_the_surface_within_seconds(server: Server, page: Page):
    open_page(page, server.url)  # the browser's cache is filled, as at any later visit
    started = time.monotonic()
    open_page(page, server.url)
    page.wait_for_selector(".gl-container canvas")
    assert time.monotonic() - started < 10, "far beyond the two seconds it takes, even on a busy machine"
    assert colours(page) > 1000
    assert "WebGL is not supported" not in page.content()
    assert page.locator("[data-testid=stMetricValue]").count() >= 5


def test_side_by_side_scenes_share_one_camera(server: Server, page: Page):
    open_page(page, server.url + "/compare?arrange=Side+by+side")
    colours(page)
    view = page.locator(".view3d").first
    eye = "el => [el.layout.scene.camera.eye, el.layout.scene2.camera.eye].map(e => [e.x, e.y, e.z].join())"
    before = view.evaluate(eye)
    assert before[0] == before[1]
    box = view.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.55
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 30, steps=8)
    page.mouse.up()
    wait_until(lambda: view.evaluate(eye)[0] != before[0], seconds=15, what="turning the first scene")
    wait_until(lambda: len(set(view.evaluate(eye))) == 1, seconds=15, what="the second scene following")
    assert "at=" not in address(page), "a drag is not a click"


def test_the_scrubber_moves_the_marker_and_keeps_the_camera(server: Server, page: Page):
    open_page(page, server.url + "/compare")
    colours(page)
    view = page.locator(".view3d").first
    view.evaluate("el => window.unlearnscapeDrawing.relayout(el, {'scene.camera.eye': {x: 0.4, y: -2, z: 0.6}})")
    place = "el => el.data.filter(t => t.meta?.part === 'walked').map(t => t.x.length).join()"
    before = view.evaluate(place)
    page.get_by_role("slider", name="Checkpoint").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    wait_until(lambda: view.evaluate(place) != before, seconds=20, what="the marker's move")
    wait_until(lambda: "step=" in address(page), seconds=20, what="the address following")
    settle(page)
    eye = view.evaluate("el => el._fullLayout.scene.camera.eye")
    assert eye["y"] == pytest.approx(-2, abs=1e-6), "an update must not turn the view back"


def test_a_link_reopens_exactly_its_view(server: Server, page: Page):
    link = "/compare?exp=toy-ops&view=Contour&on=poisoned+training&height=accuracy&step=100"
    open_page(page, server.url + link)
    page.wait_for_selector(".view2d .contourlayer")
    title = page.locator(".view2d .gtitle").first.text_content() or ""
    assert "Accuracy" in title
    assert "training data of ops" in (page.locator(".view2d").first.text_content() or "")
    assert "step 100," in page.locator(".stage-words").inner_text()
    assert page.locator(".view3d").count() == 0


def test_hostile_links_fall_back_to_a_valid_view(server: Server, page: Page):
    open_page(page, server.url + "/compare?exp=../../etc&plane=%3Cscript%3E&step=-9&view=4-D&runs=x&on=" + "a" * 500)
    assert colours(page) > 1000
    assert page.locator("[data-testid=stException]").count() == 0
    open_page(page, server.url + "/live?watch=../../../etc&preset=nothing")
    page.get_by_role("button", name="Start").wait_for(timeout=20_000)


def test_a_missing_result_is_computed_on_request(server: Server, page: Page):
    open_page(page, server.url + "/compare?exp=toy-ops&plane=Three+points")
    page.wait_for_selector("text=First look", timeout=20_000)
    assert colours(page) > 1000
    view = page.locator(".view3d").first
    view.evaluate(
        "el => { el.seen = true; "
        "return window.unlearnscapeDrawing.relayout(el, {'scene.camera.eye': {x: 0.4, y: -2, z: 1}}) }"
    )
    page.get_by_role("button", name="Compute it now").click()
    page.wait_for_selector("text=Off the plane", timeout=60_000)
    settle(page)
    assert page.get_by_text("First look").count() == 0
    assert colours(page) > 1000
    assert view.evaluate("el => el.seen"), "the surface takes over the view of the first look"
    assert view.evaluate("el => el._fullLayout.scene.camera.eye.y") == pytest.approx(-2, abs=1e-6)
    assert (server.home / "toy-ops" / "surfaces").is_dir(), "the shipped experiment is copied, not changed"


def start_live(page: Page, url: str, *, epochs: int) -> None:
    open_page(page, url + "/live")
    page.get_by_label("Epochs").fill(str(epochs))
    page.keyboard.press("Enter")
    page.wait_for_selector(f"text=training.epochs={epochs}", timeout=20_000)
    settle(page)
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("text=Training toy-ops", timeout=30_000)


def drawn(page: Page) -> int:
    """Checkpoints on the clean path of the live surface."""
    found: int = page.evaluate(
        "() => { const el = document.querySelector('.view3d'); const t = el && el._fullData && "
        "el._fullData.find(t => t.mode === 'lines+markers'); return t ? t.x.length : 0 }"
    )
    return found


def test_a_live_run_moves_survives_a_reload_stops_and_leaves_a_valid_store(server: Server, page: Page):
    start_live(page, server.url, epochs=150)
    wait_until(lambda: drawn(page) > 3, seconds=60, what="the first movement")
    first = drawn(page)
    wait_until(lambda: drawn(page) > first, seconds=60, what="an update")
    page.evaluate(
        "() => window.unlearnscapeDrawing.relayout(document.querySelector('.view3d'), "
        "{'scene.camera.eye': {x: 0.3, y: -2.1, z: 0.5}})"
    )
    second = drawn(page)
    wait_until(lambda: drawn(page) > second, seconds=60, what="another update")
    eye = page.evaluate("() => document.querySelector('.view3d')._fullLayout.scene.camera.eye.y")
    assert eye == pytest.approx(-2.1, abs=1e-6), "the camera is kept while the picture changes"
    page.reload()
    page.wait_for_selector("text=Training toy-ops", timeout=30_000)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_selector("text=Stopped. Every checkpoint is kept", timeout=30_000)
    wait_until(lambda: not children(server), seconds=20, what="the end of the job's process")
    run = open_run(server.home / "toy-ops-epochs150" / "runs" / "clean-s0.h5")
    assert run.is_live
    assert all(run.vector(i).shape == (120,) for i in range(len(run)))
    page.get_by_role("button", name="Go on").wait_for(timeout=20_000)


def children(server: Server) -> list[psutil.Process]:
    """Processes that run this project's jobs for the server under test."""
    found = []
    for record in (server.home / "jobs").glob("*/job.json"):
        pid = json.loads(record.read_text())["pid"]
        if pid and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            found.append(psutil.Process(pid))
    return found


def test_a_second_user_is_not_blocked_by_a_running_job(server: Server, page: Page, browser: Browser):
    start_live(page, server.url, epochs=140)
    other = browser.new_page()
    started = time.monotonic()
    open_page(other, server.url + "/distance")
    assert other.locator("[data-testid=stMetricValue]").first.inner_text()
    assert time.monotonic() - started < 30
    other.close()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_selector("text=Stopped. Every checkpoint is kept", timeout=30_000)


@pytest.mark.slow
def test_memory_stays_flat_over_fifty_page_changes(server: Server, page: Page):
    links = page.locator("[data-testid=stSidebarNavLink]")

    def visit(rounds: int) -> None:
        for i in range(rounds):
            links.nth(i % len(PAGES)).click()
            settle(page)

    open_page(page, server.url)
    visit(10)
    before = psutil.Process(server.pid).memory_info().rss
    visit(50)
    after = psutil.Process(server.pid).memory_info().rss
    assert after < 1.2 * before, f"{before / 2**20:.0f} MiB grew to {after / 2**20:.0f} MiB"


def test_the_first_visitors_may_come_at_once(tmp_path: Path, browser: Browser):
    with serve(tmp_path) as cold:  # nothing is imported yet
        pages = [browser.new_page() for _ in range(3)]
        for page in pages:
            page.goto(cold.url, wait_until="commit")
        for page in pages:
            page.wait_for_selector(".gl-container canvas, [data-testid=stException]", timeout=60_000)
            assert page.locator("[data-testid=stException]").count() == 0
            page.close()
    assert "Traceback" not in (tmp_path / "server.log").read_text()
