"""A small network with buffers and tied weights, and folders of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """Two tied layers, a normalisation with its statistics, a frozen weight and a table of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 4, bias=False)
        self.last.weight = self.first.weight
        self.register_buffer("table", torch.arange(3))


def states(count: int = 3) -> list[dict[str, Tensor]]:
    """State dicts of a walk, copied so that ties stay within each."""
    torch.manual_seed(0)
    model, found = Small(), []
    for _ in range(count):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        model.norm(model.first(torch.randn(8, 4)))
        state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        state["last.weight"] = state["first.weight"]
        found.append(state)
    return found


def save(folder: Path, names: list[str], wrap: Callable[[int, dict[str, Tensor]], Any] = lambda i, s: s) -> Path:
    """A folder of checkpoints, one for each name; ``wrap`` makes of a state dict what is saved."""
    folder.mkdir()
    for i, (name, state) in enumerate(zip(names, states(len(names)), strict=True)):
        torch.save(wrap(i, state), folder / name)
    return folder
