"""A small multilayer perceptron."""

from __future__ import annotations

from math import prod

from torch import nn


def mlp(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Features: F→32→32→K. Images: C·H·W→64→K (784-64-10 for 28×28)."""
    n = prod(input_shape)
    if len(input_shape) == 1:
        return nn.Sequential(nn.Linear(n, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, n_classes))
    return nn.Sequential(nn.Flatten(), nn.Linear(n, 64), nn.ReLU(), nn.Linear(64, n_classes))
