"""The vertical scale of surface figures: linear or logarithmic, with honest clipping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landscape.ticks import labels_of, log_ticks

LOG_FACTOR = 20.0  # a larger range than this is drawn logarithmically
CLIP_DECADES = 6.0  # above the smallest loss
SCALES = ("auto", "log", "linear")


@dataclass(frozen=True)
class Heights:
    """How values become heights, shared by all panels of a figure."""

    log: bool
    low: float
    high: float
    clip: float | None  # in the quantity's own unit
    ticks: list[float]
    labels: list[str]
    title: str
    note: str

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heights of values; NaN stays a gap, infinite and clipped values take the top."""
        capped = np.where(np.isposinf(values), np.inf, values)
        if self.clip is not None:
            capped = np.minimum(capped, self.clip)
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                capped = np.log10(np.maximum(capped, 10.0**self.low))
        return np.asarray(np.clip(capped, self.low, self.high))


def choose_heights(values: Sequence[NDArray[np.float64]], quantity: str, scale: str, name: str = "") -> Heights:
    """One scale for all panels: logarithmic when the range of a loss exceeds a factor of 20, or as asked.

    ``name``: what the quantity is called, where that is something else.
    """
    name = name or quantity
    if scale not in SCALES:
        raise ValueError(f"scale must be 'auto', 'log' or 'linear', not {scale!r}.")
    everything = np.concatenate([np.ravel(v) for v in values])
    finite = everything[np.isfinite(everything)]
    lost = int(everything.size - finite.size)
    if finite.size == 0:
        return Heights(False, 0.0, 1.0, None, [0.0, 1.0], ["0", "1"], name, "no value is finite")
    if quantity == "accuracy":
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        return Heights(
            False, 0.0, 1.0, None, ticks, [f"{100 * t:.0f} %" for t in ticks], "accuracy", _note(lost, 0, None)
        )
    positive = finite[finite > 0]
    smallest = float(positive.min()) if positive.size else 1.0
    log = scale == "log" or (scale == "auto" and quantity == "loss" and float(finite.max()) > LOG_FACTOR * smallest)
    log = log and positive.size > 0
    clip, clipped = _clip(finite, smallest, log)
    note = _note(lost, clipped, clip)
    top = clip if clip is not None else float(finite.max())
    if log:
        low, high = np.log10(smallest), np.log10(max(top, smallest * 1.01))
        if high - low > CLIP_DECADES:
            low = high - CLIP_DECADES
        marks, labels = log_ticks(10.0**low, min(10.0**high, np.finfo(float).max), most=6)
        ticks = [float(t) for t in np.clip(np.log10(marks), low, high)]
        return Heights(True, float(low), float(high), clip, ticks, labels, f"{name} (log)", note)
    low, high = float(finite.min()), top
    high = high if high > low else low + 1e-6 + abs(low) * 1e-6
    ticks = nice_ticks(low, high)
    return Heights(False, low, high, clip, ticks, labels_of(ticks), name, note)


def _clip(finite: NDArray[np.float64], smallest: float, log: bool) -> tuple[float | None, int]:
    """Cut what would flatten everything else: beyond six decades, or far above the bulk on a linear scale."""
    if log:
        clip = smallest * 10.0**CLIP_DECADES
        clip = max(clip, float(np.quantile(finite, 0.98)))
    else:
        low, bulk = float(finite.min()), float(np.quantile(finite, 0.9))
        clip = low + 10.0 * max(bulk - low, 1e-12)
    above = int((finite > clip).sum())
    return (clip, above) if above else (None, 0)


def _note(lost: int, clipped: int, clip: float | None) -> str:
    parts = []
    if clipped and clip is not None:
        parts.append(f"clipped at {clip:.3g} ({clipped} points)")
    if lost:
        parts.append(f"{lost} points are not finite")
    return ", ".join(parts)


def nice_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """About ``count`` round numbers between two values."""
    raw = (high - low) / max(count - 1, 1)
    magnitude = 10.0 ** np.floor(np.log10(raw))
    step = float(next(m for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw) * magnitude)
    return [float(t) for t in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]
