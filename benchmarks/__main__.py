"""``python -m benchmarks``: every comparison in one run, printed and stored with the machine it ran on."""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from analysis import sharpness_aware_learnability
from benchmarks import cases, others, plain
from landscape import evaluate_surface, model_blocks, random_plane
from landscape.evaluation import Evaluator
from landscape.kernel import Strategy
from landscape.strategy import PlaneEvaluator

LONG = 10.0  # seconds of the other way from which on it is measured once
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "loss-landscapes", "loss-landscape-anim")


@dataclass(frozen=True)
class Row:
    """One comparison: seconds are medians; ``difference`` is the largest, relative to the values' range or size."""

    what: str
    against: str
    seconds: float
    other_seconds: float
    difference: str
    limit: str

    @property
    def ratio(self) -> float:
        """How many times faster."""
        return self.other_seconds / self.seconds


class Bench:
    """Rows, and how they are timed."""

    def __init__(self, device: str, repeats: int, quick: bool) -> None:
        self.device, self.repeats, self.quick = torch.device(device), repeats, quick
        self.rows: list[Row] = []
        self.peak = self._peak()

    def add(self, *fields: Any) -> None:
        """Keep and print a row."""
        row = Row(*fields)
        self.rows.append(row)
        print(f"{row.what:44} {row.ratio:8.1f}×  against {row.against:24} {row.difference:28} {row.limit}", flush=True)

    def time(self, function: Callable[..., Any], *given: Any, repeats: int = 0, **options: Any) -> tuple[float, Any]:
        """Median seconds and the result of a call with these arguments."""
        seconds, result = [], None
        for _ in range(repeats or self.repeats):
            self.wait()
            start = time.perf_counter()
            result = function(*given, **options)
            self.wait()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds), result

    def both(self, mine: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, Any, float, Any]:
        """Median seconds and results of two ways, in turn, so that a machine that slows down slows both.

        Where the other takes long, it is measured once: a long time is a mean already.
        """
        self.time(mine, repeats=1)
        seconds: tuple[list[float], list[float]] = ([], [])
        found: list[Any] = [None, None]
        for number in range(self.repeats):
            for k, way in enumerate((mine, other)):
                if k == 0 or number == 0 or seconds[1][0] < LONG:
                    took, found[k] = self.time(way, repeats=1)
                    seconds[k].append(took)
        return statistics.median(seconds[0]), found[0], statistics.median(seconds[1]), found[1]

    def wait(self) -> None:
        """Let the accelerator finish."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _peak(self) -> float:
        """Multiplications and additions per second of a large matrix product in float32."""
        a = torch.randn(2048, 2048, device=self.device)
        return 2 * 2048**3 / self.time(torch.matmul, a, a, repeats=5)[0]

    def share(self, flops: float, seconds: float) -> str:
        """How much of that peak a computation reached, counted as the plain version would do it."""
        rate = flops / seconds
        return f"{rate / 1e9:.0f} GFLOP/s as the plain one counts, {rate / self.peak:.1f} of a matrix product's"


def flops_of(model: torch.nn.Module, x: torch.Tensor) -> float:
    """Multiplications and additions of one forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return float(counter.get_total_flops())


