"""Metrics given as functions: called where a state is recorded alone, and without a trace in the training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from checkpoints import Recorder, open_run

INPUTS, TARGETS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model[1].eval()  # as somebody freezes it
    return model


def train(model, recorder=None, **metrics):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(7):
        chosen = torch.randint(40, (8,))
        optimiser.zero_grad()
        functional.cross_entropy(model(INPUTS[chosen]), TARGETS[chosen]).backward()
        optimiser.step()
        if recorder is not None:
            recorder.step(**metrics)
    return torch.rand(1).item()


@pytest.mark.parametrize("background", [False, True])
def test_a_function_is_called_where_a_state_is_recorded_and_leaves_no_trace(tmp_path, background):
    plain, recorded, called = network(), network(), []

    def test_loss():
        called.append((recorded.training, torch.is_grad_enabled()))
        torch.rand(3)  # as a measurement on chosen samples does
        return functional.cross_entropy(recorded(INPUTS), TARGETS)

    chance = train(plain)
    recorded = network()
    with Recorder(tmp_path / "a.h5", recorded, every=3, background=background) as recorder:
        assert train(recorded, recorder, test_loss=test_loss, rate=0.1) == chance
    assert called == [(False, False)] * 3, "after steps 3, 6 and, as the last, 7"
    assert [module.training for module in recorded] == [True, False, True, True]
    assert all(torch.equal(value, recorded.state_dict()[name]) for name, value in plain.state_dict().items())
    run = open_run(tmp_path / "a.h5")
    assert list(run.steps) == [0, 3, 6, 7]
    np.testing.assert_array_equal(run.metrics["rate"][1:], 0.1)
    model = network().eval()
    for i in (1, 2, 3):
        model.load_state_dict(run.state_dict(i))
        assert run.metrics["test_loss"][i] == functional.cross_entropy(model(INPUTS), TARGETS).item()


def test_the_modes_are_put_back_where_a_function_fails(tmp_path):
    model = network()
    with pytest.raises(ZeroDivisionError), Recorder(tmp_path / "a.h5", model) as recorder:
        recorder.record(0, test_loss=lambda: 1 / 0)
    assert [module.training for module in model] == [True, False, True, True]
    assert torch.is_grad_enabled()
