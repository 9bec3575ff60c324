"""What recording ResNet-18 costs its training: ``python -m benchmarks.recording [--pairs 10] [--stem cifar]``.

One checkpoint per 20 steps of SGD, batches of 32 images of 32×32×3, 11.2 million parameters, on one thread of the CPU,
written beside the training. Time: blocks of 20 steps of two equal trainings take turns, one of them recorded; its
blocks begin with a checkpoint and end when that is durable. Processor time counts the writing thread too. Memory: the
peak of a process that trains and records against that of one that only trains. The ImageNet stem shrinks the images at
once: a training some ten times cheaper, and so the harder case.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from benchmarks.big_pca import peak_memory
from checkpoints import Recorder, open_run
from training.models import build_model

EVERY, BATCH = 20, 32
STEMS = ("imagenet", "cifar")
TIME_BAR, MEMORY_BAR = 5, 3  # per cent of training time, checkpoints


class Seconds(NamedTuple):
    """Of the wall clock, and of the processor in all threads."""

    wall: float
    processor: float


class Training:
    """SGD with momentum on random images; all of them take the same steps."""

    def __init__(self, stem: str) -> None:
        torch.manual_seed(0)
        self.model = (
            resnet18(num_classes=10) if stem == "imagenet" else build_model("resnet18", (3, 32, 32), 10, seed=0)
        )
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.chance = torch.Generator().manual_seed(0)

    def block(self) -> Tensor:
        """As many steps as lie between two checkpoints; gives the last loss."""
        for _ in range(EVERY):
            images = torch.randn(BATCH, 3, 32, 32, generator=self.chance)
            loss = nn.functional.cross_entropy(self.model(images), torch.randint(10, (BATCH,), generator=self.chance))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        return loss.detach()


def now() -> Seconds:
    """The clocks."""
    return Seconds(time.perf_counter(), time.process_time())


def since(began: Seconds) -> Seconds:
    """What passed."""
    return Seconds(*(end - begin for end, begin in zip(now(), began, strict=True)))


def total(blocks: list[Seconds]) -> Seconds:
    """The sum of both clocks."""
    return Seconds(*map(sum, zip(*blocks, strict=True)))


def measure_time(stem: str, pairs: int, folder: Path) -> tuple[Seconds, Seconds, Seconds, Seconds]:
    """Seconds of the blocks that were not recorded, of those that were, of opening the recording and of packing it."""
    plain, recorded = Training(stem), Training(stem)
    plain.block(), recorded.block()  # first steps are slower
    began = now()
    recorder = Recorder(folder / "time.h5", recorded.model, background=True)
    opening = since(began)
    blocks: dict[bool, list[Seconds]] = {False: [], True: []}
    for pair in range(pairs):
        for record in (pair % 2 == 0, pair % 2 == 1):
            began = now()
            if record:
                recorder.record(pair * EVERY)
                recorded.block()
                recorder.flush()
            else:
                plain.block()
            blocks[record].append(since(began))
    began = now()
    recorder.finish()
    packing = since(began)
    if any(not torch.equal(a, b) for a, b in zip(plain.model.parameters(), recorded.model.parameters(), strict=True)):
        raise SystemExit("The recorded training took other steps than the one that was not recorded.")
    with open_run(folder / "time.h5") as run:
        if len(run) != pairs:
            raise SystemExit(f"{len(run)} checkpoints were stored of {pairs}.")
    return total(blocks[False]), total(blocks[True]), opening, packing


def measure_memory(stem: str, pairs: int, folder: Path | None) -> tuple[int, int]:
    """Peak bytes of this process after a training, recorded where a folder is given, and after packing."""
    training = Training(stem)
    if folder is None:
        for _ in range(pairs):
            training.block()
        return peak_memory(), peak_memory()
    with Recorder(folder / "memory.h5", training.model, background=True) as recorder:
        for pair in range(pairs):
            recorder.record(pair * EVERY)
            training.block()
        recorder.flush()
        trained = peak_memory()
    return trained, peak_memory()


def memory_in_its_own_process(stem: str, pairs: int, folder: Path | None) -> list[int]:
    """:func:`measure_memory` of a new process."""
    command = [sys.executable, "-m", "benchmarks.recording", "--memory", str(folder or ""), "--stem", stem]
    done = subprocess.run([*command, "--pairs", str(pairs)], check=True, capture_output=True, text=True)
    return [int(peak) for peak in done.stdout.split()]


def report(stem: str, pairs: int, memory_pairs: int) -> None:
    """Measure and print one stem."""
    with tempfile.TemporaryDirectory() as name:
        plain, recorded, opening, packing = measure_time(stem, pairs, Path(name))
        peaks = [memory_in_its_own_process(stem, memory_pairs, folder) for folder in (None, Path(name))]
    checkpoint = sum(t.nbytes for t in Training(stem).model.state_dict().values())
    print(f"ResNet-18, {stem} stem: {pairs} blocks of {EVERY} steps each way, checkpoints of {checkpoint / 1e6:.1f} MB")
    print(f"  {'':34} {'wall clock':>12} {'processor':>12}")
    rows = {
        "a step without recording (ms)": [1000 * x / pairs / EVERY for x in plain],
        "recording (% of training time)": [100 * (b - a) / a for a, b in zip(plain, recorded, strict=True)],
        "… opening and packing included (%)": [
            100 * (b + c + d - a) / a for a, b, c, d in zip(plain, recorded, opening, packing, strict=True)
        ],
    }
    for what, numbers in rows.items():
        print(f"  {what:34} " + " ".join(f"{number:12.2f}" for number in numbers))
    print(f"  bar: below {TIME_BAR} %")
    for i, when in enumerate(("while training", "packing included")):
        above = (peaks[1][i] - peaks[0][i]) / checkpoint
        both = f"peak {peaks[1][i] / 1e6:.0f} against {peaks[0][i] / 1e6:.0f} MB"
        print(f"  memory above training, {when}: {above:.2f} checkpoints ({both})")
    print(f"  bar: below {MEMORY_BAR} checkpoints", flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--stem", choices=STEMS, action="append", help="default: both")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stems = arguments.stem or list(STEMS)
    if arguments.memory is not None:
        print(*measure_memory(stems[0], arguments.pairs, Path(arguments.memory) if arguments.memory else None))
        return
    for stem in stems:
        report(stem, arguments.pairs, memory_pairs=3)


if __name__ == "__main__":
    main()
