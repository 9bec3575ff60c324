"""Unlearnable methods: one file each, behind one registry. None but the control ``label-noise`` changes a label.

A method is a function ``perturb(dataset, *, seed, strength, **options) -> Perturbation`` that perturbs every
training sample; :func:`poison` picks the share of samples that get it, clips images to [0, 1] and rounds 8-bit ones.
One that works long takes ``progress`` too and calls it as ``progress(done, total)``; raising there stops it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset
from training.data.rounding import settle
from training.unlearnable import (
    ar,
    class_random,
    cuda,
    deepconfuse,
    em,
    em_class,
    file,
    gaussian_noise,
    hypo,
    label_noise,
    lsp,
    ops,
    random_pixel,
    rem,
    sem,
    sep,
    tap,
    tue,
    uniform_noise,
)
from training.unlearnable.perturbation import Perturbation

UNLEARNABLE: dict[str, Callable[..., Perturbation]] = {
    # without a network
    "ops": ops.perturb,
    "lsp": lsp.perturb,
    "ar": ar.perturb,
    "cuda": cuda.perturb,
    "tue": tue.perturb,
    "class-random": class_random.perturb,
    # with a surrogate network
    "em": em.perturb,
    "em-class": em_class.perturb,
    "hypo": hypo.perturb,
    "tap": tap.perturb,
    "sep": sep.perturb,
    "rem": rem.perturb,
    "sem": sem.perturb,
    "deepconfuse": deepconfuse.perturb,
    # made elsewhere
    "file": file.perturb,
    # controls
    "uniform-noise": uniform_noise.perturb,
    "gaussian-noise": gaussian_noise.perturb,
    "random-pixel": random_pixel.perturb,
    "label-noise": label_noise.perturb,
}
CHOICE = 1 << 20  # random stream of which samples are poisoned; no epoch's batch order may follow it
PERMUTE = (1 << 20) + 1  # of which sample gets another's perturbation


@dataclass(frozen=True, eq=False)
class Poison:
    """A poisoned training set.

    Attributes:
        x_train: [N, …] float32, what a network is trained on.
        y_train: [N] int64, its labels: the data's own but for label noise.
        perturbation: [N, …] float32, x_train minus the clean inputs.
        changed: [N] bool, the samples the method was applied to.
        method: The registered name.
        budget: What the method may change, in words.
        options: Every setting after defaults: seed, ratio, strength and the method's own.
        description: In words: method, budget, share.
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    perturbation: NDArray[np.float32]
    changed: NDArray[np.bool_]
    method: str
    budget: str
    options: Mapping[str, Any]
    description: str


def poison(
    name: str,
    dataset: Dataset,
    *,
    seed: int,
    ratio: float = 1.0,
    strength: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    permute: bool = False,
    **options: Any,
) -> Poison:
    """Apply an unlearnable method to the training data; labels and test data stay as they are.

    Args:
        name: One of ``UNLEARNABLE``.
        dataset: Clean data.
        seed: Decides the method's randomness and which samples are poisoned.
        ratio: Share of samples poisoned; exactly round(ratio · N) are.
        strength: The method's budget; default the method's own.
        progress: Called as ``progress(done, total)`` by methods that work long.
        permute: Give the poisoned samples each other's perturbations: see ``training.unlearnable.permuted``.
        options: The method's own settings.

    Raises:
        ValueError: Unknown method or option, or data the method cannot be applied to.
    """
    if name not in UNLEARNABLE:
        close = difflib.get_close_matches(name, UNLEARNABLE, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(UNLEARNABLE)}."
        raise ValueError(f"There is no unlearnable method called {name!r}; {hint}")
    if seed < 0:
        raise ValueError(f"The seed must be 0 or more, not {seed}.")
    if not 0 <= ratio <= 1:
        raise ValueError(f"The poison ratio must lie between 0 and 1, not {ratio}.")
    if strength is not None and not (np.isfinite(strength) and strength > 0):
        raise ValueError(f"The strength must be a positive number, not {strength}.")
    parameters = inspect.signature(UNLEARNABLE[name]).parameters
    own = {key: p.default for key, p in parameters.items() if key not in ("dataset", "seed", "strength", "progress")}
    unknown = sorted(set(options) - set(own))
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it knows {', '.join(own) or 'none'}.")
    watched = {"progress": progress} if "progress" in parameters else {}
    made = UNLEARNABLE[name](dataset, seed=seed, strength=strength, **watched, **options)
    n = len(dataset.y_train)
    changed = np.zeros(n, bool)
    changed[np.random.default_rng([seed, CHOICE]).permutation(n)[: round(ratio * n)]] = True
    x_train = dataset.x_train.copy()
    x_train[changed] = _applied(dataset, made.delta, changed)
    y_train = dataset.y_train if made.y_train is None else np.where(changed, made.y_train, dataset.y_train)
    share = "" if ratio == 1 else f" on {int(changed.sum())} of {n} samples"
    whole = Poison(
        x_train,
        y_train,
        x_train - dataset.x_train,
        changed,
        name,
        made.budget,
        own | options | {"seed": seed, "ratio": ratio, "strength": made.strength},
        f"{made.method}, {made.budget}{share}",
    )
    return permuted(whole, dataset, seed=seed) if permute else whole


def permuted(made: Poison, dataset: Dataset, *, seed: int) -> Poison:
    """The control that has a method's very perturbations, without their link to the class.

    Every poisoned sample gets the perturbation that another one had, at random over all classes. Perturbations are
    those that the networks saw, clipped to [0, 1] with the image they were made for, and are clipped again with the
    one they come to: nothing else changes their norms.
    """
    poisoned = np.flatnonzero(made.changed)
    taken = poisoned[np.random.default_rng([seed, PERMUTE]).permutation(len(poisoned))]
    delta = made.x_train[taken].astype(np.float64) - dataset.x_train[taken]
    x_train = dataset.x_train.copy()
    x_train[poisoned] = settle(dataset.x_train[poisoned].astype(np.float64) + delta, dataset)
    return replace(
        made,
        x_train=x_train,
        perturbation=x_train - dataset.x_train,
        options=dict(made.options) | {"permute": True},
        description=f"{made.description}, permuted across samples",
    )


def _applied(dataset: Dataset, delta: NDArray[np.float64], changed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Clean plus perturbation; images clipped to [0, 1] and, if 8-bit, rounded half up so that budgets stay exact."""
    return settle(dataset.x_train[changed].astype(np.float64) + delta[changed], dataset)


__all__ = ["UNLEARNABLE", "Perturbation", "Poison", "permuted", "poison"]
