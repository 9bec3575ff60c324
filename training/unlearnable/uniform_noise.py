"""Sample-wise uniform noise: the control of the same budget without any link to the class.

The sample-wise random noise of Huang, Ma, Erfani, Bailey and Wang, *Unlearnable Examples* (ICLR 2021), which leaves
accuracy about where it is on clean data.
"""

from __future__ import annotations

import numpy as np

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation, uniform_noise


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None, cell: int = 1) -> Perturbation:
    """Add δ_i ~ U(−ε, ε), drawn for each sample i. ``strength`` is ε; squares of ``cell`` pixels share a value."""
    rng = np.random.default_rng([seed, 3])
    noise, budget, radius = uniform_noise(rng, dataset, len(dataset.y_train), strength, cell=cell, shared=cell > 1)
    return Perturbation(noise, "uniform noise per sample", budget, radius)
