"""Links without a browser: every page answers every kind of hostile value with a valid view and one note."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages import links

ROOT = Path(__file__).parents[2]
PARAMETERS = {
    "home": ("exp", "walked", "cam", "rate"),
    "compare": ("exp", "plane", "on", "block", "runs", "view", "arrange", "height", "scale", "step", "cam", "rate"),
    "sharpness": ("exp", "sal", "poisoned", "step"),
    "distance": ("exp", "sal", "arm"),
    "benchmark": ("exp", "bench", "part", "by", "methods", "trust"),
    "poison_lab": (
        "data",
        "method",
        "strength",
        "ratio",
        "seed",
        "sample",
        "map",
        "norm",
        "format",
        "network",
        "epochs",
    ),
    "live": (
        "preset",
        "watch",
        "race-toy-ops",
        "share",
        "force",
        "epochs-toy-ops",
        "lr-toy-ops",
        "seed-toy-ops",
        "speed",
        "at-54",
    ),
    "cross_task": ("exp", "sal", "poisoned", "step", "task"),
    "add_run": ("exp", "add-network"),
    "lessons": ("lesson", "done", "g1", "dir"),
}
EVIL: dict[str, str | list[str]] = {
    "script": "<script>alert(1)</script>",
    "infinite": "1e400",
    "huge": "-9" * 30,
    "nul": "../\x00" + "a" * 5000,
    "negative": "-1",
    "no number": "nan",
    "path": "../../../../etc/passwd",
    "other alphabets": "\u202e\u0661\u0662\U0001f600\u0000\ud83d".encode("utf-8", "replace").decode(),
    "markup": "[x](javascript:alert(1)) $x$ :material/delete: `",
    "repeated": ["ops", "0", "toy-ops", "1e400", "<b>"],
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, navigation):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


def visit(page: str, query: dict[str, str | list[str]]) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    if page != "home":
        app.run()
    for name, value in query.items():
        app.query_params[name] = value
    app.run() if page == "home" else app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception
    return app


def notes(app: AppTest) -> list[str]:
    return [info.value for info in app.info if "the nearest view is shown" in info.value]


@pytest.mark.parametrize("page", PARAMETERS)
@pytest.mark.parametrize("evil", EVIL)
def test_any_page_survives_any_value_in_all_its_parameters(home, page, evil):
    app = visit(page, dict.fromkeys(PARAMETERS[page], EVIL[evil]))
    (note,) = notes(app)
    assert "and" in note or len(PARAMETERS[page]) <= links.MOST_NAMED
    assert len(note) < 400
    assert not app.error
    assert not home.exists(), "a link writes nothing"


@pytest.mark.parametrize("page", PARAMETERS)
def test_parameters_without_a_value_are_no_error(home, page):
    app = visit(page, dict.fromkeys(PARAMETERS[page], ""))
    assert len(notes(app)) == 1
    assert not app.error
    assert not home.exists()


@pytest.mark.parametrize("page", PARAMETERS)
def test_a_link_that_asks_for_nothing_special_has_no_note(page):
    assert not notes(visit(page, {"exp": "toy-ops"}))


@pytest.mark.parametrize("page", ["home", "compare", "live"])
@pytest.mark.parametrize(
    ("query", "noted"),
    [
        ({"cam": "1.25,-1.4,0.88", "rate": "2"}, False),
        ({"cam": "1.25,-1.4,0.88,0,0.5,-0.16"}, False),
        ({"cam": "1.25,-1.4"}, True),
        ({"cam": "1e400,0,0"}, True),
        ({"rate": "1000"}, True),
    ],
)
def test_cameras_and_speeds_in_links_are_taken_where_they_can_be(page, query, noted):
    assert bool(notes(visit(page, query))) is noted


def test_pages_without_a_view_of_their_own_take_no_camera():
    (note,) = notes(visit("distance", {"cam": "1,1,1"}))
    assert "cam=1,1,1" in note


def test_home_stands_at_the_step_of_its_link():
    app = visit("home", {"walked": "103"})
    (player,) = [
        data["player"]
        for view in app.get("bidi_component")
        if (data := json.loads(view.proto.json)).get("key") == "home3d"
    ]
    assert player["step"] == 105
    assert "walked=103" in notes(app)[0]


def test_unknown_parameters_are_named_and_shortened():
    (note,) = notes(visit("distance", {"`**x**": "y" * 100}))
    assert "`'**x**=yyyyyyyyyyyyyyyyy" in note
    assert "…`" in note


def test_a_step_that_is_not_there_becomes_the_nearest():
    app = visit("compare", {"step": "103"})
    assert app.session_state["step"] == 105
    assert app.query_params["step"] == "105"
    assert "step=103" in notes(app)[0]
    assert visit("sharpness", {"step": "-5"}).select_slider(key="step").value == 0


def test_an_infinite_number_is_dropped_on_the_way_from_page_to_page_too():
    app = visit("distance", {"exp": "digits-random"})
    app.query_params["exp"], app.query_params["start"], app.query_params["lesson"] = "toy-ops", "1e400", "4"
    app.switch_page("pages/lessons.py").run()
    assert not app.exception, app.exception
    assert "start=1e400" in notes(app)[0]
    assert any("4. Why does" in one.value for one in app.subheader)


def test_a_good_link_sets_every_kind_of_control():
    query = {"plane": "Random, filter-normalised", "runs": ["ops-s0"], "view": "Both", "scale": "log"}
    app = visit("compare", query)
    assert not notes(app)
    assert app.selectbox(key="plane").value == "Random, filter-normalised"
    assert app.multiselect(key="runs").value == ["ops-s0"]
    app = visit("poison_lab", {"method": "class-random", "ratio": "0.5", "class-random-cell": "4", "amplify": "×5"})
    assert not notes(app)
    assert app.number_input(key="ratio").value == 0.5
    app = visit("live", {"preset": "digits-ops", "epochs-digits-ops": "3", "lr-digits-ops": "0.02"})
    assert not notes(app)
    assert app.number_input(key="epochs-digits-ops").value == 3
