"""Folders of checkpoints become runs: every bit, in the right order, and the report says what was understood."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from checkpoints import CheckpointError, open_run
from checkpoints.container import read_sealed
from checkpoints.importing import examine_checkpoints, import_checkpoints, reading
from checkpoints.tensors import layout_of
from tests.checkpoints.importing.samples import Small, save, states

NAMES = ["m_2.pt", "m_10.pt", "m_1.pt"]


def same(stored: dict, given: dict) -> None:
    assert stored.keys() == given.keys()
    for name, tensor in given.items():
        assert stored[name].dtype == tensor.dtype
        assert stored[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_every_bit_arrives_in_the_order_of_the_numbers(tmp_path):
    folder = save(tmp_path / "run", NAMES)
    report = import_checkpoints(folder, tmp_path / "run.h5")
    run = open_run(tmp_path / "run.h5")
    assert run.steps.tolist() == [1, 2, 10]
    assert np.isnan(run.epochs).all()
    for i, state in enumerate(states(3)[k] for k in (2, 0, 1)):
        same(run.state_dict(i), state)
    assert run.parameters.names == ("first.weight", "norm.weight", "norm.bias")
    assert report.layout.aliases == {"last.weight": "first.weight"}
    assert report.layout.others.names == ("table", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    assert not report.problems
    assert run.metadata["imported"]["files"] == ["m_1.pt", "m_2.pt", "m_10.pt"]
    assert str(tmp_path) not in str(run.metadata)


def test_an_import_that_does_not_read_back_as_written_is_no_file(tmp_path, monkeypatch):
    folder, write, hashed = save(tmp_path / "run", NAMES), reading.write_sealed, []
    digest = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda *data: hashed.append(1) or digest(*data))
    import_checkpoints(folder, tmp_path / "whole.h5")
    assert len(hashed) == len(NAMES) + 2, "each row once, and the seal as it is made and as it is checked"
    body = read_sealed(tmp_path / "whole.h5", kind="run")[2]

    def damaged(path, **content):
        write(path, **content)
        with path.open("r+b") as file:
            file.seek(body.offset + 2 * body.row_bytes - 1)  # the last byte of the second row
            (byte,) = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))

    monkeypatch.setattr(reading, "write_sealed", damaged)
    with pytest.raises(CheckpointError, match=r"run\.h5 did not read back as written"):
        import_checkpoints(folder, tmp_path / "run.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "whole.h5"]


def ddp(state):
    return {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("wrap", "nesting", "prefix"),
    [
        (lambda i, s: {"state_dict": s, "epoch": i}, "state_dict", ""),
        (lambda i, s: {"model_state_dict": ddp(s), "loss": 1.5}, "model_state_dict", "module._orig_mod."),
        (
            lambda i, s: {"model": {"state_dict": s}, "optimizer": {"state": {}, "param_groups": []}},
            "model.state_dict",
            "",
        ),
        (lambda i, s: {"net": s, "acc": 91.0, "epoch": i}, "net", ""),
        (lambda i, s: {"generator": s, "args": {"lr": 0.1}}, "generator", ""),
        (lambda i, s: {f"model.{k}": v for k, v in s.items()}, "", "model."),
    ],
)
def test_nestings_and_prefixes_are_found_and_named(tmp_path, wrap, nesting, prefix):
    folder = save(tmp_path / "run", NAMES, wrap)
    report = examine_checkpoints(folder)
    assert {(one.nesting, one.prefix) for one in report.files} == {(nesting, prefix)}
    assert report.layout.parameters.names == ("first.weight", "norm.weight", "norm.bias")
    assert not report.problems
    for word in (nesting, prefix):
        assert word in report.as_text()


def test_epochs_and_steps_come_from_names_or_from_inside(tmp_path):
    save(tmp_path / "a", ["epoch=0-step=40.ckpt", "epoch=1-step=80.ckpt", "last.ckpt"])
    report = examine_checkpoints(tmp_path / "a")
    assert [(one.step, one.epoch) for one in report.files] == [(40, 0.0), (80, 1.0)]
    assert report.left_out == ("last.ckpt: no step in its name",)
    save(tmp_path / "b", ["x_1.pt", "x_2.pt"], lambda i, s: {"state_dict": s, "epoch": 7 + i, "global_step": 100 * i})
    report = examine_checkpoints(tmp_path / "b")
    assert [(one.step, one.epoch) for one in report.files] == [(1, 7.0), (2, 8.0)]
    save(tmp_path / "c", ["resnet18 epoch 3.pth", "resnet18 epoch 12.pth", "Ünïcode epoch 20.pth"])
    report = examine_checkpoints(tmp_path / "c")
    assert [(one.step, one.epoch) for one in report.files] == [(3, 3.0), (12, 12.0), (20, 20.0)]
    save(tmp_path / "d", ["model_0.t7", "model_5.t7", "opt_state_5.t7"], lambda i, s: {"state_dict": s, "acc": 90.0})
    report = examine_checkpoints(tmp_path / "d")
    assert [(one.step, one.epoch) for one in report.files] == [(0, 0.0), (5, 5.0)]


def test_folders_of_a_trainer_and_safetensors_with_their_ties(tmp_path):
    given = states(2)
    for step, state in zip((500, 1000), given, strict=True):
        inner = tmp_path / "out" / f"checkpoint-{step}"
        inner.mkdir(parents=True)
        kept = {name: tensor for name, tensor in state.items() if name != "last.weight"}
        save_file(kept, inner / "model.safetensors", metadata={"last.weight": "first.weight", "format": "pt"})
        torch.save({"state": {}, "param_groups": []}, inner / "optimizer.pt")
    save_file(kept, tmp_path / "out" / "model.safetensors")
    report = import_checkpoints(tmp_path / "out", tmp_path / "run.h5")
    run = open_run(tmp_path / "run.h5")
    assert run.steps.tolist() == [500, 1000]
    for i, state in enumerate(given):
        same({k: run.state_dict(i)[k] for k in state}, state)
    assert report.left_out == ("model.safetensors: lies beside folders that hold checkpoints",)


def test_half_precision_is_widened_without_loss_and_said(tmp_path):
    halves = {torch.float16: "float16", torch.bfloat16: "bfloat16"}
    for dtype, name in halves.items():
        folder = save(
            tmp_path / name,
            NAMES,
            lambda i, s, d=dtype: {k: v.to(d) if v.is_floating_point() else v for k, v in s.items()},
        )
        report = import_checkpoints(folder, tmp_path / f"{name}.h5")
        assert f"{name} widened to float32" in report.as_text()
        stored = open_run(tmp_path / f"{name}.h5").state_dict(1)["first.weight"]
        assert stored.dtype == torch.float32
        assert torch.equal(stored, states(3)[0]["first.weight"].to(dtype).float())


def test_a_list_gives_the_order(tmp_path):
    folder = save(tmp_path / "run", ["first try.pt", "b.pt", "c.pt"])
    (tmp_path / "list").write_text("# mine\nb.pt,10,0.5\nfirst try.pt,20,1\n")
    report = examine_checkpoints(folder, order=tmp_path / "list")
    assert [(one.name, one.step, one.epoch) for one in report.files] == [("b.pt", 10, 0.5), ("first try.pt", 20, 1.0)]
    assert report.left_out == ("c.pt: not in the list",)
    (tmp_path / "list").write_text("c.pt\nb.pt\n")
    assert [one.step for one in examine_checkpoints(folder, order=tmp_path / "list").files] == [0, 1]


def test_metrics_are_matched_by_step_or_epoch(tmp_path):
    folder = save(tmp_path / "run", ["epoch=0-step=40.pt", "epoch=1-step=80.pt", "epoch=2-step=120.pt"])
    table = tmp_path / "m.csv"
    table.write_text("step,train_loss,test_accuracy\n40,2.5,\n40,,0.25\n120,nan,0.5\n999,1,1\n")
    report = import_checkpoints(folder, tmp_path / "a.h5", metrics=table)
    run = open_run(tmp_path / "a.h5")
    np.testing.assert_array_equal(run.metrics["train_loss"], [2.5, np.nan, np.nan])
    np.testing.assert_array_equal(run.metrics["test_accuracy"], [0.25, np.nan, 0.5])
    assert "rows for 2 of 3" in report.as_text()
    table.write_text("epoch,loss\n0,3\n1,2\n2,1\n")
    import_checkpoints(folder, tmp_path / "b.h5", metrics=table)
    assert open_run(tmp_path / "b.h5").metrics["loss"].tolist() == [3, 2, 1]


def test_a_model_decides_what_is_trainable_and_in_which_order(tmp_path):
    model = Small()
    model.norm.bias.requires_grad_(False)

    def shuffled(i, state):
        left = {k: v for k, v in reversed(state.items()) if "num_batches" not in k and k != "first.weight"}
        return {f"module.{k}": v for k, v in (left | {"ema": torch.zeros(2)}).items()}

    folder = save(tmp_path / "run", NAMES, shuffled)
    report = import_checkpoints(folder, tmp_path / "run.h5", layout=layout_of(model))
    run = open_run(tmp_path / "run.h5")
    assert run.parameters.names == ("first.weight", "norm.weight")
    assert "1 tensors that the model lacks left out (ema)" in report.as_text()
    model.load_state_dict(run.state_dict(0))
    assert torch.equal(model.first.weight, states(3)[2]["first.weight"])
    assert torch.equal(model.norm.running_var, states(3)[2]["norm.running_var"])


def test_weights_of_a_diverged_run_are_data_and_said(tmp_path):
    def diverge(i, state):
        if i == 1:
            state["norm.bias"][2] = float("nan")
        return state

    folder = save(tmp_path / "run", NAMES, diverge)
    report = import_checkpoints(folder, tmp_path / "run.h5")
    assert report.warnings == ["m_10.pt holds NaN or infinite weights (norm.bias)"]
    assert np.isnan(open_run(tmp_path / "run.h5").vector(2)).sum() == 1
    assert open_run(tmp_path / "run.h5").not_finite == (2,)


def test_a_long_report_shows_what_is_special(tmp_path):
    folder = save(tmp_path / "run", [f"m_{i}.pt" for i in range(30)])
    torch.save({k: v * float("nan") if k == "norm.bias" else v for k, v in states(1)[0].items()}, folder / "m_17.pt")
    report = examine_checkpoints(folder)
    text = report.as_text()
    assert len(text.splitlines()) < 20
    assert "m_17.pt" in text
    assert "NaN" in text
    assert len(report.as_json()["files"]) == 30


def test_the_suffix_of_the_imagenet_example_is_found_and_is_no_part_of_a_name(tmp_path):
    names = ["checkpoint_2.pth.tar", "checkpoint_10.pth.tar", "model_best.PTH.TAR", "old.tar"]
    folder = save(tmp_path / "run", names, lambda i, s: {"arch": "resnet18", "epoch": 5 + i, "state_dict": s})
    report = import_checkpoints(folder, tmp_path / "run.h5")
    assert [(one.name, one.step, one.epoch) for one in report.files] == [(names[0], 2, 5), (names[1], 10, 6)]
    assert report.left_out == ("model_best.PTH.TAR: no number in its name",)
    assert examine_checkpoints([folder / names[0]]).layout is not None
