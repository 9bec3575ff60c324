"""A metric of the caller's own beside the loss: every way of evaluating gives what the model itself gives."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape import PlaneEvaluator, Strategy, evaluate_points, evaluate_states, evaluate_surface, random_plane
from landscape.animation import build_stage
from landscape.figure_data import COMPUTED, PathData, RunCurves, SurfaceData
from landscape.figures_lines import training_curves

GRID = np.linspace(-0.8, 0.8, 5)
WAYS = [Strategy(), Strategy("steps", 7, False, 1, True), Strategy("batched", 10, False, 8, True)]


def chance_of_the_label(outputs, targets):
    """Not linear in the outputs, and it spoils them."""
    return outputs.softmax(1).mul_(2).gather(1, targets[:, None]).mean()


def spoiling(outputs, targets):
    return float(outputs.mul_(3).sub_(targets).abs().max())  # a plain number, and no mean over samples


def case(kind):
    torch.manual_seed(0)
    x = torch.randn(30, 12, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)).double()
    y = torch.randn(30, 4, dtype=torch.float64) if kind == "regression" else torch.randint(0, 4, (30,))
    loss = {"own loss": functional.multi_margin_loss, "regression": functional.mse_loss}.get(kind)
    metric = spoiling if kind == "regression" else chance_of_the_label
    return model, [(x[:20], y[:20]), (x[20:], y[20:])], loss, metric


@pytest.mark.parametrize("kind", ["classes", "own loss", "regression"])
def test_every_way_gives_the_metric_of_the_model_itself(kind, monkeypatch):
    model, batches, loss, metric = case(kind)
    plane = random_plane(model, seed=1)
    alone = evaluate_surface(model, plane, batches, GRID, GRID, loss=loss, strategy="plain")
    assert alone.metric is None
    wanted = np.empty((5, 5))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for i, a in enumerate(GRID):
        for j, b in enumerate(GRID):
            nn.utils.vector_to_parameters(torch.from_numpy(plane.point(a, b)), model.parameters())
            with torch.no_grad():
                wanted[i, j] = sum(float(metric(model(x), y)) * len(y) for x, y in batches) / 30
    model.load_state_dict(state)
    for way in WAYS:
        monkeypatch.setattr(PlaneEvaluator, "_candidates", lambda self, program, way=way: [way])
        strategy = "plain" if way == Strategy() else "auto"
        found = evaluate_surface(model, plane, batches, GRID, GRID, loss=loss, metric=metric, strategy=strategy)
        assert found.strategy == str(way)
        np.testing.assert_allclose(found.metric, wanted, rtol=1e-10)
        np.testing.assert_allclose(found.loss, alone.loss, rtol=1e-10)
        if alone.accuracy is not None:
            np.testing.assert_array_equal(found.accuracy, alone.accuracy)


def test_along_a_path_and_at_points():
    model, batches, _, metric = case("classes")
    states = [{name: tensor * factor for name, tensor in model.state_dict().items()} for factor in (1.0, 0.5)]
    vectors = [torch.cat([t.flatten() for t in state.values()]).numpy() for state in states]
    along = evaluate_states(model, states, batches, metric=metric)
    np.testing.assert_allclose(evaluate_points(model, vectors, batches, metric=metric).metric, along.metric)
    assert along.metric[0] != along.metric[1]
    assert evaluate_points(model, vectors, batches).metric is None


def test_a_surface_to_complete_and_one_with_gaps_keep_their_metric():
    model, batches, _, metric = case("classes")
    plane, grid = random_plane(model, seed=1), np.linspace(-0.8, 0.8, 25)
    whole = evaluate_surface(model, plane, batches, grid, grid, metric=metric)
    parts = []

    class Stopped(Exception):
        pass

    def stop(surface):
        parts.append(surface)
        raise Stopped

    with pytest.raises(Stopped):
        evaluate_surface(model, plane, batches, grid, grid, metric=metric, on_group=stop)
    assert 0 < parts[0].evaluated.sum() < 25 * 25
    again = evaluate_surface(model, plane, batches, grid, grid, metric=metric, partial=parts[0])
    np.testing.assert_allclose(again.metric, whole.metric, rtol=1e-12)
    rough = evaluate_surface(model, plane, batches, grid, grid, metric=metric, tolerance=0.05)
    assert not rough.evaluated.all()
    assert np.abs(rough.metric - whole.metric).max() < 0.1 * np.ptp(whole.metric)
    assert rough.metric.max() <= rough.metric[rough.evaluated].max()


def curves(metrics: dict[str, np.ndarray], name: str = "margin") -> RunCurves:
    return RunCurves("a-s0", "clean", np.arange(3), np.arange(3.0), metrics, metric_name=name, computed_on="test data")


def panels(metrics: dict[str, np.ndarray], name: str = "margin") -> list[str]:
    figure = training_curves([curves(metrics, name)])
    return [note.text.split(" ")[0] for note in figure.layout.annotations]


def test_training_curves_have_a_panel_for_what_is_known_alone():
    line = np.linspace(0.1, 0.9, 3)
    assert panels({"test_loss": line, "test_margin": line}) == ["margin", "loss"]
    assert panels({"test_accuracy": line, "margin": line}) == ["accuracy", "margin"]
    assert panels({"test_accuracy": line, "test_loss": line}, "") == ["accuracy", "loss"]
    assert panels({"test_accuracy": line}, "accuracy") == ["accuracy"], "a metric of that name is not drawn twice"
    figure = training_curves([curves({"train_loss": line, "test_margin": line})])
    assert [trace.name for trace in figure.data] == ["a-s0 margin, test", "a-s0 train"]
    np.testing.assert_allclose(figure.data[0].y, line, rtol=1e-6, err_msg="in its own unit, not in per cent")
    assert "its margin ends at 0.9 on test data" in figure.layout.meta["alt"]
    anew = training_curves([curves({"train_loss": line, COMPUTED: line})])
    assert "margin on test data: of the checkpoints, computed anew" in anew.layout.title.subtitle.text
    lacking = training_curves([curves({"train_loss": line})])
    assert "margin was not recorded" in lacking.layout.title.subtitle.text


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"test_margin": 0.25}, "test margin 0.25"),
        ({"test_balanced_accuracy": 0.25}, "test balanced accuracy 0.25"),
        ({COMPUTED: 0.25, "test_loss": 3.0}, "margin on test data 0.25"),
        ({"test_accuracy": 0.25, "test_margin": 3.0}, "25.0 % test accuracy"),
    ],
)
def test_a_film_says_the_metric_by_its_name(metrics, said):
    path = PathData("a-s0", "clean", np.eye(3, 2), np.arange(3), np.arange(3.0), np.zeros(3), None, None)
    flat = np.ones((2, 2))
    surface = SurfaceData(
        np.arange(2.0), np.arange(2.0), flat, None, 8, ("a", "b"), "test data", "pca", None, None, (0,)
    )
    name = "balanced_accuracy" if "test_balanced_accuracy" in metrics else "margin"
    film = build_stage(surface, [path], [curves({key: np.full(3, v) for key, v in metrics.items()}, name)])
    assert film.tracks[0].words[-1] == said
