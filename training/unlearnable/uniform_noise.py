"""Sample-wise uniform noise: the control of the same budget without any link to the class.

The sample-wise random noise of Huang, Ma, Erfani, Bailey and Wang, *Unlearnable Examples* (ICLR 2021), which leaves
accuracy about where it is on clean data.
"""

from __future__ import annotations

import numpy as np

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation, feature_scale, linf_budget


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None) -> Perturbation:
    """Add δ_i ~ U(−ε, ε), drawn afresh for each sample i. ``strength`` is ε."""
    radius, budget = linf_budget(dataset, strength)
    rng = np.random.default_rng([seed, 3])
    noise = rng.uniform(-radius, radius, size=dataset.x_train.shape) * feature_scale(dataset)
    return Perturbation(noise, "uniform noise per sample", budget, radius)
