"""Class-wise random pattern: one uniform pattern per class, added to all its samples.

The random class-wise noise of Huang, Ma, Erfani, Bailey and Wang, *Unlearnable Examples* (ICLR 2021): the cheapest
effective shortcut. Needs no network.
"""

from __future__ import annotations

import numpy as np

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation, feature_scale, linf_budget


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None) -> Perturbation:
    """Add δ_k ~ U(−ε, ε), drawn once for each class k. ``strength`` is ε."""
    radius, budget = linf_budget(dataset, strength)
    rng = np.random.default_rng([seed, 2])
    patterns = rng.uniform(-radius, radius, size=(dataset.n_classes, *dataset.input_shape)) * feature_scale(dataset)
    return Perturbation(patterns[dataset.y_train], "class-wise random pattern", budget, radius)
