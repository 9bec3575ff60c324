"""Damaged files through the upload path of the page *Add a run*: ``python -m benchmarks.mutated_uploads [COUNT]``.

Makes COUNT (2,000) mutations of a recorded run, of torch.save files of both formats and of a safetensors file, each
laid into a folder of its own and examined in a child process; 50 share a child, whose limits (1 GiB, 240 s) hold for
all of them together. Prints one line of JSON: how many were refused in one sentence, how many were read (a change that
does no harm, as of a value in a file without checksums), and everything else, of which there should be nothing.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.experiments.mutations import examine_all, is_sentence, mutated, samples

TOGETHER = 50


def main() -> None:
    """Mutate, examine, count."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    chance, counts, started = random.Random(0), Counter[str](), time.perf_counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        tempfile.tempdir = str(Path(name) / "uploads")  # where they are laid out; nothing may be left there
        Path(tempfile.tempdir).mkdir()
        files = samples(Path(name))
        before = {place: place.read_bytes() for place in Path(name).glob("*.h5")}
        for first in range(0, count, TOGETHER):
            kinds = [list(files)[i % len(files)] for i in range(first, min(first + TOGETHER, count))]
            uploads = [[(kind, mutated(files[kind], files[chance.choice(list(files))], chance))] for kind in kinds]
            since = time.perf_counter()
            for kind, answer in zip(kinds, examine_all(uploads), strict=True):
                counts[f"{kind}: {_outcome(answer)}"] += 1
            slowest = max(slowest, time.perf_counter() - since)
        counts["files left behind"] = len(list(Path(tempfile.tempdir).glob("unlearnscape*")))
        counts["files outside changed"] = sum(place.read_bytes() != data for place, data in before.items())
        counts["files outside added"] = len(set(Path(name).iterdir()) - set(before) - {Path(tempfile.tempdir)})
    seconds = round(time.perf_counter() - started, 1)
    print(json.dumps({"mutations": count, "seconds": seconds, "slowest_child": round(slowest, 1), **counts}))


def _outcome(answer: dict[str, object]) -> str:
    if "problem" not in answer:
        return "read"
    text = str(answer["problem"])
    if "needs more than" in text or "takes longer" in text:
        return "the child died"
    return "refused" if is_sentence(text) else f"NO SENTENCE {text}"


if __name__ == "__main__":
    main()
