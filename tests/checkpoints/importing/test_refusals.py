"""Wrong and hostile checkpoints: one sentence each, nothing executed, nothing left behind."""

import os
import pickle
import random
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from checkpoints import CheckpointError, open_run
from checkpoints.importing import examine_checkpoints, import_checkpoints, read_metrics
from checkpoints.tensors import layout_of
from tests.checkpoints.importing.samples import Small, save, states
from tests.checkpoints.test_hostile import guarded, mutate

NAMES = ["m_1.pt", "m_2.pt", "m_3.pt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "run", NAMES)


def refusal(given: Path | list[Path], **options) -> str:
    """The sentence, after which nothing lies beside the folder that did not before."""
    place = given if isinstance(given, Path) else given[0]
    before = sorted(place.parent.rglob("*"))
    with pytest.raises(CheckpointError) as caught:
        import_checkpoints(given, place.parent / "out.h5", **options)
    assert sorted(place.parent.rglob("*")) == before
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_two_architectures_mixed(folder):
    torch.save(
        {"first.weight": torch.zeros(5, 4), "norm.weight": torch.zeros(4), "z": torch.zeros(1)}, folder / "m_2.pt"
    )
    sentence = refusal(folder)
    assert "m_2.pt does not have the tensors of m_1.pt" in sentence
    assert "first.weight: [5, 4] where [4, 4] is expected" in sentence
    assert "1 extra (z)" in sentence
    assert "missing (norm.bias" in sentence
    report = examine_checkpoints(folder)
    assert [bool(one.problem) for one in report.files] == [False, True, False]
    assert report.files[1].extra == ("z",)
    assert "CANNOT BE IMPORTED" in report.as_text()


def test_another_model_than_named(folder):
    sentence = refusal(folder, layout=layout_of(torch.nn.Linear(3, 2)))
    assert "m_1.pt does not have the tensors of the model: 2 missing (weight, bias)" in sentence


def test_ties_that_come_apart(folder):
    state = states(1)[0]
    state["last.weight"] = state["first.weight"] + 1
    torch.save(state, folder / "m_3.pt")
    assert "values of its own for last.weight, which in m_1.pt is tied to first.weight" in refusal(folder)


def test_numbers_twice_none_and_out_of_order(folder, tmp_path):
    torch.save(states(1)[0], folder / "m_02.pt")
    assert "m_02.pt and m_2.pt" in refusal(folder)
    (folder / "m_02.pt").rename(folder / "m_2_0.pt")
    assert "different counts of numbers" in refusal(folder)
    save(tmp_path / "letters", ["a.pt", "b.pt"])
    assert "hold no number" in refusal(tmp_path / "letters")
    listed = folder / "order.txt"
    for text, words in (
        ("m_1.pt,5\nm_2.pt,5", "out of order: m_2.pt at step 5 follows m_1.pt at step 5"),
        ("m_1.pt,5\nm_2.pt", "steps for some"),
        ("m_9.pt", "line 1 of"),
        ("m_1.pt,x", "name,step"),
        ("m_1.pt\nm_1.pt", "twice"),
        ("", "names no checkpoint"),
    ):
        listed.write_text(text)
        assert words in refusal(folder, order=listed)


def test_no_checkpoints(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no checkpoint" in refusal(empty)
    (empty / "notes.txt").write_text("x")
    torch.save({"state": {}, "param_groups": []}, empty / "optimizer.pt")
    assert "its name says that it is no model" in refusal(empty)
    (tmp_path / "above").mkdir()
    save(tmp_path / "above" / "sgd", NAMES)
    assert "its folders sgd do" in refusal(tmp_path / "above")
    assert "no file or folder" in refusal(tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_files_that_are_no_models(tmp_path):
    adam = torch.optim.Adam(Small().parameters())
    wrong = {
        "an optimizer's state": adam.state_dict(),
        "holds no state dict; it holds optimizer, epoch": {"optimizer": adam.state_dict(), "epoch": 3},
        "holds a Tensor": torch.zeros(3),
        "holds a list": [torch.zeros(3)],
        "no state dict; it holds nothing": {},
        "no tensor of floating-point numbers": {"a": torch.arange(3)},
        "sparse": {"a": torch.zeros(3, 3).to_sparse()},
        "holds fewer": {"a": torch.zeros(1).expand(10**9)},
        "more values than it holds": {str(i): torch.zeros(1 << 16)[i:] for i in range(1)}
        | (lambda base: {f"v{i}": base[i:] for i in range(64)})(torch.zeros(1 << 16)),
    }
    for number, (words, content) in enumerate(wrong.items()):
        place = tmp_path / f"x{number}.pt"
        torch.save(content, place)
        assert words in refusal([place])
    (tmp_path / "part-00001-of-00002").mkdir()
    save_file({"a": torch.zeros(2)}, tmp_path / "part-00001-of-00002" / "model-00001-of-00002.safetensors")
    assert "one part of a model" in refusal(tmp_path / "part-00001-of-00002")


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_not_executed(folder, tmp_path, legacy):
    evil = {"state_dict": states(1)[0], "extra": Evil(tmp_path / "executed")}
    torch.save(evil, folder / "m_2.pt", _use_new_zipfile_serialization=not legacy)
    sentence = refusal(folder)
    assert "mkdir" in sentence
    assert "nothing in it was executed" in sentence
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_plain_pickle_of_code_is_refused_by_name_without_a_warning(folder, tmp_path, protocol):
    held = {"weights": [1.0, 2.0], "more": ["weights"], "evil": Evil(tmp_path / "executed")}
    for content in (Evil(tmp_path / "executed"), held):
        (folder / "m_2.pt").write_bytes(pickle.dumps(content, protocol))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sentence = refusal(folder)
        assert "m_2.pt is refused: it asks for posix.mkdir" in sentence
        assert "nothing in it was executed" in sentence
        assert not (tmp_path / "executed").exists()
    (folder / "m_2.pt").write_bytes(pickle.dumps({"a": 1}, protocol))
    assert "m_2.pt" in refusal(folder)


def test_whole_modules_are_refused_by_name(folder):
    torch.save(Small(), folder / "m_3.pt")
    assert "samples.Small" in refusal(folder)


def test_files_that_end_early_or_lie(folder):
    whole = (folder / "m_2.pt").read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (folder / "m_2.pt").write_bytes(whole[:cut])
        assert "m_2.pt" in refusal(folder)
    with zipfile.ZipFile(folder / "m_2.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in zipfile.ZipFile(folder / "m_1.pt").namelist():
            bomb.writestr(name, bytes(1 << 20))
    assert "unpacks to more than it holds" in refusal(folder)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}',
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}',
        b"[" * 10_000,
        b"{}",
    ],
)
def test_safetensors_that_lie(tmp_path, header):
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert "x.safetensors" in refusal([tmp_path / "x.safetensors"])
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + header)
    assert "x.safetensors" in refusal([tmp_path / "x.safetensors"])


