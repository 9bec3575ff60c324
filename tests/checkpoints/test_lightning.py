"""The callback in real trainings of Lightning; skipped where it is not installed."""

import logging
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, open_run
from checkpoints.factories import factories_of

pytest.importorskip("lightning.pytorch")
from lightning.pytorch import LightningModule, Trainer

from checkpoints.lightning import RecorderCallback

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
INPUTS, TARGETS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


class Module(LightningModule):
    def __init__(self, fail_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))
        self.fail_at = fail_at
        self.weights_at_validation = []

    def training_step(self, batch, index):
        if self.fail_at is not None and self.global_step == self.fail_at:
            raise RuntimeError("broken")
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        self.log("of_epoch", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("val_loss", loss)
        if not self.trainer.sanity_checking:
            self.weights_at_validation.append((self.trainer.global_step, loss.item()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def fit(module, *callbacks, folder, epochs=2, ckpt_path=None, **options):
    data = torch.utils.data.TensorDataset(INPUTS, TARGETS)
    batches = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    whole = torch.utils.data.DataLoader(data, batch_size=40)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, batches, whole, ckpt_path=ckpt_path)
    return trainer, torch.rand(1).item()


@pytest.mark.parametrize("background", [False, True])
def test_training_takes_the_same_steps_and_the_run_is_what_it_trained(tmp_path, background):
    plain, recorded = Module(), Module()
    _, chance = fit(plain, folder=tmp_path)
    named = {"model_factory": "mine:net", "data_factory": "mine:data", "loss": "mse", "metric": "mine:margin"}
    recorder = RecorderCallback(tmp_path / "a.h5", every=3, submodule="net", background=background, **named)
    assert fit(recorded, recorder, folder=tmp_path)[1] == chance
    run = open_run(tmp_path / "a.h5")
    assert list(run.steps) == [0, 3, 6, 9, 10]
    np.testing.assert_allclose(run.epochs[1:], np.array([3, 6, 9, 10]) / 5)
    assert factories_of(run.metadata) == named
    assert run.parameters.names == tuple(name for name, _ in recorded.net.named_parameters())
    for name, tensor in plain.net.state_dict().items():
        assert torch.equal(tensor, recorded.net.state_dict()[name]), name
        assert torch.equal(tensor, run.state_dict(-1)[name]), name


def test_only_a_validation_at_the_very_weights_is_stored_with_them(tmp_path):
    module = Module()
    fit(module, RecorderCallback(tmp_path / "a.h5", every=1, submodule="net"), folder=tmp_path)
    run = open_run(tmp_path / "a.h5")
    assert set(run.metrics) == {"batch_loss", "val_loss"}
    stored = [(step, loss) for step, loss in zip(run.steps, run.metrics["val_loss"], strict=True) if np.isfinite(loss)]
    assert stored == module.weights_at_validation
    assert [step for step, _ in stored] == [5, 10]
    net = Module().net.eval()
    net.load_state_dict(run.state_dict(5))
    assert nn.functional.cross_entropy(net(INPUTS), TARGETS).item() == pytest.approx(stored[0][1], abs=1e-6)


def test_accumulated_gradients_are_one_step(tmp_path):
    callback = RecorderCallback(tmp_path / "a.h5", every=1)
    fit(Module(), callback, folder=tmp_path, accumulate_grad_batches=2)
    run = open_run(tmp_path / "a.h5")
    assert list(run.steps) == [0, 1, 2, 3, 4, 5, 6], "five batches are three steps"
    assert run.parameters.names[0] == "net.0.weight", "the whole module"


def test_what_was_recorded_before_an_exception_can_be_opened(tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        fit(Module(fail_at=7), RecorderCallback(tmp_path / "a.h5", every=2), folder=tmp_path)
    assert not (tmp_path / "a.h5").exists()
    run = open_run(tmp_path / "a.h5")
    assert run.is_live
    assert list(run.steps) == [0, 2, 4, 6]


def test_a_training_continued_from_a_checkpoint_of_lightning_continues_the_run(tmp_path):
    module = Module()
    trainer, _ = fit(module, folder=tmp_path, epochs=1)
    trainer.save_checkpoint(tmp_path / "middle.ckpt")
    recorder = RecorderCallback(tmp_path / "a.h5", every=2)
    fit(Module(), recorder, folder=tmp_path, ckpt_path=tmp_path / "middle.ckpt")
    assert list(open_run(tmp_path / "a.h5").steps) == [5, 6, 8, 10]


def test_a_submodule_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="Module has no submodule 'model'; it has net"):
        fit(Module(), RecorderCallback(tmp_path / "a.h5", submodule="model"), folder=tmp_path)
    assert list(tmp_path.glob("a.h5*")) == []
