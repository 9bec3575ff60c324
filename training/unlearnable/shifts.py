"""Random shifts and flips of images that gradients pass through."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def random_shift(images: Tensor, pixels: int, rng: np.random.Generator) -> Tensor:
    """Shift by a fraction of pixels and flip each image at random, as in Fowl et al. (2021).

    Args:
        images: [n, C, H, W].
        pixels: The largest shift in either direction, uniform and bilinearly interpolated; what comes in is 0.
        rng: Where the draws come from.
    """
    n, _, height, width = images.shape
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = np.where(rng.random(n) < 0.5, -1, 1)
    theta[:, 1, 1] = 1
    theta[:, 0, 2] = rng.uniform(-1, 1, n) * 2 * pixels / width
    theta[:, 1, 2] = rng.uniform(-1, 1, n) * 2 * pixels / height
    grid = functional.affine_grid(
        torch.from_numpy(theta).to(images.device), [n, images.shape[1], height, width], align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)


def random_crop(images: Tensor, pad: int, *, flip: bool, rng: np.random.Generator) -> Tensor:
    """Pad with zeros, cut out the original size at a random place, and flip at random if asked; [n, C, H, W]."""
    n, _, height, width = images.shape
    rows = np.arange(height) + rng.integers(0, 2 * pad + 1, size=(n, 1))
    columns = np.arange(width) + rng.integers(0, 2 * pad + 1, size=(n, 1))
    if flip:
        turned = rng.random(n) < 0.5
        columns[turned] = columns[turned, ::-1]
    padded = functional.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    which = torch.arange(n)[:, None, None]
    cut = padded[which, torch.from_numpy(rows)[:, :, None], torch.from_numpy(columns)[:, None, :]]
    return cut.permute(0, 3, 1, 2)
