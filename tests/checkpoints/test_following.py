"""What the callbacks share, driven as a library's loop would drive it."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, open_run
from checkpoints.following import Follower


def follower(path, **options):
    defaults = {"every": 2, "metadata": None, "background": False, "only": (), "storage": ""}
    return Follower(path, **(defaults | options))


def net():
    """Begins at zero, so that sums of whole numbers are exact."""
    model = nn.Linear(2, 1)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def move(model, by=1.0):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)


def test_a_checkpoint_is_stored_with_what_was_measured_at_its_weights(tmp_path):
    model = net()
    first = model.weight.detach().clone()
    follow = follower(tmp_path / "a.h5")
    follow.begin(model, 0)
    for step in range(1, 6):
        follow.write()
        move(model)
        follow.stepped(step, step / 5, {"batch_loss": torch.tensor(float(step))})
        if step == 4:
            follow.measured({"val_loss": 0.5, "epoch": 9.0, "per_class": torch.ones(3), "note": "text"})
    follow.finish()
    run = open_run(tmp_path / "a.h5")
    assert list(run.steps) == [0, 2, 4, 5]
    np.testing.assert_array_equal(run.epochs, [np.nan, 0.4, 0.8, 1.0])
    np.testing.assert_array_equal(run.metrics["batch_loss"], [np.nan, 2, 4, 5])
    np.testing.assert_array_equal(run.metrics["val_loss"], [np.nan, np.nan, 0.5, np.nan])
    assert set(run.metrics) == {"batch_loss", "val_loss"}
    for i, step in enumerate(run.steps):
        np.testing.assert_allclose(run.vector(i)[:2], first[0] + float(step))


def test_steps_passed_between_two_calls_are_not_missed_and_accumulation_is_no_step(tmp_path):
    model = net()
    follow = follower(tmp_path / "a.h5", every=5)
    follow.begin(model, 0)
    for step in (0, 3, 3, 6, 9, 12):  # three optimisers step in one batch; the third call only accumulates
        follow.stepped(step, None, {})
        follow.write()
    follow.finish()
    assert list(open_run(tmp_path / "a.h5").steps) == [0, 6, 12]


def test_a_training_that_goes_on_from_an_earlier_state_is_compared(tmp_path):
    def train(follow, model, start, stop):
        follow.begin(model, start)
        for step in range(start + 1, stop + 1):
            move(model)
            follow.stepped(step, None, {})
            follow.write()

    model = net()
    broken = follower(tmp_path / "a.h5")
    train(broken, model, 0, 6)
    broken.close()
    assert list(open_run(tmp_path / "a.h5").steps) == [0, 2, 4, 6]
    again = follower(tmp_path / "a.h5")
    move(model, -3)  # its own checkpoint was of step 3
    train(again, model, 3, 8)
    again.finish()
    assert list(open_run(tmp_path / "a.h5").steps) == [0, 2, 4, 6, 8]
    other = follower(tmp_path / "b.h5")
    train(other, model, 0, 2)
    with pytest.raises(CheckpointError, match="with other weights"):
        train(other, model, 0, 2)


def test_no_schedule_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="every=None chooses no step"):
        follower(tmp_path / "a.h5", every=None)


def test_the_store_needs_neither_library():
    code = "import checkpoints, sys; assert not {'lightning', 'transformers'} & set(sys.modules), 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
