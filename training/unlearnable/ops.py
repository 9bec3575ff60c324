"""One-Pixel Shortcut (Wu, Chen, Xie and Huang, ICLR 2023): one pixel of one extreme colour for each class.

For every class the pixel and colour are chosen that differ most, and most evenly, from the class's images. Class-wise,
without a network and without randomness. For feature vectors a feature takes the place of a pixel, and its smallest and
largest training value the place of the extreme colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation

SCORES = ("mean_over_std", "mean_over_var_of_channel_sum")
EVEN = 1e-8  # keeps the score of a constant pixel finite


@dataclass(frozen=True)
class Shortcut:
    """The chosen place and colour of a class: flat position, and one value in {0, 1} per channel."""

    position: int
    colour: tuple[float, ...]


def perturb(
    dataset: Dataset,
    *,
    seed: int = 0,
    strength: float | None = None,
    sparsity: int = 1,
    score: str = "mean_over_std",
) -> Perturbation:
    """Set ``sparsity`` pixels per class to a colour of their own.

    Args:
        seed: Not used; the search is deterministic.
        strength: Share of the way to the extreme colour, in (0, 1]; default 1.
        sparsity: Pixels per class.
        score: ``"mean_over_std"`` as in the authors' code, or ``"mean_over_var_of_channel_sum"`` as in the paper.

    Classes do not share a feature while there are enough of them; they may share a pixel, in another colour.
    """
    share = 1.0 if strength is None else strength
    if share > 1:
        raise ValueError(f"The strength of OPS is the share of the way to the extreme colour; {share:g} exceeds 1.")
    pixels, span = unit_pixels(dataset)
    chosen = find_shortcuts(
        pixels,
        dataset.y_train,
        dataset.n_classes,
        sparsity=sparsity,
        score=score,
        own_positions=dataset.kind == "features",
    )
    delta = np.zeros_like(pixels)
    for k, shortcuts in enumerate(chosen):
        members = dataset.y_train == k
        for shortcut in shortcuts:
            colour = np.array(shortcut.colour)
            delta[members, shortcut.position] = share * (colour - pixels[members, shortcut.position])
    what = "pixel" if dataset.kind == "image" else "feature"
    count = f"one {what}" if sparsity == 1 else f"{sparsity} {what}s"
    part = "" if share == 1 else f", {share:g} of the way to its extreme"
    return Perturbation(
        from_unit_pixels(delta, span, dataset), "one-pixel shortcut", f"{count} per class (L0){part}", share
    )


def find_shortcuts(
    pixels: NDArray[np.float64],
    targets: NDArray[np.int64],
    n_classes: int,
    *,
    sparsity: int = 1,
    score: str = "mean_over_std",
    own_positions: bool = False,
) -> list[list[Shortcut]]:
    """Choose the shortcuts of every class, in class order.

    Args:
        pixels: [N, P, C] with values in [0, 1]: P positions of C channels.
        targets: [N] class indices.
        own_positions: Whether a position is used once as well while free ones last, as befits few features.

    A (position, colour) pair is used once, and a class's positions differ. Ties go to the smallest position, then to
    the smallest colour as a binary number. A class without samples gets no shortcut.

    Raises:
        ValueError: Unknown score, more than 4 channels, or fewer pixels than the classes need.
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, not {score!r}.")
    n_positions, channels = pixels.shape[1:]
    if channels > 4:
        raise ValueError(f"OPS tries all 2^C colours of a pixel; {channels} channels are too many (at most 4).")
    if not isinstance(sparsity, int) or sparsity < 1:
        raise ValueError(f"The sparsity of OPS is a whole number of pixels per class, at least 1, not {sparsity!r}.")
    colours = np.array([[(c >> (channels - 1 - j)) & 1 for j in range(channels)] for c in range(2**channels)], float)
    used = np.zeros((n_positions, len(colours)), bool)
    chosen: list[list[Shortcut]] = []
    for k in range(n_classes):
        members = pixels[targets == k]
        if len(members) == 0:
            chosen.append([])
            continue
        scores = np.stack([_score(members, colour, score) for colour in colours], axis=1)  # [P, 2^C]
        mine: list[Shortcut] = []
        for _ in range(sparsity):
            blocked = used.copy()
            blocked[[shortcut.position for shortcut in mine]] = True
            if own_positions and not used.any(axis=1).all():
                blocked |= used.any(axis=1, keepdims=True)
            if blocked.all():
                raise ValueError(
                    f"OPS finds no {sparsity} free positions for each of {n_classes} classes; lower the sparsity."
                )
            best = int(np.argmax(np.where(blocked, -1.0, scores)))
            position, colour = divmod(best, len(colours))
            used[position, colour] = True
            mine.append(Shortcut(position, tuple(float(v) for v in colours[colour])))
        chosen.append(mine)
    return chosen


def _score(members: NDArray[np.float64], colour: NDArray[np.float64], score: str) -> NDArray[np.float64]:
    """How far and how evenly one colour differs from a class's pixels [P]; 0 where it does not differ at all."""
    if score == "mean_over_std":
        # Values lie in [0, 1] and colours on its ends, so |v − x| has the spread of x; pooling adds the channel means.
        means = np.abs(colour - members.mean(axis=0))  # [P, C]
        mean = means.mean(axis=1)
        variance = (members.var(axis=0) + (means - mean[:, None]) ** 2).mean(axis=1)
        spread = np.sqrt(variance)
    else:
        sums = np.abs(colour - members).sum(axis=2)
        mean, spread = sums.mean(axis=0), sums.var(axis=0)
    return np.where(mean > 0, mean / (spread + EVEN), 0.0)


def unit_pixels(dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inputs as [N, P, C] in [0, 1], and the scale that brings feature vectors back."""
    x = dataset.x_train.astype(np.float64)
    if dataset.kind == "image":
        n, channels = x.shape[:2]
        return x.reshape(n, channels, -1).transpose(0, 2, 1).copy(), np.ones(1)
    low, high = x.min(axis=0), x.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return ((x - low) / span)[:, :, None], span


def from_unit_pixels(delta: NDArray[np.float64], span: NDArray[np.float64], dataset: Dataset) -> NDArray[np.float64]:
    """Perturbations [N, P, C] in the shape and scale of the inputs; the inverse of :func:`unit_pixels`."""
    if dataset.kind == "image":
        return delta.transpose(0, 2, 1).reshape(dataset.x_train.shape)
    return np.asarray(delta[:, :, 0] * span)
