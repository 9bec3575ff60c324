"""A run that is still being recorded: a folder with one file per checkpoint and a manifest whose lines commit them.

``manifest.jsonl``: the first line is the header, each further line commits one checkpoint. A line counts only when it
ends with a newline and its own digest fits, so a torn last line is no checkpoint.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints.errors import CheckpointError
from checkpoints.layout import StateLayout

LIVE = ".live"
MANIFEST = "manifest.jsonl"
FORMAT, VERSION = "unlearnscape-run", 1
FILE_PATTERN = re.compile(r"checkpoint-\d{8}\.bin\Z")
MAX_MANIFEST = 256 << 20


@dataclass(frozen=True)
class Commit:
    """One acknowledged checkpoint."""

    step: int
    epoch: float
    metrics: dict[str, float]
    file: str
    size: int
    digest: str  # sha256 of the file


def live_folder(path: Path) -> Path:
    """The folder in which the run of the final file ``path`` is recorded."""
    return path if path.name.endswith(LIVE) else path.with_name(path.name + LIVE)


def encode_line(table: dict[str, Any]) -> bytes:
    """One line of the manifest, with its own digest in front."""
    text = json.dumps(table, separators=(",", ":"))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n".encode()


def encode_header(layout: StateLayout, metadata: dict[str, Any]) -> bytes:
    """The first line of the manifest."""
    try:
        return encode_line({"format": FORMAT, "version": VERSION, "layout": layout.to_json(), "metadata": metadata})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The metadata of the run cannot be stored as JSON: {error}.") from None


def read_manifest(folder: Path) -> tuple[StateLayout, dict[str, Any], list[Commit], int]:
    """Read layout, metadata, commits, and the length in bytes of what is valid."""
    path = folder / MANIFEST
    try:
        if path.is_symlink() or path.stat().st_size > MAX_MANIFEST:
            raise CheckpointError(f"{path} is refused: it is a link or too large for a manifest.")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder} holds no readable recording ({error.strerror or error}).") from None
    lines = data.split(b"\n")
    complete, valid = lines[:-1], 0
    tables: list[dict[str, Any]] = []
    for number, line in enumerate(complete):
        table = _decode(line)
        if table is None:
            if number == len(complete) - 1 and number > 0:
                break  # torn while being written: never acknowledged
            raise CheckpointError(f"{path} is damaged at line {number + 1}; restore it from a copy.")
        tables.append(table)
        valid += len(line) + 1
    if not tables:
        raise CheckpointError(f"{path} has no header: the recording had not begun; remove {folder} and record again.")
    try:
        layout, metadata = _header(tables[0])
        commits = [_commit(table, layout) for table in tables[1:]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        raise CheckpointError(f"{path} is not a recording of this format; give a folder that Recorder wrote.") from None
    if any(b.step <= a.step for a, b in itertools.pairwise(commits)):
        raise CheckpointError(f"{path} is damaged: its steps do not ascend.")
    return layout, metadata, commits, valid


def _decode(line: bytes) -> dict[str, Any] | None:
    digest, _, text = line.partition(b" ")
    if hashlib.sha256(text).hexdigest()[:16].encode() != digest:
        return None
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return table if isinstance(table, dict) else None


def _header(table: dict[str, Any]) -> tuple[StateLayout, dict[str, Any]]:
    if table["format"] != FORMAT or table["version"] != VERSION or not isinstance(table["metadata"], dict):
        raise ValueError("header")
    return StateLayout.from_json(table["layout"]), table["metadata"]


def _commit(table: dict[str, Any], layout: StateLayout) -> Commit:
    commit = Commit(
        step=int(table["step"]),
        epoch=float(table["epoch"]),
        metrics={str(name): float(value) for name, value in table["metrics"].items()},
        file=str(table["file"]),
        size=int(table["size"]),
        digest=str(table["digest"]),
    )
    expected = layout.parameters.size * layout.vector_dtype.itemsize + layout.others.bytes
    if not FILE_PATTERN.match(commit.file) or commit.size != expected:
        raise ValueError("commit")
    return commit


def read_checkpoint(folder: Path, commit: Commit, layout: StateLayout) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Read and verify one checkpoint: the vector [D] and the other state's bytes [S]."""
    vector, rest, _ = read_hashed(folder, commit, layout)
    return vector, rest


def read_hashed(
    folder: Path, commit: Commit, layout: StateLayout, buffer: NDArray[np.uint8] | None = None
) -> tuple[NDArray[Any], NDArray[np.uint8], bytes]:
    """Read and verify one checkpoint, as :func:`read_checkpoint`, with the SHA-256 of its vector's bytes.

    Args:
        buffer: [commit.size] where the bytes are put, so that many checkpoints need the memory of one. What is
            returned are views of it.
    """
    path = folder / commit.file
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(number, "rb") as file:
            fits = os.fstat(file.fileno()).st_size == commit.size
            if buffer is None:
                buffer = np.empty(commit.size if fits else 0, np.uint8)  # no memory for a size that is only declared
            fits = fits and file.readinto(buffer.data) == commit.size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from None
    split = layout.parameters.size * layout.vector_dtype.itemsize
    digest = hashlib.sha256(buffer[:split].data)
    of_vector = digest.digest()  # of what came so far: the vector's bytes are hashed once for both
    digest.update(buffer[split:].data)
    if not fits or digest.hexdigest() != commit.digest:
        raise CheckpointError(f"{path} (step {commit.step}) is damaged; restore it, or remove the recording.")
    return buffer[:split].view(layout.vector_dtype), buffer[split:], of_vector
