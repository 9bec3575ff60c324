"""How soon stored results are shown: ``python -m benchmarks.looking [--repeats N]``.

Runs ``show``, ``report`` and ``export`` of the demo in processes of their own, in turn with one that does nothing but
load PyTorch, so that all see the same machine. Prints median seconds, and how many times what loading PyTorch takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
TORCH = "import torch"
CLI = ("-m", "cli")
COMMANDS = {
    TORCH: ("-c", TORCH),
    "show": (*CLI, "show", "toy-ops"),
    "export, SVG": (*CLI, "export", "toy-ops", "--figure", "compare", "--format", "svg", "--out", "figure.svg"),
    "export, HTML": (*CLI, "export", "toy-ops", "--figure", "compare-3d", "--out", "figure.html"),
    "report": (*CLI, "report", "toy-ops", "--out", "report.html"),
}


def main() -> None:
    """Measure and print; says where a file has other bytes than before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = max(1, parser.parse_args().repeats)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "UNLEARNSCAPE_HOME": str(folder / "home")}
        before: dict[str, bytes] = {}
        for round_ in range(repeats + 1):  # the first one only brings files into memory
            for what, arguments in COMMANDS.items():
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, *arguments], check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL
                )
                if round_:
                    seconds[what].append(time.perf_counter() - start)
            written = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
            if before and written != before:
                raise SystemExit("The same command wrote other bytes than before.")
            before = written
    unit = statistics.median(seconds[TORCH])
    for what, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"{what:14} {middle:6.2f} s ({min(taken):.2f} to {max(taken):.2f})   {middle / unit:5.2f} × {TORCH}")


if __name__ == "__main__":
    main()
