"""Models in several files with an index, as Hugging Face saves large ones: every bit, or one sentence."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from checkpoints import CheckpointError, open_run
from checkpoints.importing import find_checkpoints, import_checkpoints
from checkpoints.importing.shards import INDEXES
from tests.checkpoints.importing.samples import states
from tests.checkpoints.importing.test_import import same
from tests.checkpoints.importing.test_refusals import Evil

KINDS = dict(zip(("safetensors", "bin"), INDEXES, strict=True))


def names(kind):
    stem = KINDS[kind].split(".")[0]
    return [f"{stem}-0000{i}-of-00002.{kind}" for i in (1, 2)]


def write_shards(folder, state, kind="safetensors"):
    """A state dict in two files and the index that says which tensor is where."""
    folder.mkdir(parents=True)
    own = {name: tensor for name, tensor in state.items() if kind == "bin" or name != "last.weight"}  # tied
    where = {name: names(kind)[i % 2] for i, name in enumerate(own)}
    for file in names(kind):
        part = {name: own[name].clone() for name in own if where[name] == file}
        if kind == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
    (folder / KINDS[kind]).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return folder


def refusal(place, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError) as caught:
        import_checkpoints(place, tmp_path / "x.h5")
    assert sorted(tmp_path.rglob("*")) == before
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_of_a_folder_for_each_checkpoint_arrives(tmp_path, kind):
    given = dict(zip((5, 20, 100), states(3), strict=True))
    for step, state in given.items():
        folder = write_shards(tmp_path / "run" / f"checkpoint-{step}", state, kind)
        torch.save(torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict(), folder / "optimizer.pt")
    report = import_checkpoints(tmp_path / "run", tmp_path / "run.h5")
    assert not report.problems
    run = open_run(tmp_path / "run.h5")
    assert run.steps.tolist() == list(given)
    assert run.metadata["imported"]["files"] == [f"checkpoint-{step}" for step in given]
    for i, state in enumerate(given.values()):
        if kind == "safetensors":
            state = {name: tensor for name, tensor in state.items() if name != "last.weight"}
        same(run.state_dict(i), state)


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_of_one_model(tmp_path, kind):
    folder = write_shards(tmp_path / "model", states(1)[0], kind)
    torch.save({"a": 1}, folder / "training_args.bin")
    plan = find_checkpoints(folder)
    assert [one.path.name for one in plan.files] == [KINDS[kind]]
    assert len(plan.left_out) == 1
    import_checkpoints(folder, tmp_path / "run.h5")
    assert open_run(tmp_path / "run.h5").steps.tolist() == [0]


def test_a_model_that_lies_there_as_one_file_too_is_taken_as_that(tmp_path):
    first, second = states(2)
    folder = write_shards(tmp_path / "model", first)
    save_file({name: t for name, t in second.items() if name != "last.weight"}, folder / "model.safetensors")
    plan = find_checkpoints(folder)
    assert [one.path.name for one in plan.files] == ["model.safetensors"]
    assert len(plan.left_out) == 2
    both = write_shards(tmp_path / "both" / "x", first, "bin").rename(tmp_path / "in-two-kinds")
    for file in write_shards(tmp_path / "other", second).iterdir():
        file.rename(both / file.name)
    assert [one.path.name for one in find_checkpoints(both).files] == [KINDS["safetensors"]]


@pytest.mark.parametrize("inner", [False, True])
def test_a_missing_part_is_named(tmp_path, inner):
    folder = write_shards(tmp_path / "run" / "checkpoint-5", states(1)[0])
    (folder / names("safetensors")[1]).unlink()
    said = refusal(folder.parent if inner else folder, tmp_path)
    assert f"checkpoint-5 lacks {names('safetensors')[1]}, which its model.safetensors.index.json names" in said


@pytest.mark.parametrize(
    "where", ["../outside.safetensors", "{tmp}/outside.safetensors", "..\\outside.safetensors", ".."]
)
def test_a_part_outside_of_the_folder_is_refused(tmp_path, where):
    save_file({"first.weight": torch.ones(4, 4)}, tmp_path / "outside.safetensors")
    folder = write_shards(tmp_path / "model", states(1)[0])
    index = folder / KINDS["safetensors"]
    held = json.loads(index.read_text())
    held["weight_map"]["first.weight"] = where.format(tmp=tmp_path)
    index.write_text(json.dumps(held))
    assert "is refused: it names" in refusal(folder, tmp_path)


WRONG = {
    "no JSON": ("{", "is damaged: it is no JSON"),
    "nested": ("[" * 100_000, "is damaged: it is no JSON"),
    "no map": ("{}", "has no weight_map"),
    "a list": ('{"weight_map": ["a"]}', "has no weight_map"),
    "empty": ('{"weight_map": {}}', "has no weight_map"),
    "numbers": ('{"weight_map": {"a": 1}}', "has no weight_map"),
    "another kind": ('{"weight_map": {"a": "x.bin"}}', "does not end in .safetensors"),
    "itself": ('{"weight_map": {"a": "model.safetensors.index.json"}}', "does not end in .safetensors"),
    "not there": (json.dumps({"weight_map": {"first.weight": names("safetensors")[0]}}), "does not hold first.weight"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_index_is_one_sentence(tmp_path, case):
    text, words = WRONG[case]
    folder = write_shards(tmp_path / "model", states(1)[0])
    (folder / KINDS["safetensors"]).write_text(text)
    assert words in refusal(folder, tmp_path)


def test_no_code_in_a_part_is_executed(tmp_path):
    folder = write_shards(tmp_path / "model", states(1)[0], "bin")
    torch.save({"a": Evil(tmp_path / "executed")}, folder / names("bin")[0])
    assert "nothing in it was executed" in refusal(folder, tmp_path)
    torch.save([torch.zeros(2)], folder / names("bin")[0])
    assert "holds a list, where a part of a state dict is needed" in refusal(folder, tmp_path)
    assert not (tmp_path / "executed").exists()


def test_parts_without_their_index(tmp_path):
    folder = write_shards(tmp_path / "run" / "checkpoint-5", states(1)[0])
    (folder / KINDS["safetensors"]).unlink()
    assert "whose index is not beside it" in refusal(folder, tmp_path)
    assert "whose index is not beside it" in refusal(folder.parent, tmp_path)


def test_what_transformers_writes(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=50, n_positions=16)
    model = transformers.GPT2LMHeadModel(config)
    for step in (7, 12):
        model.save_pretrained(tmp_path / "run" / f"checkpoint-{step}", max_shard_size="4KB")
    assert len(list((tmp_path / "run" / "checkpoint-7").glob("model-*.safetensors"))) > 1
    import_checkpoints(tmp_path / "run", tmp_path / "run.h5")
    run = open_run(tmp_path / "run.h5")
    assert run.steps.tolist() == [7, 12]
    for name, tensor in run.state_dict(1).items():
        assert torch.equal(tensor, model.state_dict()[name if name in model.state_dict() else f"transformer.{name}"])
