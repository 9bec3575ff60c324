"""The lessons' page: no run without a prediction, the real result beside it, progress that is kept, and classes."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from experiments.classroom import CLASSROOM_VARIABLE
from experiments.lessons import second_task

ROOT = Path(__file__).parents[2]
GUESSES = {
    1: "it falls",
    2: "less than 5 %",
    3: 90,
    4: 80,
    5: "by 5 to 25 %",
    6: "none of the three",
    7: "it breaks the poison",
    8: "of the class alone",
}
LIGHT = {3: {"net": "linear"}, 6: {"n": 2}}  # settings that train less


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, navigation):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


def visit(page: str = "lessons", **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception
    return app


def predict(app: AppTest, number: int) -> None:
    guess = GUESSES[number]
    widget = app.number_input(key=f"g{number}") if isinstance(guess, int) else app.radio(key=f"g{number}")
    widget.set_value(guess).run()


@pytest.mark.parametrize("number", GUESSES)
def test_every_lesson_asks_first_and_then_shows_the_real_thing(number):
    app = visit(lesson=str(number))
    assert app.button(key="run").disabled, "no run without a prediction"
    for key, value in LIGHT.get(number, {}).items():
        app.selectbox(key=key).set_value(value).run()
    before = len(app.markdown)
    predict(app, number)
    assert len(app.markdown) == before, "a prediction alone reveals nothing"
    app.button(key="run").click().run()
    assert not app.exception, app.exception
    assert not app.error
    words = " ".join(one.value for one in app.markdown) + " ".join(one.label for one in app.metric)
    assert "You predicted" in words
    assert app.get("plotly_chart")
    assert app.query_params["done"] in (str(number), [str(number)])
    app.button(key="again").click().run()
    assert not app.button(key="run").disabled, "the prediction is still there and can be changed"


def test_what_networks_lose_to_a_poison_is_told_from_the_published_result(monkeypatch, tmp_path):
    one = {"value": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "seeds": 3, "note": ""}
    same = one | {"value": -0.02, "low": -0.04, "high": 0.01}
    net = dict.fromkeys(second_task.TASKS, same) | {"scene": one, "keypoints2d": same | {"value": 0.01}}
    arms = dict.fromkeys([*second_task.CONTROLS, *second_task.CONTROLS.values()], net)
    table = {"experiment": "e", "images": 1000, "seeds": 3, "damage": arms, "net_damage": arms}
    monkeypatch.setattr(second_task, "EXTRACT", tmp_path / "second_task.json")
    second_task.EXTRACT.write_text(json.dumps(table))
    app = visit(lesson="8", g8="of the class alone", done="8")
    assert [str(chart.proto.alt).split(" ")[0] for chart in app.get("plotly_chart")] == ["What", "Damage"]
    words = next(one.value for one in app.markdown if "net of its control lsp-permuted" in one.value)
    assert "scene class: 50 points (40 to 60; more than the control)" in words
    assert "depth: −2 points (−4 to 1; not told apart)" in words
    assert any("learned from the image all the same" in one.value for one in app.markdown)
    assert "key points: 1 point (−4 to 1; not told apart)" in words
    hidden = table | {"net_damage": arms | {"lsp": net | {"scene": same, "depth_euclidean": one}}}
    second_task.EXTRACT.write_text(json.dumps(hidden))
    again = visit(lesson="8", g8="of none of them", done="8")
    words = next(one.value for one in again.markdown if "Points are per cent" in one.value)
    assert "lsp costs the class no more than its control" in words
    assert "harm can reach depth even" in words


def test_progress_goes_on_from_lesson_to_lesson():
    app = visit(lesson="4")
    predict(app, 4)
    app.button(key="run").click().run()
    app.button(key="next").click().run()
    assert any("5. What does SAL measure?" in one.value for one in app.subheader)
    app.button(key="previous").click().run()
    assert app.number_input(key="g4").value == 80
    assert any(one.label == "You predicted" and one.value == "80 %" for one in app.metric)


def test_a_link_reopens_lesson_prediction_and_result():
    app = visit(lesson="4", g4="25", start="3", done="24")
    assert [one.value for one in app.metric if one.label == "You predicted"] == ["25 %"]
    assert app.number_input(key="start").value == 3
    assert not app.info


@pytest.mark.parametrize(
    "query",
    [
        {"lesson": "99"},
        {"lesson": "<script>alert(1)</script>", "done": "<b>"},
        {"lesson": "4", "g4": "nan", "done": "4"},
        {"lesson": "4", "g4": "1e400", "start": "99999999999999999999999", "done": "4444444444444"},
        {"lesson": "1", "g1": "it flies", "dir": "-1", "a": "inf"},
        {"lesson": "3", "net": "../../etc/passwd", "pixels": "999999"},
    ],
)
def test_a_hostile_link_opens_a_valid_lesson_with_one_note(query):
    app = visit(**query)
    assert not app.error
    (note,) = app.info
    assert "nearest view" in note.value
    assert "<script" not in note.value.replace("`lesson=<script>", "")
    assert app.button(key="run").label == "Run it"


def test_in_class_the_presets_are_locked_and_refusals_are_sentences(monkeypatch):
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1")
    app = visit("live")
    assert set(app.selectbox(key="preset").options) == {"toy-ops", "toy-random", "digits-ops", "digits-random"}
    assert app.number_input(key="epochs-toy-ops").max == 20
    app = visit("poison_lab", method="em")
    app.button(key="make").click().run()
    assert any("need no network" in error.value for error in app.error)
    assert "file" not in app.selectbox(key="method").options
    app = visit("benchmark")
    app.button(key="start-toy").click().run()
    assert any("too long for a class" in error.value for error in app.error)


def test_in_class_bookmarks_can_be_opened_alone(monkeypatch):
    from experiments.bookmarks import save_bookmark

    save_bookmark("for today", "compare", "view=Both")
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1")
    app = visit()
    assert not [one for one in app.text_input if one.key == "bookmark-name"]
    assert not [one for one in app.button if str(one.key).startswith("bookmark")]


def test_bookmarks_are_kept_renamed_and_deleted():
    from experiments.bookmarks import list_bookmarks

    app = visit(lesson="2")
    app.text_input(key="bookmark-name").set_value("my lesson")
    next(one for one in app.button if one.label == "Keep this view").click().run()
    (kept,) = list_bookmarks()
    assert (kept.name, kept.page, kept.query) == ("my lesson", "lessons", "lesson=2")
    app.text_input(key="bookmark-new").set_value("yours").run()
    app.button(key="bookmark-rename").click().run()
    assert [one.name for one in list_bookmarks()] == ["yours"]
    assert app.button(key="bookmark-delete").disabled, "nothing is deleted without a confirmation"
    app.checkbox(key="bookmark-sure").check().run()
    app.button(key="bookmark-delete").click().run()
    assert list_bookmarks() == []
