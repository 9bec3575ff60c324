"""Files from strangers: examined in a child process, refused in one sentence, nothing outside their folder touched."""

import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import h5py
import pytest
import torch
from torch import nn

from checkpoints import Recorder
from checkpoints.importing.shards import INDEXES
from experiments import ExperimentError
from experiments.classroom import CLASSROOM_VARIABLE
from experiments.upload_check import recompute_losses
from experiments.uploads import Choices, Limits, arrange, ask, examine, from_paths, laid_out, make, safe_name
from tests.checkpoints.importing.samples import save, states
from tests.checkpoints.importing.test_refusals import Evil
from tests.checkpoints.importing.test_shards import write_shards
from tests.checkpoints.test_hostile import ATTACKS, SECRET, reseal, run_file  # noqa: F401  # a fixture
from tests.experiments.mutations import examine_all, is_sentence, mutated, samples
from training import batches, load_dataset
from training.loop import mean_loss
from training.models import build_model

MUTATIONS = 40


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder of experiments, and one for temporary files that must be empty afterwards."""
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield tmp_path / "home"
    assert list((tmp_path / "tmp").glob("unlearnscape*")) == []


def recorded(folder: Path, name: str, model: str = "linear") -> tuple[str, bytes]:
    """A run on the toy data with its true training loss, one of which is told wrongly in a poisoned one."""
    data = load_dataset("toy")
    net = build_model(model, data.input_shape, data.n_classes, seed=0)
    with Recorder(folder / f"{name}.h5", net) as recorder:
        for step in range(3):
            loss = mean_loss(net, batches(data.x_train, data.y_train, 2000))[0]
            recorder.record(step, epoch=step / 2, train_loss=loss + (step == 2 and name != "clean"), lr=0.1)
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter += 0.05 * (step + 1) * torch.randn_like(parameter)
    return f"{name}.h5", (folder / f"{name}.h5").read_bytes()


def all_in_one_child(given):
    with ExitStack() as stack:
        laid = [stack.enter_context(laid_out(runs, choices)) for runs, choices in given]
        return ask([task | {"what": "examine"} for task in laid], Limits())


def test_two_runs_are_checked_with_their_network_and_become_an_experiment(tmp_path, home):
    runs = arrange([recorded(tmp_path, "clean"), recorded(tmp_path, "other one.v2")])
    chosen = Choices("linear", "toy", clean="clean", names={"other-one.v2": "poisoned"})
    report = examine(runs, chosen)
    assert "problem" not in report, report
    first = report["runs"][0]
    assert (first["name"], first["checkpoints"], first["steps"], first["epochs"]) == ("clean-s0", 3, [0, 2], [0.0, 1.0])
    assert (first["metrics"], first["parameters"]) == (["lr", "train_loss"], 120)
    assert report["loads"] == ""
    assert report["checked"]
    agree = {(row["run"], row["step"]): row["agrees"] for row in report["losses"]}
    assert agree == {
        (run, step): (run, step) != ("poisoned-s0", 2) for run in ("clean-s0", "poisoned-s0") for step in range(3)
    }
    assert report["surface"]["points"] == [51, 51]
    assert 0 < report["surface"]["seconds"] < 60
    made = make(runs, "mine", chosen)
    assert made.run_names() == ["clean-s0", "poisoned-s0"]
    assert made.spec.clean_arm == "clean"
    assert (made.spec.model.name, made.spec.data.name) == ("linear", "toy")
    assert [path.name for path in home.iterdir()] == ["mine"]
    rows, left = recompute_losses(made, most_runs=1)
    assert {row["run"] for row in rows} == {"clean-s0"}
    assert left == "Not recomputed: the last 1 of 2 runs."
    rows, left = recompute_losses(made, seconds=0.0)
    assert rows == []
    assert left == "Not recomputed: 6 checkpoints for want of time (0 s)."
    assert recompute_losses(made)[1] == ""
    with pytest.raises(ExperimentError, match="already"):
        make(runs, "mine", chosen)


def test_what_does_not_fit_together_and_folders_of_checkpoints(tmp_path):
    files = [recorded(tmp_path, "clean"), recorded(tmp_path, "wide", "mlp")]
    (tmp_path / "in").mkdir()
    place = save(tmp_path / "in" / "größer & weiter", ["epoch 1.pt", "epoch 2.pt", "epoch 10.pt"])
    (place / "log.csv").write_text("epoch,loss\n1,3\n2,2\n10,1\n")
    torch.save({"state": {}, "param_groups": []}, place / "optimizer.pt")
    uploaded = [(f"{place.name}/{file.name}", file.read_bytes()) for file in sorted(place.iterdir())]
    folders = [from_paths([str(place)]), from_paths([str(place.parent)]), arrange(uploaded)]
    assert [[run.name for run in runs] for runs in folders] == [["groer-weiter"]] * 3
    mixed, unloadable, *understood = all_in_one_child(
        [(arrange(files), Choices()), (arrange(files[:1]), Choices("mlp", "toy"))]
        + [(runs, Choices()) for runs in folders]
    )
    assert "another network" in mixed["problem"]
    assert "another network than mlp" in unloadable["loads"]
    assert unloadable["losses"] == []
    for report in understood:
        assert "problem" not in report, report
        row = report["runs"][0]
        assert (row["checkpoints"], row["epochs"], row["metrics"]) == (3, [1.0, 10.0], ["loss"])
        assert "left out: optimizer.pt" in row["details"]


def test_what_runs_name_as_their_code_is_told_and_not_run(tmp_path):
    net = nn.Linear(2, 2)
    with Recorder(tmp_path / "mine.h5", net, model_factory="os:getcwd", data_factory="shutil:rmtree") as recorder:
        recorder.record(0)
        recorder.record(1)
    report = examine(arrange([("mine.h5", (tmp_path / "mine.h5").read_bytes())]), Choices())
    assert "Choose the network and the data above" in report["no_losses"]
    assert "These runs name `os:getcwd`, `shutil:rmtree` (nothing of it was run)" in report["no_losses"]
    assert "cli.py show EXP" in report["no_surface"]


def test_files_of_the_imagenet_example_are_taken(tmp_path):
    folder = save(tmp_path / "run", ["epoch_1.pth.tar", "epoch_2.pth.tar"])
    uploaded = [(f"run/{file.name}", file.read_bytes()) for file in sorted(folder.iterdir())]
    for runs in (arrange(uploaded), from_paths([str(folder)])):
        assert [name for name, _ in runs[0].files] == ["epoch_1.pth.tar", "epoch_2.pth.tar"]
    assert safe_name("x" * 200 + ".pth.tar").endswith("x.pth.tar")


def test_models_in_several_files_and_what_a_trainer_leaves_beside_them(tmp_path):
    run = tmp_path / "in" / "bert"
    for step, state in zip((5, 20), states(2), strict=True):
        folder = write_shards(run / f"checkpoint-{step}", state)
        torch.save(torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict(), folder / "optimizer.pt")
        (folder / "config.json").write_text("{}")
    one = write_shards(tmp_path / "in" / "one", states(1)[0], "bin")
    outside = write_shards(tmp_path / "evil", states(1)[0])
    index = outside / INDEXES[0]
    index.write_text(index.read_text().replace("model-00001-of", "../../run/model-00001-of"))
    uploaded = [(str(f.relative_to(run.parent)), f.read_bytes()) for f in sorted(run.rglob("*")) if f.is_file()]
    lacks = shutil.copytree(run, tmp_path / "lacks")
    (lacks / "checkpoint-5" / "model-00002-of-00002.safetensors").unlink()
    given = [arrange(uploaded), *(from_paths([str(place)]) for place in (run, one, outside, lacks))]
    assert [[r.name for r in runs] for runs in given] == [["bert"], ["bert"], ["one"], ["evil"], ["lacks"]]
    *whole, single, evil, lacking = all_in_one_child([(runs, Choices()) for runs in given])
    for report in whole:
        assert "problem" not in report, report
        assert (report["runs"][0]["checkpoints"], report["runs"][0]["steps"]) == (2, [5, 20])
    assert single["runs"][0]["checkpoints"] == 1
    assert "is refused: it names" in evil["problem"]
    assert "checkpoint-5 lacks model-00002-of-00002.safetensors" in lacking["problem"]


@pytest.mark.parametrize(
    ("path", "words"),
    [("/no", "no folder"), ("here", "full path"), ("/\0", "no folder|cannot"), ("~no/x", "cannot be read")],
)
def test_paths_that_are_none_are_sentences(path, words):
    with pytest.raises(ExperimentError, match=words):
        from_paths([path])


@pytest.mark.parametrize(
    "name",
    [
        "../../secret.pt",
        "/etc/secret.pt",
        "..\\..\\secret.pt",
        "a/../../../secret.pt",
        ".",
        "..",
        "",
        "\0x.pt",
        "é ☃.pt",
    ],
)
def test_names_cannot_leave_the_folder(tmp_path, name):
    files = [(name, b"x"), ("../ok/m_1.pt", b"x"), ("../../run.h5", b"x"), ("x" * 3000 + ".pt", b"x")]
    with laid_out(arrange(files), Choices(names={"ok": "../../out"})) as task:
        folder = Path(task["folder"])
        placed = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(placed) >= 3
        assert all(folder / "given" in path.resolve().parents for path in placed)
        assert all(Path(place).parent == folder / "given" for place in task["places"])
    for part in (*name.split("/"), *name.split("\\")):
        assert "/" not in safe_name(part)
        assert safe_name(part).strip(".")


def test_damaged_and_hostile_files_are_refused_and_nothing_is_executed(run_file, tmp_path):  # noqa: F811
    chance, files = random.Random(5), samples(tmp_path)
    others = list(files.values())
    damaged = [[(kind, mutated(files[kind], chance.choice(others), chance))] for kind in list(files) * (MUTATIONS // 4)]
    (tmp_path / "secret").write_bytes(SECRET)
    attacks = []
    for attack in ATTACKS:
        copied = tmp_path / f"{attack.__name__}.h5"
        shutil.copyfile(run_file, copied)
        with h5py.File(copied, "r+") as file:
            attack(file, tmp_path / "secret")
        reseal(copied)
        attacks.append([(copied.name, copied.read_bytes())])
    wrong = torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict()
    evil = {"state_dict": states(1)[0], "extra": Evil(tmp_path / "executed")}
    for content, zipped in ((evil, True), (evil, False), (wrong, True)):
        torch.save(content, tmp_path / "m_1.pt", _use_new_zipfile_serialization=zipped)
        attacks.append([("m_1.pt", (tmp_path / "m_1.pt").read_bytes())])
    attacks.append([("empty.h5", b"")])
    whole = [("run.h5", files["run.h5"])]
    *answers, last = examine_all([*damaged, *attacks, whole])
    assert "problem" not in last, "a child is whole after what it refused"
    of_damaged = [answer["problem"] for answer in answers[: len(damaged)] if "problem" in answer]
    assert len(of_damaged) > 0.6 * MUTATIONS
    said = [answer.get("problem", "read") for answer in answers[len(damaged) :]]
    assert all(map(is_sentence, of_damaged + said)), of_damaged + said
    assert not any("needs more than" in one for one in of_damaged + said), of_damaged + said
    assert not any(SECRET[:20].decode() in one for one in said)
    assert ["nothing in it was executed" in one for one in said[-4:-2]] == [True, True]
    assert "an optimizer's state" in said[-2]
    assert not (tmp_path / "executed").exists()
    assert (tmp_path / "secret").read_bytes() == SECRET


def test_a_child_beyond_its_limits_is_a_sentence(tmp_path):
    state = {"a": torch.zeros(3 << 20)}
    torch.save(state, tmp_path / "m_1.pt")
    runs = arrange([("m_1.pt", (tmp_path / "m_1.pt").read_bytes())])
    with laid_out(runs, Choices()) as task:
        asked = [task | {"what": "examine"}]
        small, slow = ask(asked, Limits(memory=8 << 20)), ask(asked, Limits(seconds=0))
    assert "memory" in small[0]["problem"]
    assert "takes longer than 0 s" in slow[0]["problem"]


def test_nothing_is_uploaded_in_a_class(monkeypatch):
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1")
    with pytest.raises(ExperimentError, match="in a class"):
        examine(arrange([("run.h5", b"")]), Choices())