def surfaces(bench: Bench) -> None:
    """Whole surfaces, the trial of strategies included."""
    for name, side, samples in (("linear", 51, 4000), ("mlp", 25, 1000), ("lenet5", 25, 1000)):
        x, y = (t.to(bench.device) for t in cases.data(name, samples))
        model = cases.network(name, x.cpu(), y.cpu()).to(bench.device)
        plane, grid = random_plane(model, seed=0), np.linspace(-1, 1, side)
        what = f"surface {name} {side}×{side}, {len(x)} samples"
        work = flops_of(model, x) * side**2
        ours = partial(evaluate_surface, model, plane, [(x, y)], grid, grid)
        seconds, found, other, wanted = bench.both(ours, partial(plain.surface, model, plane, x, y, grid, grid))
        scale = np.ptp(found.loss)
        limit = f"{found.strategy}; {bench.share(work, seconds)}"
        bench.add(what, "plain loop", seconds, other, _off(found.loss, wanted, scale), limit)
        if name != "linear" and bench.device.type == "cpu":
            try:
                theirs = partial(others.loss_landscapes, model, plane, x, y, grid, grid)
                mine, found, other, wanted = bench.both(ours, theirs)
                limit = f"{found.strategy}; {bench.share(work, mine)}"
                bench.add(what, "loss-landscapes", mine, other, _off(found.loss, wanted, scale), limit)
                at = others.loss_landscape_anim(model, plane, x[:8], y[:8], side - 1)[1]  # its own coordinates
                theirs = partial(others.loss_landscape_anim, model, plane, x, y, side - 1)
                mine, found, other, (wanted, _) = bench.both(
                    partial(evaluate_surface, model, plane, [(x, y)], at, at), theirs
                )
                limit = f"{found.strategy}; {bench.share(work, mine)}"
                bench.add(what, "loss-landscape-anim", mine, other, _off(found.loss, wanted, scale), limit)
            except ImportError as error:
                print(f"{what}: {error}")
        if name == "lenet5":
            few, rough, seconds, found = bench.both(partial(ours, tolerance=0.01), ours)
            told = rough.interpolation_error / scale
            words = (
                f"{_off(rough.loss, found.loss, scale)} of the range (told {told:.1e}), {rough.evaluated.sum()} points"
            )
            bench.add(f"{what}, tolerance 1 %", "its own full grid", few, seconds, words, "interpolation")


def resnet18(bench: Bench) -> None:
    """Big network: what a point of a surface costs once the way is chosen by the trial of a 25 × 25 surface."""
    x, y = (t.to(bench.device) for t in cases.data("resnet18", 256))
    model = cases.network("resnet18", x.cpu(), y.cpu(), steps=4).to(bench.device).eval()
    plane, a, b = random_plane(model, seed=0), np.array([-0.5, 0.25]), np.array([0.5, -0.25])
    corners = [(a[0], b[0]), (a[1], b[1])]
    work = flops_of(model, x) * len(a)
    moved = copy.deepcopy(model)
    ways = {
        size: PlaneEvaluator.with_strategy(
            Evaluator(moved, [(x[i : i + size], y[i : i + size]) for i in range(0, 256, size)], None), plane, Strategy()
        )
        for size in (256, 64, 16)
    }
    best = min(ways, key=lambda size: bench.time(ways[size].measure, a, b, repeats=1)[0])
    for kind in (torch.float32, torch.bfloat16):
        cast = copy.deepcopy(model).to(kind)
        begin = time.perf_counter()
        ours = PlaneEvaluator(Evaluator(cast, [(x.to(kind), y)], None), plane, corners, 25 * 25)
        trial = time.perf_counter() - begin
        for size in dict.fromkeys((best, 256)):
            seconds, found, other, wanted = bench.both(partial(ours.measure, a, b), partial(ways[size].measure, a, b))
            off = _off(found[:, 0], wanted[:, 0], float(np.ptp(wanted[:, 0])))
            what = f"surface resnet18 {str(kind).removeprefix('torch.')}, per {len(a)} points, 256 samples"
            limit = f"{ours.strategy} (chosen in {trial:.0f} s); {bench.share(work, seconds)}"
            against = "plain, one batch" if size == 256 else f"plain, batches of {size}"
            bench.add(what, against, seconds, other, off, limit)


