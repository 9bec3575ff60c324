"""``delete`` and ``restore`` at the terminal."""

import shutil

import pytest
from click.testing import CliRunner

from cli import main


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, finished_toy):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "other"):
        shutil.copytree(finished_toy, tmp_path / "home" / name)
    return tmp_path / "home"


def call(*arguments, answer=None):
    return CliRunner().invoke(main, arguments, input=answer)


def test_there_and_back(home):
    gone = call("delete", "mine")
    assert gone.exit_code == 0
    assert "Deleted mine (2 runs with " in gone.output
    assert not (home / "mine").exists()
    assert "mine, deleted " in call("restore").output
    assert call("restore", "mine").output == f"Restored mine: {home / 'mine'}\n"
    assert call("restore").output == "Nothing is in the bin.\n"


def test_by_path_and_also_what_cannot_be_read(home):
    (home / "mine" / "experiment.toml").write_text("[[")
    assert call("delete", str(home / "other"), "mine").exit_code == 0
    assert not (home / "mine").exists()
    assert not (home / "other").exists()


def test_emptying_asks_first(home):
    call("delete", "mine")
    assert "for good? [y/N]" in call("delete", "--empty", answer="n\n").output
    assert "mine, deleted" in call("restore").output
    assert "1 deleted for good" in call("delete", "--empty", "--yes").output
    assert call("restore").output == "Nothing is in the bin.\n"


def test_an_unknown_name_is_answered_with_those_that_there_are(home):
    for command in ("show", "report", "export --figure ud", "check"):
        refused = call(*command.split(), "othr")
        assert refused.exit_code == 1
        words = "There is no experiment 'othr'; did you mean other? Experiments are other, "
        assert words in refused.output, refused.output
        assert "mine" in refused.output
        assert "train" not in refused.output
    assert "it is a preset, which this trains: train mnist-ops" in call("show", "mnist-ops").output
    call("delete", "mine", "other")
    assert "did you mean other? In the bin are other, mine." in call("restore", "othr").output
    assert "there is none that could be deleted" in call("delete", "mine").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["delete"], "Name what to delete, or give --empty"),
        (["delete", "mine", "--empty"], "not both"),
        (["delete", "mine", "4711"], "'4711'; those that can be deleted are mine, other."),
        (["delete", "otter"], "'otter'; did you mean other? Those that can be deleted are other, mine."),
        (["delete", "toy-ops"], "ships with the project"),
        (["restore", "mine"], "no 'mine' among what was deleted; nothing is in the bin."),
    ],
)
def test_refusals_are_one_sentence_and_leave_everything(home, arguments, words):
    refused = call(*arguments)
    assert refused.exit_code != 0
    assert words in refused.output
    assert "Traceback" not in refused.output
    assert (home / "mine").is_dir()
