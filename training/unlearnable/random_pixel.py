"""Sample-wise random pixels: the control of One-Pixel Shortcut (Wu, Chen, Xie and Huang, ICLR 2023).

As many pixels as there are set to an extreme colour, but drawn for each image by itself, so that they tell nothing of
the class. For feature vectors a feature takes the place of a pixel, and its smallest or largest training value that of
the colour.
"""

from __future__ import annotations

import numpy as np

from training.data import Dataset
from training.unlearnable.ops import from_unit_pixels, unit_pixels
from training.unlearnable.perturbation import Perturbation, method_generator


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None, sparsity: int = 1) -> Perturbation:
    """Set ``sparsity`` pixels of each image to random colours out of the 2^C extreme ones.

    ``strength`` is the share of the way to that colour, in (0, 1], as in OPS; default 1.

    Raises:
        ValueError: A share above 1, or more pixels than there are.
    """
    share = 1.0 if strength is None else strength
    if share > 1:
        raise ValueError(f"The strength is the share of the way to the extreme colour; {share:g} exceeds 1.")
    pixels, span = unit_pixels(dataset)
    n, places, channels = pixels.shape
    if isinstance(sparsity, bool) or not isinstance(sparsity, int) or not 1 <= sparsity <= places:
        raise ValueError(f"The sparsity is a whole number of pixels from 1 to {places}, not {sparsity!r}.")
    rng = method_generator(seed, "random-pixel")
    delta = np.zeros_like(pixels)
    for i in range(n):
        at = rng.choice(places, size=sparsity, replace=False)
        delta[i, at] = share * (rng.integers(0, 2, size=(sparsity, channels)) - pixels[i, at])
    what = "pixel" if dataset.kind == "image" else "feature"
    count = f"one {what}" if sparsity == 1 else f"{sparsity} {what}s"
    part = "" if share == 1 else f", {share:g} of the way to its extreme"
    words = f"random {what}s per sample"
    return Perturbation(from_unit_pixels(delta, span, dataset), words, f"{count} per sample (L0){part}", share)
