"""The terminal door, as a person meets it: what it prints, its exit codes, and that it leaves nothing half done."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from checkpoints import Recorder, open_run
from cli import main
from training import build_model

ROOT = Path(__file__).parents[1]
QUICK = ["--set", "training.epochs=1", "--set", "data.n_samples=500", "--set", "surface.grid=5"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def refusal(*arguments: object) -> str:
    """The sentence of a command that must fail."""
    result = call(*arguments)
    assert result.exit_code not in (0, 130), result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_from_nothing_to_the_number(tmp_path):
    assert call("train", "toy-ops", "--out", "toy", *QUICK).exit_code == 0
    assert call("sal", "toy").exit_code == 0
    assert call("surface", "toy").exit_code == 0
    printed = call("ud", "toy", "--json")
    figures = json.loads(printed.stdout)
    assert set(figures) >= {
        "ud",
        "learnable_clean",
        "learnable_poisoned",
        "threshold",
        "test_accuracy_clean",
        "test_accuracy_poisoned",
        "seeds",
        "method",
        "blocks",
    }
    shown = call("show", "toy")
    assert "clean-s0" in shown.output
    assert "missing" not in shown.output
    assert json.loads(call("show", "toy", "--json").stdout)["runs"][0]["state"] == "finished"


def test_run_does_everything_and_again_does_nothing(tmp_path):
    first = call("run", "toy-ops", "--out", "toy", *QUICK, "--json")
    files = {p: p.stat().st_mtime_ns for p in Path("toy").rglob("*") if p.is_file()}
    second = call("run", "toy", "--json")
    assert json.loads(first.stdout) == json.loads(second.stdout)
    assert {p: p.stat().st_mtime_ns for p in Path("toy").rglob("*") if p.is_file()} == files


@pytest.mark.parametrize("figure", ["compare", "compare-3d", "sal", "sal-heatmap", "learnable-blocks", "ud", "curves"])
@pytest.mark.parametrize("kind", ["html", "png", "svg", "pdf", "csv"])
def test_every_figure_in_every_format(toy, figure, kind):
    result = call("export", toy.path, "--figure", figure, "--format", kind, "--out", f"x.{kind}")
    assert result.exit_code == 0, result.output
    data = Path(f"x.{kind}").read_bytes()
    start = {"html": b"<!doctype html>", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "csv": b"panel,"}[kind]
    assert data.startswith(start)
    call("export", toy.path, "--figure", figure, "--format", kind, "--out", f"y.{kind}")
    assert Path(f"y.{kind}").read_bytes() == data
    if kind == "html":
        assert b"cdn.plot.ly/plotly" not in data


def test_gallery_experiments_are_copied_before_anything_is_added(tmp_path):
    before = {p: p.stat().st_mtime_ns for p in (ROOT / "experiments" / "gallery").rglob("*")}
    assert call("surface", "toy-ops", "--grid", "3", "--plane", "random").exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in (ROOT / "experiments" / "gallery").rglob("*")} == before
    assert (tmp_path / "home" / "toy-ops" / "experiment.toml").is_file()


def test_two_processes_can_share_the_runs_of_an_experiment(tmp_path):
    two = [*QUICK, "--set", "seeds=[0, 1]"]
    assert "1 runs are trained" in call("train", "toy-ops", "--out", "toy", *two, "--runs", "clean-s1").output
    assert {path.name for path in (tmp_path / "toy" / "runs").iterdir()} == {"clean-s1.h5"}
    assert "3 runs" in call("train", "toy", "--runs", "*-s1", "--runs", "clean-*").output
    assert "4 runs" in call("train", "toy").output
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "toy").rename(tmp_path / "home" / "toy")
    assert "4 runs" in call("train", "toy").output  # by its name among the user's experiments
    (tmp_path / "home" / "toy").rename(tmp_path / "toy")
    call("train", "toy-ops", "--out", "whole", *two)
    for name in ("clean-s0", "ops-s0", "clean-s1", "ops-s1"):
        parts, whole = (open_run(tmp_path / place / "runs" / f"{name}.h5") for place in ("toy", "whole"))
        assert parts.fingerprint == whole.fingerprint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "toy-opps"], "did you mean toy-ops"),
        (["train", "missing.toml"], "no file"),
        (["train", "toy-ops", "--set", "training.lr"], "key=value"),
        (["train", "toy-ops", "--runs", "cleen-*"], "fits none of the runs, which are clean-s0, ops-s0"),
        (["train", "toy-ops", "--set", "model.name=alexnet"], "no network"),
        (["train", "toy-ops", "--set", "data.name=none.npz"], "no data file"),
        (["train", "toy-ops", "--set", "data.colour=1"], "no option 'colour'"),
        (["train", "toy-ops", "--set", "arms.ops.method=opps"], "no unlearnable method"),
        (["train", "toy-ops", "--set", "arms.ops.depth=2"], "no option 'depth'"),
        (["train", "mnist-ops", "--set", "data.root=empty"], "--download"),
        (["ud", "nowhere"], "no experiment"),
        (["show", "/"], "no experiment"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_starts_are_one_sentence(arguments, words):
    assert words in refusal(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["surface", "--grid", "1"], "at least 2"),
        (["surface", "--grid", "9999"], "at most 501"),
        (["surface", "--on", "mars"], "choose one of"),
        (["surface", "--runs", "clean-s7"], "no run called 'clean-s7'"),
        (["surface", "--block", "conv9"], "no parameter is called"),
        (["surface", "--parameters", "1"], "two different"),
        (["surface", "--parameters", "1,x"], "two whole numbers"),
        (["surface", "--parameters", "1,5000"], "0…119"),
        (["surface", "--samples", "-3"], "0 (all) or more"),
        (["surface", "--plane", "three-point", "--runs", "clean-s0"], "two runs"),
        (["sal", "--epsilon", "-0.05"], "positive"),
        (["sal", "--steps", "0"], "at least 1"),
        (["sal", "--p", "3"], "1, 2 or inf"),
    ],
)
def test_wrong_settings_are_one_sentence_and_leave_no_file(toy, arguments, words):
    before = sorted(toy.path.rglob("*"))
    assert words in refusal(arguments[0], toy.path, *arguments[1:])
    assert [p for p in sorted(toy.path.rglob("*")) if p not in before] == []


def test_data_that_do_not_fit_are_refused_by_file(tmp_path):
    x, y = np.zeros((20, 4), np.float32), np.arange(20) % 3
    np.savez("features.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert "images" in refusal("train", "digits-ops", "--out", "a", "--set", "data.name=features.npz")
    np.savez("labels.npz", x_train=x, y_train=y, x_test=x, y_test=y + 5)
    assert "never occurs in training" in refusal("train", "toy-ops", "--out", "b", "--set", "data.name=labels.npz")
    np.savez("negative.npz", x_train=x, y_train=y - 1, x_test=x, y_test=y)
    assert "label -1" in refusal("train", "toy-ops", "--out", "c", "--set", "data.name=negative.npz")


def test_import_of_recorded_runs(tmp_path):
    for name in ("one", "two"):
        model = build_model("mlp", (12,), 10, seed=0)
        with Recorder(tmp_path / f"{name}.h5", model) as recorder:
            for step in range(3):
                for parameter in model.parameters():
                    parameter.data += 0.01 * (1 + len(name) * step)
                recorder.record(step)
    result = call("import", "mine", "one.h5", "two.h5", "--model", "mlp", "--data", "toy")
    assert "one-s0, two-s0" in result.output
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    assert "none of the recordings" in refusal("import", "other", "one.h5", "--clean", "three")


def test_read_only_target_is_one_sentence(tmp_path):
    Path("file").write_text("")
    assert "cannot be written" in refusal("train", "toy-ops", "--out", "file/exp")
    assert "is a file" in refusal("train", "toy-ops", "--out", "file")
    assert "cannot be written" in refusal("export", "toy-ops", "--figure", "ud", "--out", "file/x.html")


def test_terminate_stops_cleanly_and_the_same_command_goes_on(tmp_path):
    command = [sys.executable, str(ROOT / "cli.py"), "train", "toy-ops", "--out", str(tmp_path / "t")]
    command += ["--set", "training.epochs=300"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file, env=os.environ | {"OMP_NUM_THREADS": "1"})
        manifest = tmp_path / "t" / "runs" / "clean-s0.h5.live" / "manifest.jsonl"
        deadline = time.monotonic() + 60
        while not (manifest.exists() and manifest.stat().st_size > 5000):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 130
    assert "everything finished so far is kept" in log.read_text()
    run = open_run(tmp_path / "t" / "runs" / "clean-s0.h5")
    assert run.is_live
    assert 0 < len(run) < 1921
    for i in range(len(run)):
        assert run.vector(i).shape == (120,)


def test_tolerance_precision_and_places_to_work(tmp_path):
    assert call("train", "toy-ops", "--out", "toy", *QUICK).exit_code == 0
    printed = json.loads(call("surface", "toy", "--grid", 21, "--tolerance", 0.02, "--json").stdout)
    assert printed["points_evaluated"] < 21 * 21 / 2
    assert printed["interpolation_error"] > 0
    drawn = call("export", "toy", "--figure", "compare", "--format", "html", "--out", "a.html")
    assert drawn.exit_code == 0, drawn.output
    assert "points evaluated, the others interpolated" in (tmp_path / "a.html").read_text()
    halved = call("surface", "toy", "--precision", "bfloat16", "--jobs", 2)
    assert halved.exit_code == 0, halved.output
    assert "a share of the loss's range below 1" in refusal("surface", "toy", "--tolerance", 2)
    nowhere = refusal("surface", "toy", "--plane", "random", "--cluster", "tcp://127.0.0.1:9")
    assert "No Dask scheduler answers" in nowhere
    assert not list((tmp_path / "toy" / "surfaces").glob("*.work.h5"))


def test_curvature_and_the_plane_along_it(tmp_path):
    assert call("train", "toy-ops", "--out", "toy", *QUICK).exit_code == 0
    (clean, _) = json.loads(call("curvature", "toy", "--top", 3, "--probes", 5, "--json").stdout)
    (row,) = clean["rows"]
    assert row["eigenvalues"] == sorted(row["eigenvalues"], reverse=True)
    assert max(row["residuals"]) < 1e-2
    assert row["trace_standard_error"] > 0
    assert "top eigenvalues" in call("curvature", "toy", "--top", 3, "--probes", 5).output
    assert call("surface", "toy", "--plane", "hessian").exit_code == 0
    several = json.loads(call("curvature", "toy", "--probes", 2, "--every", 1, "--json").stdout)
    assert len(several[0]["rows"]) == 2  # the run has a first and a last checkpoint
    assert not list((tmp_path / "toy" / "curvature").glob("*.partial.h5"))
    assert "--top must be 1 or more" in refusal("curvature", "toy", "--top", 0)


def test_terminate_stops_several_processes(tmp_path):
    assert call("train", "digits-ops", "--out", "d", "--set", "training.epochs=1").exit_code == 0
    command = [sys.executable, str(ROOT / "cli.py"), "surface", str(tmp_path / "d"), "--grid", "101", "--jobs", "2"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file, start_new_session=True)
        deadline = time.monotonic() + 60
        while not list((tmp_path / "d" / "surfaces").glob("*.partial.h5")):
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == 130, log.read_text()
    assert "everything finished so far is kept" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not list((tmp_path / "d" / "surfaces").glob("*.work.h5"))


def test_help_lists_every_command():
    text = call("--help").output
    for command in ("train", "run", "surface", "sal", "ud", "curvature", "show", "export", "import", "app"):
        assert f"  {command} " in text
        assert len(call(command, "--help").output) > 100


def test_where_a_command_writes_has_one_name_and_the_other_still_works(tmp_path):
    writing = (["train"], ["run"], ["bench"], ["export"], ["report"], ["poison", "make"], ["poison", "export"])
    for command in (*writing, ["poison", "import"]):
        text = call(*command, "--help").output
        assert "--out PATH" in text, command
        assert "--output" not in text, command
    assert call("report", "toy-ops", "--output", "r.html").exit_code == 0
    assert (tmp_path / "r.html").is_file()
    assert "'--out'" in refusal("poison", "make", "ops", "--data", "toy")
