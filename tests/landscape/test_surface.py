"""Loss surfaces against reference numbers, closed forms and plain loops; the model is only borrowed."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape import (
    ParameterLayout,
    Plane,
    evaluate_points,
    evaluate_states,
    evaluate_surface,
    model_blocks,
    path_box,
    random_plane,
)
from tests.golden_models import load

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str):
    with np.load(GOLDEN / f"plane_{name}.npz") as archive:
        arrays = dict(archive)
    model = load(name, arrays, f"clean/epoch{arrays['epochs'][-1]}/state/").eval()
    batch = (torch.from_numpy(arrays["inputs"]), torch.from_numpy(arrays["targets"]))
    return arrays, model, [batch]


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_random_surface_equals_the_reference(name):
    arrays, model, batches = golden(name)
    names = [str(n) for n in arrays["parameter_names"]]
    axes = [np.concatenate([arrays[f"random/filter_biasbn{a}/{n}"].ravel() for n in names]) for a in (0, 1)]
    plane = Plane(ParameterLayout.from_model(model).vector(model).numpy(), np.stack(axes))
    found = evaluate_surface(model, plane, batches, arrays["random/alphas"], arrays["random/betas"])
    np.testing.assert_allclose(found.loss, arrays["random/loss"], rtol=1e-4)
    np.testing.assert_allclose(100 * found.accuracy, arrays["random/accuracy"], atol=1e-9)


def test_pca_surface_equals_the_reference():
    arrays, model, batches = golden("mlp")
    plane = Plane(ParameterLayout.from_model(model).vector(model).numpy(), arrays["pca_all/components"])
    found = evaluate_surface(model, plane, batches, arrays["pca_all/alphas"], arrays["pca_all/betas"])
    np.testing.assert_allclose(found.loss, arrays["pca_all/loss"], rtol=1e-4)


def squares(outputs, targets):
    return (outputs - targets).square().mean()


def linear_case():
    model = nn.Linear(3, 1, bias=False).double()
    x, y = torch.randn(11, 3, dtype=torch.float64), torch.randn(11, 1, dtype=torch.float64)
    return model, x, y


def test_a_quadratic_loss_on_an_asymmetric_grid_is_known_exactly():
    model, x, y = linear_case()
    plane = Plane(np.array([1.0, 2.0, 3.0]), np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 0.5]]))
    alphas, betas = np.array([-1.0, 0.5, 2.0]), np.array([-3.0, 0.0, 1.0, 4.0, 5.0])
    found = evaluate_surface(model, plane, [(x[:4], y[:4]), (x[4:], y[4:])], alphas, betas, loss=squares)
    assert found.loss.shape == (3, 5)
    assert found.accuracy is None
    assert found.loss_standard_error is None
    for i, a in enumerate(alphas):
        for j, b in enumerate(betas):
            w = plane.point(a, b)
            assert found.loss[i, j] == pytest.approx(float(((x.numpy() @ w - y.numpy()[:, 0]) ** 2).mean()), rel=1e-12)


class Everything(nn.Module):
    """BatchNorm, dropout, tied weights and a frozen parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x):
        return self.b(self.drop(self.norm(self.a(x)))) * self.frozen


def everything_case():
    torch.manual_seed(4)
    return Everything(), [(torch.randn(20, 4), torch.randint(0, 4, (20,)))]


@pytest.mark.parametrize("norm_stats", ["frozen", "recalibrated"])
def test_the_model_is_only_borrowed_also_after_a_failure(norm_stats):
    model, batches = everything_case()
    model.a.weight.grad = torch.ones(4, 4)
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    plane = random_plane(model, seed=0)

    def fail(surface):
        raise KeyboardInterrupt

    evaluate_surface(model, plane, batches, [-1, 0, 1], [0, 1], norm_stats=norm_stats)
    with pytest.raises(KeyboardInterrupt):
        evaluate_surface(model, plane, batches, [-1, 0, 1], [0, 1], norm_stats=norm_stats, on_group=fail)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    assert [m.training for m in model.modules()] == modes
    assert model.b.weight is model.a.weight
    assert torch.equal(model.a.weight.grad, torch.ones(4, 4))
    assert model.norm.momentum == 0.1


def test_the_centre_is_the_model_itself_in_evaluation_mode():
    model, batches = everything_case()
    found = evaluate_surface(model, random_plane(model, seed=0), batches, [0.0], [0.0])
    model.eval()
    each = functional.cross_entropy(model(batches[0][0]), batches[0][1], reduction="none").detach().double().numpy()
    assert found.loss[0, 0] == pytest.approx(each.mean(), rel=1e-6)
    assert found.loss_standard_error[0, 0] == pytest.approx(each.std(ddof=1) / np.sqrt(20), rel=1e-5)


