"""A metric of the user's own in tables, files, reports and pages: by its name, or said to be absent."""

import csv
import io
import json
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import torch
from streamlit.testing.v1 import AppTest

from checkpoints import Recorder
from experiments import Experiment
from experiments.animation import animate
from experiments.pictures import draw, find_surfaces, surface_picture
from experiments.report import report_html
from experiments.standing import standings
from tests.experiments.own_metric import CODE, NAMED, call, imported, prepared

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    return prepared(tmp_path, monkeypatch)


def film(experiment: Experiment) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(animate(experiment, "csv").decode())))


def test_tables_and_files_call_it_by_its_name(tmp_path):
    mine = imported()
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    (stored,) = find_surfaces(mine)
    on_grid, true = stored.arrays["metric"], stored.arrays["path/rec-s0/true_metric"]
    told = json.loads(call("surface", "mine", "--grid", "3", "--json").stdout)
    assert (told["metric"], told["max_metric"]) == ("metrics_of_mine:margin", on_grid.max())
    shown = ("--figure", "compare", "--quantity", "margin")
    assert call("export", "mine", *shown, "--format", "csv", "--out", "a.csv").exit_code == 0
    rows = list(csv.DictReader(io.StringIO(Path("a.csv").read_text())))
    cells = [float(row["margin"]) for row in rows if row["margin"]]
    np.testing.assert_allclose(np.reshape(cells, (3, 3)).T, on_grid, rtol=1e-6)
    assert call("export", "mine", *shown, "--format", "parquet", "--out", "a.parquet").exit_code == 0
    assert "margin" in pandas.read_parquet("a.parquet").columns
    rows = film(mine)
    np.testing.assert_allclose([float(row["true_margin"]) for row in rows], true)
    assert {"in_plane_margin", "loss"} < rows[0].keys()
    assert "test_accuracy" not in rows[0], "a column of nothing"
    assert call("export", "mine", "--format", "npz").exit_code == 0
    held = np.load("mine.npz")
    np.testing.assert_array_equal(held["margin"], on_grid)
    np.testing.assert_array_equal(held["path/rec-s0/true_margin"], true)
    assert call("export", "mine", "--format", "vtp").exit_code == 0
    assert 'Name="margin"' in Path("mine.vtp").read_text()
    assert call("import", "again", "rec.h5", "mine.npz", *NAMED, "--metric", "metrics_of_mine:margin").exit_code == 0
    (back,) = find_surfaces(Experiment.open("again"))
    assert back.arrays.keys() == stored.arrays.keys()
    np.testing.assert_array_equal(
        back.arrays["path/rec-s0/in_plane_metric"], stored.arrays["path/rec-s0/in_plane_metric"]
    )


def test_files_of_li_hold_it_and_give_it_back():
    mine = imported()
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    assert call("export", "mine", "--format", "li").exit_code == 0
    with h5py.File("mine-li/surface.h5") as file:
        np.testing.assert_array_equal(file["train_margin"][()].T.reshape(3, 3), find_surfaces(mine)[0].arrays["metric"])
    assert call("import", "theirs", "mine-li").exit_code == 0
    (back,) = find_surfaces(Experiment.open("theirs"))
    np.testing.assert_array_equal(back.arrays["metric"], find_surfaces(mine)[0].arrays["metric"])
    assert back.header["metric_name"] == "metrics_of_mine:margin"


def test_a_quantity_that_a_surface_lacks_is_one_sentence():
    assert call("import", "mine", "rec.h5", *NAMED).exit_code == 0
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    said = call("export", "mine", "--figure", "compare", "--quantity", "margin")
    assert said.exit_code == 1
    assert "The surface on training data holds loss, accuracy, not 'margin'; a metric of your own" in said.output
    assert "--quantity" in call("export", "mine", "--figure", "ud", "--quantity", "loss").output


def test_a_training_of_ours_records_it_and_its_curves_show_it():
    text = 'name = "t"\nmetric = "metrics_of_mine:margin"\n[data]\nname = "metrics_of_mine:data"\n[arms.clean]\n'
    text += '[model]\nname = "metrics_of_mine:net"\n[training]\nepochs = 1\nbatch_size = 20\nlr = 0.1\n'
    Path("t.toml").write_text(text)
    assert call("train", "t.toml", "--own-code").exit_code == 0
    assert call("check", "t").exit_code == 0
    assert "clean-s0, test_margin (metrics_of_mine:margin) on test data: agrees" in call("check", "t").output
    assert call("surface", "t", "--plane", "random", "--grid", "2").exit_code == 0
    trained = Experiment.open("t")
    drawn = draw(trained, "curves", stored=find_surfaces(trained)[0])
    lines = {trace.name: trace.y for trace in drawn.data}
    with trained.open_run("clean-s0") as run:
        np.testing.assert_allclose(lines["clean-s0 margin, test"], run.metrics["test_margin"], rtol=1e-6)


@pytest.fixture
def pair() -> Experiment:
    """Two runs of one network, which record the metric, and no accuracy."""
    code: dict = {}
    exec(CODE, code)
    x, y = code["data"]()[1]
    for seed, name in enumerate(("slow", "fast")):
        torch.manual_seed(0)
        model = code["net"]()
        with Recorder(f"{name}.h5", model) as recorder:
            for step in range(3):
                with torch.no_grad():
                    recorder.record(step, test_margin=code["margin"](model(x), y) + seed)
                    model[0].weight.add_(0.1 * (1 + seed) * torch.randn(6, 4))
    done = call("import", "two", "slow.h5", "fast.h5", *NAMED, "--metric", "metrics_of_mine:margin")
    assert done.exit_code == 0, done.output
    return Experiment.open("two")


