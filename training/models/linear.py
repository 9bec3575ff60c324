"""One linear layer without bias, as in the toy experiment of Ye, Su and Qian (2025): 12→10, 120 weights."""

from __future__ import annotations

from collections import OrderedDict
from math import prod

from torch import nn


def linear(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A linear classifier; images are flattened."""
    layer = nn.Linear(prod(input_shape), n_classes, bias=False)
    parts = [("fc", layer)] if len(input_shape) == 1 else [("flatten", nn.Flatten()), ("fc", layer)]
    return nn.Sequential(OrderedDict(parts))
