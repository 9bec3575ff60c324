"""Stored losses agree with recomputed ones, or the reason is found."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional

from checkpoints import Recorder
from cli import main
from experiments import Experiment
from experiments.check_step import check_runs, relative, share_back
from training.own_losses import mean_over

CODE = """
import torch
from torch import nn

def data():
    x = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    return (x[:80], y[:80]), (x[80:], y[80:])

def plain():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

def norm():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))

def drop():
    return nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 2))

def margin(outputs, targets):
    outputs.mul_(2)  # what a metric does to its outputs is its own affair
    return (outputs.gather(1, targets[:, None]) - outputs.gather(1, 1 - targets[:, None])).mean() / 2

def many():
    x = torch.randn(2100, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    return (x, y), (x[:40], y[:40])

def precision(outputs, targets):
    return targets[outputs.argmax(1) == 1].float().mean()
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("UNLEARNSCAPE_PROGRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    Path("checked.py").write_text(CODE)


def recorded(network, stored, epochs=4, data="data", metric="", batch=20, steps=1):
    """An experiment with the one run of a loop that records ``stored(model, train, test, losses)``.

    ``steps``: how many are counted in an epoch.
    """
    code = {}
    exec(CODE, code)
    torch.manual_seed(1)
    model, (train, test) = code[network](), code[data]()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    with Recorder("rec.h5", model) as recorder:
        losses = [functional.cross_entropy(model(train[0]), train[1]).item()]
        for step in range(epochs):
            recorder.record(steps * step, **stored(model, train, test, losses))
            losses = []
            for chosen in torch.arange(80).split(batch):
                optimiser.zero_grad()
                loss = functional.cross_entropy(model.train()(train[0][chosen]), train[1][chosen])
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
    named = ["--model", f"checked:{network}", "--data", f"checked:{data}"]
    named += ["--metric", f"checked:{metric}"] if metric else []
    result = CliRunner().invoke(main, ["import", "mine", "rec.h5", *named])
    assert result.exit_code == 0, result.output
    return Experiment.open("mine")


def evaluated(model, part, reduction="mean"):
    model.eval()
    with torch.no_grad():
        return float(functional.cross_entropy(model(part[0]), part[1], reduction=reduction))


def trained(model, part):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        found = float(functional.cross_entropy(model.train()(part[0]), part[1]))
    model.load_state_dict(before)
    return found


REASONS = {
    "training mode, BatchNorm": (
        "norm",
        lambda m, a, b, _: {"loss": trained(m, a)},
        "training mode, in which BatchNorm",
    ),
    "dropout": ("drop", lambda m, a, b, _: {"loss": trained(m, a)}, "dropout"),
    "running average": ("plain", lambda m, a, b, each: {"train_loss": sum(each) / len(each)}, "a running average"),
    "sum": ("plain", lambda m, a, b, _: {"train_loss": evaluated(m, a, "sum")}, "it is 80 times as large"),
    "other data": ("plain", lambda m, a, b, _: {"loss": evaluated(m, b)}, "it is the loss on the test data"),
    "penalty": ("plain", lambda m, a, b, _: {"loss": evaluated(m, a) + 1 + m[0].weight.norm().item()}, "a penalty"),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_is_found(case):
    network, stored, reason = REASONS[case]
    (found,) = check_runs(recorded(network, stored))
    wrong = [row for row in found.rows if not row.agrees]
    assert len(wrong) >= 3
    assert all(reason in row.reason for row in wrong), [row.reason for row in wrong]


def test_a_single_batch_is_ruled_out_where_the_run_shows_it():
    each = {"epochs": 12, "batch": 10, "steps": 8}
    average, single = "it is not that of a single batch", "the loss of a single batch may lie there by chance"
    (found,) = check_runs(recorded("plain", REASONS["running average"][1], **each))
    between = [row.reason for row in found.rows if "as a running average" in row.reason]
    assert len(between) >= 4
    assert all(average in reason and "of the way back" in reason for reason in between)
    Path("rec.h5").unlink()
    shutil.rmtree("mine")
    (found,) = check_runs(recorded("plain", lambda m, a, b, losses: {"train_loss": losses[-1]}, **each))
    between = [row.reason for row in found.rows if "as a running average" in row.reason]
    assert between
    assert all(single in reason for reason in between)


def test_how_far_back_stored_losses_lie():
    noise, steps = np.random.default_rng(0), np.arange(20) * 10
    losses = 2 * 0.8 ** np.arange(20)
    before = np.r_[losses[0], losses[:-1]]

    def stored(share, spread):
        return losses + share * (before - losses) + spread * losses * noise.standard_normal(20)

    share, error = share_back(stored(0.55, 0.01), losses, steps)
    assert abs(share - 0.55) < error < 0.2
    share, error = share_back(stored(0.05, 0.1), losses, steps)
    assert abs(share - 0.05) < error
    exact = losses + 0.5 * (before - losses)
    assert share_back(exact, losses, steps) == pytest.approx((0.5, 0), abs=1e-9)
    assert share_back(exact, losses, np.arange(20)) is None, "so few steps that a single batch may lie anywhere"
    assert share_back(exact[:7], losses[:7], steps[:7]) is None
    assert share_back(losses, np.ones(20), steps) is None
    exact[5], losses[9] = np.nan, np.inf
    assert share_back(exact, losses, steps)[0] == pytest.approx(0.5)


def test_a_loss_measured_ahead_of_the_step_is_that_of_the_checkpoint_before():
    last = []

    def stored(model, train, test, losses):
        last.append(evaluated(model, train))
        return {"loss": last[-2] if len(last) > 1 else last[-1]}

    (found,) = check_runs(recorded("plain", stored))
    assert [row.agrees for row in found.rows] == [True, False, False, False]
    assert all("the checkpoint before" in row.reason for row in found.rows[1:])


def test_losses_in_evaluation_mode_agree_and_one_wrong_digit_is_seen():
    def stored(model, train, test, losses):
        return {"train_loss": evaluated(model, train), "test_loss": evaluated(model, test), "lr": 0.5}

    both = check_runs(recorded("norm", stored))
    assert [(one.metric, one.on, one.agrees, len(one.rows)) for one in both] == [
        ("train_loss", "training data", True, 4),
        ("test_loss", "test data", True, 4),
    ]
    assert max(row.difference for one in both for row in one.rows) < 1e-5
    assert relative(1.0002, 1.0) > 1e-4
    assert relative(float("nan"), float("nan")) == 0
    assert relative(float("inf"), 1.0) == float("inf")


def test_the_command_tells_all_and_ends_with_1_on_disagreement(finished_toy):
    agreed = CliRunner().invoke(main, ["check", str(finished_toy)])
    assert agreed.exit_code == 0, agreed.output
    assert "clean-s0, train_loss on clean training data: agrees at 4 of 4 checkpoints" in agreed.stdout
    assert "ops-s0, train_loss on training data of ops: agrees at 4 of 4 checkpoints" in agreed.stdout
    recorded("plain", lambda m, a, b, _: {"train_loss": evaluated(m, a, "sum")})
    said = CliRunner().invoke(main, ["check", "mine", "--json"])
    assert said.exit_code == 1
    (one,) = json.loads(said.stdout)
    assert not one["agrees"]
    assert one["rows"][0]["stored"] == pytest.approx(80 * one["rows"][0]["recomputed"])
    assert "  4 checkpoints, as step" in CliRunner().invoke(main, ["check", "mine"]).stdout


def test_runs_without_a_loss_say_so():
    recorded("plain", lambda m, a, b, _: {"lr": 0.5})
    assert "nothing to compare" in CliRunner().invoke(main, ["check", "mine"]).stdout


def test_measuring_in_training_mode_changes_nothing():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)).eval()
    model[0].train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batches = [(torch.randn(6, 4), torch.arange(6) % 2)]
    there = mean_over(model, batches, None, train=True)
    assert there["loss"] != mean_over(model, batches, None)["loss"]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True, False, False]


