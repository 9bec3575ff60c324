"""Page logic without a browser: every page runs, shows its numbers, and turns trouble into one sentence."""

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from checkpoints import Recorder, open_run
from training import build_model

ROOT = Path(__file__).parents[2]
PAGES = (
    "home",
    "compare",
    "sharpness",
    "distance",
    "benchmark",
    "cross_task",
    "poison_lab",
    "live",
    "add_run",
    "lessons",
)
OWN_DATA = (
    "benchmark",
    "poison_lab",
    "live",
    "add_run",
    "lessons",
)  # pages that show something else than the sidebar's experiment


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


def visit(page: str, *, app: AppTest | None = None, **query: str) -> AppTest:
    """Open a page, in a browser that has been on others (``app``) or in a new one."""
    if app is None:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        if page != "home":
            app.run()  # the front door, which drops what a link asks of another page
    if page != "home":
        app.switch_page(f"pages/{page}.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def charts(app: AppTest) -> list[dict]:
    """Figures drawn by Streamlit, then those of the view that keeps its camera."""
    drawn = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    for view in app.get("bidi_component"):
        drawn += [json.loads(one["figure"]) for one in json.loads(view.proto.json).get("figures", ())]
    return drawn


def contours(app: AppTest) -> dict:
    return next(one for one in charts(app) if any(trace["type"] == "contour" for trace in one["data"]))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("experiment", ["toy-ops", "digits-random"])
def test_every_page_runs_on_every_shipped_experiment(page, experiment):
    app = visit(page, exp=experiment)
    assert len(app.title) == 1
    assert not app.error


def test_pages_tell_of_checkpoints_that_are_not_finite(home):
    folder = home / "lost"
    shutil.copytree(ROOT / "experiments/gallery/toy-ops", folder)
    with open_run(folder / "runs/ops-s0.h5") as run:
        state = run.state_dict(0)
    model = build_model("linear", tuple(next(iter(state.values())).shape[1:]), 10, seed=0)
    model.load_state_dict(state)
    (folder / "runs/ops-s0.h5").unlink()
    with Recorder(folder / "runs/ops-s0.h5", model) as recorder:
        recorder.record(0)
        next(model.parameters()).data.fill_(float("nan"))
        recorder.record(5)
    for page in ("compare", "sharpness", "distance"):
        captions = [caption.value for caption in visit(page, exp="lost").caption]
        assert any("ops-s0: weights are not finite at 1 of 2 checkpoints (first: step 5)" in one for one in captions)


def test_home_tells_the_paper_s_story_at_once():
    app = visit("home")
    shown = metrics(app)
    off = next(metric for metric in app.metric if metric.label.startswith("Off the plane"))
    assert (off.delta, "clean-s0, ops-s0" in off.help) == ("weight units", True)
    clean = float(shown["clean-s0 test accuracy"].removesuffix(" %"))
    poisoned = float(shown["ops-s0 test accuracy"].removesuffix(" %"))
    assert clean - poisoned >= 25
    assert 0 < float(shown["UD"]) < 1
    assert float(shown["Plane explains"].removesuffix(" %")) > 90
    assert " / " in shown["Off the plane at the end"]


def test_compare_follows_its_controls():
    start = metrics(visit("compare", step="0"))
    assert start["clean-s0 test accuracy"] == start["ops-s0 test accuracy"], "both runs start from the same weights"
    app = visit("compare")
    assert metrics(app)["clean-s0 test accuracy"] != start["clean-s0 test accuracy"]
    app.button_group(key="view").set_value("Contour").run()
    assert contours(app)
    app.selectbox(key="on").set_value("poisoned training").run()
    assert "training data of ops" in str(contours(app)["layout"]["title"])


def test_what_is_closed_on_compare_is_not_drawn_and_the_address_opens_it():
    assert not visit("compare").get("plotly_chart")
    assert len(visit("compare", losses="true").get("plotly_chart")) == 2
    assert len(visit("compare", losses="true", differ="true").get("plotly_chart")) == 3


@pytest.mark.parametrize("step", ["-9", "nan", "1e400", "x", "7.4"])
def test_a_step_that_is_none_falls_back_to_the_nearest(step):
    app = visit("compare", step=step)
    assert app.session_state["step"] in (0, 5, 320)
    assert not app.error


def test_a_point_in_the_address_answers_on_every_data_set():
    app = visit("compare", at="-5,3", view="Contour")
    shown = metrics(app)
    for data in ("clean training data", "training data of ops", "test data"):
        assert shown[f"Loss on {data}"].endswith(" nats")
        assert " ± " in shown[f"Loss on {data}"]
    words = " ".join(markdown.value for markdown in app.markdown)
    assert "**clean-s0**: step" in words
    assert "**ops-s0**: step" in words
    titles = [str(chart["layout"]["title"]) for chart in charts(app)]
    assert sum("Along PC" in title for title in titles) == 2
    assert sum("Towards" in title for title in titles) == 1
    assert any(trace.get("meta", {}).get("part") == "picked" for trace in contours(app)["data"])


@pytest.mark.parametrize(("at", "what"), [("900,0", "outside this surface"), ("one", "is no point")])
def test_a_point_that_is_none_is_a_sentence(at, what):
    app = visit("compare", at=at)
    assert [what in error.value for error in app.error] == [True]


def test_the_gallery_has_a_picture_or_a_sentence_for_every_experiment(home):
    from experiments import Experiment, load_preset_or_file

    Experiment.create(load_preset_or_file("toy-random"), home / "toy-random")
    app = visit("home")
    pictures = [image for element in app.get("image") for image in element.proto.imgs]
    assert all(image.alt for image in pictures)
    assert len(pictures) == 2
    assert any("open it and train it" in html.proto.body for html in app.get("html"))


def test_side_by_side_shares_axes_and_colours():
    app = visit("compare")
    app.button_group(key="view").set_value("Contour").run()
    app.button_group(key="arrange").set_value("Side by side").run()
    panels = [trace for trace in contours(app)["data"] if trace["type"] == "contour"]
    assert len(panels) == 2
    assert panels[0]["zmin"] == panels[1]["zmin"]
    assert panels[0]["zmax"] == panels[1]["zmax"]
    assert panels[0]["name"] != panels[1]["name"]


@pytest.mark.parametrize("on", ["clean training", "poisoned training", "test"])
def test_side_by_side_judges_every_run_by_its_own_data(on):
    app = visit("compare", arrange="Side by side", view="Contour", on=on)
    traces = contours(app)["data"]
    grounds = [trace["name"] for trace in traces if trace["type"] == "contour"]
    assert grounds == ["clean training data", "training data of ops"]
    walked = {t["name"]: t.get("xaxis", "x") for t in traces if t["type"] == "scatter" and t.get("showlegend")}
    assert walked == {"clean-s0": "x", "ops-s0": "x2"}
    assert app.selectbox(key="on").disabled
    app.button_group(key="arrange").set_value("Overlaid").run()
    assert (app.selectbox(key="on").value, app.selectbox(key="on").disabled) == (on, False), "what was chosen is kept"


def test_the_command_beneath_a_view_draws_what_is_shown(tmp_path, monkeypatch):
    import shlex

    from click.testing import CliRunner

    from cli import main
    from pages import parts

    taken = {}
    monkeypatch.setattr(parts, "take_with_you", lambda make, **rest: taken.update(rest, make=make))
    visit("compare", arrange="Side by side", view="Both", scale="log", step="160", at="-3.5,2.25")
    scene, contour = taken["command"].splitlines()
    assert (" compare-3d --beside " in scene, " compare --beside " in contour) == (True, True)
    assert "*Contour*" in taken["note"]
    arguments = shlex.split(scene)
    arguments = [*arguments[arguments.index("export") :], "--out", str(tmp_path / "scene.csv")]
    arguments[arguments.index("pdf")] = "csv"
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "scene.csv").read_bytes() == parts.render(taken["make"](), "csv")


