"""Defences against poisoned training data: one file each, behind one registry.

Test data stay as they are. Defences are applied in order: first every ``prepare`` on the whole training set, then, in
each step after augmentation, every ``batch``.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from training.defences.adversarial_training import AdversarialTraining
from training.defences.base import Defence
from training.defences.bdr import BitDepthReduction
from training.defences.cutmix import CutMix
from training.defences.cutout import Cutout
from training.defences.gaussian_blur import GaussianBlur
from training.defences.grayscale import Grayscale
from training.defences.jpeg import Jpeg
from training.defences.mixup import MixUp
from training.defences.orthogonal_projection import OrthogonalProjection
from training.defences.ueraser import UEraser

DEFENCES: dict[str, type[Defence]] = {
    "jpeg": Jpeg,
    "grayscale": Grayscale,
    "bdr": BitDepthReduction,
    "gaussian-blur": GaussianBlur,
    "cutout": Cutout,
    "cutmix": CutMix,
    "mixup": MixUp,
    "ueraser": UEraser,
    "adversarial-training": AdversarialTraining,
    "orthogonal-projection": OrthogonalProjection,
}


def build_defence(name: str, **options: Any) -> Defence:
    """A defence by registered name, with its own options.

    Raises:
        ValueError: Unknown name or option, or a setting that is none; one sentence.
    """
    if name not in DEFENCES:
        close = difflib.get_close_matches(name, DEFENCES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(DEFENCES)}."
        raise ValueError(f"There is no defence called {name!r}; {hint}")
    known = defence_options(name)
    for option in options:
        if option not in known:
            close = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it knows {', '.join(known) or 'none'}."
            raise ValueError(f"{name} has no option {option!r}; {hint}")
    return DEFENCES[name](**options)


def defence_options(name: str) -> dict[str, Any]:
    """The options of a registered defence with their defaults."""
    kind: Any = DEFENCES[name]
    return {entry.name: entry.default for entry in dataclasses.fields(kind)}


__all__ = ["DEFENCES", "Defence", "build_defence", "defence_options"]
