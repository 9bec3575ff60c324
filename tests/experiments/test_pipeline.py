"""The pipeline's steps: from a spec to runs, SAL, UD and a surface, each resumable and never done twice."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from analysis import threshold_midpoints
from checkpoints import CheckpointError, Recorder, open_run, read_result, write_result
from experiments import (
    Experiment,
    ExperimentError,
    LiveObserver,
    Stopped,
    compute_sal,
    compute_surface,
    compute_ud,
    draw,
    import_runs,
    load_preset_or_file,
    override,
    read_sal,
    read_snapshot,
    render,
    summarise,
    train_experiment,
)
from experiments.materials import dataset_of, network, sample
from experiments.report import report_html
from experiments.spec import SalSpec, SpecError
from experiments.stored import MIDPOINTS
from experiments.surface_plan import surface_of
from landscape import Plane, coarse_surface


class StopAfter:
    """Progress that stops the work after a number of units."""

    def __init__(self, units: int) -> None:
        self.left = units

    def start(self, label: str, total: int, done: int = 0) -> None:
        self.label, self.total, self.done = label, total, done

    def advance(self, units: int = 1) -> None:
        self.left -= units
        if self.left <= 0:
            raise Stopped


def small(tmp_path: Path, *assignments: str) -> Experiment:
    spec = load_preset_or_file("toy-ops")
    spec = override(spec, ["training.epochs=2", "surface.grid=5", "data.n_samples=600", *assignments])
    return Experiment.create(spec, tmp_path / "exp")


def test_clean_and_poisoned_share_initial_weights_but_not_the_rest(toy):
    clean, poisoned = toy.open_run("clean-s0"), toy.open_run("ops-s0")
    assert np.array_equal(clean.vector(0), poisoned.vector(0))
    assert not np.array_equal(clean.vector(-1), poisoned.vector(-1))
    assert np.array_equal(clean.steps, poisoned.steps)
    assert {"train_loss", "train_accuracy", "test_loss", "test_accuracy"} <= set(clean.metrics)


def test_stopped_training_resumes_to_the_same_bits(toy, tmp_path):
    other = Experiment.create(toy.spec, tmp_path / "again")
    stop = StopAfter(5)
    with pytest.raises(Stopped):
        train_experiment(other, progress=stop)
    assert stop.label == "training again, checkpoints of 2 runs"
    assert stop.total == 2 * len(toy.open_run("clean-s0")), "of all runs, as it says"
    assert not other.finished_runs()
    assert 0 < len(other.open_run("clean-s0")) < len(toy.open_run("clean-s0"))
    train_experiment(other)
    for name in ("clean-s0", "ops-s0"):
        assert other.open_run(name).fingerprint == toy.open_run(name).fingerprint


def test_momentum_and_batch_norm_survive_a_stop(tmp_path):
    changes = ["data.name=digits", "model.name=resnet-small", "training.momentum=0.9", "training.checkpoint_every=7"]
    changes += ["training.batch_size=256", "training.epochs=2", "training.weight_decay=0.001"]
    spec = override(load_preset_or_file("toy-ops"), changes)
    spec = dataclasses.replace(spec, data=dataclasses.replace(spec.data, options={"size": 12}))
    whole = Experiment.create(spec, tmp_path / "whole")
    train_experiment(whole)
    parts = Experiment.create(spec, tmp_path / "parts")
    for units in (2, 1):
        with pytest.raises(Stopped):
            train_experiment(parts, progress=StopAfter(units))
    train_experiment(parts)
    assert parts.open_run("ops-s0").fingerprint == whole.open_run("ops-s0").fingerprint


def test_watching_changes_no_bit_and_leaves_a_snapshot(toy, tmp_path):
    other = Experiment.create(toy.spec, tmp_path / "watched")
    observer = LiveObserver(other)
    train_experiment(other, observe=observer)
    observer.write(finished=True)
    assert other.open_run("ops-s0").fingerprint == toy.open_run("ops-s0").fingerprint
    snapshot = read_snapshot(other)
    assert snapshot.header["finished"]
    assert [run["name"] for run in snapshot.header["runs"]] == ["clean-s0", "ops-s0"]
    assert 0 < snapshot.header["ud"]["arms"]["ops-s0"] < 1
    assert snapshot.arrays["run/ops-s0/coordinates"].shape == (len(toy.open_run("ops-s0")), 2)


def test_more_seeds_can_be_added_but_nothing_else_changed(toy):
    with pytest.raises(ExperimentError, match=r"training\.lr"):
        Experiment.create(override(toy.spec, ["training.lr=0.2"]), toy.path)
    widened = Experiment.create(override(toy.spec, ["seeds=[0, 1]"]), toy.path)
    assert widened.planned_runs() == ["clean-s0", "ops-s0", "clean-s1", "ops-s1"]
    assert Experiment.open(toy.path).spec.seeds == (0, 1)
    assert widened.finished_runs() == ["clean-s0", "ops-s0"]


def test_results_are_not_computed_twice(toy):
    before = {p: p.stat().st_mtime_ns for p in toy.path.rglob("*.h5")}
    compute_sal(toy)
    compute_surface(toy)
    assert {p: p.stat().st_mtime_ns for p in toy.path.rglob("*.h5")} == before


def test_surface_file_holds_what_its_plane_gives(toy):
    stored = read_result(toy.result_files("surfaces")[0], kind="surface")
    surface = surface_of(stored)
    plane = Plane(stored.arrays["origin"], stored.arrays["axes"])
    data = dataset_of(toy.spec)
    model = network(toy.spec, data, 0)
    x, y = torch.from_numpy(data.x_train).double(), torch.from_numpy(data.y_train)
    for i, j in ((0, 0), (3, 5), (6, 2)):
        weights = torch.from_numpy(plane.point(surface.alphas[i], surface.betas[j])).reshape(10, 12)
        loss = functional.cross_entropy(x @ weights.T, y)
        assert surface.loss[i, j] == pytest.approx(float(loss), rel=1e-5)
    coordinates, residual = plane.project(toy.open_run("ops-s0").vectors())
    assert np.allclose(stored.arrays["path/ops-s0/coordinates"], coordinates)
    assert np.allclose(stored.arrays["path/ops-s0/residual"], residual)
    run = toy.open_run("ops-s0")
    model.load_state_dict(run.state_dict(-1))
    with torch.no_grad():
        true = functional.cross_entropy(model(x.float()).double(), y)
    assert stored.arrays["path/ops-s0/true_loss"][-1] == pytest.approx(float(true), rel=1e-5)


def test_stopped_surface_goes_on_with_the_points_it_has(toy):
    options = dataclasses.replace(toy.spec.surface, on="test", grid=17)
    with pytest.raises(Stopped):
        compute_surface(toy, options, progress=StopAfter(150))
    (partial,) = (toy.path / "surfaces").glob("*.partial.h5")
    assert [p for p in toy.result_files("surfaces") if p == partial] == []
    saved = surface_of(read_result(partial, kind="surface-partial"))
    assert 100 < saved.evaluated.sum() < 17 * 17
    coarse = coarse_surface(saved)
    assert coarse is not None
    assert coarse.evaluated.all()
    assert np.isfinite(coarse.loss).all()
    watch = StopAfter(1000)
    path = compute_surface(toy, options, progress=watch)
    assert not partial.exists()
    assert watch.done == 0 or 1000 - watch.left < 17 * 17
    straight = compute_surface(Experiment.open(shutil.copytree(toy.path, toy.path.parent / "c")), options)
    assert np.array_equal(
        read_result(path, kind="surface").arrays["loss"], read_result(straight, kind="surface").arrays["loss"]
    )


def test_stopped_search_goes_on_at_its_checkpoint(toy):
    options = SalSpec(method="search", blocks="unit", steps=2, samples=100, every=3)
    with pytest.raises(Stopped):
        compute_sal(toy, options, runs=["clean-s0"], progress=StopAfter(2))
    (partial,) = (toy.path / "sal").glob("*.partial.h5")
    assert len(read_result(partial, kind="sal-partial").arrays["sal"]) == 2
    (path,) = compute_sal(toy, options, runs=["clean-s0"])
    stored = read_result(path, kind="sal")
    assert stored.arrays["steps"][-1] == toy.open_run("clean-s0").steps[-1]
    assert stored.arrays["sal"].shape == (len(stored.arrays["steps"]), 10)
    assert (stored.arrays["sal"] >= 0).all()


def test_ud_report_has_the_promised_figures(toy):
    figures = compute_ud(toy).as_json()
    for key in ("ud", "learnable_clean", "learnable_poisoned", "threshold"):
        assert figures[key] > 0
    for key in ("test_accuracy_clean", "test_accuracy_poisoned"):
        assert 0 <= figures[key] <= 1
    assert figures["ud"] == pytest.approx(figures["learnable_poisoned"] / figures["learnable_clean"])
    assert (figures["seeds"], figures["method"], figures["blocks"]) == ([0], "gradient", "parameter")
    json.dumps(figures)


def test_midpoints_are_kept_with_the_clean_sal_and_found_where_they_lack(toy, monkeypatch):
    files = {one.stem.rpartition("-")[0]: one for one in toy.result_files("sal")}
    clean, poisoned = read_sal(files["clean-s0"]), read_sal(files["ops-s0"])
    np.testing.assert_array_equal(clean.midpoints, threshold_midpoints(clean.sal))
    assert poisoned.midpoints is None
    whole = compute_ud(toy).as_json()
    with monkeypatch.context() as nothing_found_anew:
        nothing_found_anew.setattr("analysis.splits.kmeans", lambda values: pytest.fail("found anew"))
        assert compute_ud(toy).as_json() == whole
    stored = read_result(files["clean-s0"], kind="sal")  # as it was before midpoints were kept
    older = {name: array for name, array in stored.arrays.items() if name != MIDPOINTS}
    write_result(files["clean-s0"], kind="sal", header=stored.header, arrays=older)
    assert read_sal(files["clean-s0"]).midpoints is None
    assert compute_ud(toy).as_json() == whole
    short = older | {MIDPOINTS: np.zeros(1)}
    write_result(files["clean-s0"], kind="sal", header=stored.header, arrays=short)
    assert compute_ud(toy).as_json() == whole
    assert compute_ud(toy, rule="two-means").arms[0].pairs[0].distance.threshold != whole["threshold"]


def test_one_block_says_what_to_do(toy):
    with pytest.raises(ValueError, match="unit"):
        compute_ud(toy, SalSpec(method="gradient", blocks="layer"))


@pytest.mark.parametrize("plane", ["pca", "pca-single", "random", "three-point", "parameters"])
@pytest.mark.parametrize("block", ["", "top10"])
def test_every_plane_carries_every_path(toy, plane, block):
    options = dataclasses.replace(toy.spec.surface, plane=plane, grid=3, block=block, parameters=(3, 70))
    stored = read_result(compute_surface(toy, options), kind="surface")
    assert stored.arrays["loss"].shape == (3, 3)
    assert np.isfinite(stored.arrays["path/ops-s0/coordinates"]).all()
    moved = (stored.arrays["axes"] != 0).any(axis=0).sum()
    expected = 2 if plane == "parameters" else 10 if block else 120
    assert moved <= expected
    assert len(stored.header["axis_names"]) == 2


def test_data_to_measure_on_are_told_apart(toy):
    kinds = {on: sample(toy, on) for on in ("clean", "poisoned", "test", "ops")}
    assert kinds["poisoned"].fingerprint == kinds["ops"].fingerprint
    assert len({kinds[on].fingerprint for on in ("clean", "poisoned", "test")}) == 3
    some = sample(toy, "clean", samples=100)
    assert some.samples == 100
    assert set(torch.unique(some.batches[0][1]).tolist()) == set(range(10))
    with pytest.raises(ExperimentError, match="choose one of"):
        sample(toy, "validation")


def test_run_of_another_model_is_refused_by_name(toy):
    path = toy.run_path("clean-s0")
    path.unlink()
    with Recorder(path, nn.Linear(3, 2)) as recorder:
        recorder.record(0)
        recorder.record(1)
    with pytest.raises(ExperimentError, match=r"clean-s0.*another network"):
        compute_sal(toy, runs=["clean-s0"])
    with pytest.raises(ValueError, match=r"another model|another network"):
        compute_surface(toy)


@pytest.mark.parametrize("finite", [0, 2])
def test_checkpoints_with_nan_weights_are_told_and_left_out(toy, finite):
    path = toy.run_path("ops-s0")
    path.unlink()
    model = network(toy.spec, dataset_of(toy.spec), 0)
    with Recorder(path, model) as recorder:
        for step in range(4):
            next(iter(model.parameters())).data[0, 0] = float("nan") if step >= finite else step
            recorder.record(step)
    said = f"weights are not finite at {4 - finite} of 4 checkpoints (first: step {finite})"
    assert next(run for run in summarise(toy).runs if run.name == "ops-s0").not_finite == said
    assert f"ops-s0 (poisoned): finished, 4 checkpoints; {said}" in summarise(toy).as_text()
    assert f"ops-s0: {said}" in report_html(toy)
    if finite == 0:
        for compute in (compute_surface, compute_sal):
            with pytest.raises(ExperimentError, match="Nothing can be computed of ops-s0"):
                compute(toy)
        return
    stored = read_result(compute_surface(toy), kind="surface")
    assert stored.header["not_finite"] == {"ops-s0": 2}
    assert stored.arrays["path/ops-s0/steps"].tolist() == [0, 1]
    assert all(np.isfinite(values).all() for name, values in stored.arrays.items() if not name.endswith("epochs"))
    assert read_sal(compute_sal(toy)[1]).steps.tolist() == [0, 1]
    assert np.isfinite(compute_ud(toy).arms[0].summary.mean)


@pytest.mark.parametrize("count", [0, 1])
def test_runs_with_too_few_checkpoints(toy, count):
    for name in ("clean-s0", "ops-s0"):
        toy.run_path(name).unlink()
        with Recorder(toy.run_path(name), network(toy.spec, dataset_of(toy.spec), 0)) as recorder:
            for step in range(count):
                recorder.record(step)
    words = "no checkpoint" if count == 0 else "equal|two checkpoints"
    with pytest.raises(ValueError, match=words):
        compute_surface(toy)


def test_two_identical_runs_share_one_path(toy):
    toy.run_path("ops-s0").unlink()
    shutil.copy(toy.run_path("clean-s0"), toy.run_path("ops-s0"))
    stored = read_result(compute_surface(toy), kind="surface")
    assert np.array_equal(stored.arrays["path/ops-s0/coordinates"], stored.arrays["path/clean-s0/coordinates"])
    assert not stored.arrays["divergence/distance"].any()


def test_diverged_training_is_shown_not_hidden(tmp_path):
    experiment = small(tmp_path)
    for name, factor in (("clean-s0", 1e36), ("ops-s0", -1e38)):
        model = network(experiment.spec, dataset_of(experiment.spec), 0)
        experiment.run_path(name).parent.mkdir(exist_ok=True)
        with Recorder(experiment.run_path(name), model) as recorder:
            recorder.record(0)
            next(iter(model.parameters())).data *= factor
            recorder.record(1, test_accuracy=0.1, test_loss=float("inf"))
    stored = read_result(compute_surface(experiment), kind="surface")
    assert not np.isfinite(stored.arrays["loss"]).all()
    figure = draw(experiment, "compare-3d")
    assert "not finite" in figure.layout.meta["alt"]
    assert render(figure, "png")[:4] == b"\x89PNG"


def test_damaged_result_is_a_note_not_a_crash(toy):
    damaged = toy.result_files("surfaces")[0]
    data = bytearray(damaged.read_bytes())
    data[5000] ^= 0xFF
    damaged.write_bytes(data)
    run = toy.run_path("clean-s0")
    run.write_bytes(run.read_bytes()[:3000])
    summary = summarise(toy)
    assert any("damaged" in note for note in summary.notes)
    assert {r.name: r.state for r in summary.runs}["clean-s0"] == "damaged"
    assert summary.as_text()


def test_summary_names_what_is_missing_and_how_to_make_it(tmp_path):
    experiment = small(tmp_path)
    missing = dict(summarise(experiment).missing)
    assert any("train" in command for command in missing.values())
    train_experiment(experiment)
    missing = dict(summarise(experiment).missing)
    assert "a loss surface" in missing
    assert "SAL and UD" in missing


def test_results_without_runs_still_tell_ud(toy):
    shutil.rmtree(toy.path / "runs")
    report = compute_ud(toy)
    assert report.arms[0].arm == "ops"
    assert all(run.state == "results only" for run in summarise(toy).runs)


def test_recorded_runs_of_strangers_become_an_experiment(tmp_path):
    torch.manual_seed(0)
    paths = []
    for name in ("mine", "theirs"):
        model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
        optimiser = torch.optim.Adam(model.parameters())
        paths.append(tmp_path / f"{name}.h5")
        with Recorder(paths[-1], model) as recorder:
            for step in range(6):
                loss = functional.cross_entropy(model(torch.randn(64, 12)), torch.randint(0, 10, (64,)))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                recorder.record(step, loss=float(loss.detach()))
    experiment = import_runs(tmp_path / "imported", paths, model="mlp", data="toy")
    assert experiment.run_names() == ["mine-s0", "theirs-s0"]
    assert experiment.role_of("mine-s0") == "clean"
    options = dataclasses.replace(experiment.spec.surface, grid=3)
    assert compute_surface(experiment, options).is_file()
    assert compute_ud(experiment).arms[0].arm == "theirs"


def test_import_refuses_mixed_networks_and_unknown_files(tmp_path):
    for name, width in (("a", 3), ("b", 4)):
        with Recorder(tmp_path / f"{name}.h5", nn.Linear(width, 2)) as recorder:
            recorder.record(0)
    with pytest.raises(ExperimentError, match="another network"):
        import_runs(tmp_path / "x", [tmp_path / "a.h5", tmp_path / "b.h5"])
    with pytest.raises(CheckpointError, match="no run"):
        import_runs(tmp_path / "x", [tmp_path / "none.h5"])
    write_result(tmp_path / "r.h5", kind="sal", header={}, arrays={})
    with pytest.raises(CheckpointError, match="'sal' file"):
        import_runs(tmp_path / "x", [tmp_path / "r.h5"])
    assert not (tmp_path / "x").exists()


def test_imported_runs_without_a_model_say_so(tmp_path):
    with Recorder(tmp_path / "a.h5", nn.Linear(3, 2)) as recorder:
        recorder.record(0)
        recorder.record(1)
    experiment = import_runs(tmp_path / "x", [tmp_path / "a.h5"])
    with pytest.raises(ExperimentError, match="--data"):
        compute_sal(experiment)
    assert open_run(experiment.run_path("a-s0")).steps.tolist() == [0, 1]


def test_not_an_experiment(tmp_path):
    with pytest.raises(ExperimentError, match="not an experiment"):
        Experiment.open(tmp_path)
    (tmp_path / "experiment.toml").write_text("name = 3")
    with pytest.raises(SpecError, match="name"):
        Experiment.open(tmp_path)
