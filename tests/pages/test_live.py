"""The Live page without a browser: every state of a training has its words, and every control its effect."""

import json
import re
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from checkpoints import write_result
from experiments import (
    Experiment,
    LiveObserver,
    jobs,
    load_preset_or_file,
    override,
    read_control,
    read_snapshot,
    snapshot_path,
    train_experiment,
)
from experiments.live import KIND
from pages import live_charts
from pages.pace import PACE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch, navigation):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


def visit(**query):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    app.switch_page("pages/live.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def layouts(app):
    """Layouts of everything drawn."""
    views = [json.loads(view.proto.json)["figures"] for view in app.get("bidi_component")]
    return [json.loads(one["figure"])["layout"] for figures in views for one in figures]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    spec = override(load_preset_or_file("toy-ops"), ["training.epochs=2"])
    experiment = Experiment.create(replace(spec, name="watched"), tmp_path_factory.mktemp("live") / "watched")
    observer = LiveObserver(experiment)
    train_experiment(experiment, observe=observer)
    observer.finish()
    return experiment


def test_scrubbing_moves_marker_curves_sal_and_numbers_together(home, trained):
    home.mkdir()
    (home / "watched").symlink_to(trained.path)
    app = visit(watch="watched")
    shown = {metric.label: metric for metric in app.metric}
    assert shown["Epoch"].value == "2"
    assert re.fullmatch(r"by search \d\.\d\d \(epoch [012]\)", shown["UD so far"].delta)
    assert not any(slider.label.startswith("Checkpoint") and slider.value != slider.max for slider in app.slider)
    scrubber = next(slider for slider in app.slider if slider.label.startswith("Checkpoint"))
    with trained.open_run("clean-s0") as run:
        assert (scrubber.min, scrubber.max) == (1, len(run)), "counted as everywhere: the start is one of them"
    assert f"of {scrubber.max:g} in each run" in scrubber.label
    scrubber.set_value(4).run()
    assert not app.exception
    shown = {metric.label: metric for metric in app.metric}
    assert shown["Epoch"].delta == "step 15"
    drawn = layouts(app)
    assert any("checkpoint at step 15" in str(layout["title"]) for layout in drawn)
    lines = next(layout for layout in drawn if "Training" in str(layout["title"]))["shapes"]
    assert lines
    assert all(line["x0"] == pytest.approx(15 / 32, abs=0.01) for line in lines)
    app.button(key="follow").click().run()
    assert {metric.label: metric for metric in app.metric}["Epoch"].value == "2"


def test_until_there_is_a_plane_the_picture_stays(home, trained):
    experiment = Experiment.create(replace(trained.spec, name="begun"), home / "begun")
    stored = read_snapshot(trained)
    arrays = {key: values[:2] for key, values in stored.arrays.items() if key.startswith("run/")}
    runs = [{**run, "checkpoints": 2} for run in stored.header["runs"]]
    target = snapshot_path(experiment)
    target.parent.mkdir()
    write_result(target, kind=KIND, header={**stored.header, "runs": runs, "plane": None}, arrays=arrays)
    app = visit(watch="begun")
    assert any("three checkpoints" in caption.value for caption in app.caption)
    assert {metric.label: metric for metric in app.metric}["Epoch"].delta == "step 5"
    keys = [json.loads(view.proto.json)["key"] for view in app.get("bidi_component")]
    assert keys == ["live3d"], "the view that the paths will be drawn in, and nothing that takes time from them"


def test_charts_of_a_moving_training_take_turns_and_no_more_than_their_pace(home, trained, monkeypatch):
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    home.mkdir()
    (home / "watched").symlink_to(trained.path)
    jobs.start(["run", "toy-ops", "--live"], experiment="watched")
    monkeypatch.setattr(live_charts, "PACE", 1000.0)
    made = []
    for name in ("curves", "learnable", "sal"):
        make = getattr(live_charts, name)
        monkeypatch.setattr(
            live_charts,
            name,
            lambda moment, make=make, name=name, **theme: (made.append(name), make(moment, **theme))[1],
        )
    app = visit(watch="watched")
    seen = [len(made)]
    for _ in range(3):
        app.run()
        seen.append(len(made))
    assert made == ["curves", "learnable", "sal"], seen
    assert all(after - before <= 1 for before, after in pairwise(seen)), "one at a time"
    once = read_snapshot(trained)
    newer = replace(once, header={**once.header, "number": once.header["number"] + 1})
    monkeypatch.setattr("pages.live_view.read", lambda experiment: newer)
    app.run()
    assert len(made) == 3, "too soon"
    monkeypatch.setattr(live_charts, "PACE", 0.0)
    app.run()
    assert made[3:] == ["curves"], "the one drawn longest ago is next"


def test_where_many_look_each_looks_less_often(home, trained, monkeypatch):
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    monkeypatch.setattr("pages.pace.PACE._looks", {})
    paces, fragment = [], streamlit.fragment
    monkeypatch.setattr("streamlit.fragment", lambda made, run_every=None: (paces.append(run_every), fragment(made))[1])
    home.mkdir()
    (home / "watched").symlink_to(trained.path)
    app = visit(watch="watched")
    assert paces[-1] is None, "nothing moves"
    jobs.start(["run", "toy-ops", "--live"], experiment="watched")
    app.run()
    assert paces[-1] == 0.4
    for number in range(20):
        PACE.looked(str(number), 0.4, 0.1)
    app.run()
    assert paces[-1] == 6.4, "20 looks of 0.1 s need 5 s at least"
    PACE._looks.clear()
    app.run()
    assert paces[-1] == 0.4


def test_a_training_is_started_paused_stepped_restarted_and_cancelled(home, monkeypatch):
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    monkeypatch.setattr("experiments.jobs.GRACE_SECONDS", 0.0)
    app = visit()
    app.button(key="start").click().run()
    assert not app.exception
    assert not app.error, [error.value for error in app.error]
    assert jobs.list_jobs("toy-ops-live"), [str(x.value) for x in (*app.info, *app.caption)]
    assert app.query_params["watch"] == "toy-ops-live"
    app.button(key="pause").click().run()
    assert read_control(home / "toy-ops-live").paused
    assert not [one for one in app.button if one.key == "pause"], "pressed twice by accident, it is pressed once"
    app.button(key="step-0").click().run()
    assert read_control(home / "toy-ops-live").steps == 1
    app.button(key="play").click().run()
    assert not read_control(home / "toy-ops-live").paused
    app.segmented_control(key="speed").set_value("full").run()
    assert read_control(home / "toy-ops-live").speed == 0
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: False)
    next(slider for slider in app.slider if slider.label.startswith("Poisoned share")).set_value(50).run()
    assert not app.exception
    wait = time.monotonic() + 20
    while app.query_params["watch"] == "toy-ops-live" and time.monotonic() < wait:
        app.run()  # a slider that is still being moved is waited for
    assert app.query_params["watch"] == "toy-ops-ratio0.5"
    assert Experiment.open(home / "toy-ops-ratio0.5").spec.arms["ops"].ratio == 0.5
    assert {job.experiment for job in jobs.list_jobs()} == {"toy-ops-live", "toy-ops-ratio0.5"}


