"""A training can be held, stepped and paced by a file, and none of it changes a bit."""

import shutil
import threading
import time

import pytest
import torch

from analysis import sharpness_aware_learnability
from checkpoints import CheckpointError
from experiments import (
    Control,
    Experiment,
    ExperimentError,
    Gate,
    LiveObserver,
    load_preset_or_file,
    override,
    read_control,
    read_snapshot,
    train_experiment,
    write_control,
)
from experiments.control import is_held
from experiments.live_search import EpochSearch


@pytest.fixture
def toy(tmp_path):
    spec = override(load_preset_or_file("toy-ops"), ["training.epochs=2"])
    return Experiment.create(spec, tmp_path / "toy")


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_background(experiment, observer, gate):
    problems = []

    def work():
        try:
            train_experiment(experiment, observe=observer, gate=gate)
        except ValueError as error:
            problems.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, problems


def steps(experiment):
    try:
        return [len(experiment.open_run(name)) for name in experiment.run_names()]
    except CheckpointError:  # just being made
        return []


def test_paused_stepped_and_let_go_without_changing_a_bit(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_PROGRESS", "a page started it")
    plain = Experiment.create(toy.spec, tmp_path / "plain")
    train_experiment(plain)
    write_control(toy.path, Control(paused=True))
    observer = LiveObserver(toy)
    gate = Gate(toy, observer.catch_up)
    thread, _ = in_background(toy, observer, gate)
    until(lambda: is_held(toy.path))
    write_control(toy.path, Control(paused=True, steps=2))
    until(lambda: steps(toy) == [2, 2] and is_held(toy.path))
    time.sleep(0.2)
    assert steps(toy) == [2, 2], "it goes no further than it was let"
    assert [run["checkpoints"] for run in read_snapshot(toy).header["runs"]] == [2, 2], "what is shown is what there is"
    write_control(toy.path, Control(steps=2))
    thread.join(60)
    assert not is_held(toy.path)
    for name in plain.run_names():
        assert toy.open_run(name).fingerprint == plain.open_run(name).fingerprint


def test_a_pause_falls_between_two_rounds_where_those_are_short(toy, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_PROGRESS", "a page started it")

    def let_go(seconds):
        waited.append(seconds)
        write_control(toy.path, Control())

    waited = []
    gate = Gate(toy, idle=let_go)
    gate.before_round()
    write_control(toy.path, Control(paused=True))
    gate.before_step()
    assert not waited, "the other runs get to the same checkpoint first"
    monkeypatch.setattr("experiments.control.SOON", 0.0)
    gate.before_step()
    assert waited, "a viewer of a slow network need not wait for that"
    monkeypatch.undo()
    waited.clear()
    write_control(toy.path, Control(paused=True))
    gate.before_round()
    assert waited


def test_speed_is_kept_to_and_a_deleted_experiment_is_one_sentence(toy, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_PROGRESS", "a page started it")
    write_control(toy.path, Control(speed=20))
    thread, problems = in_background(toy, None, Gate(toy))
    until(lambda: len(steps(toy)) == 2)
    begun, before = time.monotonic(), steps(toy)[0]
    time.sleep(0.5)
    made = steps(toy)[0] - before
    assert made <= 20 * (time.monotonic() - begun) + 2
    write_control(toy.path, Control(paused=True))
    until(lambda: is_held(toy.path))
    shutil.rmtree(toy.path)
    thread.join(20)
    assert len(problems) == 1
    assert problems[0].startswith("toy was deleted or moved while it was worked on;")
    with pytest.raises(ExperimentError, match="not there any more"):
        write_control(toy.path, Control())


def test_unreadable_or_impossible_wishes_do_not_hold_a_training(toy):
    assert read_control(toy.path) == Control()
    write_control(toy.path, Control(paused=True))
    assert read_control(toy.path).paused
    Gate(toy)
    assert not read_control(toy.path).paused, "a pause of an earlier training does not hold one from the terminal"
    (toy.path / "live" / "control.json").write_text("{]")
    assert read_control(toy.path) == Control()
    with pytest.raises(ExperimentError, match="speed"):
        Control(speed=float("nan"))


def test_search_at_epochs_and_gradient_at_every_checkpoint_are_both_in_the_snapshot(tmp_path):
    changes = ["training.epochs=2", "sal.blocks=layer"]
    toy = Experiment.create(override(load_preset_or_file("toy-ops"), changes), tmp_path / "toy")
    search = EpochSearch(toy.spec.sal)
    runs = {}

    def observe(run):
        runs[run.name] = run
        inputs, targets = torch.from_numpy(run.inputs[:64]), torch.from_numpy(run.targets[:64])
        search.add(run, len(run.recorder.steps) - 1, (inputs, targets))

    train_experiment(toy, observe=observe)
    assert search.left == 6, "three epochs, the start included, of two runs; once an epoch"
    assert search.step(newest=True)
    assert search.step(newest=True)
    assert search.measured("clean-s0")[0] == search.measured("ops-s0")[0] == [2], "the newest first, for all runs"
    while search.step():
        pass
    assert search.left == 0
    epochs, values = search.measured("ops-s0")
    assert epochs == [0, 1, 2]
    model = runs["ops-s0"].model
    with toy.open_run("ops-s0") as stored:
        model.load_state_dict(stored.state_dict(list(stored.steps).index(35)))  # the first after 32 steps
    batch = (torch.from_numpy(runs["ops-s0"].inputs[:64]), torch.from_numpy(runs["ops-s0"].targets[:64]))
    (expected,) = sharpness_aware_learnability(model, [batch])
    assert values[1, 0] == pytest.approx(expected.sal, rel=1e-6)


def test_the_snapshot_holds_ud_of_every_checkpoint(toy, monkeypatch):
    monkeypatch.setattr("experiments.live.CATCH_UP", 0.0)
    observer = LiveObserver(toy)
    train_experiment(toy, observe=observer)
    observer.finish()
    arrays = read_snapshot(toy).arrays
    assert len(arrays["run/ops-s0/ud"]) == len(toy.open_run("ops-s0"))
    assert len(arrays["run/ops-s0/search_ud"]) == len(arrays["run/ops-s0/search_epochs"])
    assert read_snapshot(toy).header["finished"]
