"""Home's gallery: what is deleted goes at once, comes back at once, and is asked about before."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from experiments import Experiment, deleting, jobs, list_experiments
from experiments.classroom import CLASSROOM_VARIABLE
from experiments.jobs import Job
from pages import home_bin

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, navigation, finished_toy):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    shutil.copytree(finished_toy, tmp_path / "home" / "mine")
    return tmp_path / "home"


def visit(page: str = "home", **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if page != "home":
        app.run()
        app.switch_page(f"pages/{page}.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    return " ".join(one.value for one in [*app.markdown, *app.error, *app.info, *app.toast])


def labels(app: AppTest) -> list[str]:
    return [one.label for one in app.button]


def names() -> list[str]:
    return [one.name for one in list_experiments()]


def test_deleting_asks_with_what_goes_and_undo_brings_it_back(home):
    app = visit(exp="mine")
    app.menu_button(key="more-experiment-mine").set_value(home_bin.DELETE).run()
    held = deleting.contents(home / "mine")
    assert f"goes: {held.in_words()}." in words(app)
    assert "mine" in names(), "asking deletes nothing"
    app.button(key="bin-delete").click().run()
    assert "mine" not in names()
    assert app.session_state["exp"] == "toy-ops"
    assert "**mine** was deleted." in words(app)
    assert not app.exception
    assert not app.error
    app.button(key="bin-undo").click().run()
    assert "mine" in names()
    assert "mine was restored." in words(app)
    assert "Undo" not in labels(app)


def test_keeping_it_keeps_it():
    app = visit()
    app.menu_button(key="more-experiment-mine").set_value(home_bin.DELETE).run()
    app.button(key="bin-keep").click().run()
    assert "mine" in names()
    assert "Undo" not in labels(app)


def test_what_was_deleted_can_be_restored_later_and_emptied_for_good(home, finished_toy):
    for name in ("a", "b"):
        shutil.copytree(finished_toy, home / name)
    gone = [deleting.delete(home / name) for name in ("mine", "a", "b")]
    app = visit()
    assert [one.label for one in app.expander if "Deleted" in one.label] == ["Deleted (3)"]
    app.button(key=f"restore-{gone[0].id}").click().run()
    assert "mine" in names()
    app.button(key=f"gone-{gone[1].id}").click().run()
    assert [one.name for one in deleting.list_deleted()] == ["b"]
    deleting.delete(home / "mine")
    app.run()
    app.button(key="gone-all").click().run()
    assert deleting.list_deleted() == []
    assert not [one.label for one in app.expander if "Deleted" in one.label]
    assert not app.exception


def test_a_taken_name_is_said(home, finished_toy):
    gone = deleting.delete(home / "mine")
    shutil.copytree(finished_toy, home / "mine")
    app = visit()
    app.button(key=f"restore-{gone.id}").click().run()
    assert "mine was restored as mine-2, because its name was taken." in words(app)


def test_what_ships_is_not_offered_and_neither_is_anything_in_class(monkeypatch):
    assert [one.key for one in visit().menu_button] == ["more-experiment-mine"]
    deleting.delete(visit_path())
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1")
    app = visit()
    assert not list(app.menu_button)
    assert not [one.label for one in app.expander if "Deleted" in one.label]


def visit_path() -> Path:
    return next(one.path for one in list_experiments() if one.name == "mine")


def test_a_running_job_is_one_sentence(home, monkeypatch):
    app = visit()
    job = Job("1", home / "mine", ("ud",), "mine", 1, "running")
    monkeypatch.setattr(jobs, "list_jobs", lambda name=None: [job] if name in (None, "mine") else [])
    app.menu_button(key="more-experiment-mine").set_value(home_bin.DELETE).run()
    assert "A job of mine is running; stop it" in words(app)
    assert "bin-delete" not in [one.key for one in app.button]


def test_a_job_that_began_meanwhile_is_said_in_the_card_s_place(home, monkeypatch):
    app = visit()
    app.menu_button(key="more-experiment-mine").set_value(home_bin.DELETE).run()
    job = Job("1", home / "mine", ("ud",), "mine", 1, "running")
    monkeypatch.setattr(jobs, "list_jobs", lambda name=None: [job] if name in (None, "mine") else [])
    app.button(key="bin-delete").click().run()
    assert "A job of mine is running; stop it" in words(app)
    assert "mine" in names()


def test_an_unreadable_experiment_can_be_deleted(home):
    (home / "mine" / "experiment.toml").write_text("seeds = 'none'")
    app = visit()
    app.menu_button(key="more-experiment-mine").set_value(home_bin.DELETE).run()
    app.button(key="bin-delete").click().run()
    assert "mine" not in names()


@pytest.mark.parametrize("page", ["home", "compare", "sharpness", "distance", "live"])
def test_a_page_that_shows_what_was_deleted_elsewhere_goes_on(home, page):
    app = visit(page, exp="mine")
    deleting.delete(home / "mine")
    app.run()
    assert not app.exception
    assert len(app.title) == 1


def test_cards_of_one_title_say_their_names_and_what_differs(home, finished_toy):
    shutil.copytree(finished_toy, home / "x_y_z")
    told = [one.value for one in visit().markdown if "one linear layer" in one.value]
    assert len(told) == 3, "two copies, and the one that ships"
    assert any("**x\\_y\\_z** · n samples 1000, epochs 2 · made " in one for one in told)
    assert any("**toy\\-ops** · epochs 10 · ships with the project" in one for one in told)
    shutil.rmtree(home / "x_y_z")
    shutil.rmtree(home / "mine")
    told = [one.value for one in visit().markdown if "one linear layer" in one.value]
    assert [":gray[toy\\-ops · 2 of 2 runs" in one for one in told] == [True], "nothing to tell apart"


def test_every_link_of_a_card_names_what_it_opens_though_only_open_is_seen():
    opened = [one.label for one in visit().page_link if one.label.startswith("Open")]
    assert "Open *mine*" in opened
    assert len(set(opened)) == len(opened) == 3


def test_a_title_can_be_changed_and_the_name_stays(home):
    app = visit(exp="mine")
    app.menu_button(key="more-experiment-mine").set_value(home_bin.RENAME).run()
    app.text_input(key="title-mine").set_value("Mine, at *last*")
    app.button(key="bin-rename").click().run()
    assert "**Mine\\, at" not in words(app)
    assert "**Mine, at \\*last\\***" in words(app)
    assert Experiment.open(home / "mine").spec.title == "Mine, at *last*"
    assert not app.exception


def test_a_title_that_is_none_is_one_sentence(home):
    before = (home / "mine" / "experiment.toml").read_bytes()
    app = visit()
    app.menu_button(key="more-experiment-mine").set_value(home_bin.RENAME).run()
    app.text_input(key="title-mine").set_value("  ")
    app.button(key="bin-rename").click().run()
    assert "A title is one line of 1 to 120 letters" in words(app)
    assert (home / "mine" / "experiment.toml").read_bytes() == before
