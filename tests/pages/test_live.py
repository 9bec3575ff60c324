"""The Live page without a browser: every state of a training has its words, and every control its effect."""

import json
import re
import time
from dataclasses import replace
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


def shown(app):
    """The message that the scene brings along: the frame, and the scene itself."""
    (data,) = [data for data in messages(app) if data.get("figures")]
    return data["frame"], json.loads(data["figures"][0]["figure"])


def messages(app):
    """Everything that reaches components of the page."""
    return [json.loads(view.proto.json) for view in app.get("bidi_component")]


def tiles(app):
    """{label: (value, note)} of the numbers."""
    return {tile["label"]: (tile["value"], tile["note"]) for tile in shown(app)[0]["tiles"]["tiles"]}


def charts(app):
    """{place: figure} of the charts."""
    return {chart["place"]: json.loads(chart["figure"]) for chart in shown(app)[0]["charts"]}


def steps(app):
    """The step that every part of the page shows, each by what it draws or says itself."""
    frame, scene = shown(app)
    found = {place: figure["layout"]["meta"].get("step", "") for place, figure in charts(app).items()}
    said = re.search(r"\d+", tiles(app)["Epoch"][1])
    found |= {"numbers": int(said.group()) if said else "", "frame": frame["step"]}
    if not frame["veil"]:
        found["scene"] = scene["layout"]["meta"].get("step", "")
    return found


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
    newest = steps(app)
    assert len(newest) == 6
    assert set(newest.values()) == {64}
    assert tiles(app)["Epoch"][0] == "2"
    assert re.fullmatch(r"by search \d\.\d\d \(epoch [012]\)", tiles(app)["UD so far"][1])
    assert not any(slider.label.startswith("Checkpoint") and slider.value != slider.max for slider in app.slider)
    scrubber = next(slider for slider in app.slider if slider.label.startswith("Checkpoint"))
    with trained.open_run("clean-s0") as run:
        assert (scrubber.min, scrubber.max) == (1, len(run)), "counted as everywhere: the start is one of them"
    assert f"of {scrubber.max:g} in each run" in scrubber.label
    scrubber.set_value(4).run()
    assert not app.exception
    assert set(steps(app).values()) == {15}
    drawn = charts(app)
    assert "checkpoint at step 15" in str(drawn["live-sal"]["layout"]["title"])
    for place in ("live-curves", "live-learnable"):
        marks = [line for line in drawn[place]["layout"]["shapes"] if line["line"]["dash"] == "dash"]
        assert [line["x0"] for line in marks] == pytest.approx([15 / 32, 15 / 32], abs=0.01)
    app.button(key="follow").click().run()
    assert set(steps(app).values()) == {64}


def test_a_finished_training_says_its_ud_measured_in_full(home, monkeypatch):
    import shutil

    from experiments import find_experiment

    home.mkdir()
    shutil.copytree(find_experiment("toy-ops").path, home / "mine")
    words = [link.label for link in visit(watch="mine").get("page_link") if link.label.startswith("Finished")]
    assert words == ["Finished: UD 0.52, measured in full. Open in Compare paths"]
    for file in (home / "mine" / "sal").iterdir():
        file.unlink()
    words = [link.label for link in visit(watch="mine").get("page_link") if link.label.startswith("Finished")]
    assert words == ["Finished. Open in Compare paths"]


def part_of(trained, count):
    """The snapshot of a training as it was after so many checkpoints of every run."""
    stored = read_snapshot(trained)
    arrays = {
        key: values[:count] if key.startswith("run/") and "search" not in key else values
        for key, values in stored.arrays.items()
    }
    runs = [{**run, "checkpoints": count} for run in stored.header["runs"]]
    header = {**stored.header, "number": count, "runs": runs, "finished": False}
    return replace(stored, header=header if count > 2 else header | {"plane": None}, arrays=arrays)


@pytest.fixture
def moving(home, trained, monkeypatch):
    """A training that moves: gives what sets the snapshot that is there now, in checkpoints."""
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    Experiment.create(replace(trained.spec, name="begun"), home / "begun")
    jobs.start(["run", "toy-ops", "--live"], experiment="begun")
    target = snapshot_path(Experiment(home / "begun"))
    target.parent.mkdir()

    def move(count):
        now = part_of(trained, count)
        write_result(target, kind=KIND, header=now.header, arrays=now.arrays)

    return move


def test_until_there_is_a_plane_all_stays_as_it_was_and_then_all_is_new(home, trained, moving):
    app = visit(watch="begun")
    example = shown(app)
    assert set(steps(app).values()) == {""}
    assert tiles(app)["Epoch"] == ("–", "")
    assert any("as it will look" in caption.value for caption in app.caption)
    assert {data.get("name") for data in messages(app)} >= {"live-numbers", "live-curves", "live-learnable", "live-sal"}
    moving(2)
    app.run()
    assert shown(app) == example, "the plane needs three checkpoints"
    for count, step in ((3, 10), (4, 15), (9, 40)):
        moving(count)
        app.run()
        assert not app.exception
        assert set(steps(app).values()) == {step}
        assert not any("as it will look" in caption.value for caption in app.caption)
    assert [len(trace["hovertemplate"]) for trace in charts(app)["live-curves"]["data"]]
    again = shown(app)[0]["id"]
    app.run()
    assert shown(app)[0]["id"] == again, "what stays is not drawn again"


def test_what_is_paused_before_there_is_a_plane_shows_its_numbers_and_says_why_no_scene(home, moving):
    app = visit(watch="begun")
    app.button(key="pause").click().run()
    moving(2)
    app.run()
    assert set(steps(app).values()) == {5}
    assert "three checkpoints" in shown(app)[0]["veil"]


def test_what_was_shown_last_stays_until_the_next_training_has_something_to_show(home, moving):
    app = visit(watch="begun")
    moving(9)
    app.run()
    before = shown(app)
    snapshot_path(Experiment(home / "begun")).unlink()  # as at a restart, or where it is deleted
    app.run()
    assert shown(app) == before
    assert any("The training before" in caption.value for caption in app.caption)
    moving(4)
    app.run()
    assert set(steps(app).values()) == {15}


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


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_set_does_not_keep_start_from_starting(home, monkeypatch, hours):
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: 2**22)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    monkeypatch.setattr("experiments.jobs.GRACE_SECONDS", 0.0)
    app = visit()
    app.button(key="start").click().run()
    app.button(key="start").click().run()
    assert len(jobs.list_jobs()) == 1, "a press that is delivered twice is one"
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * hours)
    app.button(key="start").click().run()
    assert not app.exception
    assert [job.experiment for job in jobs.list_jobs()] == ["toy-ops-live-2", "toy-ops-live"]


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
    assert [info.value for info in app.info] == ["There is no experiment “gone” here; press Start to train one."]
    assert not app.error


def test_in_class_the_command_names_no_folder_of_the_server(home, monkeypatch):
    assert str(home) in " ".join(one.value for one in visit().caption)
    monkeypatch.setenv("UNLEARNSCAPE_CLASSROOM", "1")
    shown = " ".join(one.value for one in visit().caption)
    assert "python cli.py run toy-ops" in shown
    assert str(home) not in shown
