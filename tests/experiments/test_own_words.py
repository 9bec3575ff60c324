"""Runs of one's own in words and pictures: optimisers on one regression, where nothing is clean or poisoned."""

import json
import re
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
from experiments import Experiment
from experiments.pictures import draw, render
from experiments.summary import summarise
from experiments.thumbnails import experiment_thumbnail
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
        assert len(set(colours(own, dark=dark))) == len(own)
        assert not set(colours(own, dark=dark)) & set(colours(["clean", "poisoned", "control"]))
    assert len({DASHES[role] for role in own}) == len(own)
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


def test_a_second_run_of_one_role_takes_no_colour_that_another_needs():
    taken = colours(["reference", "compared", "compared", "compared 2"])
    assert len(set(taken)) == 4


def test_report_ud_and_thumbnail_speak_of_the_reference(optimisers):
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


@pytest.mark.parametrize("page", ["home", "compare", "sharpness", "distance"])
def test_pages_speak_of_the_reference(optimisers, page, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(optimisers.path.parent))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["exp"] = "optimisers"
    app.run()
    if page != "home":
        app.switch_page(f"pages/{page}.py")
        app.query_params["exp"] = "optimisers"
        app.run()
    assert not app.exception
    gallery = page == "home"  # below the experiment are cards of all
    said = (
        app.get("markdown")[:1]
        if gallery
        else [one for kind in ("markdown", "caption", "info", "subheader") for one in app.get(kind)]
    )
    words = [str(one.value) for one in said] + [f"{one.label} {one.value} {one.proto.help}" for one in app.metric]
    for kind in ("selectbox", "multiselect", "button_group"):
        words += [f"{one.label} {' '.join(map(str, one.options))} {one.proto.help}" for one in app.get(kind)]
    for view in app.get("bidi_component"):
        words += [one["figure"] for one in json.loads(view.proto.json)["figures"]]
    words += [str(one.proto.spec) for one in app.get("plotly_chart")]
    assert any("sgd" in one for one in words), words
    found = [one[max(0, hit.start() - 60) : hit.end() + 60] for one in words for hit in WRONG.finditer(one)]
    assert found == []
