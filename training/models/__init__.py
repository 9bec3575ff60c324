"""Networks, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import torch
from torch import nn

from training.models.cnn_small import CnnSmall
from training.models.lenet import LeNet5
from training.models.linear import linear
from training.models.mlp import mlp
from training.models.multitask import BACKBONES, EMBEDDING, AllHeads, MultiTaskNet, multi_task_network
from training.models.resnet import resnet18, resnet50, senet18
from training.models.resnet_small import ResNetSmall
from training.models.vit import vit_small
from training.names import NORMS

MODELS: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "linear": linear,
    "mlp": mlp,
    "lenet5": LeNet5,
    "resnet-small": ResNetSmall,
    "cnn-small": CnnSmall,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "senet18": senet18,
    "vit-small": vit_small,
}


def build_model(
    name: str,
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    seed: int,
    tasks: Sequence[str] = (),
    norm: str = "batch",
    embedding: int = EMBEDDING,
) -> nn.Module:
    """Build a network with initial weights that depend on the seed alone; the global random state is untouched.

    Args:
        name: One of ``MODELS``.
        input_shape: Shape of one sample, ``(features,)`` or ``(channels, height, width)``.
        n_classes: Number of outputs.
        tasks: Give the network a head for each of these; see ``training.models.multitask``.
        norm, embedding: Of a multi-task network.

    Raises:
        ValueError: Unknown name, or inputs the network cannot take.
    """
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(MODELS)}."
        raise ValueError(f"There is no network called {name!r}; {hint}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU alone, which is the one that is put back
        if tasks:
            return multi_task_network(name, input_shape, n_classes, tasks, norm=norm, embedding=embedding)
        return MODELS[name](input_shape, n_classes)


__all__ = ["BACKBONES", "EMBEDDING", "MODELS", "NORMS", "AllHeads", "MultiTaskNet", "build_model"]
