"""The page of several tasks: empty states say what to do, every number of a small real result, and links."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import training.data
from checkpoints import read_result, write_result
from experiments import Experiment, override, train_experiment
from experiments.classroom import CLASSROOM_VARIABLE
from experiments.cross_task_report import report_cross_task
from experiments.cross_task_step import compute_task_surfaces, measure_cross_task
from experiments.engine import Where
from experiments.spec_toml import spec_from_table
from tests.experiments.test_tasks import TABLE, rectangles

ROOT = Path(__file__).parents[2]
ARMS = {
    "clean": {},
    "lsp": {"method": "lsp"},
    "noise": {"method": "uniform-noise", "control": True},
    "labels": {"method": "class-random", "control": True},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Trained for a moment and measured, on images that nobody else knows: the page never asks for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.data.DATASETS, "rectangles", rectangles)
        table = {
            **TABLE,
            "arms": ARMS,
            "training": TABLE["training"] | {"epochs": 4},
            "surface": {"grid": 2, "samples": 6},
        }
        experiment = Experiment.create(
            override(spec_from_table(table), []), tmp_path_factory.mktemp("page") / "several"
        )
        train_experiment(experiment)
        measure_cross_task(experiment, where=Where(1))
        compute_task_surfaces(experiment, where=Where(1))
    return experiment


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, navigation):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def several(made, home):
    shutil.copytree(made.path, home / "several")
    return Experiment.open(home / "several")


def visit(**query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("pages/cross_task.py").run()
    assert not app.exception, app.exception
    return app


def alternatives(app: AppTest) -> list[str]:
    return [str(chart.proto.alt) for chart in app.get("plotly_chart")]


def test_one_task_alone_says_how_to_get_more():
    app = visit(exp="toy-ops")
    assert any("learn one task alone" in one.value for one in app.info)
    assert any("train rooms-em" in one.value for one in app.code)


def test_in_class_nothing_long_is_offered(monkeypatch):
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1")
    app = visit(exp="toy-ops")
    assert any("trained beforehand" in one.value for one in app.markdown)
    assert not app.code


def test_experiments_of_several_tasks_are_one_click_away(several):
    app = visit(exp="toy-ops")
    app.button(key="open-several").click().run()
    assert not app.exception, app.exception
    assert app.selectbox(key="exp").value == "several"
    assert app.metric


def test_what_is_trained_is_offered_to_be_measured(several):
    shutil.rmtree(several.path / "cross-task")
    app = visit(exp="several")
    assert any("not measured yet" in one.value for one in app.info)
    assert any("cross-task several" in one.value for one in app.code)
    shutil.rmtree(several.path / "runs")
    app = visit(exp="several")
    assert any("not trained yet" in one.value for one in app.info)


def test_the_page_shows_what_the_report_says(several):
    found = report_cross_task(several)
    app = visit(exp="several")
    assert not app.error
    assert not app.info
    words = alternatives(app)
    for start in ("Damage by task", "UD by task", "Pearson correlation of the SAL vectors", "Loss of the task depth"):
        assert any(one.startswith(start) for one in words), words
    accuracy = found.mean("scene", "lsp")
    shown = {one.label: one.value for one in app.metric}
    fallen = next(one.delta for one in app.metric if one.label == "Scene class (accuracy), lsp")
    gap = 100 * (accuracy - found.mean("scene", "clean"))
    assert fallen == f"{gap:+.1f} points"  # with a plain hyphen: another sign would be drawn as a gain
    assert shown["Scene class (accuracy), lsp"] == f"{100 * accuracy:.1f} %"
    (table,) = app.dataframe
    assert len(table.value) == len(found.tasks) * len(found.seeds)
    rows = table.value[table.value["arm"] == "lsp"].set_index("task")
    assert rows.loc["depth (relative error)", "mean"] == pytest.approx(found.mean("depth_euclidean", "lsp"))
    assert any("One seed" in one.value for one in app.markdown)
    assert not any("BN" in name for name in table.value)
    app.toggle(key="batchnorm").set_value(True).run()
    rows = app.dataframe[0].value.set_index(["task", "arm"])
    again = found.batchnorm.means["depth_euclidean"]["lsp"]["abs_rel"]
    assert rows.loc[("depth (relative error)", "lsp"), "mean, clean BN"] == pytest.approx(again[0])
    assert any("segments" in one.proto.body for one in app.get("html"))


def test_the_link_holds_arm_control_view_and_image(several):
    app = visit(exp="several", beside="noise", control="labels", show="Net of a control", image="", alike="cosine")
    words = alternatives(app)
    assert any(one.startswith("Cosine similarity") for one in words)
    (net,) = (one for one in words if one.startswith(("Net damage", "Damage")))
    assert "labels" not in net
    app.selectbox(key="beside").set_value("lsp").run()
    app.selectbox(key="control").set_value("noise").run()
    assert not app.exception, app.exception
    assert any(label.label == "Scene class (accuracy), lsp" for label in app.metric)


def test_where_nothing_is_learned_no_damage_is_shown(several):
    (path,) = (several.path / "cross-task" / "base").glob("*.h5")
    base = read_result(path, kind="cross-task-base")
    perfect = {"accuracy": 1.0, "pearson": 1.0, "abs_rel": 0.0, "ari": 1.0}
    arrays = {
        name: np.full_like(values, perfect.get(name.split("/")[-1], 0)) if name.startswith("trivial") else values
        for name, values in base.arrays.items()
    }
    write_result(path, kind="cross-task-base", header=base.header, arrays=arrays)
    app = visit(exp="several")
    assert any("nothing can be lost" in one.value for one in app.info)
    assert not any(one.startswith("Damage") for one in alternatives(app))


def test_where_clean_training_diverged_one_sentence_stands_for_the_numbers(several):
    (path,) = (several.path / "cross-task" / "scores").glob("clean*")
    scores = read_result(path, kind="cross-task-scores")
    write_result(path, kind="cross-task-scores", header=scores.header | {"diverged": True}, arrays=scores.arrays)
    app = visit(exp="several")
    (note,) = app.warning
    assert note.value.startswith("Clean training diverged (clean-s0): its weights are NaN or infinite")
    assert not app.metric
    assert not app.dataframe
    assert not app.get("plotly_chart")


def test_missing_surfaces_and_runs_are_offered(several):
    shutil.rmtree(several.path / "cross-task" / "surfaces")
    for path in (several.path / "cross-task" / "scores").glob("labels*"):
        path.unlink()
    shutil.rmtree(several.path / "cross-task" / "batchnorm")
    app = visit(exp="several")
    assert any("statistics alone cost is not measured yet" in one.value for one in app.caption)
    buttons = [one.key for one in app.button]
    assert "offer-task-surfaces" in buttons
    assert "offer-cross-task-more" in buttons
