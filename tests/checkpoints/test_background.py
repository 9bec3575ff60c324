"""Recording beside the training: the same run, durable when it says so, errors where they belong."""

import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, Recorder, open_run
from checkpoints import recorder as recorder_module


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))


def train(model, after, steps=25):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(5)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(torch.randn(16, 6)), torch.randint(3, (16,)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        after(loss)
    return torch.rand(1).item()


@pytest.mark.parametrize("background", [False, True])
def test_training_takes_the_same_steps_with_and_without_recording(tmp_path, background):
    plain, recorded = net(), net()
    chance = train(plain, lambda loss: None)
    with Recorder(tmp_path / "a.h5", recorded, every=10, background=background) as recorder:
        assert train(recorded, lambda loss: recorder.step(loss=loss)) == chance
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, recorded.state_dict()[name]), name
    run = open_run(tmp_path / "a.h5")
    assert list(run.steps) == [0, 10, 20, 25], "the initial weights and the last state too"
    assert np.isnan(run.metrics["loss"][0])
    assert np.isfinite(run.metrics["loss"][1:]).all()
    for name, tensor in run.state_dict(3).items():
        assert torch.equal(tensor, recorded.state_dict()[name]), name


def test_both_ways_write_the_same_run(tmp_path):
    for background in (False, True):
        model = net()
        with Recorder(tmp_path / f"{background}.h5", model, every="dense", background=background) as recorder:
            train(model, lambda loss, r=recorder: r.step(loss=loss))
    plain, beside = (open_run(tmp_path / f"{b}.h5") for b in (False, True))
    assert plain.fingerprint == beside.fingerprint
    np.testing.assert_array_equal(plain.metrics["loss"], beside.metrics["loss"])


def test_weights_are_taken_when_recorded_not_when_written(tmp_path, monkeypatch):
    hold = threading.Event()
    real = Recorder._store
    monkeypatch.setattr(Recorder, "_store", lambda self, *rest: (hold.wait(30), real(self, *rest))[1])
    model = net()
    with Recorder(tmp_path / "a.h5", model, background=True) as recorder:
        before = model[0].weight.detach().clone()
        recorder.record(0)
        with torch.no_grad():
            model[0].weight.add_(1)
        assert recorder.steps == (), "not durable yet"
        hold.set()
        recorder.flush()
        assert recorder.steps == (0,)
    assert torch.equal(open_run(tmp_path / "a.h5").state_dict(0)["0.weight"], before)


def test_training_waits_where_two_checkpoints_are_held(tmp_path, monkeypatch):
    hold, held = threading.Event(), []
    real = Recorder._store

    def store(self, *rest):
        hold.wait(30)
        real(self, *rest)

    monkeypatch.setattr(Recorder, "_store", store)
    model = net()
    recorder = Recorder(tmp_path / "a.h5", model, background=True)
    thread = threading.Thread(target=lambda: [(recorder.record(s), held.append(s)) for s in range(3)])
    thread.start()
    deadline = time.monotonic() + 20
    while len(held) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert held == [0, 1], "the third waits"
    hold.set()
    thread.join(30)
    recorder.finish()
    assert len(open_run(tmp_path / "a.h5")) == 3


def test_what_fails_beside_the_training_is_raised_in_it_and_what_was_durable_stays(tmp_path, monkeypatch):
    model = net()
    real = recorder_module.encode_line

    def full(table):
        if table.get("step") == 2:
            raise CheckpointError("The disk is full.")
        return real(table)

    monkeypatch.setattr(recorder_module, "encode_line", full)

    def record():
        with Recorder(tmp_path / "a.h5", model, background=True) as recorder:
            for step in range(20):
                recorder.record(step)

    with pytest.raises(CheckpointError, match="full"):
        record()
    run = open_run(tmp_path / "a.h5")
    assert run.is_live
    assert list(run.steps) == [0, 1]
    with Recorder(tmp_path / "a.h5", model) as again:
        point = again.restore()
        assert point is not None
        assert point.step == 1


def test_an_exception_of_the_training_is_not_hidden_and_nothing_handed_over_is_lost(tmp_path):
    model = net()

    def record():
        with Recorder(tmp_path / "a.h5", model, background=True) as recorder:
            for step in range(5):
                recorder.record(step)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record()
    assert list(open_run(tmp_path / "a.h5").steps) == [0, 1, 2, 3, 4]


def test_counting_goes_on_where_a_recording_left_off(tmp_path):
    model = net()

    def interrupted():
        with Recorder(tmp_path / "a.h5", model, every=5) as recorder:
            train(model, lambda loss: recorder.step(), steps=12)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Recorder(tmp_path / "a.h5", model, every=5) as recorder:
        point = recorder.restore()
        assert point is not None
        assert point.step == 10
        train(model, lambda loss: recorder.step(), steps=7)
    assert list(open_run(tmp_path / "a.h5").steps) == [0, 5, 10, 15, 17]


def test_a_step_of_a_recorder_without_a_schedule_is_refused(tmp_path):
    recorder = Recorder(tmp_path / "a.h5", net())
    with pytest.raises(CheckpointError, match="every=20"):
        recorder.step()
    recorder.close()


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda model: nn.DataParallel(torch.compile(model))])
def test_of_a_wrapped_model_the_one_inside_is_recorded(tmp_path, wrap):
    model = net()
    with Recorder(tmp_path / "a.h5", wrap(model)) as recorder:
        recorder.record(0)
        with torch.no_grad():
            model[0].weight.add_(1)
        recorder.record(1)
    run = open_run(tmp_path / "a.h5")
    assert run.parameters.names == tuple(name for name, _ in model.named_parameters())
    assert torch.equal(run.state_dict(1)["0.weight"], model[0].weight)
    with Recorder(tmp_path / "b.h5", wrap(model)) as recorder:
        recorder.record(0)
        with torch.no_grad():
            model[0].weight.zero_()
        assert recorder.restore() is not None
    assert torch.equal(run.state_dict(1)["0.weight"], model[0].weight)
