"""The disk fills up at any write of a live training: one sentence, every finished checkpoint whole, and a way on."""

import errno
import json
import os
import sys

import pytest
from click.testing import CliRunner

from cli import main
from experiments import Experiment, jobs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the system which file is written")
SETS = ("training.epochs=1", "surface.grid=3", "sal.steps=1", "sal.every=5", "training.momentum=0.9")


class Disk:
    """A disk that is full for files whose path holds some words, from the nth write of them on."""

    def __init__(self, monkeypatch):
        self.full, self.words, self.left = False, "", 0
        self.flush = os.fsync
        monkeypatch.setattr("os.fsync", self.fsync)

    def fsync(self, number):
        if self.full and self.words in os.readlink(f"/proc/self/fd/{number}"):
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        self.flush(number)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.setenv("UNLEARNSCAPE_NICE", "0")
    monkeypatch.setattr("commands.train.BEHIND", 0)
    monkeypatch.setattr("experiments.live.CATCH_UP", 0.0)
    monkeypatch.setattr("experiments.live.INTERVAL", 0.0)
    monkeypatch.setattr("experiments.live.SHARE", 0.0)
    return tmp_path


def work(home, command, number):
    """Do it as a job; what the job says in the end."""
    folder = home / "jobs" / f"{number}-a"
    folder.mkdir(parents=True)
    record = {"arguments": [command], "experiment": "toy", "pid": None, "started": 0.0}
    (folder / "job.json").write_text(json.dumps(record))
    sets = [part for change in SETS for part in ("--set", change)]
    done = CliRunner().invoke(
        main,
        [command, "toy-ops", "--out", str(home / "toy"), "--live", *sets],
        env={"UNLEARNSCAPE_PROGRESS": str(folder / "progress.json")},
    )
    assert "Traceback" not in done.output
    return jobs.read_job(folder)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The runs' fingerprints where there is room."""
    folder = tmp_path_factory.mktemp("room")
    sets = [part for change in SETS for part in ("--set", change)]
    assert CliRunner().invoke(main, ["train", "toy-ops", "--out", str(folder / "toy"), *sets]).exit_code == 0
    return fingerprints(Experiment.open(folder / "toy"))


def fingerprints(experiment):
    return {name: experiment.open_run(name).fingerprint for name in experiment.run_names()}


@pytest.mark.parametrize(
    ("words", "before", "command", "kept"),
    [
        ("experiment.toml", 0, "train", 0),
        ("manifest.jsonl", 0, "train", 0),  # the header of the first run
        ("manifest.jsonl", 9, "train", 3),
        ("checkpoint-", 7, "train", 3),
        ("resume-", 7, "train", 3),
        ("snapshot.h5", 4, "train", 2),
        ("progress.json", 3, "train", 0),
        ("/runs/.clean-s0.h5", 0, "train", 8),
        ("/sal/", 0, "run", 8),
        ("/surfaces/", 0, "run", 8),
    ],
)
def test_a_disk_that_is_full_at_any_write_costs_nothing(home, monkeypatch, expected, words, before, command, kept):
    disk = Disk(monkeypatch)
    disk.full, disk.words, disk.left = True, words, before
    job = work(home, command, 1)
    assert disk.left < 0, "the disk was full"
    assert job.state == "failed"
    assert job.message.startswith("The disk is full: ")
    assert job.message.endswith(" cannot be written; free some space and go on.")
    assert ".tmp" not in job.message
    assert not list(home.rglob("*.tmp"))
    if (home / "toy" / "runs").is_dir():
        experiment = Experiment.open(home / "toy")
        for name in experiment.run_names():
            if not any((home / "toy" / "runs" / f"{name}.h5{part}").exists() for part in ("", ".live/manifest.jsonl")):
                continue  # it had only just been thought of
            with experiment.open_run(name) as run:
                assert len(run) >= kept
                assert all(run.vector(i).shape == (120,) for i in range(len(run)))
    disk.full = False
    assert work(home, command, 2).state == "done"
    assert fingerprints(Experiment.open(home / "toy")) == expected