@pytest.mark.parametrize("name", ["m_1.pt", "old.pt", "m.safetensors"])
def test_mutated_files_are_refused_or_read_as_a_state(tmp_path, name):
    state = states(1)[0]
    target = tmp_path / name
    if target.suffix == ".pt":
        torch.save({"state_dict": state, "epoch": 3}, target, _use_new_zipfile_serialization=name != "old.pt")
    else:
        save_file({k: v.clone() for k, v in state.items()}, target)

    def action() -> str:
        chance, original, refused = random.Random(3), target.read_bytes(), 0
        for _ in range(120):
            target.write_bytes(mutate(original, chance))
            (tmp_path / "out.h5").unlink(missing_ok=True)
            try:
                import_checkpoints([target], tmp_path / "out.h5")
            except CheckpointError as error:
                sentence = str(error)
                refused += str(target) in sentence and "\n" not in sentence
            else:
                assert open_run(tmp_path / "out.h5").vector(0).size > 0
        return f"{refused} refused"

    said = guarded(action)
    assert "refused" in said, said
    assert int(said.split()[0]) > 20, said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time, Loss\n1,2\n", "no column called step or epoch in its first line, which names time, Loss"),
        ("", "is empty; give a table"),
        (" \n\n", "is empty; give a table"),
        ("Step;loss\n\n1;0,5\n", "line 3 of .* Write decimals with a point"),
        ("Step,loss\nnan,2\n", "its Step"),
        ("step,loss\n1,high\n", "line 2 of"),
        ("step,loss,loss\n1,2,3\n", "twice"),
        ("step,loss\n1,2,3\n", "3 cells"),
        ("step,loss\nnan,2\n", "its step"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(CheckpointError, match=words):
        read_metrics(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(CheckpointError):
        read_metrics(tmp_path / "m.csv")
