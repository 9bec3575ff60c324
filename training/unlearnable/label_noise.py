"""Label noise: the control that is not clean-label, wrong labels on untouched inputs.

Symmetric label noise as in Zhang, Bengio, Hardt, Recht and Vinyals, *Understanding Deep Learning Requires Rethinking
Generalization* (ICLR 2017), here always another label: what damage looks like that no perturbation did.
"""

from __future__ import annotations

import numpy as np

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation, method_generator

RATE = 0.4


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None) -> Perturbation:
    """Give round(r · N) samples another label, uniform among the others. ``strength`` is the rate r, at most 1."""
    rate = RATE if strength is None else strength
    if rate > 1:
        raise ValueError(f"The strength of label noise is the share of wrong labels; {rate:g} exceeds 1.")
    rng = method_generator(seed, "label-noise")
    n = len(dataset.y_train)
    wrong = rng.permutation(n)[: round(rate * n)]
    labels = dataset.y_train.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, dataset.n_classes, size=len(wrong))) % dataset.n_classes
    return Perturbation(
        np.zeros(dataset.x_train.shape), "label noise", f"{100 * rate:g} % of labels replaced", rate, labels
    )
