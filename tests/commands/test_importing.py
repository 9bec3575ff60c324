"""``import`` from the terminal: folders of checkpoints become the arms of an experiment."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import cli
from checkpoints import open_run
from cli import main
from experiments import Experiment, list_experiments
from training import build_model


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("sgd", "mit Adam, läuft")):
        model = build_model("mlp", (12,), 10, seed=seed)
        Path(name).mkdir()
        for epoch in range(3):
            for parameter in model.parameters():
                parameter.data += 0.05
            torch.save({"net": model.state_dict(), "epoch": epoch}, Path(name) / f"ckpt {epoch}.pth")


def test_folders_become_arms_that_can_be_measured(tmp_path):
    dry = call("import", "mine", "sgd", "mit Adam, läuft", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "found under net" in dry.output
    assert "1,802 trainable parameters in 6 tensors" in dry.output
    assert not Path("mine").exists()
    (tmp_path / "m.csv").write_text("epoch,test_accuracy\n0,0.1\n2,0.7\n")
    given = ["sgd", "mit Adam, läuft", "--model", "mlp", "--data", "toy", "--metrics", "m.csv", "--metrics", "m.csv"]
    result = call("import", "mine", *given)
    assert result.exit_code == 0, result.output
    assert "mine: sgd-s0, mit-Adam-lauft-s0" in result.output
    assert open_run("mine/runs/sgd-s0.h5").metrics["test_accuracy"][2] == 0.7
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    before = Path("mine/runs/sgd-s0.h5").stat().st_mtime_ns
    assert call("import", "mine", *given).exit_code == 0
    assert Path("mine/runs/sgd-s0.h5").stat().st_mtime_ns == before


def test_files_and_recordings_together(tmp_path):
    assert call("import", "one", "sgd/ckpt 0.pth", "sgd/ckpt 2.pth").exit_code == 0
    assert open_run("one/runs/sgd-s0.h5").steps.tolist() == [0, 2]
    Path("one/runs/sgd-s0.h5").rename("rec.h5")
    said = json.loads(call("import", "two", "rec.h5", "sgd", "--clean", "sgd", "--json").stdout)
    assert said["runs"] == ["sgd-s0", "rec-s0"]
    dry = json.loads(call("import", "x", "rec.h5", "sgd", "--dry-run", "--json").stdout)["runs"]
    assert dry[0]["report"] is None
    assert (dry[0]["recorded"]["checkpoints"], dry[0]["recorded"]["parameters"]) == (2, 1802)
    torch.save({"w": torch.zeros(3)}, "other_1.pt")
    other = call("import", "x", "rec.h5", "other_1.pt", "--dry-run")
    assert other.exit_code == 1
    assert "CANNOT BE IMPORTED TOGETHER: other_1-s0 is another network than rec-s0" in other.output
    assert dry[1]["report"]["parameters"] == 1802


def test_seeds_of_an_arm_stay_together_and_surfaces_are_told():
    for name in ("sgd-s0", "sgd-s1", "adam-s0", "adam-s1"):
        Path("sgd").rename(name) if name == "sgd-s0" else shutil.copytree("sgd-s0", name)
    given = ["sgd-s0", "sgd-s1", "adam-s0", "adam-s1", "--clean", "sgd"]
    result = call("import", "mine", *given, "--model", "mlp", "--data", "toy")
    assert "mine: sgd-s0, adam-s0, sgd-s1, adam-s1" in result.output
    assert "3 checkpoints in order by the number in the name" in " ".join(result.output.split())
    shown = call("show", "mine").output
    assert "missing\n    sgd" not in shown
    assert "sgd-s0 (reference): finished" in shown  # nothing says of a run of one's own that it is clean or poisoned
    assert "adam-s1 (compared): finished" in shown
    assert "uneven: sgd-s0-s0, sgd-s1-s0, adam-s0-s0" in call("import", "uneven", *given[:3]).stdout
    assert call("surface", "mine", "--grid", "3", "--plane", "random").exit_code == 0
    for kind in ("npz", "li"):
        assert call("export", "mine", "--plane", "random", "--format", kind).exit_code == 0
    files = [*sorted(Path("mine-li").glob("*.h5")), Path("mine.npz")]
    dry = call("import", "again", "sgd-s0", "adam-s0", *files, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "2 directions of 6 tensors (Li et al.)" in dry.output
    assert "a surface 3×3 with train_loss, train_acc (Li et al.)" in dry.output
    assert "an exported surface with the runs sgd-s0, adam-s0" in dry.output
    done = call("import", "again", "sgd-s0", "adam-s0", *files)
    assert done.exit_code == 0, done.output
    assert "agrees with the path of sgd-s0" in done.output
    assert len(list(Path("again/surfaces").glob("*.h5"))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sgd", "mit Adam, läuft", "--metrics", "m.csv"], "one --metrics for each"),
        (["sgd", "nowhere"], "no run at nowhere"),
        (["sgd", "--order", "nowhere"], "cannot be read"),
        (["sgd", "--model", "lenet5", "--data", "toy"], "images"),
        (["sgd", "sgd"], "one name"),
        (["sgd", "other"], "another network"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(arguments, words):
    Path("m.csv").write_text("epoch,loss\n0,1\n")
    Path("other").mkdir()
    torch.save({"w": torch.zeros(3)}, "other/m_1.pt")
    before = sorted(Path().rglob("*"))
    result = call("import", "mine", *arguments)
    assert result.exit_code not in (0, 130)
    assert "Traceback" not in result.output
    assert words in " ".join(result.output.split())
    assert sorted(Path().rglob("*")) == before


def test_a_dry_run_fails_where_the_import_would():
    torch.save({"w": torch.zeros(3)}, "sgd/ckpt 1.pth")
    result = call("import", "mine", "sgd", "--dry-run")
    assert result.exit_code == 1
    assert "does not have the tensors of ckpt 0.pth" in " ".join(result.output.split())
    assert "CANNOT BE IMPORTED" in result.output


def test_a_dry_run_compares_the_networks_as_the_import_does():
    state = torch.load("sgd/ckpt 0.pth", weights_only=True)["net"]
    wider = {name: torch.zeros(2, *tensor.shape) for name, tensor in state.items()}
    Path("wide").mkdir()
    torch.save(wider | {"more": torch.zeros(2)}, "wide/m_1.pt")
    dry = call("import", "mine", "sgd", "wide", "--dry-run")
    real = call("import", "mine", "sgd", "wide")
    assert dry.exit_code == real.exit_code == 1
    said = " ".join(real.output.split()).split("Error: ")[1]
    assert "wide-s0 is another network than sgd-s0: parameters 1 extra (more), 6 of another shape" in said
    assert said in " ".join(dry.output.split())
    listed = json.loads(call("import", "mine", "sgd", "wide", "--dry-run", "--json").stdout.split("Error:")[0])
    assert len(listed["different_networks"]) == 1


def test_a_name_alone_is_an_experiment_of_the_home_that_the_app_lists(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(main, ["import", "mine", "sgd", "mit Adam, läuft"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "home" / "mine" / "experiment.toml").is_file()
    assert not Path("mine").exists()
    assert "mine" in {entry.name for entry in list_experiments()}


def test_ud_of_runs_that_nobody_poisoned_speaks_of_no_poison_and_no_accuracy():
    result = CliRunner().invoke(main, ["import", "mine", "sgd", "mit Adam, läuft", "--model", "mlp", "--data", "toy"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, ["ud", "mine", "--method", "gradient"])
    assert result.exit_code == 0, result.output
    assert "test accuracy not recorded" in result.output
    assert "nan" not in result.output
    assert "adversarial" not in result.output


def test_network_and_data_are_filled_in_where_runs_were_imported_without_them():
    assert call("import", "mine", "sgd", "mit Adam, läuft").exit_code == 0
    assert call("surface", "mine", "--grid", "3").exit_code == 1
    named = ("--model", "mlp", "--data", "toy")
    result = call("import", "mine", "sgd", "mit Adam, läuft", *named)
    assert result.exit_code == 0, result.output
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    other = call("import", "mine", "sgd", "mit Adam, läuft", "--model", "linear", "--data", "toy")
    assert other.exit_code == 1
    assert "differs in model" in other.output or "another network" in other.output


def test_show_of_what_is_no_experiment_gives_the_command_that_imports_it():
    assert call("import", "one", "sgd").exit_code == 0
    Path("one/runs/sgd-s0.h5").rename("rec.h5")
    shutil.rmtree("one")
    Path("both").mkdir()
    Path("sgd").rename("both/sgd")
    Path("mit Adam, läuft").rename("both/mit Adam, läuft")
    Path("empty").mkdir()
    wanted = {
        "both/sgd": "the folder both/sgd holds 3 checkpoints; make an experiment of them: import sgd-runs both/sgd",
        "both": "holds runs; make an experiment of them: import both-all 'both/mit Adam, läuft' both/sgd",
        "rec.h5": "rec.h5 is a recorded run; make an experiment of it: import rec rec.h5",
    }
    for place, words in wanted.items():
        said = call("show", place)
        assert said.exit_code == 1
        assert f"There is no experiment {place!r}, but " in said.output
        assert words in said.output
        command = shlex.split(said.output.strip().rpartition(": ")[2])
        assert call(*command).exit_code == 0
    for place in ("empty", "nowhere", "/"):
        assert "There is no experiment" in call("show", place).output
        assert "import" not in call("show", place).output
    assert "did you mean both-all?" in call("show", "both-al").output


def test_a_factory_can_be_named_by_its_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Path("own_nets").mkdir()
    Path("own_nets/small.py").write_text(
        "from training import build_model\ndef net():\n    return build_model('mlp', (12,), 10, seed=0)\n"
    )
    given = ("import", "mine", "sgd", "--data", "toy", "--model")
    done = call(*given, "./own_nets/small.py:net")
    assert done.exit_code == 0, done.output
    assert Experiment.open("mine").spec.model.name == "own_nets.small:net"
    for name, words in {
        "own_nets/none.py:net": "There is no file own_nets/none.py",
        "/elsewhere/nets.py:net": "cannot be imported from here: go to the folder of nets.py",
        "own_nets/small.py:": "cannot be imported from here",
        "../x.py:net": "cannot be imported from here",
        "training/nets.py:net": "There is no file training/nets.py",
        "training.nets:net": "rename that folder of yours, or copy the function into a file of another name, such as "
        "my_training.py, and give my_training:net",
    }.items():
        said = call("import", "other", "both", *given[2:], name)
        assert said.exit_code == 1
        assert words in said.output, said.output
    assert not Path("other").exists()


@pytest.mark.parametrize("terminal", [False, True])
def test_bars_are_drawn_on_a_terminal_alone_and_end_before_the_first_line(terminal):
    command = [sys.executable, str(Path(cli.__file__)), "import", "mine", "sgd", "--dry-run"]
    reader, writer = os.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(writer, (24, 80))
    with open(reader, "rb", buffering=0) as shown:
        subprocess.run(command, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL, check=True, timeout=120)
        os.close(writer)
        said = b""
        try:
            while part := shown.read(1 << 16):
                said += part
        except OSError:  # how a terminal says that nothing more comes
            pass
    before, found, after = said.decode().replace("\r\n", "\n").partition("Run sgd-s0\n")
    assert found
    assert "\r" not in after
    assert ("reading sgd-s0: 100%" in before) == terminal
    assert before.endswith("\n") if terminal else before == ""
