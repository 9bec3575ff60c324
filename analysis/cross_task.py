"""How much a poison costs each task: damage relative to clean training and to a predictor that ignores the image.

D = (M_clean − M_poisoned) / (M_clean − M_trivial) of a measure M on the same clean test images: 0 where the poison
costs nothing, 1 where all is lost that clean training gains over the trivial predictor. It does not depend on the
measure's units, nor on whether more of it is better. Net damage is that of the poison minus that of a control of the
same budget.

Intervals resample seeds and images independently of each other (Owen 2007, the pigeonhole bootstrap), and draw the same
seeds and images for all arms and tasks, so that what an image or a seed does to all of them cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.resampling import FEW, Estimate

RESAMPLES = 2000
LEVEL = 0.95
SCENE = "scene"
NOTHING_LEARNED = "clean training does no better than the trivial predictor, so nothing can be lost"
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TaskScores:
    """One measure of one task on N test images after training with S seeds.

    Attributes:
        clean, poisoned: [S, N], the same seeds and images in the same order. NaN where an image allows no measure.
        trivial: [N] of the predictor that ignores the image.
        higher_is_better: Whether more of the measure is better.
        control: [S, N] of an arm of the same budget that should change nothing, where one is known.

    Raises:
        ValueError: Shapes that differ, no image with a measure, or infinite values.
    """

    clean: Values
    poisoned: Values
    trivial: Values
    higher_is_better: bool
    control: Values | None = None

    def __post_init__(self) -> None:
        for name in ("clean", "poisoned", "trivial", "control"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=np.float64))
        shapes = [self.clean.shape, self.poisoned.shape] + ([] if self.control is None else [self.control.shape])
        one = self.clean.shape
        if len(one) != 2 or 0 in one or any(shape != one for shape in shapes) or self.trivial.shape != one[1:]:
            raise ValueError(
                "Measures must be [seeds, images] for clean, poisoned and control alike, and [images] for the trivial "
                f"predictor, not {', '.join(str(list(shape)) for shape in (*shapes, self.trivial.shape))}."
            )
        if any(np.isinf(value).any() for value in self._all()):
            raise ValueError("A measure of an image is infinite; damage is a ratio of means and needs finite ones.")
        if not self.usable.any():
            raise ValueError("No test image allows this measure in every run; choose another measure or other data.")

    @property
    def usable(self) -> NDArray[np.bool_]:
        """[N] images that allow the measure in every run."""
        stacked = np.concatenate([np.atleast_2d(value) for value in self._all()])
        found: NDArray[np.bool_] = ~np.isnan(stacked).any(axis=0)
        return found

    def _all(self) -> list[Values]:
        return [self.clean, self.poisoned, self.trivial] + ([] if self.control is None else [self.control])


def task_damage(
    clean: ArrayLike,
    poisoned: ArrayLike,
    trivial: ArrayLike,
    higher_is_better: bool,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Damage of one task with its bootstrap interval over images and seeds.

    Args:
        clean, poisoned, trivial, higher_is_better: As in :class:`TaskScores`. Images without a measure in one of the
            runs are left out of all.
        level: Coverage aimed at, in (0, 1). resamples: At least 100. seed: Of the draws.

    Returns:
        The value is NaN, without an interval, where clean training does no better than the trivial predictor.
    """
    scores = TaskScores(np.asarray(clean), np.asarray(poisoned), np.asarray(trivial), higher_is_better)
    draws = _draws_for(scores, resamples, seed)
    return _estimate(draws.damage(scores, scores.poisoned), level, draws, NOTHING_LEARNED)


