"""REM: robust error-minimising noise (Fu, He, Liu, Shen and Tao, ICLR 2022, *Robust Unlearnable Examples*).

Error-minimising noise that adversarial training does not undo; the objective is in ``robust.py``. The adversary's
radius is half of ε.

``full`` is the authors' setting but for the network, a ResNet-18: 5000 SGD steps of batch 128, learning rate 0.1 and a
tenth of it after every 2000, noise by 10 steps of ε/5 from a random start, each of them summed over 5 random
crops and flips and against an adversary of 10 steps of a fifth of its radius: 561 gradients for each SGD step.
``reduced``, the default, suits small networks, data that are not augmented and a CPU: an epoch on clean data, then 3 of
the method at 0.05, noise by 3 steps of ε/2 that start from the sample's last noise, without crops and flips, against
an adversary of a single step of its whole radius: 8 gradients for each SGD step. Noise is fitted to all samples at
the end; the authors drop the last incomplete batch.
"""

from __future__ import annotations

from training.data import Dataset
from training.unlearnable.perturbation import Perturbation
from training.unlearnable.robust import Setting, chosen_setting, craft_robust
from training.unlearnable.surrogate import Report

REDUCED = Setting(
    clean_epochs=1,
    epochs=3,
    lr=0.05,
    steps=3,
    step=0.5,
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
        chosen_setting("rem", setting, REDUCED),
        random_adversary=False,
        seed=seed,
        strength=strength,
        progress=progress,
        surrogate=surrogate,
        device=device,
        name=f"robust error-minimising noise, {setting} setting",
    )
