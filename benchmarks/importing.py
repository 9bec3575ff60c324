"""Importing checkpoints of ResNet-18 as others save them: ``python -m benchmarks.importing [COUNT] [FOLDER]``.

Makes COUNT files of torch.save (45 MB each; default 100, 4.5 GB) in a temporary folder, imports them in a process of
its own that begins with files that are not in memory, checks one checkpoint bit by bit, and deletes everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torchvision.models import resnet18

from benchmarks.big_pca import peak_memory
from checkpoints import open_run
from checkpoints.importing import import_checkpoints


def main() -> None:
    """Make, import, check; prints one line of JSON: seconds, bytes above a process that imported nothing."""
    if sys.argv[1:2] == ["import"]:
        _import(Path(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        folder = Path(name) / "resnet18"
        folder.mkdir()
        state = _make(folder, count)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.importing", "import", str(folder)], check=True, capture_output=True
        )
        stored = open_run(Path(name) / "resnet18.h5").state_dict(count - 1)
        if any(not torch.equal(stored[key], tensor) for key, tensor in state.items()):
            raise SystemExit("The last checkpoint differs from the file it was imported from.")
        print(done.stdout.decode().strip())


def _make(folder: Path, count: int) -> dict[str, torch.Tensor]:
    """Write the files and drop them from memory; returns the last state."""
    torch.manual_seed(0)
    state = resnet18(num_classes=10).state_dict()
    for i in range(count):
        for tensor in state.values():
            if tensor.is_floating_point():
                tensor += 0.01
        path = folder / f"epoch_{i}.pt"
        torch.save({"state_dict": state, "epoch": i}, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return state


def _import(folder: Path) -> None:
    before, started = peak_memory(), time.perf_counter()
    report = import_checkpoints(folder, folder.with_suffix(".h5"))
    seconds = time.perf_counter() - started
    one = max(entry.bytes for entry in report.files)
    print(
        json.dumps(
            {
                "checkpoints": len(report.files),
                "bytes_each": one,
                "seconds": round(seconds, 1),
                "peak_above_start": peak_memory() - before,
                "peak_above_one_checkpoint": peak_memory() - before - one,
            }
        )
    )


if __name__ == "__main__":
    main()