def test_two_panels_never_show_different_stretches_of_a_plane():
    app = visit("compare", arrange="Side by side", view="Contour", plane="Random, filter-normalised")
    panels = [trace for trace in contours(app)["data"] if trace["type"] == "contour"]
    assert len(panels) == 1
    assert any("is not there, so both paths share one" in caption.value for caption in app.caption)
    assert "Compute it now" in [button.label for button in app.button]


def test_a_plane_that_was_not_laid_through_the_paths_says_how_far_off_they_lie():
    app = visit("compare", view="Contour", plane="Random, filter-normalised")
    assert "paths lie up to 7.6 weight units off it" in json.dumps(contours(app)["layout"]["title"])
    assert any("not laid through the paths" in markdown.value for markdown in app.markdown)
    assert not any("leaves the valley" in markdown.value for markdown in app.markdown)
    assert "weight units off it" not in json.dumps(contours(visit("compare", view="Contour"))["layout"]["title"])


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
    assert {trace["type"] for trace in contours(app)["data"]} >= {"contour", "scatter"}


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
    shown = [sharp[f"{run}-s0 learnable blocks"] for run in ("ops", "clean")]
    assert all(words.endswith("of 120") for words in shown)
    ratio = float(shown[0].split()[0]) / float(shown[1].split()[0])
    assert float(distance["UD of ops"]) == pytest.approx(ratio, abs=0.01)


def test_the_words_above_the_bars_of_ud_fit_on_a_phone():
    (chart,) = visit("distance").get("plotly_chart")
    said = json.loads(chart.proto.spec)["layout"]["title"]["subtitle"]["text"]
    assert said == "mean over checkpoints, seed 0", "210 pixels are left beside the names; the axis says the rest"


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


def test_a_surface_can_be_taken_away_and_weights_where_the_runs_are():
    def labels(**query: str) -> set[str]:
        return {button.label for button in visit("compare", **query).get("download_button")}

    everything = {"PARQUET", "ParaView (VTP)", "3-D print (STL)", "NumPy (NPZ)"}
    assert everything | {"Li et al. (HDF5)", "Weights at the point"} <= labels(at="0,0")
    without_runs = labels(exp="digits-random")
    assert everything <= without_runs
    assert not any(label.startswith("Weights") for label in without_runs)
