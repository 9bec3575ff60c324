"""BatchNorm statistics measured anew: spoiled ones recover, weights and modes stay, and a network without has none."""

import pytest
import torch
from torch import nn

from training.batchnorm import batchnorm_layers, reestimate_batchnorm


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)
    ).double()


def test_spoiled_statistics_recover_and_nothing_else_changes():
    model, images = network(), torch.rand(24, 3, 8, 8, dtype=torch.float64)
    model.eval()
    assert reestimate_batchnorm(model, images) == 2
    good = model(images)
    first = model[0](images)
    torch.testing.assert_close(model[1].running_mean, first.mean((0, 2, 3)))
    torch.testing.assert_close(model[1].running_var, first.var((0, 2, 3)))
    weights = [one.clone() for one in model.parameters()]
    for one in batchnorm_layers(model):
        one.running_mean.add_(3.0)
        one.running_var.mul_(50.0)
    assert not torch.allclose(model(images), good, atol=0.1)
    model[3].train()  # a mode that is given back
    reestimate_batchnorm(model, images)
    assert model[3].training
    model.eval()
    torch.testing.assert_close(model(images), good)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))
    assert [one.momentum for one in batchnorm_layers(model)] == [0.1, 0.1]


def test_batches_count_alike():
    model, images = network(), torch.rand(7, 3, 8, 8, dtype=torch.float64)
    reestimate_batchnorm(model, images, batch=3)
    first = model[0](images)
    parts = [first[k::3] for k in range(3)]
    torch.testing.assert_close(model[1].running_mean, torch.stack([p.mean((0, 2, 3)) for p in parts]).mean(0))
    torch.testing.assert_close(model[1].running_var, torch.stack([p.var((0, 2, 3)) for p in parts]).mean(0))


def test_without_batchnorm_there_is_nothing_to_measure():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.BatchNorm2d(4, track_running_stats=False))
    assert reestimate_batchnorm(plain, torch.rand(1, 3, 8, 8)) == 0


def test_one_image_has_no_variance():
    model = network()
    before = model[1].running_var.clone()
    with pytest.raises(ValueError, match="two images or more, not 1"):
        reestimate_batchnorm(model, torch.rand(1, 3, 8, 8, dtype=torch.float64))
    assert torch.equal(model[1].running_var, before)
