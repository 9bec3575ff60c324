"""The files behind a report: what they hold, what they were made from, and checksums by which to know them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints import CheckpointError
from experiments.experiment import Experiment, versions
from experiments.report_html import code, details, paragraph, table
from experiments.stored import SURFACE_KIND, read_sal, read_stored
from experiments.summary import Summary

DIGITS = 16  # of a checksum or fingerprint in a table
MOST_READ = 512 * 2**20  # bytes of all files that are read through, which takes a second or two
HOW = (
    "SHA-256 is of the file itself: sha256sum (on a Mac shasum -a 256) gives 64 digits that begin so. "
    "Fingerprints are of what a file was made from, so that files made from the same weights or data share them."
)


@dataclass(frozen=True)
class _File:
    """A file of an experiment, by what it says of itself."""

    path: Path
    holds: str
    made_from: str
    versions: Mapping[str, Any]


def files_html(experiment: Experiment, summary: Summary) -> str:
    """Tables of the files and of the versions that made them, with checksums of the files."""
    found = list(_files(experiment, summary))
    names = {one.path: one.path.relative_to(experiment.path).as_posix() for one in found}
    sums = _checksums([one.path for one in found])
    rows = [[names[one.path], one.holds, one.made_from, sums.get(one.path, "–")[:DIGITS]] for one in found]
    parts = [paragraph("No file yet.")]
    if found:
        heads = ["file", "what it holds", "fingerprint of what it was made from", "SHA-256 of the file"]
        lines = "\n".join(f"{sums[path]}  {name}" for path, name in names.items() if path in sums)
        left = len(found) - len(sums)
        unread = f" {left} of the files are too large to be read through for a report." if left else ""
        words = (
            "Save these lines as checksums.txt in the folder of the experiment, then: sha256sum --check checksums.txt"
        )
        parts = [table(heads, rows, words=True), paragraph(HOW + unread)]
        parts.append(details("Checksums in full", paragraph(words) + code(lines)) if lines else "")
    made_with: dict[str, set[str]] = {}
    for one in found:
        for name, version in one.versions.items():
            made_with.setdefault(name, set()).add(str(version))
    used = versions()
    versions_rows = [
        [name, ", ".join(sorted(made_with.get(name, set()))) or "–", used.get(name, "–")]
        for name in sorted({*made_with, *used})
    ]
    heads = ["library", "version of the results", "version of this report"]
    return "".join(parts) + table(heads, versions_rows, words=True)


def _files(experiment: Experiment, summary: Summary) -> Iterator[_File]:
    for path in sorted(experiment.result_files("surfaces")):
        try:
            header = read_stored(path, SURFACE_KIND).header
        except CheckpointError:
            continue
        measured = experiment.data_words(header["measured_on"])
        holds = f"{header['options']['plane']} plane, {measured}, {header['samples']} samples"
        made_from = _made_from(header.get("fingerprints") or {}, header)
        yield _File(path, holds, made_from, header.get("versions", {}))
    for path in sorted(experiment.result_files("sal")):
        try:
            header = read_sal(path).header
        except (CheckpointError, KeyError):
            continue
        options = header["options"]
        holds = f"SAL of {header['run']} by {options['method']}, one block per {options['blocks']}"
        made_from = _made_from({header["run"]: header.get("fingerprint")}, header)
        yield _File(path, holds, made_from, header.get("versions", {}))
    for run in summary.runs:
        if run.state == "finished":
            with experiment.open_run(run.name) as opened:
                made_from = f"its weights {opened.fingerprint[:DIGITS]}"
            holds = f"{run.checkpoints} checkpoint{'' if run.checkpoints == 1 else 's'}"
            yield _File(experiment.run_path(run.name), holds, made_from, {})


def _made_from(weights: Mapping[str, str | None], header: Mapping[str, Any]) -> str:
    """Fingerprints of the runs and the data, as far as they are known."""
    runs = [f"{name} {known[:DIGITS]}" for name, known in weights.items() if known]
    data = str(header.get("data_fingerprint") or "")[:DIGITS]
    said = [f"weights of {', '.join(runs)}"] if runs else []
    return "; ".join([*said, *([f"data {data}"] if data else [])]) or "–"


def _checksums(paths: list[Path]) -> dict[Path, str]:
    """{file: SHA-256}, the small ones first, of as many as are read through in a short time."""
    found, read = {}, 0
    for size, path in sorted((path.stat().st_size, path) for path in paths):
        read += size
        if read > MOST_READ:
            break
        with path.open("rb") as file:
            found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