def test_a_waiting_job_says_so_and_leaves_the_queue_when_cancelled(home, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_JOBS", "1")
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    other = jobs.start(["train", "toy-random"], experiment="other")
    app = visit()
    app.button(key="start").click().run()
    assert not app.exception
    assert any("1 running, 1 waiting" in expander.label for expander in app.expander)
    mine = jobs.list_jobs("toy-ops-live")[0]
    assert mine.waiting
    app.button(key=f"cancel-{mine.id}").click().run()
    assert jobs.read_job(mine.folder).state == "stopped"
    assert jobs.read_job(other.folder).running


def test_in_class_only_who_started_a_job_can_stop_it(home, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_CLASSROOM", "1")
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    mine, other = visit(), visit()
    mine.button(key="start").click().run()
    (job,) = jobs.list_jobs("toy-ops-live")
    other.run()
    keys = {button.key for button in other.button}
    assert f"cancel-{job.id}" not in keys
    assert any("1 running" in expander.label for expander in other.expander)
    other.query_params["watch"] = "toy-ops-live"
    other.run()
    assert other.button(key="stop").disabled
    assert f"cancel-{job.id}" in {button.key for button in mine.button}
    assert not mine.button(key="stop").disabled


def test_controls_that_ask_for_another_training_than_the_one_shown_say_so(home, monkeypatch):
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    app = visit()
    app.button(key="start").click().run()
    assert not [one for one in app.info if "other settings" in one.value]
    later = visit(watch="toy-ops-live")  # a reload
    assert not [one for one in later.info if "other settings" in one.value]
    next(slider for slider in later.slider if slider.label.startswith("Poisoned share")).set_value(50).run()
    assert [one for one in later.info if "press *Start*" in one.value]
    assert later.query_params["watch"] == "toy-ops-live"
    later.button(key="start").click().run()
    assert later.query_params["watch"] == "toy-ops-ratio0.5"
    assert not [one for one in later.info if "other settings" in one.value]


def test_an_experiment_deleted_while_open_is_one_sentence(home):
    app = visit(watch="gone")
    assert any("no experiment “gone” any more" in info.value for info in app.info)
    assert not app.error


def test_in_class_the_command_names_no_folder_of_the_server(home, monkeypatch):
    assert str(home) in " ".join(one.value for one in visit().caption)
    monkeypatch.setenv("UNLEARNSCAPE_CLASSROOM", "1")
    shown = " ".join(one.value for one in visit().caption)
    assert "python cli.py run toy-ops" in shown
    assert str(home) not in shown
