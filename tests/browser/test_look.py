"""Every page, light and dark, wide and narrow: it opens, can be read, has words for pictures, and works by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Server
from tests.browser.steps import PAGES, open_page, wait_until

LEAST, LEAST_LARGE = 4.5, 3.0  # contrast of text against its ground, after WCAG 2.2 (AA)

# Text that is seen, with its contrast; grounds are taken from the nearest ancestor that has one.
CONTRAST = """
() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (element) => {
    const [layers, text] = [[], element.getBoundingClientRect()];
    const [x, y] = [text.x + text.width / 2, text.y + text.height / 2];
    for (let e = element; e; e = e.parentElement) {
      // A slider's value stands above its thumb, not on it.
      const box = e.getBoundingClientRect();
      const under = e === document.body || e === document.documentElement
        || (box.left <= x && x <= box.right && box.top <= y && y <= box.bottom);
      if (under) layers.push(parse(getComputedStyle(e).backgroundColor));
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const dim = (element) => {
    let opacity = 1;
    for (let e = element; e; e = e.parentElement) opacity *= Number(getComputedStyle(e).opacity);
    return opacity;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element?.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    if (element.closest('svg, canvas, [aria-hidden=true], :disabled, [aria-disabled=true], [inert]')) continue;
    if (element.closest('[data-testid=stIconMaterial]')) continue;
    const area = element.getBoundingClientRect();
    if (area.width < 2 || area.height < 2) continue;
    const style = getComputedStyle(element);
    const ground = groundOf(element);
    const ink = parse(style.color); ink[3] *= dim(element);
    const [a, b] = [light(over(ink, ground)), light(ground)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push([text.slice(0, 60), Math.round(contrast * 100) / 100, large]);
  }
  return found;
}
"""

# Pictures without words: figures, canvases and images that no label or text alternative speaks for.
SPEECHLESS = """
() => [...document.querySelectorAll('.js-plotly-plot, img, [data-testid=stPlotlyChart]')].filter((element) => {
  if (!element.checkVisibility()) return false;
  if (element.tagName === 'IMG') return !element.hasAttribute('alt') || element.alt.trim() === '';
  const near = element.closest('[data-testid=stPlotlyChart]') ?? element;
  const speaks = (e) => (e.getAttribute('aria-label') ?? '').trim().length > 20;
  return !(speaks(element) || speaks(near) || [...near.querySelectorAll('[aria-label]')].some(speaks));
}).map((element) => element.outerHTML.slice(0, 160))
"""

# Controls that a keyboard cannot reach, or that have no name.
UNREACHABLE = """
() => {
  const controls = document.querySelectorAll(
    'button, select, textarea, input:not([type=hidden]), [role=button], [role=slider], [role=combobox], a[href]');
  const bad = [];
  for (const control of controls) {
    if (!control.checkVisibility({ checkVisibilityCSS: true }) || control.disabled) continue;
    if (control.closest('[aria-hidden=true], [inert], .modebar')) continue;
    const group = control.closest('[role=radiogroup]'); // one of a group is reached by Tab, the others by arrows
    // Buttons inside a box of choices or numbers do what its reachable input does by arrow keys and backspace.
    const box = control.closest('[data-testid=stSelectbox], [data-testid=stMultiSelect], [data-testid=stNumberInput]');
    const chooser = control.closest('[data-testid=stFileUploader]'); // its button opens the same choice of files
    const reached = control.tabIndex >= 0 || group?.querySelector('[tabindex="0"]')
      || (control.type === 'file' && chooser?.querySelector('button:not([tabindex="-1"])'))
      || box?.querySelector('input:not([tabindex="-1"])');
    const name = control.getAttribute('aria-label') || control.getAttribute('title') || control.innerText?.trim()
      || control.labels?.[0]?.innerText || (control.getAttribute('aria-labelledby') && 'labelled')
      || control.getAttribute('placeholder') || control.closest('label')?.innerText;
    const hidden = control.getBoundingClientRect();
    if (hidden.width < 1 && !name) continue;
    if (!reached) bad.push(['not reachable', control.outerHTML.slice(0, 140)]);
    else if (!name) bad.push(['no name', control.outerHTML.slice(0, 140)]);
  }
  return bad;
}
"""


IS_DARK = """
() => {
  const [r, g, b] = getComputedStyle(document.querySelector('.stApp')).backgroundColor.match(/\\d+/g).map(Number);
  return r + g + b < 384;
}
"""


def checked(page: Page) -> list[str]:
    """What is wrong with a page as it stands."""
    problems = [
        f"contrast {contrast} of “{text}”"
        for text, contrast, large in page.evaluate(CONTRAST)
        if contrast < (LEAST_LARGE if large else LEAST)
    ]
    problems += [f"no words for {html}" for html in page.evaluate(SPEECHLESS)]
    problems += [f"{what}: {html}" for what, html in page.evaluate(UNREACHABLE)]
    return problems


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_fits_and_can_be_read_heard_and_reached(server: Server, page: Page, name: str):
    for scheme, dark in (("light", False), ("dark", True)):
        page.emulate_media(color_scheme=scheme)
        open_page(page, server.url + PAGES[name])
        assert page.locator("h1").first.inner_text() == ("Unlearnscape" if name == "Home" else name)
        wait_until(lambda dark=dark: page.evaluate(IS_DARK) is dark, seconds=30, what=f"the {scheme} theme")
        problems = ["not looked at"]
        for _ in range(12):  # a page that is still being filled is looked at again
            page.wait_for_timeout(800)
            if not (problems := checked(page)):
                break
        assert not problems, (scheme, problems)
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(600)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 1, f"sideways at {width}"
        assert page.locator("[data-testid=stException]").count() == 0


def test_where_the_keyboard_is_can_be_seen_on_links_too(page: Page, server: Server) -> None:
    open_page(page, server.url)
    for test_id in ("stSidebarNavLink", "stPageLink-NavLink"):
        page.get_by_test_id(test_id).first.focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.dataset.testid") == test_id
        page.wait_for_function("getComputedStyle(document.activeElement).outlineStyle === 'solid'", timeout=3000)
