"""How lively the Live page is: ``python -m benchmarks.live_page`` measures it in a browser that draws.

It prints the seconds from Start to the first visible movement, updates a second, how long updates block the viewer's
clicks and drags (the browser's own long tasks), and whether the camera was kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.serving import CHROMIUM, DRAWING, serve

DRAWN = (
    "() => { const el = document.querySelector('.view3d'); const t = el && el._fullData && "
    "el._fullData.find(t => t.mode === 'lines+markers'); return t ? t.x.length : 0 }"
)
WATCH = (
    "() => { window.longTasks = []; new PerformanceObserver(list => list.getEntries().forEach("
    "entry => window.longTasks.push(entry.duration))).observe({entryTypes: ['longtask']}) }"
)
TURN = (
    "() => window.Plotly.relayout(document.querySelector('.view3d'), {'scene.camera.eye': {x: 0.3, y: -2.1, z: 0.5}})"
)
EYE = "() => document.querySelector('.view3d')._fullLayout.scene.camera.eye.y"
READY = 20.0  # seconds in which the spare process gets ready, as while a viewer reads the page
PATIENCE = 600_000  # milliseconds


def main() -> None:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="toy-ops")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    if CHROMIUM is None:
        parser.error("no Chromium is installed")
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=DRAWING)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{served.url}/live?preset={arguments.preset}&epochs-{arguments.preset}=100")
        page.get_by_role("button", name="Start", exact=True).wait_for()
        page.wait_for_timeout(1000 * READY)
        before = page.evaluate(DRAWN)  # a finished training may be shown
        begun = time.monotonic()
        page.get_by_role("button", name="Start", exact=True).click()
        page.wait_for_function(f"before => {{ const n = ({DRAWN})(); return n > 0 && n !== before }}", arg=before)
        print(f"first movement {time.monotonic() - begun:.2f} s after Start")
        page.evaluate(WATCH)
        page.evaluate(TURN)
        updates, shown, begun = 0, page.evaluate(DRAWN), time.monotonic()
        while time.monotonic() - begun < arguments.seconds:
            now = page.evaluate(DRAWN)
            updates, shown = updates + (now != shown), now
            page.wait_for_timeout(30)
        blocked = sorted(page.evaluate("() => window.longTasks"))
        print(f"{updates / arguments.seconds:.2f} updates a second")
        longest = blocked[-1] if blocked else 0.0
        print(
            f"longest block {longest:.0f} ms; {sum(b > 300 for b in blocked)} of {len(blocked)} long tasks over 300 ms"
        )
        print(f"camera kept: {abs(page.evaluate(EYE) + 2.1) < 1e-6}")
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped. Every checkpoint is kept").first.wait_for()
        browser.close()


if __name__ == "__main__":
    main()