@pytest.mark.parametrize(
    ("column", "words"), [("val_margin", "validation"), ("eval_margin", "evaluation"), ("val/margin", "validation")]
)
def test_what_loggers_call_the_metric_of_held_out_data_is_that_metric(tmp_path, column, words):
    code: dict = {}
    exec(CODE, code)
    x, y = code["data"]()[1]
    rows = [f"step,{column}"]
    Path("logged").mkdir()
    model = code["net"]()
    for step in range(2):
        torch.save(model.state_dict(), f"logged/step{step}.pt")
        with torch.no_grad():
            rows.append(f"{step},{float(code['margin'](model(x), y))!r}")
            model[0].weight.add_(0.1)
    Path("log.csv").write_text("\n".join(rows))
    named = [*NAMED, "--metric", "metrics_of_mine:margin", "--metrics", "log.csv"]
    assert call("import", "two", "logged", *named).exit_code == 0
    last = float(rows[-1].split(",")[1])
    assert f"2 checkpoints, {words} margin {last:.4g}" in call("show", "two").output
    said = call("check", "two")
    assert f"logged-s0, {column} (metrics_of_mine:margin) on test data: agrees" in said.output, said.output
    assert call("surface", "two", "--grid", "2", "--plane", "random").exit_code == 0
    drawn = draw(Experiment.open("two"), "curves", stored=find_surfaces(Experiment.open("two"))[0])
    assert f"logged-s0 margin, {words}" in {trace.name for trace in drawn.data}


def test_ud_report_and_show_say_the_metric_and_no_accuracy(pair):
    assert call("surface", "two", "--grid", "3").exit_code == 0
    last = {name: pair.open_run(f"{name}-s0").metrics["test_margin"][-1] for name in ("slow", "fast")}
    said = call("ud", "two").output
    assert f"test margin {last['fast']:.3g} against {last['slow']:.3g}: " in said
    assert "accuracy" not in said
    told = json.loads(call("ud", "two", "--json").stdout)
    assert (told["metric"], told["metric_clean"]) == ("test margin", pytest.approx(last["slow"]))
    assert f"3 checkpoints, test margin {last['fast']:.4g}" in call("show", "two").output
    page = report_html(pair)
    assert f"Its test margin ends at {last['fast']:.3g}, against {last['slow']:.3g}." in page
    assert "export two --figure compare --plane pca --on clean --quantity margin --format svg" in page
    assert "the metric margin plays no part in them" in page
    tables = page.split("</style>")[1].split("<h2>Figures")[0] + page.split("seed by seed")[1].split("<h2>Settings")[0]
    assert "accuracy" not in tables
    assert '<th scope="col" class="n">test margin</th>' in tables
    assert f"{last['fast']:.4g}</td>" in tables


def test_a_report_says_that_the_metric_is_absent():
    mine = imported()
    page = report_html(mine)
    assert "No surface here holds the metric margin; one that is computed now does:" in page
    assert "No run recorded margin; where a surface holds it, it was computed anew from the checkpoints." in page
    assert "test accuracy</th>" not in page


def test_pages_show_it_where_accuracy_stands_else(pair, monkeypatch):
    assert call("surface", "two", "--grid", "3").exit_code == 0
    assert call("ud", "two").exit_code == 0
    last = {name: pair.open_run(f"{name}-s0").metrics["test_margin"][-1] for name in ("slow", "fast")}
    monkeypatch.chdir(ROOT)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["exp"] = "two"
    app.run()
    shown = {one.label: one for one in app.metric}
    apart = last["fast"] - last["slow"]
    assert any(f"test margin {apart:+.3g} — " in one.value for one in app.markdown), "in the gallery"
    assert not any("nan" in one.value for one in app.markdown)
    assert shown["fast-s0 test margin"].value == f"{last['fast']:.3g}"
    assert shown["fast-s0 test margin"].delta == f"{apart:+.3g}"
    for name, fast in (("compare", "fast-s0"), ("distance", "fast"), ("sharpness", "")):
        app.switch_page(f"pages/{name}.py")
        app.query_params["exp"] = "two"
        app.run()
        assert not app.exception
        labels = [one.label for one in app.metric]
        assert not [label for label in labels if "accuracy" in label]
        assert not fast or f"{fast} test margin" in labels
        tables = [column for table in app.dataframe for column in table.value.columns]
        assert name == "sharpness" or [column for column in tables if "margin" in column]
        alone = [one.value for one in app.caption if "of the loss alone; the metric margin plays no part" in one.value]
        assert len(alone) == (name != "compare")


def test_what_was_not_recorded_is_computed_anew_and_says_on_what():
    mine = imported()
    assert call("surface", "mine", "--grid", "2").exit_code == 0
    (stored,) = find_surfaces(mine)
    picture = surface_picture(mine, stored)
    (one,) = standings(picture, 2)
    assert (one.what, one.value) == ("margin", stored.arrays["path/rec-s0/true_metric"][2])
    assert one.told("At step 2") == "At step 2, on training data, computed anew."
