"""Losses by name, each the mean over the batch, for networks and data of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
CROSS_ENTROPY, NEXT_TOKEN = "cross-entropy", "next-token"


def next_token(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of scores [N, T, V] for the tokens [N, T] that come next, mean over all tokens."""
    return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error; outputs [N, 1] serve targets [N]."""
    return functional.mse_loss(_like(outputs, targets), targets)


def l1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error; outputs [N, 1] serve targets [N]."""
    return functional.l1_loss(_like(outputs, targets), targets)


def bce(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy in nats of logits for targets in [0, 1]; outputs [N, 1] serve targets [N]."""
    return functional.binary_cross_entropy_with_logits(_like(outputs, targets), targets)


REAL: dict[str, Loss] = {"mse": mse, "l1": l1, "bce": bce}  # of targets that are real numbers
LOSSES = (CROSS_ENTROPY, NEXT_TOKEN, *REAL)
DEFAULTS = {
    "classification": CROSS_ENTROPY,
    "segmentation": CROSS_ENTROPY,
    "language": NEXT_TOKEN,
    "regression": "mse",
}


def named_loss(name: str) -> Loss | None:
    """A loss by name; None is cross-entropy, the default everywhere."""
    return None if name == CROSS_ENTROPY else next_token if name == NEXT_TOKEN else REAL[name]


def misfit(name: str, outputs: Tensor, targets: Tensor, low: float, high: float) -> str:
    """Why a named loss cannot take outputs for targets, in words; empty where it can.

    Args:
        name: One of ``LOSSES``.
        outputs, targets: [n, …] of a few samples.
        low, high: The smallest and largest of all targets.
    """
    shapes = f"outputs of shape {list(outputs.shape[1:])} for targets of shape {list(targets.shape[1:])}"
    if name in REAL:
        if outputs.numel() != targets.numel():
            return f"it gives {shapes}, and {name} needs as many of both"
        if name == "bce" and not (low >= 0 and high <= 1):
            return f"targets go from {low:g} to {high:g}, and bce needs them in 0 to 1"
        return ""
    if targets.is_floating_point():
        return f"targets are real numbers, and {name} needs whole ones; choose mse or l1"
    classes = outputs.shape[-1 if name == NEXT_TOKEN else 1] if outputs.dim() > 1 else 0
    wanted = (*targets.shape, classes) if name == NEXT_TOKEN else (len(targets), classes, *targets.shape[1:])
    if tuple(outputs.shape) != wanted:
        form = "[…, scores]" if name == NEXT_TOKEN else "[scores, …]"
        return f"it gives {shapes}, and {name} needs {form} for every target"
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        return f"the label {wrong:g} does not fit {classes} outputs; labels must be 0 to {classes - 1}"
    return ""


def mean_over(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss | None,
    *,
    metric: Callable[[Tensor, Tensor], Tensor | float] | None = None,
    train: bool = False,
) -> dict[str, float]:
    """The mean loss over all samples (float64), in evaluation mode or as training sees it, without changing the model.

    Beside it the accuracy in [0, 1] where targets are class indices, and the mean of a metric of the user's own, each
    batch weighted by its samples. In training mode the running statistics of
    normalisation are put back, and dropout draws from the global random state.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()] if train else []
    model.train(train)
    total = correct = own = 0.0
    samples, classes = 0, True
    try:
        with torch.no_grad():
            for inputs, targets in batches:
                outputs = model(inputs)
                total += float((loss or functional.cross_entropy)(outputs, targets)) * len(targets)
                classes = classes and targets.dim() == 1 and not targets.is_floating_point() and outputs.dim() == 2
                correct += float((outputs.argmax(dim=1) == targets).sum()) if classes else 0.0
                if metric is not None:  # the last, as it may spoil its outputs
                    own += float(metric(outputs, targets)) * len(targets)
                samples += len(targets)
            for buffer, before in buffers:
                buffer.copy_(before)
    finally:
        for module, training in modes.items():
            module.training = training
    found = {"loss": total / samples} | ({"accuracy": correct / samples} if classes else {})
    return found | ({"metric": own / samples} if metric is not None else {})


def _like(outputs: Tensor, targets: Tensor) -> Tensor:
    """Outputs in the shape of the targets, so that [N, 1] and [N] are not spread over each other."""
    return outputs.reshape(targets.shape)
