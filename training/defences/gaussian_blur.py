"""Gaussian blur of the training images.

The weak low-pass baseline of Liu, Zhao and Larson, *Image Shortcut Squeezing* (ICML 2023). Published code blurs with a
kernel of 3 and σ = 0.1, whose weights are (2·10⁻²², 1, 2·10⁻²²): it changes nothing. Here σ must blur.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.levels import from_levels, to_levels
from training.defences.base import Defence, check_number, require_images

_AT_ONCE = 1000  # images


@dataclass(frozen=True)
class GaussianBlur(Defence):
    """Blur with ``kernel``×``kernel`` pixels (odd) and standard deviation ``sigma`` in pixels; borders reflect."""

    kernel: int = 3
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_number("The kernel of gaussian-blur", self.kernel, 3, whole=True)
        if self.kernel % 2 == 0:
            raise ValueError(f"The kernel of gaussian-blur must be odd, to have a middle, not {self.kernel}.")
        check_number("The sigma of gaussian-blur", self.sigma, 0)
        if 255 * (1 - self._middle() ** 2) < 0.5:
            raise ValueError(
                f"A sigma of {self.sigma:g} does not blur: each pixel keeps {100 * self._middle() ** 2:.4g} % of its "
                "weight, and no 8-bit image changes; use 0.5 or more."
            )

    @property
    def description(self) -> str:
        """The defence in words."""
        return f"Gaussian blur, {self.kernel}×{self.kernel}, σ = {self.sigma:g}"

    def prepare(self, inputs: NDArray[np.float32], targets: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
        """Blurred images, rounded to whole grey levels."""
        require_images("gaussian-blur", inputs)
        if self.kernel // 2 >= min(inputs.shape[2:]):
            raise ValueError(f"A kernel of {self.kernel} is too large for images of {list(inputs.shape[2:])} pixels.")
        from torchvision.transforms.v2 import functional as transforms

        size, sigma = [self.kernel, self.kernel], [float(self.sigma), float(self.sigma)]
        blurred = np.empty_like(inputs)
        for start in range(0, len(inputs), _AT_ONCE):
            images = torch.from_numpy(np.ascontiguousarray(inputs[start : start + _AT_ONCE]))
            blurred[start : start + _AT_ONCE] = transforms.gaussian_blur(images, size, sigma).numpy()
        return from_levels(to_levels(blurred))

    def _middle(self) -> float:
        """The weight of the middle of the one-dimensional kernel."""
        if self.sigma == 0:
            return 1.0
        reach = self.kernel // 2
        return 1 / sum(math.exp(-0.5 * (i / self.sigma) ** 2) for i in range(-reach, reach + 1))
