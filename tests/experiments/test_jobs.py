"""Background jobs: started once, watched through files, stopped without orphans."""

import os
import signal
import time

import psutil
import pytest

from checkpoints import open_run
from experiments import jobs


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def wait(job: jobs.Job, *, until, seconds: float = 60) -> jobs.Job:
    deadline = time.monotonic() + seconds
    while True:
        job = jobs.read_job(job.folder)
        if until(job):
            return job
        assert time.monotonic() < deadline, (job, jobs.log_tail(job))
        time.sleep(0.05)


def test_a_job_runs_to_its_end_and_says_so(tmp_path):
    arguments = ["train", "toy-ops", "--out", str(tmp_path / "t"), "--set", "training.epochs=1"]
    job = jobs.start(arguments, experiment="t")
    assert jobs.start(arguments, experiment="t").id == job.id, "the same job is not started twice"
    job = wait(job, until=lambda j: not j.running)
    assert job.state == "done", jobs.log_tail(job)
    assert (tmp_path / "t" / "runs" / "ops-s0.h5").is_file()


def test_a_stopped_job_leaves_no_process_and_a_valid_store(tmp_path):
    arguments = ["train", "toy-ops", "--out", str(tmp_path / "t"), "--set", "training.epochs=300"]
    job = wait(jobs.start(arguments, experiment="t"), until=lambda j: j.done > 10)
    assert 0 < job.fraction < 1
    assert job.seconds_left is None or job.seconds_left > 0
    stopped = jobs.stop(job)
    assert stopped.state == "stopped"
    assert not psutil.pid_exists(job.pid) or psutil.Process(job.pid).status() == psutil.STATUS_ZOMBIE
    assert len(open_run(tmp_path / "t" / "runs" / "clean-s0.h5")) > 3


def test_a_killed_job_is_lost_not_running(tmp_path):
    arguments = ["train", "toy-ops", "--out", str(tmp_path / "t"), "--set", "training.epochs=300"]
    job = wait(jobs.start(arguments, experiment="t"), until=lambda j: j.done > 3)
    psutil.Process(job.pid).kill()
    job = wait(job, until=lambda j: not j.running)
    assert job.state == "lost"
    assert "kept" in job.message


def test_a_job_stopped_before_it_can_answer_is_stopped_all_the_same(tmp_path):
    job = jobs.start(["train", "toy-ops", "--out", str(tmp_path / "t")], experiment="t")
    assert jobs.stop(job).state == "stopped", "Python itself had hardly begun"


def test_a_job_too_busy_to_answer_is_stopped_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.jobs.GRACE_SECONDS", 0.0)
    arguments = ["train", "toy-ops", "--out", str(tmp_path / "t"), "--set", "training.epochs=300"]
    job = wait(jobs.start(arguments, experiment="t"), until=lambda j: j.done > 3)
    os.kill(job.pid, signal.SIGSTOP)  # it will not hear SIGTERM
    assert jobs.stop(job).state == "stopped"
    assert jobs.stop(job).state == "stopped", "a second press changes nothing"
    assert len(open_run(tmp_path / "t" / "runs" / "clean-s0.h5")) > 3


def test_a_failing_job_gives_its_sentence(tmp_path):
    job = jobs.start(["train", "nonsense"], experiment="t")
    job = wait(job, until=lambda j: not j.running)
    assert job.state == "failed"
    assert "no preset" in job.message
    assert "Traceback" not in jobs.log_tail(job)


def test_damaged_job_folders_are_passed_over(tmp_path):
    (tmp_path / "jobs" / "x").mkdir(parents=True)
    (tmp_path / "jobs" / "x" / "job.json").write_text("{")
    assert jobs.list_jobs() == []
