"""Recording and reading runs: every bit comes back, whatever the model is made of."""

import contextlib
import hashlib
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, Recorder, copy_run, open_run, read_result, write_bytes, write_result
from checkpoints.container import write_sealed
from checkpoints.manifest import read_manifest
from checkpoints.packing import pack, read_packed
from checkpoints.tensors import capture


class Tied(nn.Module):
    """Tied weights, a frozen parameter, BatchNorm buffers and a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 6, bias=False)
        self.decode = nn.Linear(6, 4, bias=False)
        self.decode.weight = nn.Parameter(self.embed.weight.detach().t().contiguous())
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(6)
        self.frozen = nn.Parameter(torch.randn(3), requires_grad=False)
        self.scale = nn.Parameter(torch.tensor(2.0))


def shake(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor += torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
            else:
                tensor += 1


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


def record(path, model, steps=4, **kwargs):
    states = []
    with Recorder(path, model, **kwargs) as recorder:
        for step in range(steps):
            shake(model, step)
            recorder.record(step * 5, epoch=step / 2, loss=step)
            states.append({k: v.clone() for k, v in model.state_dict().items()})
    return states


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_state_comes_back_bit_for_bit(tmp_path, dtype):
    torch.manual_seed(0)
    model = Tied().to(dtype)
    states = record(tmp_path / "r.h5", model)
    with open_run(tmp_path / "r.h5") as run:
        assert len(run) == 4
        assert not run.is_live
        for i, state in enumerate(states):
            assert same(run.state_dict(i), state)
            assert run.vector(i).dtype == np.float32
        assert same(run.state_dict(-1), states[-1])
        Tied().to(dtype).load_state_dict(run.state_dict(2))


def test_vector_is_the_trainable_parameters_in_model_order(tmp_path):
    model = Tied()
    record(tmp_path / "r.h5", model)
    run = open_run(tmp_path / "r.h5")
    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    assert run.parameters.names == tuple(n for n, _ in trainable)
    assert run.parameters.shapes == tuple(tuple(p.shape) for _, p in trainable)
    flat = torch.cat([p.detach().reshape(-1) for _, p in trainable]).numpy()
    assert np.array_equal(run.vector(-1), flat)
    assert np.array_equal(run.vectors()[-1], flat)
    assert run.vectors(1, 3).shape == (2, flat.size)


def test_steps_epochs_metrics_and_metadata(tmp_path):
    model = nn.Linear(2, 2)
    with Recorder(tmp_path / "r.h5", model, metadata={"note": "ü", "n": [1, 2]}) as recorder:
        recorder.record(0)
        recorder.record(7, epoch=0.5, loss=math.inf, accuracy=0.25)
        recorder.record(9, epoch=1.0, loss=math.nan, late=3)
    run = open_run(tmp_path / "r.h5")
    assert run.steps.tolist() == [0, 7, 9]
    assert np.array_equal(run.epochs, [np.nan, 0.5, 1.0], equal_nan=True)
    assert np.array_equal(run.metrics["loss"], [np.nan, np.inf, np.nan], equal_nan=True)
    assert np.array_equal(run.metrics["late"], [np.nan, np.nan, 3], equal_nan=True)
    assert run.metadata == {"note": "ü", "n": [1, 2]}


def test_a_live_run_reads_as_the_packed_one_will(tmp_path):
    model = Tied()
    with Recorder(tmp_path / "r.h5", model) as recorder:
        for step in range(3):
            shake(model, step)
            recorder.record(step)
            live = open_run(tmp_path / "r.h5")
            assert live.is_live
            assert len(live) == step + 1
        print_, state = live.fingerprint, live.state_dict(1)
    packed = open_run(tmp_path / "r.h5")
    assert packed.fingerprint == print_
    assert same(packed.state_dict(1), state)
    assert not (tmp_path / "r.h5.live").exists()


def test_fingerprint_follows_weights_and_not_metadata(tmp_path):
    for name, value, note in (("a", 1.0, 1), ("b", 1.0, 2), ("c", 2.0, 1)):
        model = nn.Linear(2, 1)
        nn.init.constant_(model.weight, value)
        nn.init.zeros_(model.bias)
        with Recorder(tmp_path / f"{name}.h5", model, metadata={"n": note}) as recorder:
            recorder.record(0)
    a, b, c = (open_run(tmp_path / f"{n}.h5").fingerprint for n in "abc")
    assert a == b != c


def test_an_exception_leaves_a_recording_that_resumes(tmp_path):
    model = Tied()
    kept = {}

    def train() -> None:
        with Recorder(tmp_path / "r.h5", model, resume_state=lambda: {"m": torch.ones(3)}) as recorder:
            shake(model, 1)
            recorder.record(0)
            shake(model, 2)
            recorder.record(4, epoch=0.5)
            kept.update({k: v.clone() for k, v in model.state_dict().items()})
            shake(model, 3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train()
    fresh = Tied()
    with Recorder(tmp_path / "r.h5", fresh) as recorder:
        assert recorder.steps == (0, 4)
        point = recorder.restore()
        assert (point.step, point.epoch) == (4, 0.5)
        assert torch.equal(point.state["m"], torch.ones(3))
        assert same(fresh.state_dict(), kept)
        recorder.record(4)  # the same bits again are accepted
        recorder.record(6)
    assert open_run(tmp_path / "r.h5").steps.tolist() == [0, 4, 6]


def test_what_a_recorder_refuses(tmp_path):
    model = nn.Linear(3, 2)
    path = tmp_path / "r.h5"
    recorder = Recorder(path, model)
    recorder.record(5)
    with pytest.raises(CheckpointError, match="another process"):
        Recorder(path, model)
    with pytest.raises(CheckpointError, match="steps must grow"):
        recorder.record(3)
    shake(model, 0)
    with pytest.raises(CheckpointError, match="other weights"):
        recorder.record(5)
    recorder.close()
    with pytest.raises(CheckpointError, match="closed"):
        recorder.record(6)
    with pytest.raises(CheckpointError, match=r"another model.*shape \[2, 3\]"):
        Recorder(path, nn.Linear(4, 2))
    with Recorder(path, model) as again:
        again.record(6)
    with pytest.raises(CheckpointError, match="finished run"):
        Recorder(path, model)
    with pytest.raises(CheckpointError, match="no trainable parameter"):
        Recorder(tmp_path / "x.h5", nn.ReLU())
    with pytest.raises(CheckpointError, match="JSON"):
        Recorder(tmp_path / "x.h5", model, metadata={"x": object()})
    with pytest.raises(CheckpointError, match="complex"):
        Recorder(tmp_path / "x.h5", nn.Linear(2, 2, dtype=torch.complex64))
    with pytest.raises(CheckpointError, match="negative"), Recorder(tmp_path / "y.h5", model) as other:
        other.record(-1)


def test_an_empty_run_opens_and_says_so(tmp_path):
    with Recorder(tmp_path / "r.h5", nn.Linear(1, 1)):
        pass
    run = open_run(tmp_path / "r.h5")
    assert len(run) == 0
    with pytest.raises(CheckpointError, match="0 checkpoints"):
        run.vector(0)
    with pytest.raises(CheckpointError, match="no run at"):
        open_run(tmp_path / "none.h5")
    with pytest.raises(CheckpointError, match="without a recording"):
        open_run(tmp_path)


def test_recording_does_not_touch_training(tmp_path):
    def train(recorded: bool) -> torch.Tensor:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        recorder = Recorder(tmp_path / "r.h5", model) if recorded else None
        for step in range(5):
            optimiser.zero_grad()
            model(torch.randn(16, 4)).square().mean().backward()
            optimiser.step()
            if recorder:
                recorder.record(step)
        return torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    assert torch.equal(train(False), train(True))


@pytest.mark.parametrize("live", [False, True])
def test_copy_run(tmp_path, live):
    model = Tied()
    recorder = Recorder(tmp_path / "r.h5", model)
    recorder.record(0)
    shake(model, 1)
    recorder.record(1)
    recorder.close() if live else recorder.finish()
    copy_run(tmp_path / "r.h5", tmp_path / "c.h5")
    assert open_run(tmp_path / "c.h5").fingerprint == open_run(tmp_path / "r.h5").fingerprint
    with pytest.raises(CheckpointError, match="exists already"):
        copy_run(tmp_path / "r.h5", tmp_path / "c.h5")


def recorded(tmp_path):
    """A recording of three checkpoints that was not packed."""
    torch.manual_seed(0)
    model, states = Tied(), []
    with contextlib.closing(Recorder(tmp_path / "r.h5", model)) as recorder:
        for step in range(3):
            shake(model, step)
            recorder.record(step, epoch=step / 2, loss=step)
            states.append(capture(recorder._layout, model))
    return tmp_path / "r.h5.live", states


def test_packing_in_one_pass_gives_the_bytes_of_the_plain_way(tmp_path):
    folder, states = recorded(tmp_path)
    layout, metadata, _, _ = read_manifest(folder)
    hashes = [hashlib.sha256(vector.tobytes()).digest() for vector, _ in states]
    arrays = {
        "steps": np.arange(3),
        "epochs": np.arange(3) / 2,
        "digests": np.frombuffer(b"".join(hashes), np.uint8).reshape(3, 32),
        "others": np.stack([rest for _, rest in states]),
        "finite": np.ones(3, np.uint8),
        "metrics/0": np.arange(3.0),
    }
    header = {"layout": layout.to_json(), "metadata": metadata, "metrics": ["loss"]}
    body = (3, layout.parameters.size, layout.vector_dtype, iter([vector for vector, _ in states]))
    write_sealed(tmp_path / "plain.h5", kind="run", header=header, arrays=arrays, body=body)
    pack(folder, tmp_path / "packed.h5")
    assert (tmp_path / "packed.h5").read_bytes() == (tmp_path / "plain.h5").read_bytes()


def test_a_pack_that_does_not_read_back_as_written_is_no_file(tmp_path, monkeypatch):
    folder, _ = recorded(tmp_path)

    def failing_disk(path, **kwargs):
        write_sealed(path, **kwargs)
        body = read_packed(path)[3]
        with path.open("r+b") as file:  # the last byte of the second row, which no seal covers
            file.seek(body.offset + 2 * body.row_bytes - 1)
            last = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([last ^ 1]))

    monkeypatch.setattr("checkpoints.packing.write_sealed", failing_disk)
    with pytest.raises(CheckpointError, match=r"r\.h5 did not read back as written"):
        pack(folder, tmp_path / "r.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5.live"]


@pytest.mark.parametrize("place", [0, -1], ids=["vector", "buffers"])
def test_a_damaged_checkpoint_is_not_packed(tmp_path, place):
    folder, _ = recorded(tmp_path)
    path = sorted(folder.glob("checkpoint-*"))[1]
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"\(step 1\) is damaged"):
        pack(folder, tmp_path / "r.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5.live"]
    path.write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match=r"\(step 1\) is damaged"):
        pack(folder, tmp_path / "r.h5")


def test_results_round_trip_and_are_told_apart(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "p/q/r": np.array([1, 2], np.int64), "e": np.zeros((0, 4), np.uint8)}
    arrays["nan"] = np.array([np.nan, np.inf])
    write_result(tmp_path / "x.h5", kind="k", header={"n": [1, None, "ß"]}, arrays=arrays)
    stored = read_result(tmp_path / "x.h5", kind="k")
    assert stored.header == {"n": [1, None, "ß"]}
    assert stored.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert stored.arrays[name].dtype == array.dtype
        assert stored.arrays[name].tobytes() == array.tobytes()
    with pytest.raises(CheckpointError, match="'other' file is expected"):
        read_result(tmp_path / "x.h5", kind="other")
    with pytest.raises(CheckpointError, match="'run' file is expected"):
        open_run(tmp_path / "x.h5")
    with pytest.raises(CheckpointError, match="no file"):
        read_result(tmp_path / "y.h5", kind="k")
    with pytest.raises(CheckpointError, match="JSON"):
        write_result(tmp_path / "y.h5", kind="k", header={"x": object()}, arrays={})
    with pytest.raises(CheckpointError, match="numbers"):
        write_result(tmp_path / "y.h5", kind="k", header={}, arrays={"s": np.array(["text"])})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.h5"]


def test_write_bytes_replaces_whole(tmp_path):
    write_bytes(tmp_path / "f", b"one")
    write_bytes(tmp_path / "f", json.dumps({"two": 2}).encode())
    assert (tmp_path / "f").read_bytes() == b'{"two": 2}'
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_bytes(tmp_path / "f" / "g", b"")
