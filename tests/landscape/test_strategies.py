"""Every way of evaluating a surface against the model itself: strange networks fall back, none gives other numbers."""

import copy
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from landscape import (
    ParameterLayout,
    Plane,
    PlaneEvaluator,
    Strategy,
    evaluate_points,
    evaluate_states,
    evaluate_surface,
    random_plane,
)
from landscape import strategy as strategies
from landscape.evaluation import Evaluator
from landscape.kernel import PlaneKernel
from landscape.tracing import trace
from tests.golden_models import LeNet, ResNet

GRID = np.linspace(-0.8, 0.8, 5)
WAYS = [
    Strategy("steps", 7, False, 1, True),
    Strategy("steps", 16, True, 1, True),
    Strategy("steps", 16, True, 1, False),
    Strategy("batched", 10, False, 8, True),
    Strategy("batched", 16, False, 8, False),
]


class Net(nn.Module):
    """A network of named parts with a forward pass of its own."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def branching(self, x):
    return self.b(torch.relu(self.a(x)) if x.mean() > 0 else self.a(x))


def reused(self, x):
    h = self.a(x)
    return self.b(torch.relu(h) + h)


def overwritten(self, x):
    h = self.a(x)
    kept = h
    h = functional.relu(h, inplace=True)
    return self.b(h + kept)  # both are the same by now


def residual_in_place(self, x):
    h = self.a(x)
    h += torch.tanh(self.a(x))
    return self.b(functional.relu_(h))


def viewed(self, x):
    h = functional.max_pool2d(torch.relu(self.conv(x)), kernel_size=2)
    return self.b(h.view(h.size(0), -1))


def scaled(self, x):
    return self.b(torch.relu(self.a(x))) * self.scale.exp()


def by_weight(self, x):
    return self.b(self.a(x)) if self.scale > 0 else self.b(torch.relu(self.a(x)))


def counted(self, x):
    return self.b(torch.relu(self.a(x))) / len(x) * 20


def always_dropping(self, x):
    return self.b(functional.dropout(self.a(x), 0.5, training=True))


def mixed(self, x):
    return self.b(torch.relu(self.a(x)).double()).float()


def attending(self, x):
    h = x.view(-1, 3, 4)
    return self.b(self.attend(h, h, h, need_weights=False)[0].flatten(1))


def sorting(self, x):
    return self.b(torch.unique(self.a(x).reshape(-1), sorted=True)[: len(x) * 5].reshape(len(x), 5))


def parts(width=12, **more):
    return {"a": nn.Linear(width, 5), "b": nn.Linear(5, 4), **more}


def tied():
    model = nn.Sequential(nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 4))
    model[2].weight = model[0].weight
    return model


def frozen():
    model = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 4))
    model[0].weight.requires_grad_(False)
    return model


def hooked():
    model = nn.Sequential(nn.Linear(12, 6), nn.Linear(6, 4))
    model[0].register_forward_hook(lambda module, inputs, output: output.abs())
    return model


def normed(**options):
    return nn.Sequential(nn.Linear(12, 6), nn.BatchNorm1d(6, **options), nn.ReLU(), nn.Linear(6, 4))


def convolved(*after, norm=True):
    layers = [nn.Conv2d(1, 3, 3), *([nn.BatchNorm2d(3)] if norm else []), *after]
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(4))


NETWORKS = {
    "branching on data": lambda: Net(branching, **parts()),
    "branching on a weight": lambda: Net(by_weight, **parts(scale=nn.Parameter(torch.tensor(0.1)))),
    "a result read twice": lambda: Net(reused, **parts()),
    "overwritten and read again": lambda: Net(overwritten, **parts()),
    "added in place": lambda: Net(residual_in_place, **parts()),
    "a weight read directly": lambda: Net(scaled, **parts(scale=nn.Parameter(torch.tensor(0.3)))),
    "the size of the batch": lambda: Net(counted, **parts()),
    "mixed types": lambda: Net(mixed, a=nn.Linear(12, 5), b=nn.Linear(5, 4).double()),
    "attention": lambda: Net(attending, attend=nn.MultiheadAttention(4, 2, batch_first=True), b=nn.Linear(12, 4)),
    "an operation across samples": lambda: Net(sorting, **parts()),
    "tied weights": tied,
    "frozen weights": frozen,
    "a hook": hooked,
    "batch norm": normed,
    "batch norm without weights": lambda: normed(affine=False),
    "batch norm of the batch": lambda: normed(track_running_stats=False),
    "dropout": lambda: nn.Sequential(nn.Linear(12, 8), nn.Dropout(0.5), nn.GELU(), nn.Linear(8, 4)),
    "relu in place": lambda: nn.Sequential(nn.Linear(12, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)),
    "relu of the input in place": lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(12, 4)),
    "a recurrent net": lambda: Net(lambda self, x: self.b(self.rnn(x.view(-1, 3, 4))[0][:, -1]),
                                   rnn=nn.GRU(4, 5, batch_first=True), b=nn.Linear(5, 4)),
    "layer norm": lambda: nn.Sequential(nn.Linear(12, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4)),
    "one layer": lambda: nn.Linear(12, 4, bias=False),
}  # fmt: skip
IMAGES = {
    "conv, norm, relu, pool": lambda: convolved(nn.ReLU(), nn.MaxPool2d(2)),
    "conv, relu, pool that overlaps": lambda: convolved(nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), norm=False),
    "conv, pool of odd size": lambda: convolved(nn.MaxPool2d(3, ceil_mode=True), nn.ReLU()),
    "conv, norm, pool": lambda: convolved(nn.MaxPool2d(2), nn.Tanh()),
    "circular padding": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.Flatten(),
                                              nn.LazyLinear(4)),
    "viewed": lambda: Net(viewed, conv=nn.Conv2d(1, 3, 3), b=nn.Linear(27, 4)),
    "grouped": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(),
                                     nn.LazyLinear(4)),
}  # fmt: skip


def case(name):
    torch.manual_seed(3)
    images = name in IMAGES
    x = torch.randn(30, 1, 8, 8) if images else torch.randn(30, 12)
    model = (IMAGES if images else NETWORKS)[name]()
    with torch.no_grad():
        model.eval()(x)  # gives lazy layers their shape
        for module in model.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
    y = torch.randint(0, 4, (30,))
    return model, [(x[:20], y[:20]), (x[20:], y[20:])]


def same(found, wanted):
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-5)
    np.testing.assert_array_equal(found.accuracy, wanted.accuracy)
    np.testing.assert_allclose(found.loss_standard_error, wanted.loss_standard_error, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", [*NETWORKS, *IMAGES])
def test_every_way_gives_the_numbers_of_the_model_itself(name, monkeypatch):
    model, batches = case(name)
    before, state = set(vars(model)), copy.deepcopy(model.state_dict())
    plane = random_plane(model, seed=1, ignore=None, norm=None)
    wanted = evaluate_surface(model, plane, batches, GRID, GRID, strategy="plain")
    for way in WAYS:
        monkeypatch.setattr(PlaneEvaluator, "_candidates", lambda self, program, way=way: [way])
        same(evaluate_surface(model, plane, batches, GRID, GRID), wanted)
    assert set(vars(model)) == before
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())


TRACED = {"a result read twice", "added in place", "a weight read directly", "attention", "tied weights", "batch norm"}


@pytest.mark.parametrize("name", sorted(TRACED | set(IMAGES)))
def test_ordinary_networks_do_not_fall_back(name):
    model, batches = case(name)
    found = evaluate_surface(model, random_plane(model, seed=1), batches, GRID, GRID)
    assert found.strategy != "plain"


@pytest.mark.parametrize(
    "name", ["branching on data", "overwritten and read again", "a hook", "batch norm of the batch", "a recurrent net",
             "relu of the input in place", "branching on a weight", "an operation across samples"]
)  # fmt: skip
def test_strange_networks_fall_back(name):
    model, batches = case(name)
    assert evaluate_surface(model, random_plane(model, seed=1), batches, GRID, GRID).strategy == "plain"


def squeezed(self, x):
    return self.b(self.a(x).unsqueeze(-1).squeeze())


def test_a_last_piece_of_one_sample_is_no_trap():
    torch.manual_seed(0)
    model, x, y = Net(squeezed, **parts()), torch.randn(129, 12), torch.randint(0, 4, (129,))
    plane = random_plane(model, seed=1)
    wanted = evaluate_surface(model, plane, [(x, y)], GRID, GRID, strategy="plain")
    for way in ("auto", "steps, 128 samples, affine"):
        np.testing.assert_allclose(evaluate_surface(model, plane, [(x, y)], GRID, GRID, strategy=way).loss, wanted.loss)
    states = [copy.deepcopy(model.state_dict())]
    assert np.isfinite(evaluate_states(model, states, [(x, y)]).loss).all()
    evaluator = Evaluator(model, [(x, y)], None)
    with evaluator.borrowed(model):
        trusting = PlaneEvaluator.with_strategy(evaluator, plane, Strategy("steps", 128, False, 1, True))
        table = trusting.measure(GRID, GRID)
    assert trusting.strategy == Strategy()
    np.testing.assert_allclose(table[:, 0], np.diag(wanted.loss), rtol=1e-6)


@pytest.mark.parametrize("first", [1, 2, 10])
def test_samples_that_depend_on_each_other_are_noticed_whatever_the_batches(first):
    torch.manual_seed(0)
    model = Net(lambda self, x: self.b(torch.relu(self.a(x - x.mean(0)))), **parts())
    x, y = torch.randn(300, 12), torch.randint(0, 4, (300,))
    batches = [(x[:first], y[:first]), (x[first:], y[first:])]
    plane = random_plane(model, seed=1)
    found = evaluate_surface(model, plane, batches, GRID, GRID)
    assert found.strategy == "plain"
    same(found, evaluate_surface(model, plane, batches, GRID, GRID, strategy="plain"))


def test_small_label_types_and_wrong_labels():
    model, batches = case("batch norm")
    plane = random_plane(model, seed=1)
    small = [(x, y.to(torch.uint8)) for x, y in batches]
    found = evaluate_surface(model, plane, small, GRID, GRID)
    assert found.strategy != "plain"
    same(found, evaluate_surface(model, plane, batches, GRID, GRID))
    wrong = [(x, torch.full_like(y, 7)) for x, y in batches]
    for way in ("auto", "plain", "steps, 16 samples, affine"):
        with pytest.raises(ValueError, match="label 7 does not fit"):
            evaluate_surface(model, plane, wrong, GRID, GRID, strategy=way)


def test_tracing_leaves_no_trace():
    def remembering(self, x):
        self.last = self.a(x)
        return self.b(self.last)

    model, batches = Net(remembering, **parts()), case("one layer")[1]
    model.last = None
    evaluate_surface(model, random_plane(model, seed=1), batches, GRID, GRID)
    assert model.last is None or isinstance(model.last, torch.Tensor)


def test_data_too_large_to_keep_are_made_anew(monkeypatch):
    model, batches = case("conv, norm, relu, pool")
    plane = random_plane(model, seed=1)
    wanted = evaluate_surface(model, plane, batches, GRID, GRID, strategy="plain")
    monkeypatch.setattr("landscape.kernel.CACHE_BYTES", 1000)
    same(evaluate_surface(model, plane, batches, GRID, GRID, strategy="steps, 8 samples, affine"), wanted)


def test_a_network_with_chance_in_it_is_told_of():
    torch.manual_seed(0)
    model, batches = Net(always_dropping, **parts()), case("one layer")[1]
    with pytest.warns(RuntimeWarning, match="other outputs for the same weights"):
        found = evaluate_surface(model, random_plane(model, seed=1), batches, GRID, GRID)
    assert found.strategy == "plain"


@pytest.mark.parametrize("make", [LeNet, ResNet, torchvision.models.resnet18])
@pytest.mark.parametrize("moved", ["all", "the last layer", "the norms"])
def test_real_networks_on_whole_and_restricted_planes(make, moved, monkeypatch):
    torch.manual_seed(0)
    model = make().eval()
    x = torch.randn(12, 1, 28, 28) if make is LeNet else torch.randn(12, 3, 32, 32)
    y = torch.randint(0, 10, (12,))
    layout = ParameterLayout.from_model(model)
    blocks = {"all": None, "the last layer": ["fc3" if make is LeNet else "fc"], "the norms": None}
    plane = random_plane(model, seed=0, block=blocks[moved])
    if moved == "the norms":
        keep = np.zeros(layout.size, bool)
        for name, where in layout.slices.items():
            keep[where] = "bn" in name or name == "conv1.bias"
        if not keep.any():
            pytest.skip("no norms")
        generator = np.random.default_rng(0)
        plane = Plane(plane.origin, np.where(keep, generator.normal(0, 0.3, (2, layout.size)), 0.0))
    grid = GRID[::2]
    wanted = evaluate_surface(model, plane, [(x, y)], grid, grid, strategy="plain")
    for way in WAYS:
        monkeypatch.setattr(PlaneEvaluator, "_candidates", lambda self, program, way=way: [way])
        found = evaluate_surface(model, plane, [(x, y)], grid, grid)
        assert found.strategy == str(way)
        np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-5)


def test_what_no_axis_moves_is_computed_once():
    torch.manual_seed(0)
    model = LeNet().eval()
    batches = [(torch.randn(20, 1, 28, 28), torch.randint(0, 10, (20,)))]
    plane = random_plane(model, seed=0, block=["fc3"])
    kernel = PlaneKernel(trace(model), model, plane, batches, None, Strategy("steps", 20, False, 1, True))
    assert [step.result for step in kernel.moving] == ["fc3"]
    calls = []
    original = functional.conv2d
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "conv2d", lambda *a, **k: (calls.append(1), original(*a, **k))[1])
        kernel.measure(GRID, GRID)
        first = len(calls)
        kernel.measure(GRID, GRID)
    assert len(calls) == first


@pytest.mark.parametrize("kind", ["own loss", "regression", "segmentation", "probabilities"])
def test_other_losses_and_targets(kind, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(30, 12)
    model: nn.Module = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    y = {
        "own loss": torch.randint(0, 4, (30,)),
        "regression": torch.randn(30, 4),
        "probabilities": torch.rand(30, 4).softmax(1),
        "segmentation": torch.randint(0, 2, (30, 2)),
    }[kind]
    loss = {"own loss": lambda o, t: functional.multi_margin_loss(o, t).square(), "regression": functional.mse_loss}
    if kind == "segmentation":
        model = nn.Sequential(model, nn.Unflatten(1, (2, 2)))
    batches = [(x[:20], y[:20]), (x[20:], y[20:])]
    plane = random_plane(model, seed=1)
    options = {"loss": loss.get(kind)}
    wanted = evaluate_surface(model, plane, batches, GRID, GRID, strategy="plain", **options)
    for way in WAYS:
        monkeypatch.setattr(PlaneEvaluator, "_candidates", lambda self, program, way=way: [way])
        found = evaluate_surface(model, plane, batches, GRID, GRID, **options)
        assert found.strategy == str(way)
        np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-5)
        assert (found.accuracy is None) == (wanted.accuracy is None)
        if found.accuracy is not None:
            np.testing.assert_array_equal(found.accuracy, wanted.accuracy)


def test_points_and_states_go_through_the_program_too(monkeypatch):
    model, batches = case("conv, norm, relu, pool")
    layout = ParameterLayout.from_model(model)
    vectors = [layout.vector(model).numpy() * factor for factor in (1.0, 0.5)]
    states = [copy.deepcopy(model.state_dict()) for _ in range(2)]
    states[1]["1.running_mean"] += 0.5
    traced = evaluate_points(model, vectors, batches), evaluate_states(model, states, batches)
    monkeypatch.setattr("landscape.evaluation.trace", lambda model: None)
    plain = evaluate_points(model, vectors, batches), evaluate_states(model, states, batches)
    for found, wanted in zip(traced, plain, strict=True):
        np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-5)
        np.testing.assert_array_equal(found.accuracy, wanted.accuracy)
    assert traced[1].loss[0] != traced[1].loss[1]


def test_module_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, batches = case("batch norm")
        evaluate_surface(model, random_plane(model, seed=1), batches, GRID, GRID)
    assert Strategy() == strategies.PLAIN
