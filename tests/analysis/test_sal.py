"""SAL against a plain version in float64, closed forms, and the promise to leave the model alone."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from analysis import sharpness_aware_learnability
from landscape import model_blocks


def net() -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 4)]
    return nn.Sequential(*layers).double()


def data(n: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, 1, 6, 6, generator=generator).double(), torch.randint(0, 4, (n,), generator=generator)


def split(x, y, size):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(y), size)]


def plain_search(model, batches, block, epsilon, steps, lr, p):
    """Algorithm 1 written down as it reads."""
    x, y = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])
    loss0 = float(functional.cross_entropy(model(x), y))
    losses = [loss0]
    for sign in (-1, 1):
        moved = copy.deepcopy(model)
        weight = dict(moved.named_parameters())[block.parameter]
        start = weight.detach().clone()
        part = slice(block.start, block.stop)
        for _ in range(steps):
            for inputs, targets in batches:
                (gradient,) = torch.autograd.grad(functional.cross_entropy(moved(inputs), targets), weight)
                with torch.no_grad():
                    weight.view(-1)[part] += sign * lr * gradient.reshape(-1)[part]
            with torch.no_grad():
                d = (weight - start).reshape(-1)[part]
                radius = epsilon * start.reshape(-1)[part].norm(p)
                if d.norm(p) > radius:
                    weight.view(-1)[part] = start.reshape(-1)[part] + d * radius / d.norm(p)
                losses.append(float(functional.cross_entropy(moved(x), y)))
    return max(losses) - loss0, loss0 - min(losses)


@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("kind", ["layer", "unit"])
@pytest.mark.parametrize("size", [50, 16])
def test_search_equals_the_plain_version(p, kind, size):
    model, batches = net(), split(*data(), size)
    model.eval()
    found = sharpness_aware_learnability(model, batches, blocks=kind, p=p, steps=3, lr=0.3)
    for result, block in zip(found, model_blocks(model, kind), strict=True):
        s_max, s_min = plain_search(model, batches, block, 0.05, 3, 0.3, p)
        assert result.s_max == pytest.approx(s_max, rel=1e-8, abs=1e-12)
        assert result.s_min == pytest.approx(s_min, rel=1e-8, abs=1e-12)
        assert result.sal == max(result.s_max, result.s_min) >= 0


@pytest.mark.parametrize(("p", "q"), [(1, math.inf), (2, 2), (math.inf, 1)])
@pytest.mark.parametrize("kind", ["layer", "unit", "parameter"])
def test_gradient_is_radius_times_dual_norm(p, q, kind):
    model, (x, y) = net().eval(), data()
    functional.cross_entropy(model(x), y).backward()
    found = sharpness_aware_learnability(model, split(x, y, 16), method="gradient", p=p, blocks=kind)
    for result, block in zip(found, model_blocks(model, kind), strict=True):
        weight = dict(model.named_parameters())[block.parameter]
        part = slice(block.start, block.stop)
        expected = 0.05 * weight.detach().reshape(-1)[part].norm(p) * weight.grad.reshape(-1)[part].norm(q)
        assert result.sal == pytest.approx(float(expected), rel=1e-9)


def test_gradient_agrees_with_a_finite_difference():
    model, (x, y) = net().eval(), data()
    (result, *_) = sharpness_aware_learnability(model, [(x, y)], method="gradient", epsilon=1e-4)
    weight = model[0].weight
    loss = functional.cross_entropy(model(x), y)
    (gradient,) = torch.autograd.grad(loss, weight)
    with torch.no_grad():
        weight += 1e-4 * weight.norm() * gradient / gradient.norm()
        rise = float(functional.cross_entropy(model(x), y) - loss)
    assert result.sal == pytest.approx(rise, rel=1e-3)


@pytest.mark.parametrize("method", ["search", "gradient"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_alone(method, fails):
    model = net()
    model[1].eval()
    model[0].bias.requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]

    def stop(done: int, total: int) -> None:
        if fails:
            raise KeyboardInterrupt

    try:
        sharpness_aware_learnability(model, split(*data(), 20), method=method, steps=2, progress=stop)
        finished = True
    except KeyboardInterrupt:
        finished = False
    assert finished == (not fails or method == "gradient")
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert not model[0].bias.requires_grad
    assert model[0].weight.requires_grad
    assert torch.equal(model[5].weight.grad, torch.ones_like(model[5].weight))
    assert model[0].weight.grad is None


def test_duplicating_the_data_changes_nothing_in_one_full_batch():
    x, y = data(30)
    once = sharpness_aware_learnability(net(), [(x, y)], steps=3)
    twice = sharpness_aware_learnability(net(), [(torch.cat([x, x]), torch.cat([y, y]))], steps=3)
    np.testing.assert_allclose([b.sal for b in once], [b.sal for b in twice], rtol=1e-9)


def test_a_zero_block_and_an_exploding_loss():
    model, batches = net(), split(*data(), 50)
    with torch.no_grad():
        model[5].weight.zero_()
    assert sharpness_aware_learnability(model, batches)[1].sal == 0

    def explode(outputs, targets):
        return functional.cross_entropy(outputs, targets) * (1e308 if explode.calls > 2 else 1)

    def counting(outputs, targets):
        explode.calls += 1
        return explode(outputs, targets) * 10

    explode.calls = 0
    found = sharpness_aware_learnability(net(), batches, loss=counting, steps=2)
    assert found[0].s_max == math.inf


def test_tied_weights_form_one_block():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    found = sharpness_aware_learnability(model, [(torch.randn(20, 4), torch.randint(0, 4, (20,)))], steps=2)
    assert [b.name for b in found] == ["0"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epsilon": -0.1}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"steps": 0}, "steps"),
        ({"lr": 0}, "lr"),
        ({"p": 3}, "p must be"),
        ({"method": "guess"}, "method"),
        ({"blocks": "head"}, "blocks"),
        ({"baseline": "running"}, "baseline"),
    ],
)
def test_wrong_settings(change, words):
    with pytest.raises(ValueError, match=words):
        sharpness_aware_learnability(net(), split(*data(), 50), **change)


def test_wrong_data_and_models():
    x, y = data()
    with pytest.raises(ValueError, match="at least one batch"):
        sharpness_aware_learnability(net(), [])
    with pytest.raises(ValueError, match="label 9"):
        sharpness_aware_learnability(net(), [(x, y.clone().fill_(9))])
    with pytest.raises(ValueError, match="no block to measure"):
        sharpness_aware_learnability(nn.Sequential(nn.Flatten(), nn.LayerNorm(36)).double(), [(x, y)])
    broken = net()
    with torch.no_grad():
        broken[0].weight[0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        sharpness_aware_learnability(broken, [(x, y)])
