"""The fast objective against the plain one, and the projected search against the paper's and against the ball."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from analysis import SharpnessMeter, sharpness_aware_learnability
from analysis import objective as objectives
from analysis import sal as sal_module
from analysis.objective import Objective, StagedObjective
from analysis.projected import farthest
from landscape import model_blocks
from landscape.tracing import trace
from tests.analysis.test_golden import cases, stored
from tests.golden_models import MODELS, LeNet, ResNet, load


def network(make):
    torch.manual_seed(0)
    model = make().eval()
    x = torch.randn(70, 1, 28, 28) if make is LeNet else torch.randn(70, 3, 16, 16)
    return model, [(x[:40], torch.randint(0, 10, (40,))), (x[40:], torch.randint(0, 10, (30,)))]


@pytest.mark.parametrize("make", [LeNet, ResNet])
@pytest.mark.parametrize("room", [1 << 30, 0])
def test_level_and_gradient_of_every_layer_are_the_models_own(make, room, monkeypatch):
    monkeypatch.setattr(StagedObjective, "_fitting_chunk", lambda self, inputs: 16)
    monkeypatch.setattr(objectives, "CACHE_BYTES", room)
    model, batches = network(make)
    plain, program = Objective(model.double(), [(x.double(), t) for x, t in batches], None), trace(model)
    for block in model_blocks(model):
        staged = StagedObjective(model, plain.batches, None, program, block.parameter)
        weight = plain.parameters[block.parameter]
        for _ in range(2):  # also after the weight has moved
            for number in range(2):
                wanted, found = plain.gradient(number, weight), staged.gradient(number, weight)
                assert found[0].loss == pytest.approx(wanted[0].loss, rel=1e-12)
                assert found[0].accuracy == pytest.approx(wanted[0].accuracy)
                torch.testing.assert_close(found[1], wanted[1], rtol=1e-9, atol=1e-14)
            assert staged.evaluate().loss == pytest.approx(plain.evaluate().loss, rel=1e-12)
            whole = staged.whole_gradient(weight)[1]
            torch.testing.assert_close(whole, plain.whole_gradient(weight)[1], rtol=1e-9, atol=1e-14)
            with torch.no_grad():
                weight += 0.01 * torch.randn_like(weight)


def test_what_lies_before_a_block_is_computed_once(monkeypatch):
    model, batches = network(LeNet)
    staged = StagedObjective(model, batches, None, trace(model), "fc3.weight")
    staged.evaluate()

    def never(*arguments, **options):
        raise AssertionError("a convolution was computed again")

    monkeypatch.setattr(functional, "conv2d", never)
    monkeypatch.setattr(torch, "conv2d", never)
    staged.gradient(0, model.fc3.weight)
    staged.evaluate()


class Strange(nn.Module):
    """Branches on its data, so that there is no program of it."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)) if x.sum() > -1e9 else self.a(x))


class Sneaky(Strange):
    """No gradient reaches the first layer, which a trace does not show."""

    def forward(self, x):
        with torch.no_grad():
            h = torch.relu(self.a(x))
        return self.b(h)


@pytest.mark.parametrize("make", [Strange, Sneaky])
def test_networks_without_a_faithful_program_are_searched_plainly(make):
    torch.manual_seed(0)
    model = make()
    batches = [(torch.randn(20, 6), torch.randint(0, 3, (20,)))]
    if make is Sneaky:
        model.a.weight.requires_grad_(False)
    faster = sal_module._Faster(Objective(model.eval(), batches, None), Objective(model, batches, None).evaluate())
    used = faster.objective("b.weight")
    assert isinstance(used, StagedObjective) == (make is Sneaky)
    found = sharpness_aware_learnability(model, batches, steps=3)
    assert all(math.isfinite(block.sal) for block in found)


def test_samples_that_depend_on_each_other_are_searched_plainly():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, x):
            h = self.net(x)
            return 40 * h / h.abs().max()

    joined = Joined()
    x = torch.randn(600, 6)
    with torch.no_grad():
        y = joined(x).argmax(1)
    objective = Objective(joined.eval(), [(x, y)], None)
    faster = sal_module._Faster(objective, objective.evaluate())
    assert not isinstance(faster.objective("net.2.weight"), StagedObjective)


