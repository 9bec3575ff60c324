"""What a person does with the app, as functions."""

from __future__ import annotations

import io
import time

from PIL import Image
from playwright.sync_api import Page

PAGES = {"Home": "/", "Compare paths": "/compare", "Sharpness": "/sharpness"}
PAGES |= {"Unlearnable Distance": "/distance", "Benchmark": "/benchmark"}
PAGES |= {"Poison lab": "/poison_lab", "Live": "/live", "Add a run": "/add_run", "Lessons": "/lessons"}


def settle(page: Page, *, timeout: float = 45) -> None:
    """Wait until the app has finished a run of its script."""
    page.wait_for_selector("[data-testid=stAppViewContainer] h1", timeout=60_000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=timeout * 1000)


def open_page(page: Page, url: str) -> None:
    """Open an address and wait for the page."""
    page.goto(url, wait_until="domcontentloaded")
    settle(page)
    assert page.query_selector("[data-testid=stException]") is None


def address(page: Page) -> str:
    """The address as the browser shows it now; ``page.url`` is only as new as the last message from the browser."""
    return str(page.evaluate("location.href"))


def colours(page: Page, selector: str = ".gl-container canvas") -> int:
    """Number of distinct colours in the box of the first element found: an empty canvas has few."""
    page.wait_for_selector(selector, timeout=30_000)
    element = page.locator(selector).first
    element.scroll_into_view_if_needed()
    page.wait_for_timeout(2000)
    box = element.bounding_box()
    assert box is not None
    assert box["width"] > 100
    assert box["height"] > 100
    picture = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
    return len(picture.getcolors(maxcolors=1 << 24) or [])


def wait_until(condition: object, *, seconds: float, what: str) -> None:
    """Poll a condition."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)


def choose(page: Page, label: str, option: str) -> None:
    """Pick an option of a select box by typing it, as a long list shows only some."""
    box = page.locator("[data-testid=stSelectbox]").filter(has_text=label).get_by_role("combobox")
    box.click()
    box.press_sequentially(option)
    page.get_by_role("option", name=option).first.click()
    settle(page)
