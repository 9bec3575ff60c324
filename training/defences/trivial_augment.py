"""One random operation of TrivialAugment on a batch of images.

Müller and Hutter, *TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation* (ICCV 2021). One operation is
drawn uniformly for the batch, its strength uniformly for each image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

RANGES: dict[str, tuple[float, float] | None] = {
    "auto-contrast": None,
    "equalize": None,
    "rotate": (-30.0, 30.0),  # degrees
    "posterize": (0, 4),  # bits kept, whole
    "solarize": (0.0, 1.0),  # threshold
    "contrast": (0.1, 1.9),
    "brightness": (0.1, 1.9),
    "sharpness": (0.1, 1.9),
    "shear-x": (-0.3, 0.3),  # pixels a pixel
    "shear-y": (-0.3, 0.3),
    "translate-x": (-0.5, 0.5),  # shares of the side
    "translate-y": (-0.5, 0.5),
}


def trivial_augment(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Images [B, C, H, W] in [0, 1], of 1 or 3 channels, after one operation; values stay in [0, 1]."""
    return apply_operation(list(RANGES)[rng.integers(len(RANGES))], rng, images)


def apply_operation(name: str, rng: np.random.Generator, images: Tensor) -> Tensor:
    """Apply one operation by name, with a strength of its own for each image."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    bounds = RANGES[name]
    if bounds is None:
        changed: Tensor = (transforms.autocontrast if name == "auto-contrast" else transforms.equalize)(images)
        return changed
    height, width = images.shape[2:]
    move = partial(transforms.affine, scale=1.0, interpolation=InterpolationMode.BILINEAR)
    operations: dict[str, Callable[[Tensor, float], Any]] = {
        "rotate": lambda x, v: transforms.rotate(x, v, interpolation=InterpolationMode.BILINEAR),
        "posterize": lambda x, v: transforms.posterize(x, int(v)),
        "solarize": transforms.solarize,
        "contrast": transforms.adjust_contrast,
        "brightness": transforms.adjust_brightness,
        "sharpness": transforms.adjust_sharpness,
        "shear-x": lambda x, v: move(x, angle=0.0, translate=[0, 0], shear=[math.degrees(math.atan(v)), 0.0]),
        "shear-y": lambda x, v: move(x, angle=0.0, translate=[0, 0], shear=[0.0, math.degrees(math.atan(v))]),
        "translate-x": lambda x, v: move(x, angle=0.0, translate=[round(v * width), 0], shear=[0.0, 0.0]),
        "translate-y": lambda x, v: move(x, angle=0.0, translate=[0, round(v * height)], shear=[0.0, 0.0]),
    }
    low, high = bounds
    n = len(images)
    strengths = rng.integers(int(low), int(high) + 1, n) if name == "posterize" else rng.uniform(low, high, n)
    operation = operations[name]
    return torch.stack([operation(x, float(v)) for x, v in zip(images, strengths, strict=True)]).clamp(0.0, 1.0)
