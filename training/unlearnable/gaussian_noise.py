"""Sample-wise Gaussian noise on a sphere: the control of methods whose budget is an L2 norm.

Its norm is by default that of LSP (Yu, Zhang, Chen, Yin and Liu, KDD 2022) or of AR (Sandoval-Segura et al., NeurIPS
2022), and it has no link to the class: what such a method does beyond this, its structure does.
"""

from __future__ import annotations

from training.data import Dataset
from training.unlearnable import ar, lsp
from training.unlearnable.perturbation import (
    Perturbation,
    feature_scale,
    l2_budget,
    method_generator,
    scaled_to,
)

LIKE = {"lsp": lsp.RMS, "ar": ar.RMS}


def perturb(dataset: Dataset, *, seed: int, strength: float | None = None, like: str = "lsp") -> Perturbation:
    """Add a direction drawn for each sample. ``strength`` is its L2 norm; default that of ``like``, lsp or ar."""
    if like not in LIKE:
        raise ValueError(f"like names a method of an L2 budget, {' or '.join(LIKE)}, not {like!r}.")
    radius, budget = l2_budget(dataset, strength, LIKE[like])
    noise = method_generator(seed, "gaussian-noise").standard_normal(dataset.x_train.shape)
    delta = scaled_to(noise, radius) * feature_scale(dataset)
    return Perturbation(delta, "Gaussian noise per sample", budget, radius)
