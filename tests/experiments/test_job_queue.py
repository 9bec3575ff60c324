"""The queue of jobs: turns, cancelling, a clock that is set back, and what is said when a job is gone."""

import errno
import json
import os
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from click.testing import CliRunner

from checkpoints import write_bytes
from checkpoints.durable import cannot_write
from cli import main
from experiments import ExperimentError, ProgressFile, jobs
from experiments.launch import alive, birth


@pytest.fixture
def living(tmp_path, monkeypatch):
    """Numbers of processes that pretend to live."""
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.setenv("UNLEARNSCAPE_JOBS", "1")
    pids = set()

    def launch(arguments, log, environment):
        pids.add(2**22 + len(list((tmp_path / "jobs").iterdir())))
        return max(pids)

    monkeypatch.setattr("experiments.jobs.launch", launch)
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: pid in pids)
    return pids


def start(name):
    return jobs.start(["train", name], experiment=name)


def test_jobs_work_in_the_order_they_were_asked_for(living):
    asked = [start(name) for name in ("a", "b", "c")]
    assert [job.state for job in asked] == ["running", "waiting", "waiting"]
    assert asked[1].running
    assert asked[1].pid == 0
    assert start("b").id == asked[1].id, "a waiting job is not asked for twice"
    living.clear()
    assert [job.state for job in reversed(jobs.list_jobs())] == ["lost", "running", "waiting"]
    assert len(living) == 1
    jobs.stop(jobs.read_job(asked[2].folder))
    assert [job.state for job in reversed(jobs.list_jobs())] == ["lost", "running", "stopped"]


def test_a_job_that_ends_unseen_gives_the_next_its_turn(living, monkeypatch):
    slept = []
    monkeypatch.setattr("experiments.jobs.time.sleep", slept.append)
    jobs.hand_on()
    first, second = start("a"), start("b")
    living.clear()
    jobs.hand_on()
    assert slept == [jobs.UNSEEN], "only where one waits"
    assert (first.state, jobs.read_job(second.folder).state) == ("running", "running")


def test_a_queue_goes_on_when_nobody_looks(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.setenv(jobs.JOBS_VARIABLE, "1")
    asked = [jobs.start(["show", name], experiment=name) for name in ("toy-ops", "digits-random", "nosuch")]
    assert [job.state for job in asked] == ["running", "waiting", "waiting"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (asked[-1].folder / "progress.json").is_file():
        time.sleep(0.2)
    while time.monotonic() < deadline and jobs.read_job(asked[-1].folder).running:
        time.sleep(0.2)
    assert [jobs.read_job(job.folder).state for job in asked] == ["done", "done", "failed"]


def test_a_paused_training_gives_its_turn_to_others(living, tmp_path):
    first = jobs.start(["run", "a", "--live"], experiment="a")
    (tmp_path / "a" / "live").mkdir(parents=True)
    (tmp_path / "a" / "live" / "control.json").write_text('{"paused": true, "steps": 0, "speed": 0}')
    (tmp_path / "a" / "live" / "held").touch()
    assert jobs.read_job(first.folder).paused
    assert start("b").state == "running"
    assert start("c").state == "waiting"


def test_one_of_many_takes_its_time_and_so_does_what_nobody_watches(living, tmp_path, monkeypatch):
    asked = {}

    def launch(arguments, log, environment):
        asked[arguments[1]] = environment[jobs.NICE_VARIABLE]
        living.add(2**22 + len(asked))
        return max(living)

    monkeypatch.setattr("experiments.jobs.launch", launch)
    for name in ("a", "b", "c"):
        jobs.start(["run", name, "--live"], experiment=name)
    for _ in range(2):
        living.clear()
        jobs.list_jobs()
    assert asked == {"a": "3", "b": "10", "c": "3"}, "two waited when it was b's turn"
    living.clear()
    start("d")
    assert asked["d"] == "10"


def test_a_clock_set_back_neither_loses_jobs_nor_changes_their_order(living, monkeypatch):
    first = start("a")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86400)
    second = start("b")
    assert second.id > first.id
    assert [job.id for job in jobs.list_jobs()] == [second.id, first.id]
    assert (first.state, second.state) == ("running", "waiting")


def test_a_process_is_told_by_its_birth_not_by_the_clock(monkeypatch):
    mine = birth(os.getpid())
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert alive(os.getpid(), mine)
    assert not alive(os.getpid(), "another")
    assert birth(2**22) is None or sys.platform != "linux"
    assert not alive(2**22, None)


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5"])
def test_a_wrong_cap_is_one_sentence(living, monkeypatch, wrong):
    monkeypatch.setenv("UNLEARNSCAPE_JOBS", wrong)
    with pytest.raises(ExperimentError, match="whole number of at least 1"):
        start("a")
    assert jobs.list_jobs() == []


def test_a_full_disk_is_named_and_a_launcher_that_died_starts_nothing_twice(living, monkeypatch):
    job = start("a")
    record = json.loads((job.folder / "job.json").read_text())
    (job.folder / "job.json").write_text(json.dumps(record | {"pid": None}))
    (job.folder / "progress.json").write_text(json.dumps({"state": "running", "pid": job.pid}))
    assert jobs.read_job(job.folder).state == "running"
    living.clear()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 10, 0))
    assert jobs.read_job(job.folder).message.startswith("The disk is full")


