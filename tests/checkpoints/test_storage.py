"""Recording less: some blocks only, or weights rounded to half the size."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, Recorder, open_run
from checkpoints.layout import BYTES, FLOATING
from checkpoints.tensors import capture, layout_of, torch_dtype


def net(scale: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def record(path, model, steps=4, **settings):
    with Recorder(path, model, **settings) as recorder:
        for step in range(steps):
            recorder.record(step, loss=1 / (step + 1))
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    return open_run(path)


def flat(model, names=None):
    return np.concatenate([p.detach().numpy().ravel() for n, p in model.named_parameters() if not names or n in names])


@pytest.mark.parametrize(("storage", "dtype"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
@pytest.mark.parametrize("background", [False, True])
def test_weights_are_rounded_to_nearest_and_the_rounding_is_reported(tmp_path, storage, dtype, background):
    model = net()
    true = torch.from_numpy(flat(model))
    run = record(tmp_path / "r.h5", model, storage=storage, background=background)
    assert run.storage == storage
    assert run.vector(0).dtype == np.float32
    np.testing.assert_array_equal(run.vector(0), true.to(dtype).float().numpy())
    off = np.abs(run.vector(0).astype(np.float64) - true.double().numpy())
    assert run.metrics["rounding_absolute"][0] == off.max() > 0
    weights = true.numpy() != 0
    assert run.metrics["rounding_relative"][0] == (off[weights] / np.abs(true.double().numpy()[weights])).max()
    assert run.metrics["rounding_relative"].max() <= {"float16": 2.0**-11, "bfloat16": 2.0**-8}[storage] * 1.01
    np.testing.assert_array_equal(run.vectors(), np.stack([run.vector(i) for i in range(4)]))
    pieces = [piece for _, piece in run.column_chunks(7)]
    assert {piece.dtype for piece in pieces} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), run.vectors())
    assert run.state_dict(0)["1.running_mean"].dtype == torch.float32, "buffers are kept as they are"
    assert torch.equal(run.state_dict(0)["3.bias"], model[3].bias.new_tensor(run.vector(0)[-3:]))


def test_a_rounded_run_takes_half_the_bytes_and_reads_the_same_while_live(tmp_path):
    wide = nn.Linear(300, 200)
    exact = record(tmp_path / "e.h5", wide)
    half = record(tmp_path / "h.h5", wide, storage="bfloat16")
    assert half.path.stat().st_size < 0.56 * exact.path.stat().st_size
    recorder = Recorder(tmp_path / "l.h5", wide, storage="bfloat16")
    recorder.record(0)
    recorder.record(1)
    live = open_run(tmp_path / "l.h5")
    assert live.is_live
    expected = flat(wide)
    np.testing.assert_array_equal(live.vector(1), torch.from_numpy(expected).bfloat16().float().numpy())
    pieces = np.concatenate([piece for _, piece in live.column_chunks(1000)], axis=1)
    recorder.finish()
    np.testing.assert_array_equal(pieces, open_run(tmp_path / "l.h5").vectors())


def test_weights_too_large_for_float16_are_refused_with_the_way_out(tmp_path):
    recorder = Recorder(tmp_path / "r.h5", net(1e6), storage="float16")
    with pytest.raises(CheckpointError, match=r"too large for float16.*bfloat16"):
        recorder.record(0)
    recorder.close()
    assert record(tmp_path / "b.h5", net(1e6), storage="bfloat16").storage == "bfloat16"


def test_weights_that_diverged_stay_data(tmp_path):
    model = net()
    with torch.no_grad():
        model[3].bias[0] = float("nan")
        model[3].bias[1] = float("inf")
    run = record(tmp_path / "r.h5", model, steps=1, storage="float16")
    assert np.isnan(run.vector(0)[-3])
    assert np.isinf(run.vector(0)[-2])
    assert np.isfinite(run.metrics["rounding_absolute"][0])


@pytest.mark.parametrize("storage", ["", "float16", "bfloat16"])
def test_a_run_says_which_checkpoints_are_not_finite(tmp_path, monkeypatch, storage):
    model = net()
    recorder = Recorder(tmp_path / "r.h5", model, storage=storage)
    for step, (place, value) in enumerate(
        [(None, 0), (model[1].running_var, np.nan), (None, 0), (model[3].bias, -np.inf), (model[0].weight, np.nan)]
    ):
        kept = None if place is None else place.detach().clone()
        with torch.no_grad():
            if place is not None:
                place.view(-1)[-1] = value
            recorder.record(step)
            if place is not None:
                place.copy_(kept)
    live = open_run(tmp_path / "r.h5")
    assert live.is_live
    assert live.not_finite == (1, 3, 4)
    recorder.finish()
    run = open_run(tmp_path / "r.h5")
    assert run.not_finite == (1, 3, 4)
    part = run.selected([0, 2])
    assert part.steps.tolist() == [0, 2]
    assert part.not_finite == ()
    assert part.fingerprint == run.fingerprint
    whole = [part.vectors(), np.concatenate([p for _, p in part.column_chunks(7)], axis=1), run.vectors()[[0, 2]]]
    np.testing.assert_array_equal(whole[0], whole[2])
    np.testing.assert_array_equal(whole[1], whole[2])
    assert torch.equal(part.state_dict(1)["1.running_var"], run.state_dict(2)["1.running_var"])
    monkeypatch.setattr("checkpoints.run.FINITE", "not there")  # a file of before it was stored
    assert open_run(tmp_path / "r.h5").not_finite == (1, 3, 4)


def test_named_blocks_alone_are_stored_with_all_buffers(tmp_path):
    model = net()
    expected = flat(model, {"3.weight", "3.bias"})
    run = record(tmp_path / "r.h5", model, only=["3"])
    assert run.parameters.names == ("3.weight", "3.bias")
    assert run.left_out == ("0.weight", "0.bias", "1.weight", "1.bias")
    np.testing.assert_array_equal(run.vector(0), expected)
    assert set(run.state_dict(0)) == {"3.weight", "3.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    with pytest.raises(CheckpointError, match="no block 'fc'"):
        Recorder(tmp_path / "x.h5", model, only=["fc"])
    with pytest.raises(CheckpointError, match="'float16' or 'bfloat16'"):
        Recorder(tmp_path / "x.h5", model, storage="int8")
    assert not (tmp_path / "x.h5.live").exists()


def test_training_cannot_go_on_from_some_blocks(tmp_path):
    recorder = Recorder(tmp_path / "r.h5", net(), only=["3"])
    recorder.record(0)
    recorder.close()
    again = Recorder(tmp_path / "r.h5", net(), only=["3"])
    with pytest.raises(CheckpointError, match="some blocks only"):
        again.restore()
    again.close()
    with pytest.raises(CheckpointError, match="another model"):
        Recorder(tmp_path / "r.h5", net())


def test_other_forms_of_one_run_have_other_fingerprints_and_old_ones_keep_theirs(tmp_path):
    prints = set()
    for name, settings in {
        "a": {},
        "b": {"storage": "float16"},
        "c": {"storage": "bfloat16"},
        "d": {"only": ["3"]},
    }.items():
        torch.manual_seed(1)
        prints.add(record(tmp_path / f"{name}.h5", net(), **settings).fingerprint)
    assert len(prints) == 4
    assert "storage" not in repr(open_run(tmp_path / "a.h5")._layout)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, 3.0, -6e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_buffers_of_every_type_are_looked_at(dtype, value):
    model = nn.Linear(2, 1)
    model.register_buffer("whole", torch.tensor([-1, -1], dtype=torch.int8))  # all bits set, and no number less
    model.register_buffer("odd", torch.ones(3, dtype=torch.bool))  # so that what follows lies anywhere
    model.register_buffer("kept", torch.tensor([1.0, value], dtype=dtype))
    layout = layout_of(model)
    assert layout.is_finite(*capture(layout, model)) == math.isfinite(value)
    assert layout.others.bytes == 2 + 3 + 2 * dtype.itemsize


def test_bytes_of_every_type_are_those_of_torch():
    for name, size in BYTES.items():
        assert torch_dtype(name).itemsize == size
        assert torch_dtype(name).is_floating_point == (name in FLOATING)
