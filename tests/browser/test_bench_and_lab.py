"""Benchmark and poison lab in a real browser: results are drawn, controls change the view and the address."""

from __future__ import annotations

from playwright.sync_api import Page

from experiments import Where
from experiments.bench_run import Bench, run_bench
from tests.browser.conftest import Server
from tests.browser.steps import address, choose, colours, open_page, settle, wait_until
from tests.experiments.test_bench import SPEC


def test_a_poison_is_shown_changed_and_saved(server: Server, page: Page):
    open_page(page, server.url + "/poison_lab?method=class-random&class-random-cell=4")
    pictures = page.locator(".strips img")
    pictures.first.wait_for(timeout=60_000)
    assert pictures.count() == 4
    assert all(pictures.nth(i).evaluate("el => el.complete && el.naturalWidth") > 250 for i in range(4))
    assert colours(page, ".strips") > 20
    before = pictures.nth(1).get_attribute("src")
    choose(page, "Method", "uniform-noise")
    wait_until(lambda: pictures.nth(1).get_attribute("src") != before, seconds=60, what="the other method's change")
    wait_until(lambda: "method=uniform-noise" in address(page), seconds=30, what="the method in the link")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Download", exact=True).wait_for(timeout=30_000)
    assert list((server.home / "poisons").glob("digits-uniform-noise-*.npz"))


def test_a_benchmark_with_results_is_drawn_and_leads_to_its_runs(server: Server, page: Page):
    (server.home / "small.toml").write_text(SPEC)
    run_bench(Bench.create(server.home / "small.toml", server.home / "small"), where=Where(jobs=1))
    open_page(page, server.url + "/benchmark?bench=small")
    page.get_by_text("UD against test accuracy").first.wait_for(timeout=60_000)
    charts = page.locator("[data-testid=stPlotlyChart]")
    wait_until(lambda: charts.count() == 2, seconds=30, what="both charts")
    assert "noise" in (charts.nth(1).text_content() or "")
    page.get_by_text("Filter", exact=True).click()
    controls = page.get_by_test_id("stCheckbox").get_by_text("Controls")
    controls.wait_for()
    page.wait_for_timeout(800)  # until the panel has unfolded
    controls.click()
    wait_until(lambda: "noise" not in (charts.nth(1).text_content() or ""), seconds=30, what="hiding the controls")
    wait_until(lambda: "controls=false" in address(page), seconds=30, what="the choice in the link")
    page.get_by_test_id("stMain").get_by_role("link", name="Sharpness").click()
    page.locator("h1", has_text="Sharpness").wait_for(timeout=60_000)
    settle(page)
    wait_until(lambda: "exp=small-toy-linear" in address(page), seconds=30, what="the experiment in the link")
    assert page.locator("[data-testid=stException]").count() == 0
    page.get_by_text("ops-s0 learnable blocks").first.wait_for(timeout=60_000)