def test_a_program_that_errs_is_not_used(monkeypatch):
    model, batches = network(LeNet)
    wanted = [b.sal for b in sharpness_aware_learnability(model, batches, steps=2)]
    original = StagedObjective.gradient

    def wrong(self, number, parameter):
        level, gradient = original(self, number, parameter)
        return level, gradient * 1.01

    monkeypatch.setattr(StagedObjective, "gradient", wrong)
    found = [b.sal for b in sharpness_aware_learnability(model, batches, steps=2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


@pytest.mark.parametrize("case", [(name, case) for name in MODELS for case in cases(name)])
def test_projected_finds_at_least_what_the_search_finds(case):
    name, where = case
    arrays = stored(name)
    inputs = torch.from_numpy(arrays[f"{where.split('/')[0]}/inputs"])
    targets = torch.from_numpy(arrays["targets"])
    blocks = sharpness_aware_learnability(
        load(name, arrays, f"{where}/state/"), [(inputs, targets)], method="projected"
    )
    found = np.array([block.sal for block in blocks])
    for mode in ("full", "batch128"):
        assert (found >= 0.98 * arrays[f"{where}/{mode}/sal_loss"]).all()
    assert (found > arrays[f"{where}/full/sal_loss"]).mean() >= 0.5


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_projected_stays_in_the_ball(p, monkeypatch):
    model, batches = network(LeNet)
    origin = copy.deepcopy(model.state_dict())
    farthest_out = {}
    original = StagedObjective.whole_gradient

    def watch(self, parameter):
        moved = (parameter.detach() - origin[self.name]).double()
        share = float(moved.reshape(-1).norm(p) / origin[self.name].double().reshape(-1).norm(p))
        farthest_out[self.name] = max(farthest_out.get(self.name, 0.0), share)
        return original(self, parameter)

    monkeypatch.setattr(StagedObjective, "whole_gradient", watch)
    sharpness_aware_learnability(model, batches, method="projected", p=p, steps=4)
    assert set(farthest_out) == {block.parameter for block in model_blocks(model)}
    assert max(farthest_out.values()) <= 0.05 * (1 + 1e-5)
    assert max(farthest_out.values()) > 0.05 * (1 - 1e-3)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in origin.items())


def test_projected_on_a_quadratic_has_a_closed_form():
    model = nn.Linear(3, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0, 4.0]]))
    x = torch.diag(torch.tensor([1.0, 2.0, 0.5])).double()

    def loss(outputs, targets):
        return (outputs**2).mean()

    (block,) = sharpness_aware_learnability(model, [(x, torch.zeros(3, 1))], loss=loss, method="projected", steps=60)
    a = np.diag([1.0, 4.0, 0.25]) / 3
    w = np.array([3.0, 0.0, 4.0])
    angles = np.linspace(0, np.pi, 401)
    turns = np.linspace(0, 2 * np.pi, 801)
    ball = 0.25 * np.stack(
        [np.outer(np.sin(angles), np.cos(turns)), np.outer(np.sin(angles), np.sin(turns)),
         np.outer(np.cos(angles), np.ones_like(turns))], axis=-1).reshape(-1, 3)  # fmt: skip
    values = np.einsum("ni,ij,nj->n", w + ball, a, w + ball)
    assert block.s_max == pytest.approx(values.max() - w @ a @ w, rel=2e-3)
    assert block.s_min == pytest.approx(w @ a @ w - values.min(), rel=2e-3)


def test_farthest_points_of_the_balls():
    gradient = torch.tensor([3.0, -4.0, 0.0])
    torch.testing.assert_close(farthest(gradient, 2.0, 2.0), torch.tensor([1.2, -1.6, 0.0]))
    torch.testing.assert_close(farthest(gradient, 2.0, math.inf), torch.tensor([2.0, -2.0, 0.0]))
    torch.testing.assert_close(farthest(gradient, 2.0, 1.0), torch.tensor([0.0, -2.0, 0.0]))
    assert not farthest(torch.zeros(3), 2.0, 2.0).any()
    assert not farthest(torch.tensor([torch.nan, 1.0]), 2.0, 2.0).any()


@pytest.mark.parametrize("method", ["search", "projected", "gradient"])
def test_some_blocks_at_a_time_are_the_same_as_all(method):
    model, batches = network(LeNet)
    options = {"method": method, "steps": 2}
    whole = sharpness_aware_learnability(model, batches, **options)
    meter = SharpnessMeter(model, batches, **options)
    assert meter.measure([3, 1]) + meter.measure([0]) == [whole[3], whole[1], whole[0]]


def test_weights_in_another_memory_order_are_searched_and_kept():
    model, batches = network(LeNet)
    wanted = sharpness_aware_learnability(model, batches, steps=2)
    model.to(memory_format=torch.channels_last)
    found = sharpness_aware_learnability(model, batches, steps=2)
    np.testing.assert_allclose([b.sal for b in found], [b.sal for b in wanted], rtol=1e-3)
    assert model.conv2.weight.is_contiguous(memory_format=torch.channels_last)
