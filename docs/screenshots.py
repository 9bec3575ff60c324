"""Pictures of every page of the running app, for the guides: wide and narrow, light and dark.

    python docs/screenshots.py                 # serves the app on a free port, writes docs/screenshots/*.png
    python docs/screenshots.py --only home,live --out pictures

Needs Playwright for Python (in ``requirements-dev.txt``) and an installed Chromium or Chrome. The pages are those that
the navigation shows; nothing has to be listed here but a view that the README shows beside them, which is taken once.
The app works in an empty folder of experiments, so that only what ships with the project is seen. A picture is a PNG of
256 colours, or fewer until it is under 300 kB.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"]
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
SCHEMES = ("light", "dark")
VIEWS = {"side_by_side": "compare?arrange=Side+by+side"}  # wide and light only
LIMIT = 300_000  # bytes of a picture
STILL = 12  # looks at a page that must be the same before it counts as drawn
LOOK_MS = 250
PATIENCE = 90.0  # seconds for a page on a slow machine
DRAWN = """
() => {
  const waits = ['stStatusWidget', 'stSpinner', 'stSkeleton'];
  const busy = waits.some((name) => document.querySelector(`[data-testid=${name}]`));
  const charts = [...document.querySelectorAll('[data-testid=stPlotlyChart]')];
  const tall = charts.filter((one) => one.getBoundingClientRect().height > 40);
  const empty = tall.some((one) => !one.querySelector('.main-svg, canvas'));
  const images = [...document.images].some((one) => !one.complete);
  return !busy && !empty && !images && !!document.querySelector('[data-testid=stAppViewContainer] h1');
}
"""


def main() -> None:
    """Read the options, serve the app, walk through its pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots", help="folder of the pictures")
    parser.add_argument("--only", default="", help="names of pages, as home,compare")
    parser.add_argument("--url", default="", help="an app that runs already, as http://127.0.0.1:8501")
    given = parser.parse_args()
    chrome = next((found for name in CHROMES if (found := shutil.which(name))), None)
    if chrome is None:
        sys.exit("No Chromium is installed here; install chromium or google-chrome and run this again.")
    given.out.mkdir(parents=True, exist_ok=True)
    wanted = {name.strip() for name in given.only.split(",") if name.strip()}
    with serving(given.url) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome, args=FLAGS)
        pages = find_pages(browser, url)
        unknown = wanted - set(pages)
        if unknown:
            sys.exit(f"There is no page called {', '.join(sorted(unknown))}; pages are {', '.join(pages)}.")
        for name, address in pages.items():
            if not wanted or name in wanted:
                for line in pictures(browser, name, address, given.out):
                    print(line, flush=True)
        browser.close()


@contextmanager
def serving(url: str) -> Iterator[str]:
    """The address of an app that runs, or of one that is served meanwhile from an empty folder of experiments."""
    if url:
        yield url.rstrip("/")
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home, (Path(home) / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "cli.py", "app", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"UNLEARNSCAPE_HOME": home},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for_server(process, f"http://127.0.0.1:{port}", Path(home) / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_for_server(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the app answers."""
    deadline = time.monotonic() + 3 * PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"The app did not start: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.3)


def find_pages(browser: Browser, url: str) -> dict[str, str]:
    """Names and addresses of all pages, from the navigation of the app."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(url, wait_until="domcontentloaded")
    wait_until_drawn(page)
    links = page.locator("[data-testid=stSidebarNavLink]")
    addresses = [links.nth(i).get_attribute("href") or "" for i in range(links.count())]
    context.close()
    if not addresses:
        sys.exit(f"{url} shows no navigation; is it this app?")
    found = {}
    for address in addresses:
        path = re.sub(r"^https?://[^/]+", "", address).split("?")[0].strip("/")
        found[path.replace("/", "-") or "home"] = f"{url}/{path}"
    return found | {name: f"{url}/{view}" for name, view in VIEWS.items()}


def pictures(browser: Browser, name: str, address: str, folder: Path) -> Iterator[str]:
    """Take a page's pictures; yields a line for each."""
    for (size, (width, height)), scheme in product(SIZES.items(), SCHEMES):
        if name in VIEWS and (size, scheme) != ("wide", "light"):
            continue
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        page.goto(address, wait_until="domcontentloaded")
        complete = wait_until_drawn(page)
        data = compress(page.screenshot(timeout=120_000))
        target = folder / f"{name}-{size}-{scheme}.png"
        target.write_bytes(data)
        context.close()
        note = "" if complete else " (still busy after a long wait)"
        yield f"{target}: {len(data) / 1000:.0f} kB{note}"


def wait_until_drawn(page: Page) -> bool:
    """Wait until the app is at rest and its picture does not change any more; says whether it came to that."""
    try:
        page.wait_for_selector("[data-testid=stAppViewContainer] h1", timeout=1000 * PATIENCE)
        page.wait_for_function(DRAWN, timeout=1000 * PATIENCE)
        if page.locator("iframe, .gl-container, [data-testid=stBidiComponentRegular]").count():
            page.wait_for_timeout(2500)  # scenes in three dimensions draw after their page says it is ready
    except TimeoutError:
        return False
    deadline = time.monotonic() + PATIENCE
    before, same = "", 0
    while same < STILL and time.monotonic() < deadline:
        page.wait_for_timeout(LOOK_MS)
        now = page.evaluate("document.body.innerText + document.documentElement.scrollHeight") + str(
            page.evaluate(DRAWN)
        )
        same = same + 1 if now == before and now.endswith("True") else 0
        before = now
    return same >= STILL


def compress(png: bytes) -> bytes:
    """A PNG with a palette, of fewer colours until it is small enough."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for count in (256, 128, 64, 32):
        out = io.BytesIO()
        picture.quantize(count, dither=Image.Dither.NONE).save(out, format="PNG", optimize=True)
        if out.tell() <= LIMIT:
            break
    return out.getvalue()


if __name__ == "__main__":
    main()
