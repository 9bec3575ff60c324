"""Benchmarks: the spec's checks, cell by cell with resumption, and the table against UD computed directly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pytest

from analysis import unlearnable_distance
from checkpoints import open_run
from experiments import Experiment, ExperimentError, SpecError, Stopped, Where, find_experiment, read_sal
from experiments.bench_plan import plan_bench
from experiments.bench_report import bench_json, bench_text, write_bench_results
from experiments.bench_run import Bench, find_bench, list_benches, pending, run_bench
from experiments.bench_spec import load_bench
from experiments.bench_table import bench_floors, bench_lines, bench_rows

ROOT = Path(__file__).parents[2]
SPEC = """
name = "small"
seeds = [0, 1]
models = ["linear"]
defend = ["none"]

[[data]]
name = "toy"
n_samples = 600

[training]
epochs = 2
batch_size = 64

[arms.ops]
method = "ops"

[arms.noise]
method = "uniform-noise"
control = true

[sal.gradient]
blocks = "parameter"
samples = 200
"""


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    (folder / "small.toml").write_text(SPEC)
    bench = Bench.create(folder / "small.toml", folder / "small")
    assert len(run_bench(bench, where=Where(jobs=1))) == 6
    return bench


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[arms.ops]\nmethod", "[arms.ops]\nratio = 1.0 #"), "arms.ops names no method"),
        (('name = "small"', ""), "the entry name is missing"),
        (('models = ["linear"]', "models = []"), "it names no network"),
        (("[sal.gradient]", "[measure.gradient]"), "measure is not an entry of a benchmark"),
        (("[arms.ops]", "[arms.clean]"), "the clean arm is added by itself"),
        (("epochs = 2", "epoch = 2"), "did you mean epochs"),
        (("seeds = [0, 1]", 'seeds = "many"'), "seeds is 'many'"),
        (('defend = ["none"]', 'defend = ["jpg"]'), "jpg"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_sentence(spec_file, change, message):
    spec_file.write_text(SPEC.replace(*change))
    with pytest.raises((SpecError, ExperimentError), match=message) as caught:
        Bench.create(spec_file, spec_file.parent / "out")
    assert "\n" not in str(caught.value)
    assert not (spec_file.parent / "out").exists()


def test_every_combination_is_an_arm(spec_file):
    spec_file.write_text(
        SPEC.replace('defend = ["none"]', 'defend = ["none", "cutout+mixup"]').replace(
            '"toy"\nn_samples = 600', '"digits"'
        )
    )
    (experiment,) = load_bench(spec_file).experiments().values()
    assert list(experiment.arms) == [
        "clean",
        "ops",
        "noise",
        "clean_cutout_mixup",
        "ops_cutout_mixup",
        "noise_cutout_mixup",
    ]
    assert experiment.arms["ops_cutout_mixup"].defences == ("cutout", "mixup")
    assert experiment.clean_arm == "clean"
    assert experiment.arms["clean_cutout_mixup"].control


def test_rows_hold_the_numbers_of_the_runs(finished):
    rows = bench_rows(finished)
    assert len(rows) == 6
    (experiment,) = finished.experiments().values()
    for row in rows:
        run = open_run(experiment.run_path(f"{row.arm}-s{row.seed}"))
        accuracy = run.metrics["test_accuracy"]
        assert (row.test_accuracy_last, row.test_accuracy_best) == (accuracy[-1], accuracy.max())
        if row.arm == "clean":
            assert row.ud is None
            continue
        sal = {p.name.rsplit("-", 1)[0]: read_sal(p).sal for p in experiment.result_files("sal")}
        wanted = unlearnable_distance(sal[f"clean-s{row.seed}"], sal[f"{row.arm}-s{row.seed}"])
        assert row.ud == pytest.approx(wanted.value)
        assert row.learnable_blocks == pytest.approx(wanted.learnable_poisoned)


def test_lines_take_seeds_together_and_say_what_cannot_be_told(finished):
    rows = bench_rows(finished)
    lines = {line.arm: line for line in bench_lines(rows)}
    uds = [row.ud for row in rows if row.arm == "ops"]
    assert lines["ops"].ud.mean == pytest.approx(np.mean(uds))
    assert lines["ops"].ud.std == pytest.approx(np.std(uds, ddof=1))
    assert lines["clean"].ud is None
    assert lines["noise"].control
    (floor,) = bench_floors(finished).values()
    assert len(floor.values) == 2
    text = bench_text(finished)
    assert "clean against clean of another seed" in text
    assert "Spearman" in text


def test_results_are_tidy_tables(finished):
    files = {path.name: path for path in write_bench_results(finished)}
    runs, summary = pandas.read_csv(files["runs.csv"]), pandas.read_csv(files["summary.csv"])
    assert len(runs) == 6
    assert len(summary) == 3
    pandas.testing.assert_frame_equal(pandas.read_parquet(files["runs.parquet"]), runs)
    assert files["small-toy-linear-gradient-ud-against-accuracy.svg"].read_bytes().startswith(b"<?xml")
    assert files["small-toy-linear-gradient-ud.pdf"].read_bytes().startswith(b"%PDF")
    table = json.loads(bench_json(finished))
    assert [row["ud_mean"] for row in table["summary"]][1] == pytest.approx(summary["ud_mean"][1])


def test_a_stopped_benchmark_goes_on_where_it_was(spec_file, finished):
    class StopAtThird:
        def __init__(self):
            self.seen = 0

        def start(self, label, total, done=0):
            self.total, self.done = total, done

        def advance(self, units=1):
            self.seen += units
            if self.seen == 3:
                raise Stopped

    bench = Bench.create(spec_file, spec_file.parent / "small")
    with pytest.raises(Stopped):
        run_bench(bench, progress=StopAtThird(), where=Where(jobs=1))
    left, done = pending(bench)
    assert (len(left), done) == (3, 3)
    assert "3 of them finished" in plan_bench(bench).as_text()
    watcher = StopAtThird()
    watcher.seen = 10
    run_bench(bench, progress=watcher, where=Where(jobs=1))
    assert (watcher.total, watcher.done) == (6, 3)
    assert [row.ud for row in bench_rows(bench)] == [row.ud for row in bench_rows(finished)]


def test_killed_at_any_moment_it_loses_at_most_one_cell(spec_file, finished):
    out = spec_file.parent / "killed"
    command = [sys.executable, "cli.py", "bench", str(spec_file), "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list((out / "cells").glob("*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    bench = Bench.open(out)
    before = len(bench.records())
    assert before >= 1
    done = run_bench(bench, where=Where(jobs=1))
    assert len(done) == 6 - before
    assert [row.ud for row in bench_rows(bench)] == [row.ud for row in bench_rows(finished)]


def test_checkpoints_need_not_be_kept(spec_file, finished):
    spec_file.write_text(SPEC.replace('name = "small"', 'name = "small"\nkeep = false'))
    bench = Bench.create(spec_file, spec_file.parent / "lean")
    run_bench(bench, where=Where(jobs=1))
    (experiment,) = bench.experiments().values()
    assert experiment.run_names() == []
    assert [row.ud for row in bench_rows(bench)] == [row.ud for row in bench_rows(finished)]


def test_a_failing_cell_does_not_stop_the_others(spec_file):
    spec_file.write_text(SPEC.replace('"uniform-noise"', '"uniform-noise"\ncell = 3'))  # refused for feature vectors
    bench = Bench.create(spec_file, spec_file.parent / "failing")
    with pytest.raises(ExperimentError, match=r"noise-s0: Feature vectors .*1 more failed"):
        run_bench(bench, where=Where(jobs=1))
    assert len(bench.records()) == 4


def test_seeds_and_methods_may_be_added_but_nothing_else_changed(spec_file):
    bench = Bench.create(spec_file, spec_file.parent / "grown")
    spec_file.write_text(SPEC.replace("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    assert len(Bench.create(spec_file, bench.path).cells()) == 9
    more = SPEC.replace("seeds = [0, 1]", "seeds = [0, 1, 2]") + '\n[arms.lsp]\nmethod = "lsp"\n'
    spec_file.write_text(more)
    assert len(Bench.create(spec_file, bench.path).cells()) == 12
    assert list(*(e.spec.arms for e in bench.experiments().values())) == ["clean", "ops", "noise", "lsp"]
    spec_file.write_text(SPEC.replace("epochs = 2", "epochs = 3"))
    with pytest.raises(ExperimentError, match="already holds another benchmark"):
        Bench.create(spec_file, bench.path)


def test_benchmarks_and_their_experiments_are_found(spec_file, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(spec_file.parent / "home"))
    bench = Bench.create(spec_file, spec_file.parent / "home" / "small")
    assert bench.name in [one.name for one in list_benches()]
    assert find_bench("small").path == bench.path
    assert isinstance(find_experiment("small-toy-linear"), Experiment)
    with pytest.raises(ExperimentError, match="There is no benchmark 'smal'"):
        find_bench("smal")
