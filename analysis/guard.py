"""Borrowing a model: whatever happens, the caller gets it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Put ``model`` in evaluation mode; afterwards restore weights, buffers, gradients, flags and modes exactly."""
    modes = {module: module.training for module in model.modules()}
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    saved = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    flags = {name: (p.requires_grad, p.grad) for name, p in model.named_parameters()}
    model.eval()
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(saved[name])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(flags[name][0])
            parameter.grad = flags[name][1]
        for module, training in modes.items():
            module.training = training
