"""Deleting: nothing is lost, nothing that ships or is worked on goes, nothing is overwritten by what comes back."""

import os
import shutil

import pytest

from checkpoints.durable import Lock
from experiments import Experiment, deleting, jobs, list_experiments
from experiments.bench_run import Bench, list_benches
from experiments.bench_spec import BENCH_FILE
from experiments.catalogue import GALLERY, find_bench_spec
from experiments.classroom import CLASSROOM_VARIABLE
from experiments.jobs import Job


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def mine(finished_toy, home):
    return Experiment.open(shutil.copytree(finished_toy, home / "mine"))


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names():
    return [one.name for one in list_experiments()]


def test_what_is_deleted_is_hidden_and_comes_back_byte_by_byte(mine):
    before = files(mine.path)
    gone = deleting.delete(mine.path)
    assert "mine" not in names()
    assert not mine.path.exists()
    assert deleting.list_deleted() == [gone]
    assert deleting.restore(gone) == mine.path
    assert files(mine.path) == before
    assert "mine" in names()
    assert deleting.list_deleted() == []


def test_the_words_count_runs_checkpoints_surfaces_and_size(mine):
    held = deleting.contents(mine.path)
    lengths = []
    for name in mine.run_names():
        with mine.open_run(name) as run:
            lengths.append(len(run))
    assert (held.runs, held.checkpoints, held.surfaces) == (2, sum(lengths), 1)
    assert held.bytes == sum(len(data) for data in files(mine.path).values())
    assert held.in_words().startswith(f"2 runs with {sum(lengths)} checkpoints in all, 1 surface, ")
    mine.run_path(mine.run_names()[0]).write_bytes(b"damaged")
    assert deleting.contents(mine.path).in_words().startswith(f"2 runs with {lengths[1]} checkpoints")


def test_an_experiment_that_cannot_be_read_can_still_be_deleted(mine):
    (mine.path / "experiment.toml").write_text("seeds = 'none'")
    assert deleting.restore(deleting.delete(mine.path)) == mine.path


def test_nothing_is_overwritten_by_what_comes_back(mine, finished_toy, home):
    first = deleting.delete(mine.path)
    shutil.copytree(finished_toy, home / "mine")
    (home / "mine" / "notes.txt").write_text("the second")
    second = deleting.delete(home / "mine")
    assert first.entry != second.entry
    assert deleting.find_deleted("mine") == second, "the latest of a name"
    assert deleting.find_deleted(first.id) == first
    shutil.copytree(finished_toy, home / "mine")
    assert deleting.restore(second) == home / "mine-2"
    assert (home / "mine-2" / "notes.txt").read_text() == "the second"
    assert not (home / "mine" / "notes.txt").exists()


def test_what_ships_with_the_project_stays():
    assert not deleting.can_delete(GALLERY / "toy-ops")
    with pytest.raises(ValueError, match="ships with the project"):
        deleting.delete(GALLERY / "toy-ops")
    assert "toy-ops" in names()


def test_other_folders_stay(toy, home):
    for folder in (toy.path, home, home / "nowhere"):
        with pytest.raises(ValueError, match="is no experiment in"):
            deleting.delete(folder)
    assert toy.path.is_dir()


def test_a_class_deletes_nothing(mine, monkeypatch):
    monkeypatch.setenv(CLASSROOM_VARIABLE, "1")
    assert not deleting.can_delete(mine.path)
    with pytest.raises(ValueError, match="Nothing is deleted in class"):
        deleting.delete(mine.path)
    assert mine.path.is_dir()


def test_what_a_job_works_on_stays(mine, monkeypatch):
    job = Job("1", mine.path, (), "mine", 1, "waiting")
    monkeypatch.setattr(jobs, "list_jobs", lambda name=None: [job] if name in (None, "mine") else [])
    with pytest.raises(ValueError, match=r"^A job of mine is running; stop it, or wait for its end, and delete"):
        deleting.delete(mine.path)
    assert mine.path.is_dir()


def test_what_another_process_trains_stays(mine):
    live = mine.path / "runs" / "clean-s7.h5.live"
    live.mkdir()
    lock = Lock(live / "lock")
    with pytest.raises(ValueError, match="is being trained in another process"):
        deleting.delete(mine.path)
    lock.release()
    assert deleting.delete(mine.path).name == "mine"


def test_a_bin_that_cannot_be_made_is_one_sentence(mine, home):
    (home / deleting.BIN).write_text("a file")
    with pytest.raises(ValueError, match="mine cannot be moved into"):
        deleting.delete(mine.path)
    assert mine.path.is_dir()


def test_for_good_takes_one_and_leaves_the_others(mine, finished_toy, home):
    first = deleting.delete(mine.path)
    second = deleting.delete(shutil.copytree(finished_toy, home / "other"))
    left = home / deleting.BIN / f"{deleting.GOING}x"  # of a removal that was interrupted
    left.mkdir()
    deleting.delete_for_good(first)
    assert deleting.list_deleted() == [second]
    assert [path.name for path in (home / deleting.BIN).iterdir()] == [second.id]
    with pytest.raises(ValueError, match="no 'mine' among what was deleted; in the bin are other"):
        deleting.find_deleted("mine")


def test_an_empty_entry_and_a_stranger_s_folder_are_no_deleted_experiments(home):
    (home / deleting.BIN / "toy-20260101T000000Z").mkdir(parents=True)
    (home / deleting.BIN / "strange").mkdir()
    assert deleting.list_deleted() == []


def test_a_linked_experiment_goes_as_a_link(toy, home):
    os.symlink(toy.path, home / "linked")
    gone = deleting.delete(home / "linked")
    deleting.delete_for_good(gone)
    assert toy.run_names()


@pytest.fixture
def bench(finished_toy, home):
    made = Bench.create(find_bench_spec("toy"), home / "toy-bench")
    shutil.copytree(finished_toy, made.path / "cell")
    return made


def test_a_benchmark_goes_and_comes_back_with_all_its_experiments(bench):
    assert deleting.contents(bench.path).runs == 2
    gone = deleting.delete(bench.path)
    assert "cell" not in names()
    assert bench.name not in [one.name for one in list_benches()]
    assert deleting.restore(gone) == bench.path
    assert "cell" in names()


def test_an_experiment_of_a_benchmark_comes_back_into_it_or_where_that_is_gone_beside(bench, home):
    gone = deleting.delete(bench.path / "cell")
    assert deleting.restore(gone) == bench.path / "cell"
    gone = deleting.delete(bench.path / "cell")
    (bench.path / BENCH_FILE).unlink()
    assert deleting.restore(gone) == home / "cell"


@pytest.mark.parametrize("worked_on", ["toy-bench", "cell"])
def test_a_benchmark_that_a_job_works_on_stays(bench, monkeypatch, worked_on):
    job = Job("1", bench.path, (), worked_on, 1, "running")
    monkeypatch.setattr(jobs, "list_jobs", lambda name=None: [job] if name in (None, worked_on) else [])
    with pytest.raises(ValueError, match="A job of"):
        deleting.delete(bench.path)
