"""Numbers that are measured only where a checkpoint is recorded, without a trace in the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Measured = float | Tensor | Callable[[], float | Tensor]  # a metric, or a function that measures it


def numbers(model: nn.Module, metrics: Mapping[str, Measured]) -> dict[str, float]:
    """The metrics as numbers; functions are called, with the network in evaluation mode and without gradients."""
    if not any(callable(value) for value in metrics.values()):
        return {name: _number(value) for name, value in metrics.items()}
    with _undisturbed(model):
        return {name: _number(value) for name, value in metrics.items()}


def _number(value: Measured) -> float:
    found = value() if callable(value) else value
    return float(found.detach()) if isinstance(found, Tensor) else float(found)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Every layer is then in the mode it was in, and torch draws the random numbers that it would have drawn."""
    modes = [(module, module.training) for module in model.modules()]
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [torch.cuda.current_device()] if cuda else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
