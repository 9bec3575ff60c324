"""The callback in real trainings of Hugging Face's Trainer; skipped where transformers is not installed."""

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, open_run
from checkpoints.factories import factories_of

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from transformers import Trainer, TrainerCallback, TrainingArguments

from checkpoints.huggingface import RecorderCallback

INPUTS, TARGETS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
DATA = [{"inputs": x, "labels": y} for x, y in zip(INPUTS, TARGETS, strict=True)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))

    def forward(self, inputs, labels=None):
        logits = self.layers(inputs)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class FailAt(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 7:
            raise RuntimeError("broken")


def train(model, *callbacks, folder, **options):
    settings = {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.1}
    settings |= {"use_cpu": True, "report_to": [], "save_strategy": "no", "disable_tqdm": True, "seed": 5}
    settings |= {"dataloader_pin_memory": False} | options
    trainer = Trainer(
        model,
        TrainingArguments(str(folder / "trainer"), **settings),
        train_dataset=DATA,
        eval_dataset=DATA,
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer, torch.rand(1).item()


@pytest.mark.parametrize("background", [False, True])
def test_training_takes_the_same_steps_and_the_run_is_what_it_trained(tmp_path, background):
    plain, recorded = Net(), Net()
    _, chance = train(plain, folder=tmp_path)
    named = {"model_factory": "mine:net", "data_factory": "mine:data", "loss": "mse", "metric": "mine:margin"}
    recorder = RecorderCallback(tmp_path / "a.h5", every=3, background=background, **named)
    assert train(recorded, recorder, folder=tmp_path)[1] == chance
    run = open_run(tmp_path / "a.h5")
    assert list(run.steps) == [0, 3, 6, 9, 10]
    np.testing.assert_allclose(run.epochs[1:], np.array([3, 6, 9, 10]) / 5)
    assert factories_of(run.metadata) == named
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, recorded.state_dict()[name]), name
        assert torch.equal(tensor, run.state_dict(-1)[name]), name


def test_an_evaluation_is_stored_with_the_weights_it_was_of(tmp_path):
    options = {"eval_strategy": "steps", "eval_steps": 4, "logging_steps": 2}
    trainer, _ = train(Net(), RecorderCallback(tmp_path / "a.h5", every=1), folder=tmp_path, **options)
    run = open_run(tmp_path / "a.h5")
    logged = {entry["step"]: entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry}
    stored = {s: x for s, x in zip(run.steps, run.metrics["eval_loss"], strict=True) if np.isfinite(x)}
    assert list(stored)[:2] == [4, 8]
    assert stored == pytest.approx(logged)
    assert [s for s, x in zip(run.steps, run.metrics["loss"], strict=True) if np.isfinite(x)] == [2, 4, 6, 8, 10]
    assert not any("runtime" in name or "per_second" in name for name in run.metrics)
    net = Net().eval()
    net.load_state_dict(run.state_dict(4))
    assert net(INPUTS, TARGETS)["loss"].item() == pytest.approx(stored[4], abs=1e-5)


def test_the_last_state_is_recorded_even_if_the_best_is_loaded_in_the_end(tmp_path):
    options = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 5, "save_steps": 5}
    options |= {"load_best_model_at_end": True, "metric_for_best_model": "loss"}
    options |= {"greater_is_better": True, "learning_rate": 30.0}  # the loss falls: the earlier is "better"
    model = Net()
    trainer, _ = train(model, RecorderCallback(tmp_path / "a.h5", every=4), folder=tmp_path, **options)
    assert trainer.state.best_global_step == 5
    run = open_run(tmp_path / "a.h5")
    assert list(run.steps) == [0, 4, 8, 10]
    assert not torch.equal(run.state_dict(-1)["layers.0.weight"], model.state_dict()["layers.0.weight"])


def test_what_was_recorded_before_an_exception_can_be_opened(tmp_path):
    recorder = RecorderCallback(tmp_path / "a.h5", every=2)
    with pytest.raises(RuntimeError, match="broken"):
        train(Net(), recorder, FailAt(), folder=tmp_path)
    run = open_run(tmp_path / "a.h5")
    assert run.is_live
    assert list(run.steps)[:3] == [0, 2, 4]
    train(Net(), recorder, folder=tmp_path)
    assert list(open_run(tmp_path / "a.h5").steps) == [0, 2, 4, 6, 8, 10], "the same training again continues it"


def test_weights_that_are_spread_are_refused(tmp_path):
    recorder = RecorderCallback(tmp_path / "a.h5")
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    arguments.fsdp = True
    with pytest.raises(CheckpointError, match="spread over processes"):
        recorder.on_train_begin(arguments, None, None, model=Net())
