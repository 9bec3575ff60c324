"""Runs of one's own in words and pictures: optimisers on one regression, where nothing is clean or poisoned."""

import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest
from torch import nn

from checkpoints import Recorder
from cli import main
from experiments import Experiment, ExperimentError
from experiments.pictures import choose_surface, draw, render, surface_picture
from experiments.probe import probe_point
from experiments.summary import summarise
from experiments.thumbnails import experiment_thumbnail
from experiments.ud_report import report_ud
from landscape.animation_html import DASHED, SHAPES
from landscape.static_draw import MARKER
from landscape.static_marks import DASH
from landscape.style import DASHES, MARKERS, OWN, colours

ROOT = Path(__file__).parents[2]
CODE = """
import torch
from torch import nn

def data():
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    y = x.sum(1, keepdim=True).tanh()
    return (x, y), (x[:8], y[:8])

def net():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
"""
OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
WRONG = re.compile(r"\b(clean|poison\w*|nats)\b", re.IGNORECASE)
FIGURES = ("compare", "compare-3d", "curves", "sal", "sal-heatmap", "learnable-blocks", "ud")


@pytest.fixture(scope="module")
def optimisers(tmp_path_factory):
    """An experiment of three recorded runs with a surface and SAL of every weight."""
    folder = tmp_path_factory.mktemp("optimisers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("UNLEARNSCAPE_HOME", str(folder))
        patch.chdir(folder)
        Path("regression_of_mine.py").write_text(CODE)
        sys.modules.pop("regression_of_mine", None)
        code: dict = {}
        exec(CODE, code)
        (x, y), _ = code["data"]()
        for name, optimiser in OPTIMISERS.items():
            torch.manual_seed(0)
            model = code["net"]()
            stepper = optimiser(model.parameters(), lr=0.1)
            with Recorder(f"{name}.h5", model) as recorder:
                for step in range(5):
                    loss = nn.functional.mse_loss(model(x), y)
                    recorder.record(step, train_loss=float(loss.detach()))
                    stepper.zero_grad()
                    loss.backward()
                    stepper.step()
        factories = ["--model", "regression_of_mine:net", "--data", "regression_of_mine:data", "--loss", "mse"]
        for command in (
            ["import", "optimisers", *(f"{name}.h5" for name in OPTIMISERS), *factories],
            ["surface", "optimisers", "--grid", "5"],
            ["sal", "optimisers", "--method", "gradient", "--blocks", "layer"],
        ):
            done = CliRunner().invoke(main, command)
            assert done.exit_code == 0, (command, done.output)
        yield Experiment.open(folder / "optimisers")


def test_every_arm_has_a_colour_a_dash_and_a_mark_of_its_own(optimisers):
    roles = [optimisers.drawn_as(f"{name}-s0") for name in OPTIMISERS]
    assert roles == ["reference", "compared", "compared 2"]
    own = ["reference", *OWN]
    for dark in (False, True):
        assert len(set(colours(own[:7], dark=dark))) == 7
        assert not set(colours(own, dark=dark)) & set(colours(["clean", "poisoned", "control"], dark=dark))
        assert colours(["compared 5"], dark=dark) == colours(own, dark=dark)[5:6], "a run keeps its colour everywhere"
    assert len({DASHES[role] for role in own[:6]}) == 6
    assert len({(DASHES[role], MARKERS[role]) for role in own}) == len(own)
    figure = draw(optimisers, "curves")
    assert all(trace.showlegend for trace in figure.data), "where there is no accuracy, the losses name the runs"
    lines = {(trace.line.color, trace.line.dash) for trace in figure.data}
    assert len(lines) == 3


@pytest.mark.parametrize("name", FIGURES)
def test_figures_and_their_numbers_say_nothing_of_poison_or_nats(optimisers, name):
    figure = draw(optimisers, name)
    assert len(figure.data) > 0
    assert WRONG.findall(figure.to_json()) == []
    assert "epoch" not in figure.to_json(), "epochs were not recorded, so steps take their place"
    for trace in figure.data:
        if trace.type == "scatter":
            assert np.isfinite(np.asarray(trace.x, dtype=float)).all()
    assert WRONG.findall(render(figure, "csv").decode()) == []


def test_every_way_of_drawing_knows_every_dash_and_mark():
    assert set(DASHES.values()) <= set(DASH)
    assert set(DASHES.values()) <= set(DASHED)
    assert set(MARKERS.values()) <= set(MARKER)
    assert set(MARKERS.values()) <= set(SHAPES)


def test_runs_the_spec_does_not_know_are_told_apart(optimisers, tmp_path):
    strange = Experiment.open(shutil.copytree(optimisers.path, tmp_path / "strange"))
    for name in ("lion-s0", "adagrad-s0"):
        shutil.copy(strange.run_path("adam-s0"), strange.run_path(name))
    roles = [strange.drawn_as(name) for name in strange.run_names()]
    assert roles == ["reference", "compared", "compared 2", "compared 3", "compared 4"]
    assert strange.drawn_as("nowhere-s0") == "compared 5"


def test_a_surface_of_before_is_called_by_its_data_alone(optimisers):
    stored = choose_surface(optimisers)
    stored.header["measured_on"] = "clean training data"
    assert surface_picture(optimisers, stored).surface.evaluated_on == "training data"
    answer = probe_point(optimisers, stored, *(float(stored.arrays[axis][2]) for axis in ("alphas", "betas")))
    assert {(one.on, one.kind) for one in answer.slices if one.direction.startswith("along")} == {
        ("training data", "reference")
    }
    assert [(one.label, one.kind) for one in answer.losses] == [("training data", "reference"), ("test data", "test")]


def test_a_run_alone_is_not_called_clean(optimisers, tmp_path):
    spec = optimisers.spec
    lone = Experiment.create(dataclasses.replace(spec, arms={"sgd": spec.arms["sgd"]}), tmp_path / "lone")
    assert (lone.role_in_words("sgd-s0"), lone.drawn_as("sgd-s0"), lone.reference_name) == ("reference",) * 2 + ("sgd",)
    with pytest.raises(ExperimentError, match=r"lone has one run alone; UD compares another with sgd\."):
        report_ud(lone, spec.sal, {})
    with pytest.raises(ExperimentError, match=r"optimisers has no SAL of two runs of one seed yet"):
        report_ud(optimisers, spec.sal, {})
    clean = dataclasses.replace(spec, arms={"clean": spec.arms["sgd"]})
    assert Experiment.create(clean, tmp_path / "named").drawn_as("clean-s0") == "clean", "its own name says so"


def test_a_second_run_of_one_role_takes_no_colour_that_another_needs():
    taken = colours(["reference", "compared", "compared", "compared 2"])
    assert len(set(taken)) == 4


def test_sensitivity_speaks_of_the_reference(optimisers):
    said = CliRunner().invoke(main, ["sensitivity", "optimisers", "--method", "gradient", "--blocks", "layer"])
    assert said.exit_code == 0, said.output
    assert "two groups of blocks in the sgd runs" in said.output
    assert WRONG.findall(said.output) == []


def without_surfaces(experiment, place):
    shutil.copytree(experiment.path, place)
    shutil.rmtree(place / "surfaces")
    return Experiment.open(place)


def test_report_ud_and_thumbnail_speak_of_the_reference(optimisers, tmp_path):
    told = CliRunner().invoke(main, ["ud", "optimisers", "--method", "gradient", "--blocks", "layer"])
    assert told.exit_code == 0
    assert WRONG.findall(told.output) == []
    assert "sgd" in told.output
    done = CliRunner().invoke(main, ["report", "optimisers", "--out", "optimisers.html"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page = re.sub(r"<style>.*?</style>", "", Path("optimisers.html").read_text(), flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", page).replace("--on clean", "").replace("on clean ·", "")  # what a spec calls it
    text = text[: text.index("The whole spec as TOML")]
    assert [text[max(0, hit.start() - 60) : hit.end() + 60] for hit in WRONG.finditer(text)] == []
    assert "sgd learnable blocks" in page
    drawn = experiment_thumbnail(optimisers, summarise(optimisers))
    assert drawn is not None
    assert WRONG.findall(drawn.alt) == []
    bars = experiment_thumbnail(without_surfaces(optimisers, tmp_path / "bars"), summarise(optimisers))
    assert bars is not None
    assert bars.alt.endswith("the line is at 1, as many learnable blocks as in sgd.")


def visit(home, name, page, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(home))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["exp"] = name
    app.run()
    if page != "home":
        app.switch_page(f"pages/{page}.py")
        app.query_params["exp"] = name
        app.run()
    assert not app.exception
    return app


def wrong_words(app, name, gallery=False):
    """What is said on a page of clean, poisoned or nats; of a page with a gallery, what stands above its cards."""
    kinds = ("title", "markdown", "caption", "info", "subheader", "warning", "error", "code")
    said = app.get("markdown")[:1] if gallery else [one for kind in kinds for one in app.get(kind)]
    words = [str(one.value).replace("--on clean", "") for one in said]  # what a spec calls it
    words += [f"{one.label} {one.value} {one.proto.help}" for one in app.metric]
    if not gallery:
        labelled = [one for kind in ("button", "expander", "select_slider", "text_input") for one in app.get(kind)]
        words += [f"{one.label} {getattr(one.proto, 'help', '')}" for one in labelled]
        words += [one.value.to_json() for one in app.dataframe]
    for kind in ("selectbox", "multiselect", "button_group"):
        words += [f"{one.label} {' '.join(map(str, one.options))} {one.proto.help}" for one in app.get(kind)]
    for view in app.get("bidi_component"):
        words += [one["figure"] for one in json.loads(view.proto.json)["figures"]]
    words += [str(one.proto.spec) for one in app.get("plotly_chart")]
    assert any(name in one for one in words), words
    return [one[max(0, hit.start() - 60) : hit.end() + 60] for one in words for hit in WRONG.finditer(one)]


@pytest.mark.parametrize("page", ["home", "compare", "sharpness", "distance"])
def test_pages_speak_of_the_reference(optimisers, page, monkeypatch):
    app = visit(optimisers.path.parent, "optimisers", page, monkeypatch)
    assert wrong_words(app, "sgd", gallery=page == "home") == []
    assert not any("nan" in str(one.value) for one in app.markdown), "no accuracy was recorded, so none is told"


def test_pages_of_one_run_alone(tmp_path, monkeypatch):
    model = nn.Linear(12, 10)
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    with Recorder(tmp_path / "sgd.h5", model) as recorder:
        for step in range(3):
            recorder.record(step, train_loss=2.0 - step / 2)
            with torch.no_grad():
                model.weight.mul_(0.9)
    done = CliRunner().invoke(main, ["import", "alone", str(tmp_path / "sgd.h5"), "--model", "linear", "--data", "toy"])
    assert done.exit_code == 0, done.output
    for page in ("compare", "distance"):
        app = visit(tmp_path, "alone", page, monkeypatch)
        assert wrong_words(app, "alone") == []