def test_a_partial_surface_is_completed_to_the_same_bits():
    model, batches = everything_case()
    plane, grid = random_plane(model, seed=0), np.linspace(-1, 1, 17)
    whole = evaluate_surface(model, plane, batches, grid, grid)
    kept = []

    def stop(surface):
        kept[:] = [copy.deepcopy(surface)]
        if surface.evaluated.sum() > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_surface(model, plane, batches, grid, grid, on_group=stop)
    assert kept[0].evaluated[::2, ::2].all(), "coarse points come first"
    groups = []
    found = evaluate_surface(
        model, plane, batches, grid, grid, partial=kept[0], strategy=whole.strategy, on_group=lambda s: groups.append(1)
    )
    assert len(groups) == np.ceil((17 * 17 - kept[0].evaluated.sum()) / 64)
    assert np.array_equal(found.loss, whole.loss)
    with pytest.raises(ValueError, match="another grid"):
        evaluate_surface(model, plane, batches, grid, grid[:3], partial=kept[0])


def test_non_finite_losses_are_kept_as_they_are():
    model, x, y = linear_case()
    plane = Plane(np.zeros(3), np.eye(3)[:2])
    found = evaluate_surface(model, plane, [(x, y)], [0, 1e200], [0, 1], loss=squares)
    assert np.isinf(found.loss[1]).all()
    assert np.isfinite(found.loss[0]).all()
    assert found.evaluated.all()


def test_points_and_states_measure_what_they_say():
    model, batches = everything_case()
    layout = ParameterLayout.from_model(model)
    vectors = [layout.vector(model).numpy() * factor for factor in (1.0, 0.5)]
    points = evaluate_points(model, vectors, batches)
    state = copy.deepcopy(model.state_dict())
    state["norm.running_mean"] += 3
    states = evaluate_states(model, [model.state_dict(), state], batches)
    assert points.loss[0] == pytest.approx(states.loss[0], rel=1e-6)
    assert states.loss[0] != states.loss[1]
    assert points.samples == 20
    assert points.accuracy.shape == (2,)


def test_precision_casts_a_copy():
    model, batches = everything_case()
    plane = random_plane(model, seed=0)
    double = evaluate_surface(model, plane, batches, [0, 0.5], [0, 0.5], precision=torch.float64)
    single = evaluate_surface(model, plane, batches, [0, 0.5], [0, 0.5])
    np.testing.assert_allclose(single.loss, double.loss, rtol=1e-5)
    assert next(model.parameters()).dtype == torch.float32


def test_wrong_inputs_are_one_sentence():
    model, batches = everything_case()
    plane = random_plane(model, seed=0)
    with pytest.raises(ValueError, match="no samples"):
        evaluate_surface(model, plane, [], [0], [0])
    with pytest.raises(ValueError, match="label 7 does not fit a model with 4 outputs"):
        evaluate_surface(model, plane, [(batches[0][0], torch.full((20,), 7))], [0], [0])
    with pytest.raises(ValueError, match="3 parameters, but the model trains 24"):
        evaluate_surface(model, Plane(np.zeros(3), np.eye(3)[:2]), batches, [0], [0])
    with pytest.raises(ValueError, match="alphas"):
        evaluate_surface(model, plane, batches, [], [0])
    with pytest.raises(ValueError, match="betas"):
        evaluate_surface(model, plane, batches, [0], [np.nan])
    with pytest.raises(ValueError, match="norm_stats"):
        evaluate_surface(model, plane, batches, [0], [0], norm_stats="thawed")


def test_the_box_holds_every_path_with_room():
    paths = [np.array([[0.0, 0], [10, 2]]), np.array([[-10.0, 1]])]
    alphas, betas = path_box(paths, margin=0.2, grid=9)
    np.testing.assert_allclose([alphas[0], alphas[-1], betas[0], betas[-1]], [-14, 14, -0.4, 2.4])
    flat, other = path_box([np.array([[0.0, 5], [2, 5]])], margin=0.0, grid=3)
    assert flat.tolist() == [0, 1, 2]
    assert other.tolist() == [4, 5, 6]
    still, _ = path_box([np.zeros((3, 2))], margin=0.0)
    assert still[-1] - still[0] == 1
    for kwargs, words in (({"grid": 1}, "at least 2"), ({"margin": -1}, "margin")):
        with pytest.raises(ValueError, match=words):
            path_box(paths, **kwargs)
    with pytest.raises(ValueError, match="not finite"):
        path_box([np.array([[np.nan, 0]])])


def test_blocks_and_layout():
    model = Everything()
    assert [b.name for b in model_blocks(model)] == ["a"]
    assert len(model_blocks(model, "unit")) == 4
    assert len(model_blocks(model, "parameter")) == 16
    assert model_blocks(model, "parameter")[6].name == "a[1, 2]"
    layout = ParameterLayout.from_model(model)
    assert layout.names == ("a.weight", "norm.weight", "norm.bias")
    assert layout.scalar_name(17) == "norm.weight[1]"
    vector = torch.arange(24.0)
    layout.load(model, vector)
    assert torch.equal(layout.vector(model).float(), vector)
    assert layout.unflatten(vector)["norm.bias"].tolist() == [20, 21, 22, 23]
    assert layout.select("norm").tolist() == list(range(16, 24))
    for wrong, words in (("z", "no parameter"), ([99], "must lie in"), ([], "empty")):
        with pytest.raises(ValueError, match=words):
            layout.select(wrong)
    with pytest.raises(ValueError, match="'layer', 'unit' or 'parameter'"):
        model_blocks(model, "head")
