"""Work done in several processes, or on a Dask cluster, gives the same bits as in one; a dead worker costs little."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from checkpoints import read_result, write_result
from experiments import Experiment, ExperimentError, Where, compute_sal, compute_surface, surface_plan, train_experiment
from experiments.engine import Here, Processes
from experiments.spec import SalSpec, SurfaceSpec
from experiments.spec_toml import override

ROOT = Path(__file__).parent.parent.parent
OPTIONS = SurfaceSpec(grid=15, samples=150)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """LeNet-5 on few digits, one epoch, clean and poisoned."""
    from experiments import load_preset_or_file

    spec = override(load_preset_or_file("digits-ops"), ["training.epochs=1", "training.checkpoint_every=20"])
    experiment = Experiment.create(spec, tmp_path_factory.mktemp("engine") / "small")
    train_experiment(experiment)
    return experiment


def copied(experiment, folder):
    return Experiment.open(shutil.copytree(experiment.path, folder / "copy"))


@pytest.fixture(scope="module")
def alone(small, tmp_path_factory):
    """What one process makes of it."""
    place = copied(small, tmp_path_factory.mktemp("alone"))
    return read_result(compute_surface(place, OPTIONS, where=Where(jobs=1)), kind="surface")


def same_bits(found, wanted):
    assert found.header["strategy"] == wanted.header["strategy"]
    for name in ("loss", "accuracy", "loss_standard_error"):
        assert found.arrays[name].tobytes() == wanted.arrays[name].tobytes()


def with_strategy(monkeypatch, wanted):
    """Let every computation take the way that another one chose by its trial."""
    monkeypatch.setattr("experiments.surface_step._Computation._tried_strategy", lambda self: wanted.header["strategy"])


def slow_square(x):
    time.sleep(0.05)
    return x * x


def die_once(item):
    """Kills its own process the first time it is asked for the marked number."""
    number, mark = item
    if number == 5 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_processes_do_every_item_once():
    assert dict(Processes(2).run(slow_square, list(range(8)))) == {x: x * x for x in range(8)}
    assert list(Here().run(slow_square, [2, 3])) == [(2, 4), (3, 9)]


def test_a_killed_process_costs_only_what_it_had_not_finished(tmp_path):
    mark = str(tmp_path / "mark")
    found = dict(Processes(2).run(die_once, [(k, mark) for k in range(12)]))
    assert found == {(k, mark): k * k for k in range(12)}
    assert Path(mark).exists()


def test_processes_give_the_same_bits(small, alone, tmp_path, monkeypatch):
    with_strategy(monkeypatch, alone)
    same_bits(
        read_result(compute_surface(copied(small, tmp_path), OPTIONS, where=Where(jobs=2)), kind="surface"), alone
    )


def test_sal_in_processes_gives_the_same_bits(small, tmp_path):
    options = SalSpec(method="projected", steps=2, samples=60, every=2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = []
    for jobs, name in ((1, "a"), (2, "b")):
        (path,) = compute_sal(copied(small, tmp_path / name), options, runs=["clean-s0"], where=Where(jobs=jobs))
        found.append(read_result(path, kind="sal").arrays)
    for key in ("sal", "s_max", "s_min", "sal_accuracy", "loss"):
        assert found[0][key].tobytes() == found[1][key].tobytes()


def test_a_worker_with_other_data_or_another_run_refuses(small):
    from experiments import sal_step
    from experiments.materials import same_data

    options = SalSpec(method="gradient", samples=60)
    measured_on = sal_step.sample_of_run(small, options, "clean-s0")
    run = small.open_run("clean-s0")
    same_data(measured_on, measured_on.fingerprint)
    work = sal_step.SalWork(str(small.path), "clean-s0", (run.fingerprint, measured_on.fingerprint), options, 0, (0,))
    assert sal_step.measure_elsewhere(work).shape == (1, 5)
    for fingerprints, words in (
        ((run.fingerprint, "0" * 32), "other training data|other clean training data"),
        (("0" * 32, measured_on.fingerprint), "another run clean-s0"),
    ):
        with pytest.raises(ExperimentError, match=words):
            sal_step.measure_elsewhere(dataclasses.replace(work, fingerprints=fingerprints))


def test_unfinished_work_on_another_plane_is_not_gone_on_with(small, tmp_path, monkeypatch):
    place = copied(small, tmp_path)
    prepared = surface_plan.prepare_surface(place, OPTIONS)
    fresh = compute_surface(place, OPTIONS, where=Where(jobs=1))
    wanted = read_result(fresh, kind="surface")
    with_strategy(monkeypatch, wanted)
    wrong = {**{k: wanted.arrays[k] for k in ("alphas", "betas", "accuracy", "loss_standard_error")}}
    wrong["loss"] = np.full_like(wanted.arrays["loss"], 7.0)
    wrong["evaluated"] = np.ones(wrong["loss"].shape, np.uint8)
    fresh.unlink()
    header = {**wanted.header, "plane": "0" * 32}
    write_result(prepared.target.with_suffix(".partial.h5"), kind="surface-partial", header=header, arrays=wrong)
    same_bits(read_result(compute_surface(place, OPTIONS, where=Where(jobs=1)), kind="surface"), wanted)


def test_wrong_places_to_work():
    with pytest.raises(ExperimentError, match="--jobs must be 1 or more"):
        Where(jobs=0).engine(1.0)
    with pytest.raises(ExperimentError, match="No Dask scheduler answers"):
        list(Where(cluster="tcp://127.0.0.1:9").engine(1.0).run(slow_square, [1]))


class Dask:
    """A scheduler and two workers on this machine."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "1h"}
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self.processes = [self.start("scheduler", *options)]
        self.wait(file.exists)
        import json

        self.wait(lambda: "address" in file.read_text())
        self.address = json.loads(file.read_text())["address"]
        self.workers = [self.worker() for _ in range(2)]

    def start(self, *arguments):
        log = (self.folder / "log.txt").open("ab")
        command = [sys.executable, "-m", "dask", *arguments]
        return subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, start_new_session=True)

    def worker(self):
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder)]
        process = self.start("worker", self.address, *options)
        self.processes.append(process)
        return process

    @staticmethod
    def wait(condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    def count(self):
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return len(client.scheduler_info()["workers"])

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    pytest.importorskip("distributed")
    cluster = Dask(tmp_path_factory.mktemp("dask"))
    try:
        cluster.wait(lambda: cluster.count() == 2)
        yield cluster
    finally:
        cluster.close()


def test_two_dask_workers_give_the_same_bits(dask, small, alone, tmp_path, monkeypatch):
    with_strategy(monkeypatch, alone)
    where = Where(cluster=dask.address)
    same_bits(read_result(compute_surface(copied(small, tmp_path), OPTIONS, where=where), kind="surface"), alone)


def test_a_dask_worker_killed_half_way_costs_nothing_but_time(dask, small, alone, tmp_path, monkeypatch):
    with_strategy(monkeypatch, alone)
    monkeypatch.setattr("landscape.refinement.GROUP_POINTS", 8)
    place = copied(small, tmp_path)
    groups = []

    class Watch:
        def start(self, label, total, done=0):
            self.points = total == OPTIONS.grid**2

        def advance(self, units=1):
            if self.points:
                groups.append(units)
            if len(groups) == 5 and dask.workers[0].poll() is None:
                os.killpg(dask.workers[0].pid, signal.SIGKILL)

    found = read_result(
        compute_surface(place, OPTIONS, where=Where(cluster=dask.address), progress=Watch()), kind="surface"
    )
    assert dask.workers[0].wait(10) == -signal.SIGKILL
    assert sum(groups) == OPTIONS.grid**2
    same_bits(found, alone)
