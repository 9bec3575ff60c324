"""The same surface by other tools, where they are installed and run."""

from __future__ import annotations

import copy
import importlib.util
import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from landscape import ParameterLayout, Plane


def loss_landscapes(
    model: nn.Module, plane: Plane, x: Tensor, y: Tensor, alphas: NDArray[np.float64], betas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The grid by loss-landscapes' planar interpolation; odd rows are one cell off there and come back as NaN."""
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    layout = ParameterLayout.from_model(model)
    n, step_a, step_b = len(alphas), alphas[1] - alphas[0], betas[1] - betas[0]

    def at(a: float, b: float) -> nn.Module:
        made = copy.deepcopy(model).eval()
        layout.load(made, plane.point(a, b))
        return made

    a0, b0 = alphas[0], betas[0] - step_b  # it steps before it measures
    corner, one, two = at(a0, b0), at(a0 + n * step_a, b0), at(a0, b0 + n * step_b)
    with torch.no_grad():
        found = loss_landscapes.planar_interpolation(corner, one, two, Loss(functional.cross_entropy, x, y), n)
    found = np.array(found, dtype=np.float64)
    found[1::2] = np.nan
    return found


def loss_landscape_anim(
    model: nn.Module, plane: Plane, x: Tensor, y: Tensor, side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A grid of about ``side`` points a side by loss-landscape-anim's loss grid, and its coordinates."""
    grid_class = _grid_class()

    class Shim(nn.Module):
        """What the loss grid asks of a model."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = copy.deepcopy(model).eval()
            self.layout = ParameterLayout.from_model(self.inner)
            self.loss_fn = functional.cross_entropy

        def init_from_flat_params(self, flat: Tensor) -> None:
            self.layout.load(self.inner, flat)

        def forward(self, inputs: Tensor) -> Any:
            return self.inner(inputs)

    half = side // 2
    reach = 1.0 / 1.3  # its own margin is 30 %
    path = np.array([[reach, 0.0], [0.0, 0.0]])
    centre = torch.from_numpy(plane.origin)
    axes = torch.from_numpy(plane.axes)
    with redirect_stdout(io.StringIO()):
        made = grid_class([centre, centre], Shim(), (x, y), path, axes, half, tqdm_disable=True, save_grid=False)
    return made.loss_values_2d.T, made.coords[0]


def _grid_class() -> Any:
    """Its class alone: the package itself wants PyTorch Lightning, which the grid does not need."""
    found = importlib.util.find_spec("loss_landscape_anim")
    if found is None or found.origin is None:
        raise ImportError("loss-landscape-anim is not installed")
    spec = importlib.util.spec_from_file_location("anim_grid", Path(found.origin).parent / "loss_landscape.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LossGrid
