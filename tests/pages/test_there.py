"""An experiment that goes while it is open, between two looks or in the midst of one, and that comes back."""

import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from experiments import home
from experiments.catalogue import GALLERY

ROOT = Path(__file__).parents[2]
PAGES = ("compare", "sharpness", "distance", "cross_task")


@pytest.fixture
def mine(tmp_path, monkeypatch, navigation):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    (tmp_path / "home").mkdir()
    return Path(shutil.copytree(GALLERY / "toy-ops", tmp_path / "home" / "mine"))


def visit(page, **query):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in query.items():
        app.query_params[name] = value
    return app.switch_page(f"pages/{page}.py").run()


def gone(app):
    assert not app.exception, app.exception
    assert not app.error, app.error
    return [info.value for info in app.info if "any more" in info.value or "no experiment “mine” here" in info.value]


@pytest.mark.parametrize("page", PAGES)
def test_what_went_is_said_once_and_shown_again_once_it_is_back(mine, page):
    app = visit(page, exp="mine")
    assert not gone(app)
    os.rename(mine, mine.with_name(".elsewhere"))
    (said,) = gone(app.run())
    assert said.startswith("The experiment “mine” is not there any more: it was deleted or moved. This is toy-ops;")
    assert gone(app.run()) == [said], "until another one is chosen"
    os.rename(mine.with_name(".elsewhere"), mine)
    assert not gone(app.run())
    assert app.selectbox(key="exp").value == "mine"


def test_once_another_is_chosen_nothing_more_is_said(mine):
    app = visit("sharpness", exp="mine")
    shutil.rmtree(mine)
    assert gone(app.run())
    app.selectbox(key="exp").set_value("digits-random").run()
    assert not gone(app)
    shutil.copytree(GALLERY / "toy-ops", mine)
    app.run()
    assert app.selectbox(key="exp").value == "digits-random"


@pytest.mark.parametrize(
    ("page", "module", "name"),
    [
        *((page, "pages.parts", "current") for page in PAGES),
        ("compare", "pages.compare_controls", "view"),
        ("compare", "pages.standing", "numbers"),
        ("sharpness", "pages.lone_run", "is_alone"),
        ("distance", "pages.parts", "choose_report"),
        ("live", "pages.live_view", "read"),
    ],
)
def test_what_goes_in_the_midst_of_a_look_is_no_stack_trace(mine, monkeypatch, page, module, name):
    app = visit(page, exp="mine", watch="mine")
    part = getattr(import_module(module), name)

    def went(*arguments, **options):
        found = part(*arguments, **options)
        shutil.rmtree(mine, ignore_errors=True)
        return found

    monkeypatch.setattr(f"{module}.{name}", went)
    app.run()
    assert not app.exception
    assert not mine.exists()
    assert gone(app.run())


def test_a_file_that_goes_is_named_and_what_fails_for_other_reasons_is_not_hidden(mine, monkeypatch):
    def fail(*arguments):
        raise FileNotFoundError(2, "No such file", str(home() / "mine" / "sal" / "a.h5"))

    monkeypatch.setenv("UNLEARNSCAPE_CLASSROOM", "1")
    monkeypatch.setattr("pages.parts.tell_not_finite", fail)
    app = visit("sharpness", exp="mine")
    assert not app.exception
    assert [one.value for one in app.error] == [
        "mine/sal/a.h5 went while it was read; put it back, or reload this page."
    ]
    monkeypatch.setattr("pages.parts.tell_not_finite", lambda experiment: 1 // 0)
    assert app.run().exception
    shutil.rmtree(mine)
    app.run()
    assert app.exception, "and the page does not run for ever"
