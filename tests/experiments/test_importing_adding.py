"""Runs come beside those of an experiment that was imported; whatever fails leaves it as it was."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from checkpoints import Recorder, open_run
from cli import main
from experiments import Experiment, ExperimentError, compute_surface, import_runs, summarise
from experiments.spec import SurfaceSpec
from training import build_model


def record(path: Path, seed: int = 0, model: str = "mlp") -> Path:
    network = build_model(model, (12,), 10, seed=seed)
    with Recorder(path, network) as recorder:
        for step in range(3):
            recorder.record(step)
            for parameter in network.parameters():
                parameter.data += 0.05 * (seed + 1)
    return path


def folder(path: Path, seed: int = 9, turned: bool = False) -> Path:
    path.mkdir()
    network = build_model("mlp", (12,), 10, seed=seed)
    for step in range(2):
        items = list(network.state_dict().items())
        torch.save(dict(items[::-1] if turned else items), path / f"step{step}.pt")
    return path


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture
def three(tmp_path):
    """Three seeds of one training, as somebody imports them, with a surface."""
    files = [record(tmp_path / f"seed{k}.h5", k) for k in range(3)]
    experiment = import_runs(tmp_path / "mine", files, model="mlp", data="toy")
    compute_surface(experiment, SurfaceSpec(grid=3))
    return experiment


def test_a_fourth_run_comes_beside_three_and_surfaces_stay(three, tmp_path):
    before = snapshot(three.path)
    notes: list[str] = []
    wider = import_runs(three.path, [folder(tmp_path / "fourth", turned=True)], say=notes.append)
    assert wider.run_names() == ["seed0-s0", "seed1-s0", "seed2-s0", "fourth-s0"]
    assert notes[0].startswith("added fourth-s0 beside seed0-s0, seed1-s0, seed2-s0")
    assert wider.spec.clean_arm == "seed0"
    assert (wider.spec.model.name, wider.spec.data.name) == ("mlp", "toy")
    assert wider.spec.title == "Imported: seed0, seed1, seed2, fourth"
    assert wider.open_run("fourth-s0").parameters == wider.open_run("seed0-s0").parameters
    after = snapshot(three.path)
    assert all(after[name] == content for name, content in before.items() if name != "experiment.toml")
    path = compute_surface(wider, SurfaceSpec(grid=3))
    assert str(path.relative_to(wider.path)) not in before
    runs = [surface["runs"] for surface in summarise(wider).surfaces]
    assert runs == [["seed0-s0", "seed1-s0", "seed2-s0"], ["seed0-s0", "seed1-s0", "seed2-s0", "fourth-s0"]]
    import_runs(three.path, [tmp_path / "seed0.h5", tmp_path / "fourth", record(tmp_path / "fifth.h5", 5)])
    assert len(Experiment.open(three.path).run_names()) == 5, "what is there stays, what is new comes"


def test_seeds_go_on(tmp_path):
    files = [record(tmp_path / f"{arm}-s{k}.h5", k) for arm in ("sgd", "adam") for k in (0, 1)]
    import_runs(tmp_path / "mine", files)
    wider = import_runs(tmp_path / "mine", [record(tmp_path / "sgd-s2.h5", 2)])
    assert wider.run_names() == ["sgd-s0", "adam-s0", "sgd-s1", "adam-s1", "sgd-s2"]
    assert wider.spec.seeds == (0, 1, 2)
    assert dict(summarise(wider).missing)["runs adam-s2"] == f"import {wider.path} RUNS"
    wider = import_runs(tmp_path / "mine", [record(tmp_path / f"lion-s{k}.h5", k) for k in (0, 1, 2)])
    assert (len(wider.run_names()), tuple(wider.spec.arms)) == (8, ("sgd", "adam", "lion"))
    wider = import_runs(tmp_path / "mine", [record(tmp_path / "odd-s7.h5", 7)])
    assert "odd-s7-s0" in wider.run_names(), "a seed that no other run has makes an arm of its own"


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        (lambda at: record(at / "other.h5", model="linear"), {}, "other-s0 is another network than seed0-s0"),
        (lambda at: record(at / "new.h5"), {"model": "linear"}, "differs in model.name ('mlp' there, 'linear' here)"),
        (lambda at: record(at / "new.h5"), {"data": "digits"}, "differs in data.name"),
        (lambda at: record(at / "new.h5"), {"clean": "new"}, "differs in its reference"),
        (lambda at: at / "seed1.h5", {}, "holds seed1-s0 already; to add another run, give its file"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(three, tmp_path, make, given, words):
    place = make(tmp_path)
    before = snapshot(three.path)
    with pytest.raises(ExperimentError, match=re.escape(words)):
        import_runs(three.path, [place], **given)
    assert snapshot(three.path) == before


@pytest.mark.parametrize("late", ["second file", "spec"])
def test_a_failed_add_leaves_the_experiment_as_it_was(three, tmp_path, monkeypatch, late):
    files = [record(tmp_path / f"new{k}.h5", k + 4) for k in range(2)]
    before = snapshot(three.path)
    replaced, create = os.replace, Experiment.create

    def failing(source, target):
        if late == "second file" and Path(target) == three.run_path("new1-s0"):
            raise OSError(28, "No space left on device")
        return replaced(source, target)

    def refusing(spec, path):
        if late == "spec" and Path(path) == three.path:
            raise ExperimentError("The folder cannot be written.")
        return create(spec, path)

    monkeypatch.setattr("experiments.importing.os.replace", failing)
    monkeypatch.setattr("experiments.importing.Experiment.create", refusing)
    with pytest.raises(ExperimentError, match="cannot be written"):
        import_runs(three.path, files)
    monkeypatch.undo()
    assert snapshot(three.path) == before
    assert not list(tmp_path.glob(".mine*"))
    assert len(import_runs(three.path, files).run_names()) == 5


def test_experiments_that_were_trained_take_none(tmp_path):
    target = tmp_path / "trained"
    target.mkdir()
    (target / "experiment.toml").write_text('name = "trained"\n[arms.clean]\n[arms.ops]\nmethod = "ops"\n')
    with pytest.raises(ExperimentError, match="differs in arms"):
        import_runs(target, [record(tmp_path / "new.h5")])


def test_code_that_was_not_granted_is_not_run_to_add_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    experiment = import_runs(tmp_path / "mine", [record(tmp_path / "a.h5"), record(tmp_path / "b.h5", 1)])
    Path("evil.py").write_text("raise SystemExit('run')")
    text = (experiment.path / "experiment.toml").read_text()
    named = text.replace('[data]\nname = ""', '[data]\nname = "evil:data"')
    named = named.replace('[model]\nname = ""', '[model]\nname = "evil:net"')
    assert named.count("evil:") == 2
    (experiment.path / "experiment.toml").write_text(named)
    wider = import_runs(experiment.path, [folder(tmp_path / "c")], own_code=True)
    assert wider.run_names() == ["a-s0", "b-s0", "c-s0"]
    assert wider.spec.grant.root is None
    with pytest.raises(ExperimentError, match=r"differs in the code it names \(evil:net, evil:data there\)"):
        import_runs(experiment.path, [folder(tmp_path / "d")], metric="good:metric", own_code=True)
    assert not (tmp_path / "config").exists()


def test_the_command_says_what_was_added_and_what_would_be(three, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    new = str(record(tmp_path / "new.h5", 5))
    before = snapshot(three.path)
    dry = CliRunner().invoke(main, ["import", "mine", new, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "1 of these would be added to" in dry.output
    assert "Run seed0-s0" not in dry.output
    other = str(record(tmp_path / "other.h5", model="linear"))
    refused = CliRunner().invoke(main, ["import", "mine", other, "--dry-run"])
    assert "other-s0 is another network than seed0-s0" in refused.output
    listed = json.loads(CliRunner().invoke(main, ["import", "mine", new, "--dry-run", "--json"]).stdout)
    assert listed["added_to"]["runs"] == ["seed0-s0", "seed1-s0", "seed2-s0"]
    assert [run["run"] for run in listed["runs"]] == ["new-s0"]
    assert snapshot(three.path) == before
    done = CliRunner().invoke(main, ["import", "mine", new])
    assert "added new-s0 beside seed0-s0, seed1-s0, seed2-s0" in done.output
    assert len(open_run(three.path / "runs/new-s0.h5")) == 3
