"""The Live page in a real browser: followed, paused, stepped, scrubbed, restarted by two sessions, cancelled."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.serving import serve
from checkpoints import open_run
from tests.browser.conftest import Server, job_processes
from tests.browser.steps import address, open_page, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]  # software WebGL on a busy machine draws a few frames a second
EYE = "() => document.querySelector('.view3d')._fullLayout.scene.camera.eye.y"
DRAWN = (
    "() => { const el = document.querySelector('.view3d'); const t = el && el._fullData && "
    "el._fullData.find(t => t.mode === 'lines+markers'); return t ? t.x.length : 0 }"
)
COUNT_WAITS = """
window.waits = [];
const gl = WebGLRenderingContext.prototype;
for (const name of ["linkProgram", "isShader", "isProgram"]) {
  const own = gl[name];
  gl[name] = function (...given) { window.waits.push(name); return own.apply(this, given); };
}
const { get, set } = Object.getOwnPropertyDescriptor(HTMLCanvasElement.prototype, "width");
Object.defineProperty(HTMLCanvasElement.prototype, "width", { get, set(value) {
  if (this.closest(".gl-container")) window.waits.push(`width ${value}`);
  set.call(this, value);
} });
"""
# In every frame that the browser shows: the step of each part by what it draws or says, and what jumps.
SAMPLE = """
() => {
  window.jumps = 0;
  window.mixed = [];
  window.samples = new Set();
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
    if (!entry.hadRecentInput) window.jumps += entry.value;
  })).observe({ type: "layout-shift" });
  const sample = () => {
    const scene = document.querySelector(".view3d")._fullLayout.meta.step;
    const said = document.querySelector(".stage-tiles .tile-note").textContent.replace("step ", "");
    const seen = [...document.querySelectorAll(".stage-place:not(.behind) .stage-figure")];
    const charts = seen.map((box) => {
      const cover = box.closest(".stage-place").querySelector(".stage-cover");
      return cover ? cover.dataset.step : box.closest(".covered") ? "" : box._fullLayout?.meta.step;
    });
    const parts = [scene, said, ...charts].map((step) => String(step ?? ""));
    window.samples.add(parts.join());
    if (parts.length !== 5 || new Set(parts).size > 1) window.mixed.push(parts.join());
    window.sampling = requestAnimationFrame(sample);
  };
  sample();
}
"""
RANGE = "() => document.querySelector('.view3d')._fullLayout.scene.xaxis.range.join()"


def start(page: Page, url: str, *, seed: int, epochs: int = 150) -> None:
    open_page(page, f"{url}/live?seed-toy-ops={seed}&epochs-toy-ops={epochs}&speed=5")
    press(page, "Start")
    page.wait_for_function("() => location.search.includes('watch=')", timeout=60_000)
    wait_until(lambda: epoch(page).split()[1] != "–", seconds=120, what="the first frame")


def drawn(page: Page) -> int:
    """Checkpoints on the clean path as it is drawn."""
    return int(page.evaluate(DRAWN))


def epoch(page: Page) -> str:
    """The metric that says which moment is shown."""
    return str(page.evaluate("() => document.querySelector('.stage-tiles > div')?.innerText ?? 'Epoch –'"))


def press(page: Page, name: str) -> None:
    # A person does not wait for the frame rate either.
    page.get_by_role("button", name=name, exact=True).first.click(force=True)


def moved(page: Page, before: int) -> None:
    wait_until(lambda: drawn(page) > before, seconds=120, what="an update of the paths")


def standing(page: Page) -> int:
    """Checkpoints drawn once the picture has stood still for three seconds, as it must while training is paused."""
    seen, since = drawn(page), time.monotonic()
    deadline = since + 60
    while time.monotonic() - since < 3:
        assert time.monotonic() < deadline, "the picture goes on while training is paused"
        page.wait_for_timeout(200)
        if (now := drawn(page)) != seen:
            seen, since = now, time.monotonic()
    return seen


def test_a_training_is_followed_paused_stepped_and_scrubbed(server: Server, page: Page):
    page.add_init_script(COUNT_WAITS)
    start(page, server.url, seed=11)
    wait_until(lambda: drawn(page) > 3, seconds=120, what="the first movement")
    page.wait_for_timeout(500)
    plane = page.evaluate(RANGE)
    page.evaluate("() => { window.waits = [] }")
    page.evaluate(
        "() => window.Plotly.relayout(document.querySelector('.view3d'), "
        "{'scene.camera.eye': {x: 0.3, y: -2.1, z: 0.5}})"
    )
    for _ in range(20):
        moved(page, drawn(page))
    assert page.evaluate(EYE) == pytest.approx(-2.1, abs=1e-6), "the camera is kept over 20 updates"
    assert page.evaluate(RANGE) != plane, "new planes came meanwhile"
    assert page.evaluate("window.waits") == [], "for which the browser need not wait for its graphics"

    press(page, "Pause")
    page.get_by_text(", paused").first.wait_for(timeout=60_000)
    held = standing(page)
    press(page, "Step")
    wait_until(lambda: drawn(page) == held + 1, seconds=60, what="one single step")
    page.reload()
    page.get_by_text(", paused").first.wait_for(timeout=60_000)
    press(page, "Play")
    wait_until(lambda: drawn(page) > held + 1, seconds=60, what="going on")

    scrubber = page.locator("[data-testid=stSlider]").filter(has_text="Checkpoint shown").locator("input").first
    scrubber.focus()
    page.keyboard.press("Home")
    wait_until(lambda: epoch(page).split()[1] == "0", seconds=60, what="going back to the start")
    moved(page, drawn(page))
    assert epoch(page).split()[1] == "0", "training goes on, what is shown stays"
    assert "at-" in address(page)
    press(page, "Follow")
    wait_until(lambda: epoch(page).split()[1] != "0", seconds=60, what="following again")
    press(page, "Stop")
    page.get_by_text("Stopped. Every checkpoint is kept").first.wait_for(timeout=60_000)


def test_all_parts_of_a_training_that_moves_are_of_one_moment_and_nothing_jumps(server: Server, page: Page):
    page.set_viewport_size({"width": 1440, "height": 2300})  # all of it can be seen
    open_page(page, f"{server.url}/live?seed-toy-ops=31&epochs-toy-ops=150&speed=5")
    blank = "() => document.querySelectorAll('.stage-place .js-plotly-plot').length === 3"
    page.wait_for_function(blank, timeout=120_000)
    page.wait_for_timeout(2000)
    page.evaluate(SAMPLE)
    press(page, "Start")
    wait_until(lambda: drawn(page) > 3 and epoch(page).split()[1] != "–", seconds=120, what="the first movement")
    page.wait_for_function("() => window.samples.size > 25", timeout=120_000)
    scrubber = page.locator("[data-testid=stSlider]").filter(has_text="Checkpoint shown").locator("input").first
    scrubber.focus()
    page.keyboard.press("Home")
    wait_until(lambda: epoch(page).split()[1] == "0", seconds=60, what="going back to the start")
    press(page, "Follow")
    wait_until(lambda: epoch(page).split()[1] != "0", seconds=60, what="following again")
    press(page, "Pause")
    page.get_by_text(", paused").first.wait_for(timeout=60_000)
    held = standing(page)
    for more in (1, 2):
        press(page, "Step")
        wait_until(lambda more=more: drawn(page) == held + more, seconds=60, what="one single step")
        step = 5 * (held + more - 1)
        wait_until(lambda step=step: f"step {step}" in epoch(page), seconds=60, what="the step in numbers")
    assert page.evaluate("window.mixed") == []
    assert page.evaluate("window.jumps") < 0.05

    page.evaluate("cancelAnimationFrame(window.sampling)")
    page.set_viewport_size({"width": 1440, "height": 700})
    page.wait_for_timeout(1000)
    press(page, "Step")
    wait_until(lambda: drawn(page) == held + 3, seconds=60, what="a step that most charts are too far away for")
    last = page.locator(".stage-place").last
    assert "behind" in str(last.get_attribute("class")), "it costs nothing, and shows nothing of another moment"
    last.scroll_into_view_if_needed()
    step = f"() => document.querySelectorAll('.stage-place .stage-figure')[2]._fullLayout.meta.step === {step + 5}"
    page.wait_for_function(step, timeout=60_000)
    page.wait_for_function("() => !document.querySelectorAll('.stage-place')[3].classList.contains('behind')")
    press(page, "Stop")
    page.get_by_text("Stopped. Every checkpoint is kept").first.wait_for(timeout=60_000)


def test_two_sessions_train_at_once_restart_in_place_and_stop(server: Server, page: Page, browser: Browser):
    start(page, server.url, seed=21)
    other = browser.new_page()
    start(other, server.url, seed=22)
    wait_until(lambda: drawn(other) > 1, seconds=120, what="the second session's training")
    assert "watch=toy-ops-epochs150-seeds22" in address(other)
    assert "watch=toy-ops-epochs150-seeds21" in address(page)
    moved(page, drawn(page))
    before = address(other)
    share = other.locator("[data-testid=stSlider]").filter(has_text="Poisoned share").locator("input").first
    share.focus()
    for _ in range(3):
        other.keyboard.press("ArrowLeft")
    other.wait_for_function("url => location.href !== url && location.search.includes('ratio0.85')", arg=before)
    assert "share=85" in address(other), "the address says what is shown"
    assert not (server.home / "toy-ops-ratio0.95-epochs150-seeds22").exists(), "places passed are not trained"
    wait_until(lambda: drawn(other) > 1, seconds=120, what="the restart in place")
    wait_until(lambda: len(job_processes(server.home)) == 2, seconds=20, what="the end of the training it replaced")

    for one in (other, page):
        press(one, "Stop")
        one.get_by_text("Stopped. Every checkpoint is kept").first.wait_for(timeout=60_000)
    other.close()
    wait_until(lambda: not job_processes(server.home), seconds=30, what="the end of the jobs' processes")
    run = open_run(server.home / "toy-ops-epochs150-seeds21" / "runs" / "clean-s21.h5")
    assert run.is_live
    assert run.vector(len(run) - 1).shape == (120,)


def test_a_training_survives_its_tab_and_its_server(tmp_path, browser: Browser):
    with serve(tmp_path) as first:
        page = browser.new_page()
        start(page, first.url, seed=3)
        wait_until(lambda: drawn(page) > 1, seconds=120, what="the first movement")
        page.close()
        first.process.kill()
        first.process.wait()
    assert job_processes(tmp_path), "the job outlives its server"
    with serve(tmp_path) as second:
        page = browser.new_page()
        page.goto(second.url + "/live?watch=toy-ops-epochs150-seeds3")
        wait_until(lambda: drawn(page) > 3, seconds=120, what="the picture after the restart")
        moved(page, drawn(page))
        press(page, "Stop")
        page.get_by_text("Stopped. Every checkpoint is kept").first.wait_for(timeout=60_000)
        page.close()
    assert not job_processes(tmp_path)
