"""Principal axes of many long vectors, streamed through the T×T Gram matrix in float64 in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from threadpoolctl import threadpool_limits

READ_BYTES = 1 << 27  # of the files at once
BLOCK = 1024  # columns worked on at once: their differences stay in the processor's cache


def principal_axes(
    runs: Sequence[Any], origin: NDArray[np.float64], keep: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance ratios [2] and unit axes [2, D] of the runs' vectors about their mean; zero outside ``keep`` [D].

    The origin is subtracted first: differences of nearby checkpoints lose no digits that way. The largest entry of
    each axis is positive. Runs give ``column_chunks(width, verify=)``, or only ``vector(i)`` and are then held once.
    """
    sources = [_columns_of(run) for run in runs]
    count = sum(len(run) for run in runs)
    width = int(np.clip(READ_BYTES // (4 * count), BLOCK, 1 << 22))
    gram = np.zeros((count, count), order="F")
    with threadpool_limits(max(1, (os.cpu_count() or 1) - 1)):  # one core is left to whoever reads the file
        for start, piece in _differences(sources, origin, width, verify=True):
            part = _kept(piece, keep[start : start + piece.shape[1]])
            if part.shape[1]:  # the upper triangle of gram += part @ part.T
                gram = dsyrk(1.0, part.T, beta=1.0, c=gram, trans=1, overwrite_c=1)
    if not np.isfinite(np.diag(gram)).all():
        raise ValueError("A checkpoint holds NaN or infinite weights; leave that run or those checkpoints out.")
    gram = np.triu(gram) + np.triu(gram, 1).T
    centred = gram - gram.mean(axis=0) - gram.mean(axis=1, keepdims=True) + gram.mean()
    values, vectors = np.linalg.eigh(centred)
    total = float(np.trace(centred))
    floor = 1e-13 * max(float(np.trace(gram)), 0.0)
    if values[-1] <= floor:
        raise ValueError("All checkpoints are equal, so no direction can be found; use a random plane instead.")
    found = [k for k in range(1, min(2, count) + 1) if values[-k] > max(floor, 1e-13 * values[-1])]
    weights = vectors[:, [-k for k in found]].T
    axes = np.zeros((2, origin.size))
    for start, piece in _differences(sources, origin, width, verify=False):
        axes[: len(found), start : start + piece.shape[1]] = weights @ piece
    axes[:, ~keep] = 0.0
    ratio = np.zeros(2)
    for row, k in enumerate(found):
        axes[row] /= np.linalg.norm(axes[row])
        ratio[row] = values[-k] / total
    if len(found) == 1:
        axes[1] = _at_right_angles(axes[0], keep)
    for axis in axes:
        if axis[np.argmax(np.abs(axis))] < 0:
            axis *= -1
    return ratio, axes


Columns = Callable[[int, bool], Iterator[tuple[int, NDArray[Any]]]]


def _columns_of(run: Any) -> Columns:
    """A run's columns in chunks; one that only gives whole vectors is held once."""
    if hasattr(run, "column_chunks"):
        return lambda width, verify: run.column_chunks(width, verify=verify)
    matrix = np.stack([np.asarray(run.vector(i)) for i in range(len(run))])

    def columns(width: int, verify: bool) -> Iterator[tuple[int, NDArray[Any]]]:
        for start in range(0, matrix.shape[1], width):
            yield start, matrix[:, start : start + width]

    return columns


def _differences(
    sources: Sequence[Columns], origin: NDArray[np.float64], width: int, *, verify: bool
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Differences to the origin [T, w] of all runs, chunk by chunk; the next chunk is read meanwhile."""
    streams = [source(width, verify) for source in sources]

    def read() -> tuple[int, list[NDArray[Any]]] | None:
        chunks = [next(stream, None) for stream in streams]
        present = [chunk for chunk in chunks if chunk is not None]
        return (present[0][0], [piece for _, piece in present]) if present else None

    buffer = np.empty((0, 0))
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(read)
        while (chunk := coming.result()) is not None:
            coming = pool.submit(read)
            start, pieces = chunk
            rows = sum(len(piece) for piece in pieces)
            for left in range(0, pieces[0].shape[1], BLOCK):
                wide = min(BLOCK, pieces[0].shape[1] - left)
                if buffer.shape != (rows, wide):
                    buffer = np.empty((rows, wide))
                at = 0
                for piece in pieces:
                    out = buffer[at : at + len(piece)]
                    with np.errstate(invalid="ignore"):
                        base = origin[start + left : start + left + wide]
                        np.subtract(piece[:, left : left + wide], base, out=out)
                    at += len(piece)
                yield start + left, buffer


def _kept(piece: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    return piece if keep.all() else np.ascontiguousarray(piece[:, keep])


def _at_right_angles(axis: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A fixed unit vector at right angles to a unit vector: the coordinate it uses least, made orthogonal."""
    if keep.sum() < 2:
        raise ValueError("A plane needs at least two parameters; choose a larger block.")
    other = np.zeros_like(axis)
    other[np.argmin(np.where(keep, np.abs(axis), np.inf))] = 1.0
    other -= (other @ axis) * axis
    return np.asarray(other / np.linalg.norm(other))
