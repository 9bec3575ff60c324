"""Adding a run without a browser: what is uploaded is checked, made into an experiment, or refused in one sentence."""

import tempfile
import time

import psutil
import pytest
import streamlit
from streamlit import config

from experiments import Experiment
from experiments.classroom import CLASSROOM_VARIABLE
from tests.experiments.test_uploads import recorded
from tests.pages.test_pages import ROOT, metrics, visit

pytestmark = pytest.mark.usefixtures("home", "navigation")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


def press(app, key):
    """Press a button, and look until what it began has ended."""
    app.button(key=key).click().run()
    late = time.monotonic() + 60
    while any(button.label == "Stop" for button in app.button):
        assert time.monotonic() < late
        time.sleep(0.1)
        app.run()
    assert not app.exception, app.exception


def test_two_uploaded_runs_are_checked_and_become_an_experiment(tmp_path, home):
    files = [(*recorded(tmp_path, name), "application/octet-stream") for name in ("clean", "other")]
    app = visit("add_run")
    assert app.button(key="add-check-button").disabled, "nothing is chosen yet"
    app.file_uploader[0].set_value(files).run()
    app.selectbox(key="add-network").set_value("linear").run()
    app.selectbox(key="add-data").set_value("toy").run()
    assert not home.exists()
    press(app, "add-check-button")
    shown = metrics(app)
    assert (shown["Runs"], shown["Checkpoints of all runs"], shown["Parameters"]) == ("2", "6", "120")
    words = " ".join(markdown.value for markdown in app.markdown)
    assert "The network loads: linear" in words
    assert "51 × 51 points" in words
    assert ["at 1 of 6 places" in warning.value for warning in app.warning] == [True]
    app.text_input(key="add-name-other").set_value("ops").run()
    app.selectbox(key="add-clean").set_value("clean").run()
    press(app, "add-make-button")
    assert not app.error, app.error
    assert "my-runs is made of clean-s0, ops-s0" in app.success[0].value
    assert Experiment.open(home / "my-runs").spec.clean_arm == "clean"


def test_a_third_run_is_added_to_the_experiment_of_two(tmp_path, home):
    files = [(*recorded(tmp_path, name), "application/octet-stream") for name in ("clean", "other", "third")]
    app = visit("add_run")
    app.file_uploader[0].set_value(files[:2]).run()
    press(app, "add-check-button")
    assert not [box for box in app.selectbox if box.key == "add-into"], "there is nothing to add to yet"
    press(app, "add-make-button")
    app = visit("add_run")
    for given, words in ((files[1], "holds other-s0 already"), (files[2], "")):
        before = {file: file.read_bytes() for file in sorted((home / "my-runs").rglob("*")) if file.is_file()}
        app.file_uploader[0].set_value([given]).run()
        press(app, "add-check-button")
        app.selectbox(key="add-into").set_value("my-runs").run()
        press(app, "add-make-button")
        assert [words in error.value for error in app.error] == ([True] if words else [])
        if words:
            assert all(file.read_bytes() == content for file, content in before.items())
    assert "my-runs is made of clean-s0, other-s0, third-s0" in app.success[0].value
    experiment = Experiment.open(home / "my-runs")
    assert experiment.spec.clean_arm == "clean"
    assert not any(file.is_symlink() for file in experiment.path.rglob("*"))
    assert sorted(path.name for path in home.iterdir()) == ["my-runs"]


def test_a_file_that_is_none_and_another_choice(home):
    app = visit("add_run")
    app.file_uploader[0].set_value([("run.h5", b"no run", "application/octet-stream")]).run()
    press(app, "add-check-button")
    assert ["not an Unlearnscape file" in error.value for error in app.error] == [True]
    app.selectbox(key="add-network").set_value("mlp").run()
    assert not app.error, "what was said of another choice is gone"


def children():
    """Processes that check what was given."""
    return [one for one in psutil.Process().children(recursive=True) if "experiments.upload_check" in one.cmdline()]


def until(true):
    late = time.monotonic() + 20
    while not true():
        assert time.monotonic() < late
        time.sleep(0.02)


@pytest.mark.parametrize("button", ["add-check-button", "add-make-button"])
def test_stop_ends_the_child_and_leaves_nothing(tmp_path, home, monkeypatch, button):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = [(*recorded(tmp_path, "clean"), "application/octet-stream")]
    app = visit("add_run")
    app.file_uploader[0].set_value(files).run()
    if button == "add-make-button":
        press(app, "add-check-button")
    app.button(key=button).click().run()
    until(children)
    (child,) = children()
    child.suspend()  # however fast it is, it has not ended when Stop is pressed
    (stop,) = [one for one in app.button if one.label == "Stop"]
    assert list(tmp_path.glob("unlearnscape-upload-*"))
    stop.click().run()
    assert not app.exception, app.exception
    assert not child.is_running()
    assert not list(tmp_path.glob("unlearnscape-upload-*"))
    assert not home.exists(), "nothing was made"
    assert any("Stopped; nothing was" in caption.value for caption in app.caption)
    assert not app.error
    if button == "add-make-button":
        press(app, button)
        assert not app.error
        assert (home / "my-runs").is_dir()


def test_another_choice_stops_a_check(tmp_path, home):
    app = visit("add_run")
    app.file_uploader[0].set_value([(*recorded(tmp_path, "clean"), "application/octet-stream")]).run()
    app.button(key="add-check-button").click().run()
    until(children)
    (child,) = children()
    child.suspend()
    app.selectbox(key="add-network").set_value("mlp").run()
    assert not child.is_running()
    assert not [one for one in app.button if one.label == "Stop"]
    assert not any("Stopped" in caption.value for caption in app.caption)


def test_paths_are_taken_only_where_no_other_machine_reaches_the_server(home):
    kept = config.get_option("server.address")
    try:
        config.set_option("server.address", "0.0.0.0")
        assert "A folder on this machine" not in visit("add_run").button_group(key="add-from").options
        config.set_option("server.address", "127.0.0.1")
        app = visit("add_run")
        app.button_group(key="add-from").set_value("A folder on this machine").run()
        app.text_area(key="add-paths").set_value("/no/such folder").run()
        assert ["There is no folder /no/such folder" in error.value for error in app.error] == [True]
    finally:
        config.set_option("server.address", kept)


def test_nothing_is_uploaded_in_a_class(home, monkeypatch):
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1")
    app = visit("add_run")
    assert not app.get("file_uploader")
    assert "Nothing can be uploaded in a class" in app.info[0].value


@pytest.mark.parametrize("in_class", [False, True])
def test_the_navigation_lists_it_where_files_may_be_uploaded(home, monkeypatch, in_class):
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1" if in_class else "")
    shown, navigation = [], streamlit.navigation

    def spy(pages):
        shown[:] = [page.title for page in pages if page.visibility == "visible"]
        return navigation(pages)

    monkeypatch.setattr(streamlit, "navigation", spy)
    assert visit("add_run").title[0].value == "Add a run", "a link to it still leads there"
    assert ("Add a run" in shown) is not in_class
    assert "Home" in shown
