"""Surfaces and SAL of every large network, on a tiny image."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from analysis import sharpness_aware_learnability
from landscape import Plane, evaluate_surface, random_plane
from training import build_model

BLOCKS = {"cnn-small": 4, "resnet18": 21, "senet18": 37, "vit-small": 38, "resnet50": 54}


@pytest.fixture
def batch():
    drawn = torch.Generator().manual_seed(0)
    return torch.rand(3, 3, 4, 4, generator=drawn), torch.tensor([0, 1, 2])


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_surfaces_are_those_of_the_network(name, batch):
    model = build_model(name, (3, 4, 4), 3, seed=0)
    plane = random_plane(model, seed=0)
    surface = evaluate_surface(model, plane, [batch], [0.0, 0.05], [0.05])
    assert surface.loss.shape == (2, 1)
    assert surface.loss[0, 0] == pytest.approx(loss_at(model, plane, 0.0, 0.05, batch), rel=1e-4)
    assert surface.loss[1, 0] == pytest.approx(loss_at(model, plane, 0.05, 0.05, batch), rel=1e-4)


def loss_at(model, plane: Plane, a: float, b: float, batch) -> float:
    moved = torch.from_numpy(np.asarray(plane.point(a, b)))
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.nn.utils.vector_to_parameters(moved.to(before), model.parameters())
    with torch.no_grad():
        loss = float(functional.cross_entropy(model.eval()(batch[0]), batch[1]))
    torch.nn.utils.vector_to_parameters(before, model.parameters())
    return loss


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_convolution_and_linear_layer_is_a_block(name, batch):
    model = build_model(name, (3, 4, 4), 3, seed=0)
    blocks = sharpness_aware_learnability(model, [batch], method="gradient")
    assert len(blocks) == BLOCKS[name]
    assert all(np.isfinite(block.sal) and block.sal > 0 for block in blocks)
