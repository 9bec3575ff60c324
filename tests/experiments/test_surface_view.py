"""Views of stored surfaces: described once, drawn by page and command, refused in one sentence."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from experiments import ExperimentError, find_experiment
from experiments.surface_view import SurfaceView, draw_view

ROOT = Path(__file__).parents[2]
VIEWS = [
    SurfaceView(),
    SurfaceView(contours=False, beside=True, step=100, at=(-3.5, 2.25), scale="log"),
    SurfaceView(on="poisoned", quantity="accuracy"),
    SurfaceView(plane="random", runs=("clean-s0", "ops-s0"), scale="linear"),
]


@pytest.fixture(autouse=True)
def in_root(monkeypatch, tmp_path):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("view", VIEWS)
def test_the_arguments_of_a_view_draw_it(view, tmp_path):
    experiment, out = find_experiment("toy-ops"), tmp_path / "out.csv"
    arguments = view.arguments(experiment)
    done = CliRunner().invoke(main, ["export", "toy-ops", *arguments, "--format", "csv", "--out", str(out)])
    assert done.exit_code == 0, done.output
    from experiments import render

    assert out.read_bytes() == render(draw_view(experiment, view), "csv")


def test_what_is_the_default_is_not_said():
    experiment = find_experiment("toy-ops")
    assert SurfaceView(plane="pca", on="clean").arguments(experiment) == ["--figure", "compare"]
    view = SurfaceView(contours=False, plane="pca", on="test", beside=True, at=(-1.0, 0.5))
    assert view.arguments(experiment) == ["--figure", "compare-3d", "--beside", "--at=-1,0.5"]


def test_side_by_side_each_run_lies_on_the_data_it_trained_on():
    figure = draw_view(find_experiment("toy-ops"), SurfaceView(beside=True, on="test"))
    grounds = [trace.name for trace in figure.data if trace.type == "contour"]
    assert grounds == ["clean training data", "training data of ops"]
    assert {t.name: t.xaxis for t in figure.data if t.showlegend} == {"clean-s0": "x", "ops-s0": "x2"}


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (SurfaceView(at=(900.0, 0.0)), "outside this surface"),
        (SurfaceView(beside=True, arm="nosuch"), "arms there: ops"),
        (SurfaceView(runs=("clean-s0",)), "--runs clean-s0"),
        (SurfaceView(block="fc"), "--block fc"),
        (SurfaceView(plane="random", beside=True), "--plane random --on poisoned"),
        (SurfaceView(quantity="margin"), "holds loss, accuracy"),
    ],
)
def test_what_is_not_there_is_one_sentence(view, words):
    with pytest.raises(ExperimentError, match=words):
        draw_view(find_experiment("toy-ops"), view)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--figure", "ud", "--step", "3"], "only --figure compare and compare-3d"),
        (["--figure", "compare", "--arm", "ops"], "add --beside"),
        (["--figure", "compare", "--at", "x"], "no point such as"),
    ],
)
def test_options_that_mean_nothing_are_refused(arguments, words):
    done = CliRunner().invoke(main, ["export", "toy-ops", *arguments])
    assert done.exit_code != 0
    assert words in done.output