def measured(name, model, part):
    code = {}
    exec(CODE, code)
    with torch.no_grad():
        return float(code[name](model.eval()(part[0]), part[1]))


def test_a_metric_of_ones_own_is_compared_and_named():
    def stored(model, train, test, losses):
        values = {"test_margin": measured("margin", model, test), "margin": 100 * measured("margin", model, train)}
        return {"test_loss": evaluated(model, test), **values, "lr": 0.5}

    loss, test, sums = check_runs(recorded("plain", stored, metric="margin"))
    assert (loss.metric, loss.function, loss.agrees) == ("test_loss", "", True), "not of spoilt outputs"
    assert (test.metric, test.on, test.function, test.agrees) == ("test_margin", "test data", "checked:margin", True)
    assert max(row.difference for row in test.rows) < 1e-5
    assert (sums.metric, sums.on) == ("margin", "training data")
    assert all("it is 100 times as large" in row.reason for row in sums.rows)
    said = CliRunner().invoke(main, ["check", "mine"])
    assert said.exit_code == 1
    assert "rec-s0, test_margin (checked:margin) on test data: agrees at 4 of 4 checkpoints" in said.output


def test_the_reason_of_a_metric_calls_it_by_its_name():
    def stored(model, train, test, losses):
        return {"train_margin": measured("margin", model, test)}

    (found,) = check_runs(recorded("plain", stored, metric="margin"))
    assert {row.reason for row in found.rows} == {"it is the margin on the test data"}


def test_a_metric_of_all_samples_that_is_no_mean_over_batches_is_told():
    def stored(model, train, test, losses):
        return {"precision": measured("precision", model, train)}

    (found,) = check_runs(recorded("plain", stored, data="many", metric="precision"))
    wrong = [row for row in found.rows if not row.agrees]
    assert wrong
    assert all("of all samples at once, which is not its mean over batches of 2000" in row.reason for row in wrong)


def test_that_no_run_stores_the_metric_is_said():
    recorded("plain", lambda m, a, b, _: {"test_loss": evaluated(m, b)}, metric="margin")
    said = CliRunner().invoke(main, ["check", "mine"])
    assert said.exit_code == 0, said.output
    assert "No run stores margin (checked:margin); surfaces hold it, computed anew." in said.output
