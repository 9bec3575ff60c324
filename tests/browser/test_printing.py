"""Pages on paper: what they show is there, scenes too, and nothing that only moves it."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.conftest import Server
from tests.browser.steps import colours, open_page, wait_until

# Before printing a picture of each scene takes its place: how many colours it has, of the pixels of 100 × 100.
ON_PAPER = """
async () => {
  window.dispatchEvent(new Event('beforeprint'));
  const picture = document.querySelector('img.scene-on-paper');
  if (!picture) return 0;
  await picture.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: 100, height: 100 }).getContext('2d');
  canvas.drawImage(picture, 0, 0, 100, 100);
  const seen = new Uint32Array(canvas.getImageData(0, 0, 100, 100).data.buffer);
  window.dispatchEvent(new Event('afterprint'));
  return new Set(seen).size;
}
"""


def test_a_printed_page_shows_its_scene_and_no_controls(page: Page, server: Server) -> None:
    open_page(page, server.url + "/compare")
    wait_until(lambda: colours(page) > 100, seconds=45, what="the scene")
    assert page.evaluate(ON_PAPER) > 100
    assert page.locator(".scene-on-paper").count() == 0, "and goes again"
    page.emulate_media(media="print")
    for test_id in ("stSidebar", "stSelectbox", "stButtonGroup", "stPopover"):
        assert not any(one.is_visible() for one in page.get_by_test_id(test_id).all())
    assert not page.get_by_role("button", name="Play").is_visible()
    assert page.get_by_test_id("stMetric").first.is_visible()