def net_damage(
    clean: ArrayLike,
    poisoned: ArrayLike,
    control: ArrayLike,
    trivial: ArrayLike,
    higher_is_better: bool,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Damage of the poison minus damage of the control, in the same resamples. Arguments as :func:`task_damage`."""
    scores = TaskScores(
        np.asarray(clean), np.asarray(poisoned), np.asarray(trivial), higher_is_better, np.asarray(control)
    )
    draws = _draws_for(scores, resamples, seed)
    return _estimate(_net(draws, scores), level, draws, NOTHING_LEARNED)


def cross_task_ratio(
    scores: Mapping[str, TaskScores],
    *,
    scene: str = SCENE,
    net: bool = False,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean damage of the other tasks divided by that of the scene: 0 where only the scene suffers, 1 where all alike.

    Args:
        scores: By task; the same seeds and images in all. Tasks that clean training does not learn are left out, and
            named in the note.
        net: Take damage net of the control, which every task must then have.

    Returns:
        NaN with a note where the interval of the scene's own damage does not lie above 0.

    Raises:
        ValueError: No scene or no other task, different images, or a missing control.
    """
    if scene not in scores or len(scores) < 2:
        raise ValueError(
            f"A cross-task ratio needs the task {scene} and another one, not {', '.join(scores) or 'none'}."
        )
    if len({one.clean.shape for one in scores.values()}) > 1:
        raise ValueError("A cross-task ratio needs the same seeds and images for all tasks.")
    if net and any(one.control is None for one in scores.values()):
        raise ValueError("Damage net of a control needs a control for every task.")
    draws = _draws_for(scores[scene], resamples, seed)
    found = {name: _net(draws, one) if net else draws.damage(one, one.poisoned) for name, one in scores.items()}
    below = found.pop(scene)
    left_out = [name for name, values in found.items() if not np.isfinite(values[0])]
    kept = [values for name, values in found.items() if name not in left_out]
    nothing = "the scene is not damaged for certain, so there is nothing to compare with"
    why = "no other task is learned" if not kept else nothing
    above = np.mean(kept, axis=0) if kept else np.full_like(below, np.nan)
    ratio = np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)
    known = below[1:][np.isfinite(below[1:])]
    if len(known) == 0 or np.percentile(known, 50 * (1 - level)) <= 0:  # a quotient by what may be 0 says nothing
        ratio[0] = np.nan
    return _estimate(ratio, level, draws, why, f"without {', '.join(left_out)}" if left_out else "")


@dataclass(frozen=True, eq=False)
class _Draws:
    """How often each resample takes each seed [1 + R, S] and image [1 + R, N]; the first row takes each once."""

    seeds: NDArray[np.float64]
    images: NDArray[np.float64]

    def mean(self, values: Values, usable: NDArray[np.bool_]) -> Values:
        """Mean [1 + R] of a measure [S, N] over drawn seeds and usable images."""
        filled = np.where(usable, values, 0.0)
        sums = (self.images @ filled.T * self.seeds).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(sums / (self.seeds.shape[1] * (self.images @ usable.astype(np.float64))))

    def damage(self, scores: TaskScores, of: Values) -> Values:
        """Damage [1 + R]; NaN where clean is no better than the trivial predictor."""
        usable = scores.usable
        clean = self.mean(scores.clean, usable)
        trivial = self.mean(np.broadcast_to(scores.trivial, scores.clean.shape), usable)
        gain = (clean - trivial) if scores.higher_is_better else (trivial - clean)
        lost = clean - self.mean(of, usable)
        lost = lost if scores.higher_is_better else -lost
        with np.errstate(invalid="ignore"):
            return np.divide(lost, gain, out=np.full_like(gain, np.nan), where=gain > 0)


def _net(draws: _Draws, scores: TaskScores) -> Values:
    assert scores.control is not None
    return draws.damage(scores, scores.poisoned) - draws.damage(scores, scores.control)


def _draws_for(scores: TaskScores, resamples: int, seed: int) -> _Draws:
    if resamples < 100:
        raise ValueError(f"An interval needs at least 100 resamples, not {resamples}.")
    return _draws(*scores.clean.shape, resamples, seed)


@lru_cache(maxsize=2)
def _draws(seeds: int, images: int, resamples: int, seed: int) -> _Draws:
    """The same for equal arguments, so that arms and tasks are resampled alike. One seed is not resampled."""
    generator = np.random.default_rng(seed)
    both = ([np.ones((1, n)), generator.multinomial(n, np.full(n, 1 / n), size=resamples)] for n in (seeds, images))
    return _Draws(*(np.concatenate(parts) for parts in both))


def _estimate(values: Values, level: float, draws: _Draws, undefined: str, extra: str = "") -> Estimate:
    """The first value, and the percentiles of the others."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}.")
    value, found, n = float(values[0]), values[1:], draws.seeds.shape[1]
    if not np.isfinite(value):
        return Estimate(float("nan"), None, None, level, "percentile", n, undefined)
    finite = found[np.isfinite(found)]
    notes = [extra] if extra else []
    if n == 1:
        notes.append("one seed: the interval is over images alone")
    elif n < FEW:
        notes.append(f"{n} seeds: the interval is rather too narrow")
    if len(finite) < len(found):
        notes.append(f"{len(found) - len(finite)} of {len(found)} resamples had no value")
    low, high = np.percentile(finite, [50 * (1 - level), 50 * (1 + level)])
    return Estimate(value, float(low), float(high), level, "percentile", n, "; ".join(notes))
