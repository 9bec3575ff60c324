"""One step of the PCA comparison, in a process of its own: make the runs, read them once, or find their plane."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from benchmarks.synthetic import write_random_walk
from checkpoints import open_run
from landscape import pca_plane


def main() -> None:
    """``make|read|pca FOLDER PARAMETERS CHECKPOINTS``; prints seconds and peak memory in bytes."""
    what, folder, size, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    paths = [folder / f"run{k}.h5" for k in range(2)]
    if what == "make":
        for k, path in enumerate(paths):
            write_random_walk(path, parameters=size, checkpoints=count, seed=k)
        return
    for path in paths:  # both begin with files that are not in memory
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    runs = [open_run(path) for path in paths]
    start = time.perf_counter()
    if what == "read":
        for run in runs:
            for i in range(len(run)):
                run.vector(i)
    else:
        pca_plane(runs)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": peak_memory()}))


def peak_memory() -> int:
    """Bytes this program held at most. Unlike ``getrusage``, it does not count the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
