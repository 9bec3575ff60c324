"""Page logic without a browser: every page runs, shows its numbers, and turns trouble into one sentence."""

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]
PAGES = ("home", "compare", "sharpness", "distance", "benchmark", "poison_lab", "live", "lessons")
OWN_DATA = (
    "benchmark",
    "poison_lab",
    "live",
    "lessons",
)  # pages that show something else than the sidebar's experiment


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


def visit(page: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if page != "home":
        app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception
    return app


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def charts(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("experiment", ["toy-ops", "digits-random"])
def test_every_page_runs_on_every_shipped_experiment(page, experiment):
    app = visit(page, exp=experiment)
    assert len(app.title) == 1
    assert not app.error


def test_home_tells_the_paper_s_story_at_once():
    shown = metrics(visit("home"))
    clean = float(shown["clean-s0 test accuracy"].removesuffix(" %"))
    poisoned = float(shown["ops-s0 test accuracy"].removesuffix(" %"))
    assert clean - poisoned >= 25
    assert 0 < float(shown["UD"]) < 1
    assert float(shown["Plane explains"].removesuffix(" %")) > 90
    assert " / " in shown["Off the plane at the end"]


def test_compare_follows_its_controls():
    app = visit("compare")
    step = app.select_slider(key="step")
    step.set_value(step.options[0] if not isinstance(step.options[0], str) else 0).run()
    assert not app.exception
    start = metrics(app)
    assert start["clean-s0 test accuracy"] == start["ops-s0 test accuracy"], "both runs start from the same weights"
    app.button_group(key="view").set_value("Contour").run()
    assert any(trace["type"] == "contour" for trace in charts(app)[0]["data"])
    app.selectbox(key="on").set_value("poisoned training").run()
    assert "training data of ops" in str(charts(app)[0]["layout"]["title"])


def test_side_by_side_shares_axes_and_colours():
    app = visit("compare")
    app.button_group(key="view").set_value("Contour").run()
    app.button_group(key="arrange").set_value("Side by side").run()
    contours = [trace for trace in charts(app)[0]["data"] if trace["type"] == "contour"]
    assert len(contours) == 2
    assert contours[0]["zmin"] == contours[1]["zmin"]
    assert contours[0]["zmax"] == contours[1]["zmax"]
    assert contours[0]["name"] != contours[1]["name"]


def test_a_missing_surface_offers_the_button_and_the_command():
    app = visit("compare")
    app.selectbox(key="plane").set_value("Three points").run()
    assert "Compute it now" in [button.label for button in app.button]
    assert any("surface toy-ops --plane three-point" in code.value for code in app.code)


def test_a_missing_surface_has_a_first_look():
    app = visit("compare")
    app.segmented_control(key="view").set_value("Contour").run()
    app.selectbox(key="plane").set_value("Three points").run()
    assert not app.exception
    assert any("First look: 7 × 7 points on 200 of 4000 samples, standard error" in c.value for c in app.caption)
    (chart,) = charts(app)
    assert {trace["type"] for trace in chart["data"]} >= {"contour", "scatter"}


def test_an_unfinished_surface_is_shown_as_far_as_it_is(home):
    from dataclasses import replace

    from experiments import Stopped, compute_surface, find_experiment, writable

    class StopAfter:
        left = 150

        def start(self, label, total, done=0):
            pass

        def advance(self, units=1):
            self.left -= units
            if self.left <= 0:
                raise Stopped

    experiment = writable(find_experiment("toy-ops"))
    options = replace(experiment.spec.surface, plane="three-point")
    with pytest.raises(Stopped):
        compute_surface(experiment, options, progress=StopAfter())
    app = visit("compare")
    app.selectbox(key="plane").set_value("Three points").run()
    assert any("So far: 8 × 8 points on" in c.value for c in app.caption)


def test_sharpness_and_distance_agree_on_the_count():
    sharp, distance = metrics(visit("sharpness")), metrics(visit("distance"))
    assert sharp["clean-s0 learnable blocks"].endswith("of 120")
    ratio = float(sharp["ops-s0 learnable blocks"]) / float(sharp["clean-s0 learnable blocks"].split()[0])
    assert float(distance["UD of ops"]) == pytest.approx(ratio, abs=0.01)


def test_distance_shows_spread_and_verdict_of_every_arm():
    app = visit("distance", exp="digits-random")
    shown = metrics(app)
    assert {"UD of class-random", "UD of noise (control)"} <= set(shown)
    words = " ".join(markdown.value for markdown in app.markdown)
    assert "Less learnable" in words
    assert "Not told apart from clean" in words
    assert any("(3 seeds)" in str(metric.delta) for metric in app.metric)


def test_unknown_experiment_in_a_link_falls_back_with_a_note():
    app = visit("home", exp="gone")
    assert any("exp=gone" in info.value for info in app.info)
    assert "UD" in metrics(app)


@pytest.mark.parametrize("page", ["compare", "sharpness", "distance"])
def test_an_untrained_experiment_says_what_to_do(home, page):
    from experiments import Experiment, load_preset_or_file

    Experiment.create(load_preset_or_file("toy-random"), home / "toy-random")
    app = visit(page, exp="toy-random")
    assert any("not trained yet" in info.value for info in app.info)
    assert any("run toy-random" in code.value for code in app.code)


@pytest.mark.parametrize("page", PAGES)
def test_a_damaged_result_is_a_sentence_not_a_stack_trace(home, page):
    folder = shutil.copytree(ROOT / "experiments" / "gallery" / "toy-ops", home / "broken")
    for path in [*folder.glob("surfaces/*.h5"), *list(folder.glob("sal/*.h5"))[:1]]:
        data = bytearray(path.read_bytes())
        data[9000] ^= 0xFF
        path.write_bytes(data)
    visit(page, exp="broken")


def test_a_broken_spec_is_a_sentence(home):
    (home / "odd").mkdir(parents=True)
    (home / "odd" / "experiment.toml").write_text("name = [")
    for page in PAGES:
        app = visit(page, exp="odd")
        assert page in OWN_DATA or any("not valid TOML" in error.value for error in app.error)


def test_live_shows_the_command_it_will_run(home):
    app = visit("live")
    number = next(n for n in app.number_input if n.label == "Epochs")
    number.set_value(3).run()
    captions = " ".join(caption.value for caption in app.caption)
    assert "run toy-ops" in captions
    assert "--set training.epochs=3" in captions
    assert not home.exists(), "looking starts nothing"