def test_what_cannot_be_launched_says_why_and_does_not_block_the_others(living, monkeypatch):
    def refuse(arguments, log, environment):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("experiments.jobs.launch", refuse)
    job = start("a")
    assert job.state == "failed"
    assert "Cannot allocate memory" in job.message


@pytest.fixture
def bystander():
    """A process that has nothing to do with jobs."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("noted", ["by the launcher", "by the job", "without its birth"])
def test_a_number_that_another_process_has_by_now_is_neither_running_nor_signalled(
    tmp_path, monkeypatch, bystander, noted
):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    folder = tmp_path / "jobs" / "1-a"
    folder.mkdir(parents=True)
    process = {"pid": bystander.pid} | ({"birth": "another boot:1"} if noted != "without its birth" else {})
    record = {"arguments": ["run", "a"], "experiment": "a", "pid": None, "started": 0.0}
    status = {"state": "running", "label": "training"}
    (folder / "job.json").write_text(json.dumps(record | (process if noted == "by the launcher" else {})))
    (folder / "progress.json").write_text(json.dumps(status | (process if noted != "by the launcher" else {})))
    job = jobs.read_job(folder)
    assert job.state == "lost"
    jobs.stop(job)
    jobs._signal(job, 15)  # as where it ended between the look and the signal
    with pytest.raises(subprocess.TimeoutExpired):
        bystander.wait(0.3)


def test_a_job_launched_by_one_who_died_at_once_is_done_by_one_process_only(living, tmp_path):
    job = start("a")
    record = json.loads((job.folder / "job.json").read_text())
    (job.folder / "job.json").write_text(json.dumps(record | {"pid": None, "birth": None}))
    assert [one.state for one in jobs.list_jobs()] == ["running"], "whoever looks starts it, once more if need be"
    first = ProgressFile(job.folder / "progress.json")
    assert first.claim()
    assert first.claim(), "it is its own"
    said = json.loads((job.folder / "progress.json").read_text())
    (job.folder / "progress.json").write_text(json.dumps(said | {"birth": "another"}))
    assert not first.claim()
    environment = {"UNLEARNSCAPE_NICE": "0", "UNLEARNSCAPE_PROGRESS": str(job.folder / "progress.json")}
    done = CliRunner().invoke(main, ["train", "toy-ops", "--out", str(tmp_path / "t")], env=environment)
    assert (done.exit_code, done.output) == (0, "")
    assert not (tmp_path / "t").exists()
    assert json.loads((job.folder / "progress.json").read_text()) == said | {"birth": "another"}


def full_after(monkeypatch, writes):
    """Let the disk of the jobs' records be full after some writes; returns the list of those that were refused."""
    refused, left = [], [writes]

    def write(path, data):
        left[0] -= 1
        if left[0] < 0:
            refused.append(path)
            raise cannot_write(path, OSError(errno.ENOSPC, "No space left on device"))
        write_bytes(path, data)

    monkeypatch.setattr("experiments.jobs.write_bytes", write)
    return refused


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_on_a_full_disk_no_job_is_started_and_no_process_left(tmp_path, monkeypatch, bystander, writes):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.setattr("experiments.jobs.launch", lambda arguments, log, environment: bystander.pid)
    refused = full_after(monkeypatch, writes)
    with pytest.raises(ExperimentError, match=r"No job can be started: .*json cannot be written") as said:
        start("a")
    assert refused
    assert str(said.value).count("cannot be written") == 1
    assert jobs.list_jobs() == []
    if writes == 2:  # it was launched, and could not be noted
        assert bystander.wait(20) == -9
    else:
        assert bystander.poll() is None


def test_a_job_whose_turn_comes_on_a_full_disk_waits_for_room(living, monkeypatch):
    start("a")
    second = start("b")
    living.clear()
    with monkeypatch.context() as full:
        full_after(full, 0)
        assert [job.state for job in jobs.list_jobs()] == ["waiting", "lost"]
        assert not living
    assert jobs.list_jobs()[0].id == second.id
    assert [job.state for job in jobs.list_jobs()] == ["running", "lost"]
