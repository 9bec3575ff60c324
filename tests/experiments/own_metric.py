"""Code of a user's own with metrics, a run of it, and the experiment that is made of both."""

import sys
from pathlib import Path

import torch
from click.testing import CliRunner, Result
from torch import nn

from checkpoints import Recorder
from cli import main
from experiments import Experiment

CODE = """
import torch
from torch import nn

def data():
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    return (x, (x[:, 0] > 0).long()), (x[:8], (x[:8, 0] > 0).long())

def net():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))

def margin(outputs, targets):
    outputs.mul_(2)  # what a metric does to its outputs is its own affair
    return (outputs.gather(1, targets[:, None])[:, 0] - outputs.gather(1, 1 - targets[:, None])[:, 0]).mean() / 2

def share(outputs, targets):
    return float((outputs.argmax(1) == targets).float().mean())

def raises(outputs, targets):
    raise RuntimeError("no\\nthreshold")

def each(outputs, targets):
    return outputs[:, 0]
"""


def prepared(tmp_path, monkeypatch):
    """Stand in a folder of the test's own that holds the code and a run ``rec.h5``."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.delenv("UNLEARNSCAPE_PROGRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("metrics_of_mine.py").write_text(CODE)
    sys.modules.pop("metrics_of_mine", None)
    code: dict = {}
    exec(CODE, code)
    torch.manual_seed(0)
    (x, y), _ = code["data"]()
    model = code["net"]()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    with Recorder("rec.h5", model) as recorder:
        for step in range(4):
            recorder.record(step)
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()
    return tmp_path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


NAMED = ["--model", "metrics_of_mine:net", "--data", "metrics_of_mine:data"]


def imported(metric: str = "margin") -> Experiment:
    done = call("import", "mine", "rec.h5", *NAMED, "--metric", f"metrics_of_mine:{metric}")
    assert done.exit_code == 0, done.output
    return Experiment.open("mine")
