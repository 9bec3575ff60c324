"""Networks and data of the comparisons, made from what the project ships: no download."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from training import build_model, load_dataset

SHAPES = {"linear": (12,), "mlp": (1, 28, 28), "lenet5": (1, 28, 28), "resnet-small": (3, 32, 32)}


def data(name: str, samples: int) -> tuple[Tensor, Tensor]:
    """Real inputs in the shape a network wants: handwritten digits, or the toy's features."""
    if name == "linear":
        toy = load_dataset("toy")
        return torch.from_numpy(toy.x_train)[:samples], torch.from_numpy(toy.y_train)[:samples]
    digits = load_dataset("digits")
    x, y = torch.from_numpy(digits.x_train)[:samples], torch.from_numpy(digits.y_train)[:samples]
    shape = SHAPES.get(name, (3, 32, 32))
    if shape[0] == 3:
        generator = torch.Generator().manual_seed(0)
        x = functional.interpolate(x, shape[1:], mode="bilinear").expand(-1, 3, -1, -1)
        x = x + 0.1 * torch.randn(x.shape, generator=generator)
    return x.contiguous(), y


def network(name: str, x: Tensor, y: Tensor, *, steps: int = 150) -> nn.Module:
    """A network of that name after a few steps of training, so that its surface is one that people look at."""
    if name == "mlp":
        torch.manual_seed(0)
        model: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    elif name == "resnet18":
        torch.manual_seed(0)
        model = torchvision.models.resnet18(num_classes=10)
        model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    else:
        model = build_model(name, tuple(x.shape[1:]), 10, seed=0)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(steps):
        at = (step * 64) % max(1, len(x) - 64)
        optimiser.zero_grad()
        functional.cross_entropy(model(x[at : at + 64]), y[at : at + 64]).backward()
        optimiser.step()
    return model.eval()
