"""The poison lab without a browser: pictures and numbers of every kind of data, saving, jobs, and wrong input."""

import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from experiments import Experiment, jobs
from tests.pages.test_pages import ROOT, charts, metrics, visit
from training import load_dataset
from training.artefacts import read_artefact

pytestmark = pytest.mark.usefixtures("home", "navigation")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


def begun(started, arguments, *, experiment):
    """What takes the place of :func:`experiments.jobs.start`: notes the job, and begins none."""
    started.append((arguments, experiment))
    return SimpleNamespace(id="noted")


def strips(app: AppTest) -> str:
    return next((block.proto.body for block in app.get("html") if 'class="strips"' in block.proto.body), "")


def press(app: AppTest, key: str) -> None:
    app.button(key=key).click().run()
    assert not app.exception, app.exception


def test_images_are_shown_clean_changed_and_poisoned():
    app = visit("poison_lab", data="digits", method="class-random")
    html = strips(app)
    assert html.count("<img") == 4
    assert "change × 1, grey where nothing changes" in html
    shown = metrics(app)
    assert shown["Largest change (L∞)"].endswith("levels")
    assert float(shown["Told apart, held out"].removesuffix(" %")) > 95
    assert len(charts(app)) == 2
    app.selectbox(key="amplify").set_value("×2").run()
    assert "change × 2" in strips(app)
    assert "--data digits" in " ".join(code.value for code in app.code)


def test_feature_vectors_are_heat_maps():
    app = visit("poison_lab", data="toy", method="ops")
    assert strips(app) == ""
    assert [trace["type"] for trace in charts(app)[0]["data"]] == ["heatmap"] * 4
    assert metrics(app)["Mean L0"] == "1 feature"


def test_noise_is_not_told_apart_and_labels_are_counted():
    app = visit("poison_lab", data="toy", method="uniform-noise")
    assert float(metrics(app)["Told apart, held out"].removesuffix(" %")) < 25
    app = visit("poison_lab", data="toy", method="label-noise")
    assert any("changes labels" in caption.value for caption in app.caption)
    assert any("No input is changed" in info.value for info in app.info)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"data": "toy", "method": "cuda"}, "feature vectors"),
        ({"data": "digits", "method": "ops", "strength": "7"}, "exceeds 1"),
        ({"data": "digits", "method": "file"}, "needs the path"),
        ({"data": "digits", "method": "file", "file-path": "/nowhere.npz"}, "There is no file"),
    ],
)
def test_wrong_input_is_one_sentence(query, words):
    app = visit("poison_lab", **query)
    assert [words in error.value for error in app.error] == [True]
    assert not metrics(app)


def test_hostile_links_fall_back():
    app = visit("poison_lab", data="../../etc", method="<script>", seed="-9", ratio="x", sample="1e99", norm="L7")
    assert not app.error
    assert "Mean L2" in metrics(app)


def test_a_saved_poison_is_the_one_that_is_shown(home):
    app = visit("poison_lab", data="digits", method="class-random", strength="0.1", seed="2")
    assert not home.exists(), "looking writes nothing"
    press(app, "save")
    (path,) = (home / "poisons").iterdir()
    artefact, dataset = read_artefact(path, format="npz-delta"), load_dataset("digits")
    assert artefact.entries == len(dataset.y_train)
    assert int(np.abs(artefact.delta).max()) == int(metrics(app)["Largest change (L∞)"].split()[0]) == 25
    assert "Download" in [button.proto.label for button in app.get("download_button")]


def test_a_method_that_works_long_is_a_job_that_ends_in_pictures(home):
    query = {"data": "toy", "method": "em-class", "em-class-max_rounds": "1", "em-class-train_batches": "1"}
    app = visit("poison_lab", **query)
    assert not metrics(app), "nothing is made before it is asked for"
    press(app, "make")
    deadline = time.monotonic() + 120
    while jobs.list_jobs()[0].running:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert jobs.list_jobs()[0].state == "done", jobs.log_tail(jobs.list_jobs()[0])
    app = visit("poison_lab", **query)
    assert "Told apart, held out" in metrics(app)
    assert re.search(r"--set max_rounds=1", " ".join(code.value for code in app.code))


def test_train_starts_an_experiment_of_clean_and_this_poison(home, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda *given, **named: begun(started, *given, **named))
    app = visit("poison_lab", data="toy", method="ops", ratio="0.5")
    app.number_input(key="epochs").set_value(1).run()
    press(app, "train")
    ((arguments, name),) = started
    assert arguments == ["run", str(home / name), "--live"]
    spec = Experiment.open(home / name).spec
    assert list(spec.arms) == ["clean", "ops"]
    assert (spec.arms["ops"].ratio, spec.training.epochs) == (0.5, 1)
