"""Many viewers on one server: every one trains something of their own and walks through the pages meanwhile.

``python -m benchmarks.sessions --sessions 20 --minutes 5`` prints errors, response times, the server's memory after
warm-up, who took the processors, and whether all jobs were served in turn. The browsers draw no 3-D: in a class each
viewer's machine does. Here they share the server's processors, and take most of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.serving import CHROMIUM, NOT_DRAWING, Served, serve

TITLES = ("Compare paths", "Sharpness", "Unlearnable Distance", "Live")
THINK = (1.0, 6.0)  # seconds between two acts of a viewer
WARM_UP = 0.3  # share of the time after which memory should be flat
HARMLESS = ("metrics", "NAME_NOT_RESOLVED", "_stcore", "WebGL", "404")


@dataclass
class Findings:
    """What was seen so far."""

    responses: list[float] = field(default_factory=list)  # seconds
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)  # seconds since the start, bytes
    busy: dict[tuple[str, int], float] = field(default_factory=dict)  # {(who, process): seconds of processor time}
    idle: tuple[float, float] = (0.0, 0.0)  # seconds of processor time that nobody took: at the start, at the end
    lasted: float = 0.0  # seconds until the last viewer was done


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--epochs", type=int, default=2, help="Of every viewer's training.")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        parser.error("no Chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNLEARNSCAPE_HOME"] = folder
        with serve(Path(folder)) as served:
            seconds = 60 * arguments.minutes
            found = asyncio.run(_watch(served, arguments.sessions, seconds, arguments.epochs))
            _report(found, served, arguments.sessions, seconds)


async def _watch(served: Served, sessions: int, seconds: float, epochs: int) -> Findings:
    from playwright.async_api import async_playwright

    found, begun = Findings(), time.monotonic()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=NOT_DRAWING)
        found.idle = (_idle(), 0.0)
        memory = asyncio.create_task(_memory(served, found, begun))
        watching = asyncio.create_task(_busy(served, found))
        viewers = [_viewer(browser, served, number, begun + seconds, epochs, found) for number in range(sessions)]
        await asyncio.gather(*viewers)
        watching.cancel()
        found.idle, found.lasted = (found.idle[0], _idle()), time.monotonic() - begun
        await _until_served(begun + 3 * seconds + 60)
        memory.cancel()
        await browser.close()
    return found


async def _viewer(browser, served: Served, number: int, end: float, epochs: int, found: Findings) -> None:  # type: ignore[no-untyped-def]
    """One session: start a training of one's own, then look at pages until the end."""
    chance = random.Random(number)
    await asyncio.sleep(0.5 * number)
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(120_000)
    page.on("console", lambda message: _note(found, number, message))
    try:
        await page.goto(f"{served.url}/live?seed-toy-ops={number}&epochs-toy-ops={epochs}&speed=full")
        await page.locator("h1", has_text="Live").wait_for()
        await page.get_by_role("button", name="Start", exact=True).click()
        await page.wait_for_function("location.search.includes('watch=')")
        while time.monotonic() < end:
            await asyncio.sleep(chance.uniform(*THINK))
            title = chance.choice(TITLES)
            before = time.monotonic()
            await page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
            await page.locator("h1", has_text=title).wait_for()
            found.responses.append(time.monotonic() - before)
            if await page.get_by_test_id("stException").count():
                found.errors.append(f"session {number}: an exception is shown on {title}")
    except Exception as error:  # whatever ends a session is what is looked for
        found.errors.append(f"session {number}: {str(error).splitlines()[0]}")
    finally:
        await context.close()


def _note(found: Findings, number: int, message) -> None:  # type: ignore[no-untyped-def]
    if message.type == "error" and not any(word in message.text + str(message.location) for word in HARMLESS):
        found.errors.append(f"session {number}: {message.text[:200]}")


async def _memory(served: Served, found: Findings, begun: float) -> None:
    process = psutil.Process(served.process.pid)
    while True:
        found.memory.append((time.monotonic() - begun, process.memory_info().rss))
        await asyncio.sleep(2.0)


async def _busy(served: Served, found: Findings) -> None:
    """Keep the processor time of the server, its jobs and the browsers, which outlives their processes."""
    me, server = psutil.Process(), psutil.Process(served.process.pid)
    while True:
        jobs = server.children(recursive=True)
        browsers = set(me.children(recursive=True)) - {server, *jobs}
        for who, processes in (("server", [server]), ("trainings", jobs), ("browsers", [me, *browsers])):
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    found.busy[who, process.pid] = times.user + times.system
        await asyncio.sleep(1.0)


def _idle() -> float:
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))


async def _until_served(deadline: float) -> None:
    from experiments import jobs

    while any(job.running for job in jobs.list_jobs()) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)


def _report(found: Findings, served: Served, sessions: int, seconds: float) -> None:
    from experiments import jobs

    started = sorted(jobs.list_jobs(), key=lambda job: job.id)
    done = sum(job.state == "done" for job in started)
    print(f"{sessions} sessions for {seconds / 60:g} minutes on {psutil.cpu_count()} cores")
    print(f"errors: {len(found.errors)}" + "".join(f"\n  {error}" for error in found.errors[:10]))
    log = served.log
    print(f"tracebacks in the server's log: {log.count('Traceback')}")
    if "Traceback" in log:
        print(log[log.index("Traceback") :][:2000])
    if found.responses:
        ordered = sorted(found.responses)
        p95 = ordered[int(0.95 * (len(ordered) - 1))]
        print(f"page response: median {statistics.median(ordered):.2f} s, 95 % {p95:.2f} s, {len(ordered)} visits")
    warm = [rss for at, rss in found.memory if at >= WARM_UP * seconds]
    if warm:
        print(
            f"server memory after warm-up: {warm[0] / 2**20:.0f} MiB, at most {100 * (max(warm) / warm[0] - 1):+.1f} %"
        )
    whole, spare = found.lasted * (psutil.cpu_count() or 1), found.idle[1] - found.idle[0]
    shares = {who: sum(took for (name, _), took in found.busy.items() if name == who) for who, _ in found.busy}
    shares |= {"nobody": spare, "others": max(0.0, whole - spare - sum(shares.values()))}
    print("processors: " + ", ".join(f"{who} {100 * took / whole:.0f} %" for who, took in shares.items()))
    print(f"jobs: {len(started)} started, {done} done, at most {jobs.cap()} at a time")


if __name__ == "__main__":
    main()
