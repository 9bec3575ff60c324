"""The view that keeps its camera: paths play in the browser, keys turn it, clicks ask, phones stack its panels."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Server
from tests.browser.steps import address, colours, open_page, settle, wait_until

WALKED = "el => el.data.find(t => t.meta?.part === 'walked').x.length"
EYE = "el => { const e = el._fullLayout.scene.camera.eye; return [e.x, e.y, e.z] }"

COUNT_READS = """
const read = WebGLRenderingContext.prototype.readPixels;
window.reads = 0;
WebGLRenderingContext.prototype.readPixels = function (...given) { window.reads++; return read.apply(this, given); };
"""
DRAW = "el => el._fullLayout.scene._scene.glplot.update()"
COUNT_MESHES = """el => { window.meshes = 0;
  for (const trace of Object.values(el._fullLayout.scene._scene.traces)) if (trace.data.type === 'surface') {
    const update = trace.surface.update.bind(trace.surface);
    trace.surface.update = (given) => { if (given.coords) window.meshes++; update(given); };
  } }"""
BOTH_EYES = """el => ["scene", "scene2"].map((name) => {
  const { x, y, z } = el._fullLayout[name]._scene.getCamera().eye;
  return [x, y, z].map((value) => Number(value.toFixed(3)));
})"""
DARK = "el => el.layout.meta.dark"


def ready(page: Page, selector: str) -> None:
    """Wait until a figure is drawn."""
    page.wait_for_function(f"document.querySelector('{selector}')?._fullData?.length > 0", timeout=90_000)


def test_the_path_plays_without_the_server_and_the_page_follows_at_the_end(server: Server, page: Page):
    open_page(page, server.url + "/compare?view=Contour")
    ready(page, ".view2d")
    view, player = page.locator(".view2d"), page.locator(".stage-play")
    assert view.evaluate(WALKED) == 65
    player.click()
    wait_until(lambda: 1 < view.evaluate(WALKED) < 65, seconds=30, what="the path's growth")
    assert "step=" not in address(page), "while it plays the server hears nothing"
    assert player.get_attribute("aria-label") == "Pause"
    player.click()
    wait_until(lambda: "step=" in address(page), seconds=30, what="the address following")
    settle(page)
    step = address(page).split("step=")[1].split("&")[0]
    assert page.locator(".stage-words").inner_text().startswith(f"step {step},")


def test_one_scrubber_moves_both_panels(server: Server, page: Page):
    open_page(page, server.url + "/compare?view=Both&step=100")
    ready(page, ".view3d")
    ready(page, ".view2d")
    both = [page.locator(".view3d"), page.locator(".view2d")]
    assert [view.evaluate(WALKED) for view in both] == [21, 21]
    page.get_by_role("slider", name="Checkpoint").press("ArrowRight")
    wait_until(lambda: [view.evaluate(WALKED) for view in both] == [22, 22], seconds=60, what="both panels' move")
    wait_until(lambda: "step=105" in address(page), seconds=30, what="the address following")


def test_keys_turn_the_camera_and_zoom_and_an_update_keeps_it(server: Server, page: Page):
    open_page(page, server.url + "/compare")
    colours(page)
    view = page.locator(".view3d")
    before = view.evaluate(EYE)
    panel = page.locator(".stage-panel")
    assert "Arrow keys" in (panel.get_attribute("aria-label") or "")
    panel.focus()
    page.keyboard.press("ArrowLeft")
    wait_until(lambda: view.evaluate(EYE)[0] != before[0], seconds=20, what="turning by a key")
    turned = view.evaluate(EYE)
    assert turned[2] == pytest.approx(before[2], abs=1e-6), "left and right keep the height"
    page.keyboard.press("+")
    wait_until(lambda: abs(view.evaluate(EYE)[2]) < abs(turned[2]), seconds=20, what="zooming by a key")
    kept = view.evaluate(EYE)
    page.get_by_role("radio", name="Both").or_(page.get_by_role("button", name="Both")).first.click()
    ready(page, ".view2d")
    assert view.evaluate(EYE) == pytest.approx(kept, abs=1e-6)
    panel.first.focus()
    page.keyboard.press("0")
    wait_until(lambda: view.evaluate(EYE) == pytest.approx(before, abs=1e-3), seconds=20, what="going back")


def test_a_click_on_the_contours_answers_and_the_link_reopens_it(server: Server, page: Page):
    open_page(page, server.url + "/compare?view=Contour")
    ready(page, ".view2d")
    view = page.locator(".view2d")
    view.scroll_into_view_if_needed()
    area = view.locator(".nsewdrag").first.bounding_box()
    assert area is not None
    x, y = area["x"] + 0.42 * area["width"], area["y"] + 0.22 * area["height"]
    page.mouse.move(x - 5, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(500)
    page.mouse.click(x, y)
    page.wait_for_selector("text=Loss on test data", timeout=60_000)
    wait_until(lambda: "at=" in address(page), seconds=20, what="the point in the address")
    settle(page)
    answers = page.locator("[data-testid=stMetricValue]").all_inner_texts()
    assert sum("nats" in text for text in answers) == 3
    link = address(page)
    open_page(page, link)
    page.wait_for_selector("text=Loss on test data", timeout=60_000)
    assert address(page) == link
    assert [t for t in page.locator("[data-testid=stMetricValue]").all_inner_texts() if "nats" in t] == [
        t for t in answers if "nats" in t
    ]


def test_a_phone_stacks_the_panels(server: Server, page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, server.url + "/compare?arrange=Side+by+side&view=Both")
    ready(page, ".view3d")
    scenes = page.locator(".view3d")
    assert scenes.evaluate("el => el.layout.scene.aspectratio.x") < 1.15, "the box is smaller than on a wide screen"
    assert scenes.evaluate("el => el.layout.annotations.filter((a) => a.text.startsWith('↑ loss')).length") == 2
    ready(page, ".view2d")
    first, second = page.locator(".view2d").evaluate("el => [el.layout.yaxis.domain, el.layout.yaxis2.domain]")
    assert first[0] > second[1], "the first panel stands above the second"
    assert page.evaluate("document.documentElement.scrollWidth") <= 391


def test_a_moving_picture_is_not_redrawn_under_the_hand_nor_read_for_a_pointer_elsewhere(server: Server, page: Page):
    page.emulate_media(color_scheme="light")
    page.add_init_script(COUNT_READS)
    open_page(page, server.url + "/live")
    ready(page, ".view3d")
    view = page.locator(".view3d")
    view.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    page.evaluate("window.reads = 0")
    view.evaluate(DRAW)
    page.wait_for_timeout(500)
    assert page.evaluate("window.reads") == 0, "nothing lies under the pointer"
    area = view.bounding_box()
    assert area is not None
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    page.mouse.move(x, y)
    page.mouse.move(x + 5, y)
    wait_until(lambda: page.evaluate("window.reads") > 0, seconds=20, what="looking for what lies under the pointer")

    before = view.evaluate(EYE)
    view.evaluate(COUNT_MESHES)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.emulate_media(color_scheme="dark")  # an update of the same picture comes while it is turned
    wait_until(lambda: page.evaluate("window.unlearnscapeTurns.waiting.size") == 1, seconds=30, what="the update")
    assert not view.evaluate(DARK), "it waits for the hand"
    page.mouse.move(x + 90, y, steps=3)
    page.mouse.up()
    wait_until(lambda: view.evaluate(DARK), seconds=30, what="drawing once the hand has let go")
    turned = view.evaluate(EYE)
    assert turned != pytest.approx(before, abs=1e-2)
    page.wait_for_timeout(500)
    assert view.evaluate(EYE) == pytest.approx(turned, abs=1e-3)
    assert page.evaluate("window.meshes") == 0, "the surface is the same and stays"


def test_either_panel_leads_also_when_an_update_comes_under_the_hand(server: Server, page: Page):
    page.emulate_media(color_scheme="light")
    open_page(page, server.url + "/compare?arrange=Side+by+side&losses=true")
    ready(page, ".view3d")
    page.locator("[data-testid=stPlotlyChart] .js-plotly-plot").first.wait_for()  # with a bundle of its own
    view = page.locator(".view3d")
    view.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    area = view.bounding_box()
    assert area is not None
    y = area["y"] + area["height"] / 2
    for panel, (share, scheme) in enumerate([(0.75, "dark"), (0.25, "light")]):
        before = view.evaluate(BOTH_EYES)
        assert before[0] == before[1]
        x = area["x"] + share * area["width"]
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 50, y + 10, steps=4)
        page.emulate_media(color_scheme=scheme)
        wait_until(lambda: page.evaluate("window.unlearnscapeTurns.waiting.size") == 1, seconds=30, what="the update")
        page.mouse.move(x + 80, y + 20, steps=3)
        wait_until(
            lambda: len({str(eye) for eye in view.evaluate(BOTH_EYES)}) == 1, seconds=20, what="the other's following"
        )
        page.mouse.up()
        wait_until(lambda scheme=scheme: view.evaluate(DARK) == (scheme == "dark"), seconds=30, what="the update")
        page.wait_for_timeout(500)
        after = view.evaluate(BOTH_EYES)
        assert after[0] == after[1], f"taken at panel {panel}"
        assert after[0] != before[0], "turned, and not turned back by the update"
