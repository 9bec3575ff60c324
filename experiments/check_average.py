"""Whether stored losses are a running average over steps of training, told from a run's own numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST, FEWEST_STEPS = 8, 5  # checkpoints, and steps between them, to tell an average from a single batch
FEWEST_EXACT = 3  # checkpoints whose averages are computed from batches
EXACT = 1e-4  # relative
CLEARER = 3.0  # times nearer to an average than to the losses themselves
CLEARER_THAN_LINE = 2.0  # times nearer than to the best a + b·loss, as dropout, augmentation or a penalty may give
FAR = 3.0  # times the usual distance, beyond which a checkpoint is not explained
TIMES = 24  # tried time constants of exponential averages
LEAST_KEPT = 0.01  # of itself at each step: less is no average
BETWEEN = "the steps since it was stored last"


@dataclass(frozen=True)
class Recorded:
    """Of one run, at its checkpoints: steps, epochs (NaN where unknown), stored and recomputed losses, and the loss of
    the batch before each step, NaN where it was not recorded; all [T]."""

    steps: NDArray[np.int64]
    epochs: Floats
    stored: Floats
    losses: Floats
    batch: Floats


@dataclass(frozen=True)
class Average:
    """What running average stored losses are, in words; its values [T], NaN where unknown, and how near stored ones
    must lie."""

    words: str
    values: Floats
    within: Floats

    def explains(self, checkpoint: int, stored: float) -> bool:
        """Whether the average accounts for what this checkpoint stores."""
        return bool(abs(stored - self.values[checkpoint]) <= self.within[checkpoint])


def average_of(run: Recorded) -> Average | None:
    """The running average that the stored losses are: of recorded batches exactly, or of recomputed losses roughly.

    Returns:
        None where the run does not show that they are one.
    """
    return _of_batches(run) or _of_losses(run)


def _windows(run: Recorded) -> Iterator[tuple[str, Floats, Floats]]:
    """Stretches of training that an average may be over: words, and the steps after which and at which each ends."""
    ends = run.steps.astype(float)
    told = np.flatnonzero(np.isfinite(run.stored))
    before = np.full(len(ends), np.nan)
    before[told[1:]] = ends[told[:-1]]
    yield BETWEEN, before, ends
    epochs = run.epochs
    known = np.isfinite(epochs)
    if known.sum() > 1 and (np.diff(epochs[known]) >= 0).all() and np.ptp(epochs[known]) > 0:
        whole = bool((epochs[known] == np.round(epochs[known])).all())
        if whole:  # the number of the epoch, the same at all steps in it
            first = np.array([ends[known][epochs[known] < e].max(initial=ends[0]) for e in epochs])
            yield "the epoch so far", np.where(known, first, np.nan), ends
        else:
            at = np.interp(np.ceil(epochs - 1e-9) - 1, epochs[known], ends[known])
            yield "the epoch so far", np.where(known, at, np.nan), ends
            done = np.floor(epochs + 1e-9)
            a, b = (np.interp(done - k, epochs[known], ends[known]) for k in (1, 0))
            yield "the last whole epoch", np.where(known & (done >= 1), a, np.nan), b
    yield "all steps so far", np.full(len(ends), ends[0]), ends


def _of_batches(run: Recorded) -> Average | None:
    batch = dict(zip(run.steps.tolist(), run.batch.tolist(), strict=True))
    for over, starts, ends in _windows(run):
        means = np.full(len(ends), np.nan)
        for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if np.isfinite(start) and np.isfinite(end) and end > start:
                means[i] = np.mean([batch.get(step, np.nan) for step in range(round(start) + 1, round(end) + 1)])
        several = np.isfinite(means) & (ends - starts >= 2)  # else it is but a batch
        if several.sum() >= FEWEST_EXACT and (found := _exactly(f"the mean of batch_loss over {over}", run, means)):
            return found
    follows = np.flatnonzero(np.diff(run.steps) == 1) + 1
    last, now, new = run.stored[follows - 1], run.stored[follows], run.batch[follows]
    known = np.isfinite(last) & np.isfinite(now) & np.isfinite(new)
    gap, moved = (last - new)[known], (now - new)[known]
    kept = float(gap @ moved) / max(float(gap @ gap), 1e-300)
    if not LEAST_KEPT < kept < 1:
        return None
    means = np.full(len(run.steps), np.nan)
    means[follows] = kept * last + (1 - kept) * new
    return _exactly(f"the exponential average of batch_loss that keeps {kept:.4g} of itself at each step", run, means)


def _exactly(what: str, run: Recorded, means: Floats) -> Average | None:
    known = np.isfinite(means) & np.isfinite(run.stored)
    within = EXACT * np.maximum(np.abs(means), 1e-12)
    if known.sum() < FEWEST_EXACT or not (np.abs(run.stored - means) <= within)[known].all():
        return None
    return Average(f"it is {what}: a running average, of weights that changed meanwhile", means, within)


def _of_losses(run: Recorded) -> Average | None:
    known = np.isfinite(run.losses)
    if known.sum() < FEWEST or np.diff(run.steps).min() < FEWEST_STEPS:
        return None
    told, best = None, np.inf
    for what, means in _roughly(run, known):
        use = known & np.isfinite(run.stored) & np.isfinite(means)
        use[0] = False  # where every average begins
        if use.sum() < FEWEST:
            continue
        stored, own = run.stored[use], run.losses[use]
        weight = 1 / np.maximum(np.abs(own), 1e-12)
        off, of_own = _rms((stored - means[use]) * weight), _rms((stored - own) * weight)
        line = np.stack([np.ones_like(own), own], axis=1) * weight[:, None]
        of_line = _rms(line @ np.linalg.lstsq(line, stored * weight, rcond=None)[0] - stored * weight)
        if off * CLEARER < of_own and off * CLEARER_THAN_LINE < of_line and off < best:
            words = (
                f"it is near {what} (over the checkpoints, off by {off:.1%} of the loss, and by {of_own:.1%} from the "
                "loss of these very weights), as a running average of batches is"
            )
            told, best = Average(words, means, FAR * off * np.abs(run.losses)), off
    return told


def _roughly(run: Recorded, known: NDArray[np.bool_]) -> Iterator[tuple[str, Floats]]:
    """Averages of the recomputed losses, in words, and their values [T]."""
    steps, losses = run.steps[known].astype(float), run.losses[known]
    for over, starts, ends in _windows(run):
        if over != BETWEEN:  # which ``share_back`` tells, where losses fall fast, too
            means = [_mean(steps, losses, a, b) for a, b in zip(starts, ends, strict=True)]
            yield f"the mean of the recomputed losses over {over}", np.array(means)
    for time in np.geomspace(FEWEST_STEPS, max(float(steps[-1] - steps[0]) / 2, FEWEST_STEPS), TIMES):
        what = f"the exponential average of the recomputed losses over some {time:.2g} steps"
        yield what, np.interp(run.steps, steps, _exponential(steps, losses, float(time)))


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _mean(steps: Floats, losses: Floats, start: float, end: float) -> float:
    """The mean from one step to another of losses that are joined by straight lines; NaN outside of them."""
    if not (np.isfinite(start) and np.isfinite(end) and steps[0] <= start < end <= steps[-1]):
        return float("nan")
    at = np.r_[start, steps[(steps > start) & (steps < end)], end]
    values: Floats = np.asarray(np.interp(at, steps, losses))
    return float(np.sum((values[1:] + values[:-1]) / 2 * np.diff(at)) / (end - start))


def _exponential(steps: Floats, losses: Floats, time: float) -> Floats:
    """An average that forgets within ``time`` steps, of losses that are joined by straight lines."""
    found = np.array(losses)
    for i, gap in enumerate(np.diff(steps), start=1):
        kept, behind = np.exp(-gap / time), (losses[i] - losses[i - 1]) / gap * time
        found[i] = losses[i] - behind + (found[i - 1] - losses[i - 1] + behind) * kept
    return found
