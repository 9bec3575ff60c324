"""Directions, planes and projections against reference numbers, scikit-learn and closed forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from checkpoints import Recorder, open_run
from landscape import (
    ParameterLayout,
    Plane,
    filter_normalize,
    parameter_plane,
    pca_plane,
    random_plane,
    rank_divergence,
    three_point_plane,
)
from tests.golden_models import load

GOLDEN = Path(__file__).parent / "golden"
RNG = np.random.default_rng(0)


class Run:
    """Checkpoints [T, D] with names and shapes."""

    def __init__(self, rows, names=("w",), shapes=None):
        self.rows = np.asarray(rows, np.float64)
        self.steps = np.arange(len(rows))
        shapes = shapes or ((self.rows.shape[1],),)
        self.parameters = type("P", (tuple,), {"names": names, "shapes": shapes})((names, shapes))

    def __len__(self):
        return len(self.rows)

    def vector(self, i):
        return self.rows[i]


@pytest.fixture(scope="module")
def mlp():
    with np.load(GOLDEN / "plane_mlp.npz") as archive:
        return dict(archive)


def path_of(mlp) -> Run:
    models = [load("mlp", mlp, f"clean/epoch{e}/state/") for e in mlp["epochs"]]
    layout = ParameterLayout.from_model(models[0])
    return Run([layout.vector(m).numpy() for m in models], layout.names, layout.shapes)


@pytest.mark.parametrize(
    ("tag", "norm", "ignore"),
    [
        ("filter_biasbn", "filter", "biasbn"),
        ("filter_keep", "filter", None),
        ("layer_biasbn", "layer", "biasbn"),
        ("weight_biasbn", "weight", "biasbn"),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_normalisation_equals_the_reference(mlp, tag, norm, ignore, axis):
    names = [str(n) for n in mlp["parameter_names"]]
    model = load("mlp", mlp, f"clean/epoch{mlp['epochs'][-1]}/state/")
    raw = {n: torch.from_numpy(mlp[f"random/raw{axis}/{n}"]) for n in names}
    found = filter_normalize(raw, dict(model.named_parameters()), norm=norm, ignore=ignore)
    for n in names:
        np.testing.assert_allclose(found[n], mlp[f"random/{tag}{axis}/{n}"], rtol=1e-4, atol=1e-7)


def test_filters_and_layers_get_the_norm_they_should():
    weights = {"conv": torch.randn(5, 3, 2, 2), "bias": torch.randn(5)}
    raw = {"conv": torch.rand(5, 3, 2, 2), "bias": torch.randn(5)}
    found = filter_normalize(raw, weights)
    torch.testing.assert_close(found["conv"].flatten(1).norm(dim=1), weights["conv"].flatten(1).norm(dim=1))
    assert not found["bias"].any()
    unit = filter_normalize(raw, weights, norm="dfilter")["conv"].flatten(1).norm(dim=1)
    torch.testing.assert_close(unit, torch.ones(5))
    assert float(filter_normalize(raw, weights, norm="dlayer")["conv"].norm()) == pytest.approx(1)
    assert torch.equal(filter_normalize(raw, weights, norm=None)["conv"], raw["conv"])
    assert torch.equal(filter_normalize(raw, weights, ignore=None)["bias"], weights["bias"])
    with pytest.raises(ValueError, match="norm must be"):
        filter_normalize(raw, weights, norm="size")
    with pytest.raises(ValueError, match="no tensor 'bias'"):
        filter_normalize({"conv": raw["conv"]}, weights)


def test_random_planes_follow_their_seed_alone():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 2))
    state = torch.get_rng_state()
    one, again, other = (random_plane(model, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(one.axes, again.axes)
    assert not np.array_equal(one.axes, other.axes)
    drawn = np.concatenate([random_plane(nn.Linear(200, 200), seed=s, norm=None).axes[0][:40000] for s in range(2)])
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    block = random_plane(model, seed=1, block="1")
    assert not block.axes[:, :20].any()


@pytest.mark.parametrize(("tag", "ignore"), [("pca_all", None), ("pca_biasbn", "biasbn")])
def test_pca_equals_the_reference(mlp, tag, ignore):
    run = path_of(mlp)
    plane = pca_plane(run, ignore=ignore)
    sign = np.sign((plane.axes * mlp[f"{tag}/components"]).sum(axis=1))
    np.testing.assert_allclose(plane.axes * sign[:, None], mlp[f"{tag}/components"], atol=1e-4)
    np.testing.assert_allclose(plane.explained_variance_ratio, mlp[f"{tag}/explained_variance_ratio"], rtol=1e-4)
    coordinates, _ = plane.project(run.rows)
    np.testing.assert_allclose(coordinates * sign, mlp[f"{tag}/coordinates"], rtol=1e-4, atol=1e-4)


def test_joint_pca_equals_scikit_learn_on_the_stacked_rows():
    a, b = RNG.normal(size=(6, 40)), RNG.normal(size=(9, 40))
    plane = pca_plane([Run(a), Run(b)])
    wanted = PCA(2).fit(np.concatenate([a, b]) - a[-1])
    np.testing.assert_allclose(np.abs((plane.axes * wanted.components_).sum(axis=1)), 1, rtol=1e-9)
    np.testing.assert_allclose(plane.explained_variance_ratio, wanted.explained_variance_ratio_, rtol=1e-9)
    assert np.array_equal(plane.origin, a[-1])
    assert all(axis[np.argmax(np.abs(axis))] > 0 for axis in plane.axes)


def test_pca_of_a_block_moves_nothing_else():
    run = Run(RNG.normal(size=(5, 12)), ("a.weight", "b.weight"), ((2, 3), (6,)))
    plane = pca_plane(run, block="b")
    assert not plane.axes[:, :6].any()
    assert plane.axes[:, 6:].any()
    assert not pca_plane(run, block=[1, 2, 7]).axes[:, [0, 3, 4, 5, 6, 8]].any()
    with pytest.raises(ValueError, match="no parameter is called 'c'"):
        pca_plane(run, block="c")


def test_a_straight_path_gets_a_second_axis_of_ratio_zero():
    plane = pca_plane(np.outer(np.arange(4.0), [3.0, 4.0, 0.0]))
    np.testing.assert_allclose(plane.axes[0], [0.6, 0.8, 0], atol=1e-12)
    assert abs(plane.axes[0] @ plane.axes[1]) < 1e-12
    np.testing.assert_allclose(plane.explained_variance_ratio, [1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "No run"),
        ([np.zeros((0, 3))], "no checkpoint"),
        ([np.ones((1, 3))], "two checkpoints"),
        ([np.ones((4, 3))], "equal"),
        ([np.ones((2, 3)), np.ones((2, 4))], "another model"),
        ([np.array([[1.0, np.nan, 0], [0, 0, 0]])], "NaN"),
        ([np.ones(3)], r"\[T, D\]"),
    ],
)
def test_paths_without_a_plane(runs, words):
    with pytest.raises(ValueError, match=words):
        pca_plane(runs)


def test_projection_is_least_squares_for_any_axes():
    for _ in range(20):
        plane = Plane(RNG.normal(size=15), RNG.normal(size=(2, 15)))
        points = RNG.normal(size=(7, 15))
        coordinates, residual = plane.project(points)
        wanted = np.linalg.lstsq(plane.axes.T, (points - plane.origin).T, rcond=None)[0].T
        np.testing.assert_allclose(coordinates, wanted, atol=1e-10)
        shadows = np.stack([plane.point(a, b) for a, b in coordinates])
        np.testing.assert_allclose(residual, np.linalg.norm(points - shadows, axis=1), atol=1e-10)
        again, nothing = plane.project(shadows)
        np.testing.assert_allclose(again, coordinates, atol=1e-10)
        np.testing.assert_allclose(nothing, 0, atol=1e-10)


def test_cos_projection_is_right_only_for_orthonormal_axes():
    axes, _ = np.linalg.qr(RNG.normal(size=(9, 2)))
    plane, points = Plane(np.zeros(9), axes.T), RNG.normal(size=(3, 9))
    np.testing.assert_allclose(plane.project(points, method="cos")[0], plane.project(points)[0])
    skewed = Plane(np.zeros(2), np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert skewed.project([[2.0, 0.0]], method="cos")[0][0].tolist() != [1.0, 0.0]
    np.testing.assert_allclose(skewed.project([[2.0, 0.0]])[0], [[1.0, 0.0]], atol=1e-12)


def test_three_models_lie_on_their_plane():
    a, b, c = RNG.normal(size=(3, 6))
    plane = three_point_plane(a, b, c)
    coordinates, residual = plane.project([a, b, c])
    np.testing.assert_allclose(coordinates, [[0, 0], [1, 0], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(residual, 0, atol=1e-12)
    with pytest.raises(ValueError, match="one line"):
        three_point_plane(a, b, a + 2 * (b - a))


def test_parameter_plane_and_its_refusals():
    plane = parameter_plane(np.arange(4.0), 2, 0)
    assert plane.point(10, 20).tolist() == [20, 1, 12, 3]
    for i, j in ((1, 1), (0, 4), (-1, 0)):
        with pytest.raises(ValueError, match="two different indices"):
            parameter_plane(np.zeros(4), i, j)
    with pytest.raises(ValueError, match="span no plane"):
        Plane(np.zeros(3), np.array([[1.0, 0, 0], [2.0, 0, 0]]))
    with pytest.raises(ValueError, match="3 parameters"):
        Plane(np.zeros(3), np.eye(3)[:2]).project(np.zeros((1, 4)))


def test_divergence_ranks_single_parameters(tmp_path):
    runs = []
    for name, shift in (("a", 0.0), ("b", 1.0)):
        model = nn.Linear(2, 2)
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        with Recorder(tmp_path / f"{name}.h5", model) as recorder:
            recorder.record(0)
            model.weight.data[1, 0] = 3 * shift
            model.bias.data[0] = 4 * shift
            recorder.record(10)
        runs.append(open_run(tmp_path / f"{name}.h5"))
    found = rank_divergence(*runs, top=2)
    assert found.names == ("bias[0]", "weight[1, 0]")
    np.testing.assert_allclose(found.distance, [4 / np.sqrt(2), 3 / np.sqrt(2)])
    assert found.indices.tolist() == [4, 2]