def sal(bench: Bench) -> None:
    """SAL of every layer at one checkpoint."""
    settings: dict[str, Any] = {"epsilon": 0.05, "lr": 0.1}
    for name, count, steps in (("lenet5", 1000, 10), ("resnet-small", 256, 10)):
        x, y = (t.to(bench.device) for t in cases.data(name, count))
        model = cases.network(name, x.cpu(), y.cpu()).to(bench.device)
        searched = None
        # Two gradients and two evaluations a block and pass; a backward pass counts as two forward ones.
        work = flops_of(model, x) * 8 * steps * len(model_blocks(model))
        for size in (count, 128):
            batches = [(x[i : i + size], y[i : i + size]) for i in range(0, count, size)]
            mode = "full batch" if size == count else f"batches of {size}"
            other, wanted = bench.time(plain.sal_search, model, batches, steps=steps, **settings, repeats=1)
            for method in ("search", "projected", "gradient") if size == count else ("search",):
                options = {**settings, "steps": steps, "method": method}
                seconds, blocks = bench.time(sharpness_aware_learnability, model, batches, **options)
                values = np.array([block.sal for block in blocks])
                if method == "search":
                    searched = values if size == count else searched
                    words = f"{np.max(np.abs(values - wanted) / np.maximum(np.abs(wanted), 1e-9)):.1e} relative"
                elif method == "projected":
                    words = f"{np.min(values / wanted):.2f} to {np.max(values / wanted):.0f} times the search's"
                else:
                    words = f"rank correlation {spearmanr(values, searched).statistic:.2f} with the search"
                what = f"SAL {method} {name}, {count} samples, {steps} passes, {mode}"
                bench.add(what, "plain search", seconds, other, words, bench.share(work, seconds))


def pca(bench: Bench) -> None:
    """Joint PCA of two large runs, in a process of its own whose memory is watched."""
    size, count = (1_000_000, 50) if bench.quick else (11_200_000, 100)
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for what in ("make", "read", "pca"):
            command = [sys.executable, "-m", "benchmarks.big_pca", what, folder, str(size), str(count)]
            environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
            results[what] = json.loads(done.stdout or "{}")
        mine, read = results["pca"], results["read"]
        words = f"peak {mine['peak'] / 2**30:.2f} GiB"
        what = f"joint PCA, 2 × {count} × {size / 1e6:.1f} million"
        limit = f"{mine['seconds'] / read['seconds']:.2f} times reading once; the Gram matrix in float64"
        bench.add(what, "reading the files once", mine["seconds"], read["seconds"], words, limit)


def _off(found: Any, wanted: Any, scale: float) -> str:
    return f"{float(np.nanmax(np.abs(np.asarray(found) - np.asarray(wanted)))) / scale:.1e}"


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    if device.type == "cpu" and Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "device": name,
        "capability": capability,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": found,
    }


def table(rows: list[Row], about: dict[str, Any], peak: float) -> str:
    """The rows as Markdown."""
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    lines = [
        f"{about['device']} ({about['capability']}), {about['cores']} cores, {about['threads']} thread; a matrix "
        f"product reaches {peak / 1e9:.0f} GFLOP/s. Python {about['python']}, {packages}. Seconds are medians.",
        "",
        "| what | seconds | against | its seconds | times faster | difference | how, and what limits it |",
        "|---|---:|---|---:|---:|---|---|",
    ]
    for r in rows:
        cells = (
            r.what,
            f"{r.seconds:.3g}",
            r.against,
            f"{r.other_seconds:.3g}",
            f"{r.ratio:.1f}",
            r.difference,
            r.limit,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="smaller cases, a few minutes")
    parser.add_argument("--only", default="", help="surfaces, resnet18, sal, pca; separated by commas")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(arguments.device, arguments.repeats, arguments.quick)
    wanted = [part for part in arguments.only.split(",") if part]
    parts = {"surfaces": surfaces, "resnet18": resnet18, "sal": sal, "pca": pca}
    if unknown := set(wanted) - set(parts):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(parts)}")
    for name, part in parts.items():
        if not wanted or name in wanted:
            part(bench)
    about = machine(bench.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    # What is not the whole comparison must not take its place.
    stem = arguments.out / "-".join([bench.device.type, *wanted, *(["quick"] if arguments.quick else [])])
    rows = [asdict(row) | {"ratio": row.ratio} for row in bench.rows]
    stem.with_suffix(".json").write_text(json.dumps({"machine": about, "peak": bench.peak, "rows": rows}, indent=1))
    stem.with_suffix(".md").write_text(table(bench.rows, about, bench.peak))
    print(f"\nStored in {stem}.md and {stem}.json")


if __name__ == "__main__":
    main()
