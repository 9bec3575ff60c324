"""BatchNorm statistics measured anew: what a network does once its running means and variances are of other images.

A network keeps the mean and variance of every channel as its training images gave them. Those of poisoned images need
not fit clean ones, which costs every task something at test time, whatever the weights have learned. Measuring them
anew on clean images, with no weight changed, tells the two apart (Schneider et al., NeurIPS 2020; Nado et al., 2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCH = 100  # images that are normalised together


def batchnorm_layers(model: nn.Module) -> list[_BatchNorm]:
    """The layers of a model that keep running statistics."""
    return [one for one in model.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]


def reestimate_batchnorm(model: nn.Module, inputs: Tensor, *, batch: int = BATCH) -> int:
    """Replace the running statistics by those of these images, in one forward pass; every weight stays.

    Each layer takes the plain average over batches of nearly equal size, each with images from everywhere in the
    order, while all other layers are in evaluation mode.

    Args:
        model: Back in its own state afterwards, but for the statistics.
        inputs: [N, …], at least two. batch: Images that are normalised together, at least two.

    Returns:
        How many layers have new statistics: 0 without BatchNorm, and the images are then not looked at.

    Raises:
        ValueError: Fewer than two images, of which there is no variance.
    """
    layers = batchnorm_layers(model)
    if not layers:
        return 0
    if len(inputs) < 2 or batch < 2:
        raise ValueError(f"BatchNorm statistics need two images or more, not {min(len(inputs), batch)}.")
    modes = {one: one.training for one in model.modules()}
    momenta = [one.momentum for one in layers]
    model.eval()
    try:
        for one in layers:
            one.reset_running_stats()
            one.momentum = None  # the plain average over batches
            one.train()
        with torch.no_grad():
            parts = min(math.ceil(len(inputs) / batch), len(inputs) // 2)
            for k in range(parts):
                model(inputs[k::parts])
    finally:
        for one, momentum in zip(layers, momenta, strict=True):
            one.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    return len(layers)
