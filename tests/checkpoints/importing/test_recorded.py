"""What a dry run says of recorded runs."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, Recorder
from checkpoints.importing import describe_recorded


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight


def record(path, *, steps=(0, 20, 40), close=True, **settings):
    torch.manual_seed(0)
    recorder = Recorder(path, Tied(), **settings)
    for k, step in enumerate(steps):
        recorder.record(step, epoch=k / 2, loss=1.0, **({"test_accuracy": 0.5} if k else {}))
    if close:
        recorder.finish()
    return path


def test_everything_that_matters_is_said(tmp_path):
    path = record(tmp_path / "r.h5", storage="bfloat16", model_factory="nets:make", loss="mse")
    report = describe_recorded(path)
    text = report.as_text()
    assert f"{path}: a recorded run, 3 checkpoints, " in text
    assert "steps 0 to 40, epochs 0 to 1" in text
    assert "36 trainable parameters in 3 tensors, stored as bfloat16 (off by at most 0.0" in text
    assert "3 frozen parameters and buffers: norm.running_mean, norm.running_var, norm.num_batches_tracked" in text
    assert "tied: head.weight is embed.weight" in text
    assert "loss, rounding_absolute, rounding_relative, test_accuracy (at 2 of 3)" in text
    assert "it names --model nets:make --loss mse (nothing of it is run)" in text
    assert report.problems == report.warnings == []
    told = json.loads(json.dumps(report.as_json()))
    assert (told["checkpoints"], told["parameters"], told["bytes"]) == (3, 36, path.stat().st_size)


def test_blocks_alone_a_live_recording_and_nan_are_said(tmp_path):
    record(tmp_path / "r.h5", close=False, only=["norm"])
    text = describe_recorded(tmp_path / "r.h5").as_text()
    assert "still being recorded" in text
    assert "8 trainable parameters in 2 tensors, stored exactly" in text
    assert "WARNING: 1 parameter of the model was not recorded: embed.weight" in text
    model = Tied()
    with Recorder(tmp_path / "n.h5", model) as recorder:
        recorder.record(3)
        model.norm.bias.data[0] = np.inf
        recorder.record(4)
    said = "WARNING: NaN or infinite weights at 1 of 2 checkpoints (first: step 4); nothing is computed of them"
    assert said in describe_recorded(tmp_path / "n.h5").as_text()


def test_what_cannot_be_imported_is_a_problem(tmp_path):
    assert "holds no checkpoint" in describe_recorded(record(tmp_path / "e.h5", steps=())).problems[0]
    path = record(tmp_path / "r.h5")
    data = bytearray(path.read_bytes())
    place = data.index(first_weights())
    data[place] ^= 1
    path.write_bytes(data)
    report = describe_recorded(path)
    assert "damaged at checkpoint 0" in report.problems[0]
    assert "CANNOT BE IMPORTED" in report.as_text()
    with pytest.raises(CheckpointError, match="no run at"):
        describe_recorded(tmp_path / "nowhere.h5")


def first_weights():
    """The bytes of the weights of the first checkpoint."""
    torch.manual_seed(0)
    return Tied().embed.weight.detach().numpy().tobytes()


def test_names_in_a_file_cannot_move_the_cursor(tmp_path):
    with Recorder(tmp_path / "r.h5", Tied()) as recorder:
        recorder.record(0, **{"evil \x1b[2J\nname": 1.0})
    assert "\x1b" not in describe_recorded(tmp_path / "r.h5").as_text()
    assert len(describe_recorded(tmp_path / "r.h5").as_text().splitlines()) == 6
