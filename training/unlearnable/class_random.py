"""Class-wise random pattern: one uniform pattern per class, added to all its samples.

The random class-wise noise of Huang, Ma, Erfani, Bailey and Wang, *Unlearnable Examples* (ICLR 2021): the cheapest
effective shortcut. In squares of several pixels it is the kind of pattern that Sandoval-Segura, Singla, Geiping,
Goldblum, Goldstein and Jacobs, *Autoregressive Perturbations for Data Poisoning* (NeurIPS 2022), use as a control; a
network that pools, as LeNet-5 does, averages finer patterns away. Needs no network.
"""

from __future__ import annotations

import numpy as np

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation, uniform_noise


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None, cell: int = 1) -> Perturbation:
    """Add δ_k ~ U(−ε, ε), drawn once for each class k. ``strength`` is ε; squares of ``cell`` pixels share a value."""
    rng = np.random.default_rng([seed, 2])
    patterns, budget, radius = uniform_noise(rng, dataset, dataset.n_classes, strength, cell=cell, shared=True)
    return Perturbation(patterns[dataset.y_train], "class-wise random pattern", budget, radius)
