"""SEM: stable error-minimising noise (Liu, Xu, Chen and Sun, AAAI 2024, *Stable Unlearnable Example*).

REM whose noise is crafted against one uniformly random change of the input instead of an adversary's; the surrogate is
still trained against the adversary, whose radius is half of ε. The objective is in ``robust.py``.

``full`` is the authors' setting but for the network, a ResNet-18: as in ``rem.py`` 5000 SGD steps of batch 128, 10
steps of ε/5 over 5 random crops and flips, an adversary of 10 steps in training: 61 gradients for each SGD step.
``reduced``, the default, suits small networks, data that are not augmented and a CPU: an epoch on clean data, then 4 of
the method at 0.05, noise by 4 steps of 2ε/5 that start from the sample's last noise, without crops and flips, an
adversary of a single step: 6 gradients for each SGD step.
"""

from __future__ import annotations

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.robust import Setting, chosen_setting, craft_robust
from training.unlearnable.surrogate import Report

REDUCED = Setting(
    clean_epochs=1,
    epochs=4,
    lr=0.05,
    steps=4,
    step=0.4,
    samples=1,
    adversary_steps=1,
    adversary_step=1.0,
    transform=False,
    carried=True,
)


def perturb(
    dataset: Dataset,
    *,
    seed: int,
    strength: float | None = None,
    progress: Report | None = None,
    surrogate: str | None = None,
    device: str = "cpu",
    setting: str = "reduced",
) -> Perturbation:
    """Craft one perturbation per sample.

    Args:
        strength: ε as in :func:`linf_budget`.
        surrogate: A registered network; default by the data.
        device: Where to compute.
        setting: ``"reduced"`` or ``"full"``.
    """
    return craft_robust(
        dataset,
        chosen_setting("sem", setting, REDUCED),
        random_adversary=True,
        seed=seed,
        strength=strength,
        progress=progress,
        surrogate=surrogate,
        device=device,
        name=f"stable error-minimising noise, {setting} setting",
    )
