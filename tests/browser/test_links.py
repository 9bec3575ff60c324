"""Links in a real browser: hostile and stale ones open a valid view with one note; bookmarks bring views back."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server
from tests.browser.steps import address, choose, open_page, settle, wait_until

SCRIPT = "%3Cscript%3Ewindow.hit%3D1%3C%2Fscript%3E"
IMAGE = "%3Cimg%20src%3Dx%20onerror%3Dwindow.hit%3D1%3E"
HOSTILE = {
    "compare": f"/compare?exp={SCRIPT}&plane={IMAGE}&step=1e400&view=4-D&runs=..%2F..&theta1=-1&on=" + "a" * 3000,
    "poison_lab": "/poison_lab?data=..%2F..%2Fetc%2Fpasswd&ratio=-1&seed=inf&strength=nan&sample=1e400&amplify=0"
    "&method=class-random&class-random-cell=-1e400",
    "live": f"/live?watch=..%2F..%2Fetc&preset={SCRIPT}&epochs-toy-ops=1e400&lr-toy-ops=nan&seed-toy-ops=-7",
    "lessons": f"/lessons?lesson=1e400&done={SCRIPT}&g1={IMAGE}&dir=inf&a=nan",
}


def query(page: Page) -> dict[str, list[str]]:
    """The parameters in the address now."""
    return parse_qs(urlsplit(address(page)).query)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_link_opens_a_valid_view_with_one_note(server: Server, page: Page, name: str):
    open_page(page, server.url + HOSTILE[name])
    note = page.get_by_test_id("stAlert").filter(has_text="the nearest view is shown")
    expect(note).to_have_count(1)
    page.wait_for_timeout(800)
    assert page.evaluate("window.hit") is None, "nothing in a link is run"
    assert page.get_by_test_id("stException").count() == 0
    assert set(query(page)) <= {"method"}, "what was ignored leaves the address"
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 1


def test_a_stale_step_goes_to_the_nearest_and_good_parts_are_kept(server: Server, page: Page):
    open_page(page, server.url + "/compare?exp=toy-ops&view=Contour&step=103&plane=no+longer")
    note = page.get_by_test_id("stAlert").filter(has_text="the nearest view is shown")
    expect(note).to_contain_text("step=103")
    expect(note).to_contain_text("plane=no longer")
    page.locator(".view2d .contourlayer").wait_for(timeout=60_000)
    assert "step 105," in page.locator(".stage-words").inner_text()
    assert "view=Contour" in address(page)
    page.get_by_role("radio", name="3-D").click()
    expect(note).to_have_count(0)


def test_a_clean_link_has_no_note_and_defaults_stay_out_of_it(server: Server, page: Page):
    open_page(page, server.url + "/compare?exp=toy-ops&plane=Joint+PCA&scale=log")
    page.get_by_text("Plane explains").wait_for(timeout=60_000)
    settle(page)
    assert page.get_by_test_id("stAlert").filter(has_text="nearest view").count() == 0
    wait_until(
        lambda: parse_qs(urlsplit(address(page)).query) == {"scale": ["log"]}, seconds=10, what="the short address"
    )


EYE = "() => document.querySelector('.view3d')._fullLayout.scene.camera.eye"
DRAWN = "() => document.querySelector('.view3d')?._fullLayout?.scene?._scene?.glplot !== undefined"


def test_a_link_holds_the_camera_the_step_and_the_speed_of_a_view(server: Server, page: Page):
    open_page(page, server.url + "/")
    page.wait_for_function(DRAWN, timeout=60_000)
    first = page.evaluate(EYE)
    view = page.locator(".stage-panel").first
    view.focus()
    for key in ["ArrowLeft"] * 3 + ["ArrowUp", "+"]:
        view.press(key)
    page.locator(".stage-speed").select_option("4")
    page.locator(".stage-range").focus()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    wait_until(lambda: set(query(page)) == {"cam", "rate", "walked"}, seconds=20, what="all three in the link")
    page.wait_for_timeout(1500)  # the server has had its say
    turned, link = page.evaluate(EYE), address(page)
    assert max(abs(turned[axis] - first[axis]) for axis in "xyz") > 0.2
    assert (query(page)["walked"], query(page)["rate"]) == (["275"], ["4"])

    other = page.context.new_page()
    open_page(other, link)
    other.wait_for_function(DRAWN, timeout=60_000)
    seen = other.evaluate(EYE)
    assert all(abs(seen[axis] - turned[axis]) < 0.002 for axis in "xyz")
    assert "step 275," in other.locator(".stage-words").inner_text()
    assert other.locator(".stage-speed").input_value() == "4"
    assert other.get_by_test_id("stAlert").filter(has_text="nearest view").count() == 0
    panel = other.locator(".stage-panel").first
    panel.focus()
    panel.press("0")  # back to where it first stood: nothing to say in the address
    wait_until(lambda: "cam" not in query(other), seconds=10, what="an address without the camera")
    other.close()


def test_a_bookmark_brings_a_view_back_and_can_be_renamed_and_deleted(server: Server, page: Page):
    open_page(page, server.url + "/poison_lab?method=ops&map=t-SNE&ratio=0.5")
    choose(page, "Method", "class-random")  # after the page was opened: the kept view has it all the same
    wait_until(lambda: "method=class-random" in address(page), seconds=30, what="the method in the link")
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_text("Bookmarks").click()
    sidebar.get_by_label("Name of this view").fill("half <b>poisoned</b>")
    sidebar.get_by_role("button", name="Keep this view").click()
    link = sidebar.get_by_role("link", name="half <b>poisoned</b>")
    link.wait_for(timeout=30_000)
    (kept,) = (server.home / "bookmarks").glob("*.json")
    assert "class-random" in kept.read_text()
    sidebar.get_by_role("link", name="Home").click()
    page.locator("h1", has_text="Unlearnscape").wait_for(timeout=60_000)
    settle(page)
    if not link.is_visible():
        sidebar.get_by_text("Bookmarks").click()
    link.click()
    page.locator("h1", has_text="Poison lab").wait_for(timeout=60_000)
    settle(page)
    wait_until(
        lambda: {"method", "map", "ratio"} <= set(parse_qs(urlsplit(address(page)).query)),
        seconds=20,
        what="the kept view",
    )
    assert (
        page.get_by_test_id("stNumberInput").filter(has_text="Share").get_by_role("spinbutton").input_value() == "0.50"
    )
    if not sidebar.get_by_role("button", name="Rename or delete").is_visible():
        sidebar.get_by_text("Bookmarks").click()
    sidebar.get_by_role("button", name="Rename or delete").click()
    page.get_by_text("Yes, delete it").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(link).to_have_count(0)
    assert not list((server.home / "bookmarks").glob("*.json"))
