"""Class-wise random pattern: one random pattern per class, added to all its samples.

The random class-wise noise of Huang, Ma, Erfani, Bailey and Wang, *Unlearnable Examples* (ICLR 2021): the cheapest
effective shortcut. In squares of several pixels it is the kind of pattern that Sandoval-Segura, Singla, Geiping,
Goldblum, Goldstein and Jacobs, *Autoregressive Perturbations for Data Poisoning* (NeurIPS 2022), use as a control; a
network that pools, as LeNet-5 does, is hurt less by finer ones (docs/results). The L2 form, a Gaussian direction per
class, is the class-wise random noise of Tao, Feng, Yi, Huang and Chen, *Better Safe Than Sorry* (NeurIPS 2021). Needs
no network.
"""

from __future__ import annotations

import math

import numpy as np

from training.data import Dataset
from training.unlearnable.perturbation import (
    Perturbation,
    enlarged,
    feature_scale,
    l2_budget,
    norm_order,
    scaled_to,
    squares_shape,
    uniform_noise,
)

RMS = 0.5 / math.sqrt(3 * 32 * 32)  # of a pixel in the L2 form: norm 0.5 on CIFAR-10


def perturb(
    dataset: Dataset, *, seed: int, strength: float | None = None, cell: int = 1, norm: float | str = "inf"
) -> Perturbation:
    """Add δ_k, drawn once for each class k, to its samples; squares of ``cell`` pixels share a value.

    ``strength`` is the radius ε: δ_k ~ U(−ε, ε) with ``norm`` inf, a Gaussian direction of L2 norm ε with ``norm`` 2.
    """
    rng = np.random.default_rng([seed, 2])
    if norm_order(norm) == 2:
        radius, budget = l2_budget(dataset, strength, RMS)
        coarse = rng.standard_normal((dataset.n_classes, *squares_shape(dataset, cell, "cell")))
        patterns = scaled_to(enlarged(coarse, cell, dataset.input_shape), radius) * feature_scale(dataset)
        budget += "" if cell == 1 else f" in squares of {cell}×{cell}"
    else:
        patterns, budget, radius = uniform_noise(rng, dataset, dataset.n_classes, strength, cell=cell, shared=True)
    return Perturbation(patterns[dataset.y_train], "class-wise random pattern", budget, radius)
