"""The algorithms written down as they read: what the fast ones are measured and checked against."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from landscape import ParameterLayout, Plane, model_blocks


def surface(
    model: nn.Module, plane: Plane, x: Tensor, y: Tensor, alphas: NDArray[np.float64], betas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One forward pass over all the data per grid point."""
    layout = ParameterLayout.from_model(model)
    model = copy.deepcopy(model).eval()
    found = np.empty((len(alphas), len(betas)))
    with torch.no_grad():
        for i, a in enumerate(alphas):
            for j, b in enumerate(betas):
                layout.load(model, plane.point(a, b))
                found[i, j] = float(functional.cross_entropy(model(x), y))
    return found


def sal_search(
    model: nn.Module, batches: list[tuple[Tensor, Tensor]], *, epsilon: float, steps: int, lr: float
) -> NDArray[np.float64]:
    """SAL of every layer by Algorithm 1 of Ye et al. (2025): per pass and direction a gradient and an evaluation."""
    model = copy.deepcopy(model).eval()
    samples = sum(len(t) for _, t in batches)
    parameters = dict(model.named_parameters())

    def mean_loss() -> float:
        with torch.no_grad():
            each = [float(functional.cross_entropy(model(x), t)) * len(t) for x, t in batches]
        return sum(each) / samples

    base = mean_loss()
    found = []
    for block in model_blocks(model):
        weight = parameters[block.parameter]
        origin = weight.detach().clone()
        losses = [base]
        for sign in (-1.0, 1.0):
            for _ in range(steps):
                for x, t in batches:
                    model.zero_grad()
                    functional.cross_entropy(model(x), t).backward()
                    with torch.no_grad():
                        assert weight.grad is not None
                        weight += sign * lr * weight.grad
                with torch.no_grad():
                    moved = weight - origin
                    radius = epsilon * torch.linalg.vector_norm(origin)
                    length = torch.linalg.vector_norm(moved)
                    if length > radius:
                        weight.copy_(origin + moved * (radius / length))
                losses.append(mean_loss())
            with torch.no_grad():
                weight.copy_(origin)
        found.append(max(max(losses) - base, base - min(losses)))
    return np.array(found)
