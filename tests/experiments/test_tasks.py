"""Experiments of several tasks: trained and resumed to the same bits, and measured under any task's loss."""

import dataclasses

import numpy as np
import pytest
import torch

import training.data
from analysis import sharpness_aware_learnability
from checkpoints import open_run, read_result
from experiments import (
    CurvatureOptions,
    Experiment,
    ExperimentError,
    LiveObserver,
    SpecError,
    Stopped,
    compute_curvature,
    compute_sal,
    compute_surface,
    override,
    read_sal,
    summarise,
    train_experiment,
)
from experiments.materials import dataset_of, sample
from experiments.spec_toml import load_spec, spec_from_table, spec_to_table
from experiments.task_materials import loss_of_task, task_network, task_sample
from experiments.tasks import total_loss
from landscape import evaluate_states
from tests.training.tasks.samples import dense_images
from training import Dataset
from training.tasks import TASKS, unpack_targets

TABLE = {
    "name": "several",
    "data": {"name": "rectangles"},
    "model": {"name": "resnet-small"},
    "training": {"epochs": 2, "batch_size": 8, "lr": 0.02, "momentum": 0.9},
    "tasks": {},
    "arms": {"clean": {}, "noise": {"method": "uniform-noise", "control": True}},
    "sal": {"samples": 12},
    "surface": {"grid": 3, "samples": 12},
}


def rectangles(*, seed: int = 0) -> Dataset:
    train, test = dense_images(n=24, seed=seed), dense_images(n=6, seed=seed + 1)
    return Dataset(
        "rectangles", train[0], train[1], test[0], test[1], 3, "image", True, dense_train=train[2], dense_test=test[2]
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(training.data.DATASETS, "rectangles", rectangles)


def make(path, *assignments):
    return Experiment.create(override(spec_from_table(TABLE), assignments), path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.data.DATASETS, "rectangles", rectangles)
        experiment = make(tmp_path_factory.mktemp("tasks") / "several")
        train_experiment(experiment)
    return experiment


def test_a_spec_without_tasks_says_nothing_of_them_and_one_with_survives_toml(tmp_path):
    plain = spec_from_table({key: value for key, value in TABLE.items() if key != "tasks"})
    assert plain.tasks is None
    assert "tasks" not in spec_to_table(plain)
    experiment = make(tmp_path / "e", 'tasks.names=["depth_euclidean", "scene"]', "tasks.weights=learned")
    again = load_spec(experiment.path / "experiment.toml")
    assert again.tasks.names == ("scene", "depth_euclidean")
    assert again == experiment.spec


def test_runs_record_every_task(finished):
    for name in ("clean-s0", "noise-s0"):
        run = finished.open_run(name)
        assert len(run) == 3
        assert {f"weight_{task}" for task in TASKS} < set(run.metrics)
        for part in ("train", "test"):
            for measure in (
                "scene_accuracy",
                "keypoints2d_pearson",
                "depth_euclidean_abs_rel",
                "depth_euclidean_delta_1.25",
                "segment_unsup2d_ari",
                *(f"{task}_loss" for task in TASKS),
            ):
                assert np.isfinite(run.metrics[f"{part}_{measure}"]).all()
            weighted = sum(run.metrics[f"weight_{task}"] * run.metrics[f"{part}_{task}_loss"] for task in TASKS)
            assert run.metrics[f"{part}_loss"] == pytest.approx(weighted)
            assert np.array_equal(run.metrics[f"{part}_accuracy"], run.metrics[f"{part}_scene_accuracy"])
    metrics = finished.open_run("clean-s0").metrics
    for task in ("scene", "depth_euclidean", "segment_unsup2d"):  # key points take longer
        assert metrics[f"train_{task}_loss"][-1] < metrics[f"train_{task}_loss"][0]
    assert summarise(finished).runs[0].test_accuracy is not None


def test_arms_of_a_seed_share_weights_and_begin_alike(finished):
    clean, noise = (finished.open_run(name) for name in ("clean-s0", "noise-s0"))
    assert np.array_equal(clean.vector(0), noise.vector(0))
    assert np.array_equal(clean.metrics["weight_scene"], noise.metrics["weight_scene"])
    assert not np.array_equal(clean.vector(2), noise.vector(2))


@pytest.mark.parametrize("weights", ["fixed", pytest.param("learned", marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, weights):
    settings = [f"tasks.weights={weights}", "training.checkpoint_every=2"]
    whole, stopped = make(tmp_path / "whole", *settings), make(tmp_path / "stopped", *settings)
    train_experiment(whole, only=["clean-s0"])
    seen = []

    def stop_once(run):
        seen.append(len(run.recorder.steps))
        if len(seen) == 2:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        train_experiment(stopped, only=["clean-s0"], observe=stop_once)
    train_experiment(stopped, only=["clean-s0"])
    a, b = (e.open_run("clean-s0") for e in (whole, stopped))
    assert len(a) == len(b) == 4
    assert np.array_equal(a.vectors(), b.vectors())
    assert all(np.array_equal(a.metrics[name], b.metrics[name], equal_nan=True) for name in a.metrics)
    assert (np.ptp(a.metrics["weight_scene"]) > 0) == (weights == "learned")


def test_commands_for_one_task_measure_the_scene(finished):
    surface = read_result(compute_surface(finished), kind="surface")
    assert surface.arrays["accuracy"].max() <= 1
    spec, dataset, run = finished.spec, dataset_of(finished.spec), finished.open_run("clean-s0")
    model = task_network(spec, dataset, run, "clean-s0", "scene")
    batches = sample(finished, "clean", samples=12).batches
    losses = evaluate_states(model, [run.state_dict(i) for i in range(3)], batches).loss
    assert surface.arrays["path/clean-s0/true_loss"] == pytest.approx(losses, rel=1e-5)
    (path,) = compute_sal(finished, runs=["clean-s0"])
    series = read_sal(path)
    assert not any(block.startswith("heads.") for block in series.blocks if not block.startswith("heads.scene"))
    assert "heads.scene.fc" in series.blocks
    assert (series.sal > 0).all()
    assert series.loss == pytest.approx(losses, rel=1e-4)


def test_curvature_is_that_of_the_scene(finished):
    (path,) = compute_curvature(finished, CurvatureOptions(top=1, probes=2, samples=6), runs=["clean-s0"])
    assert np.isfinite(read_result(path, kind="curvature").arrays["eigenvalues"]).all()


def test_the_live_page_watches_the_scene(tmp_path):
    experiment = make(tmp_path / "e", "training.epochs=1")
    observer = LiveObserver(experiment)
    train_experiment(experiment, observe=observer, only=["clean-s0"])
    observer.write()
    blind = make(tmp_path / "blind", 'tasks.names=["depth_euclidean"]')
    with pytest.raises(ExperimentError, match="do not have the task scene; theirs: depth_euclidean"):
        LiveObserver(blind)


@pytest.mark.parametrize("task", TASKS)
def test_any_task_can_be_measured_on_the_same_images(finished, task):
    spec, dataset, run = finished.spec, dataset_of(finished.spec), finished.open_run("clean-s0")
    some = task_sample(finished, "noise", task, 9)
    assert torch.equal(some.batches[0][0], sample(finished, "noise", samples=9).batches[0][0])
    assert (some.samples, some.available) == (9, 24)
    model = task_network(spec, dataset, run, "clean-s0", task)
    model.load_state_dict(run.state_dict(2))
    loss = loss_of_task(spec, dataset, task)
    assert (loss is None) == (task == "scene")
    blocks = sharpness_aware_learnability(model, some.batches, loss=loss, method="gradient")
    assert all((block.sal > 0) == block.name.startswith(("backbone", f"heads.{task}")) for block in blocks)
    test = task_sample(finished, "test", task)
    assert test.samples == 6
    joint = task_network(spec, dataset, run, "clean-s0", None)
    joint.load_state_dict(run.state_dict(2))
    whole = task_sample(finished, "noise", None, 9)
    total, own = total_loss(spec, dataset, seed=0), loss or torch.nn.functional.cross_entropy
    (images, packed), (_, targets) = whole.batches[0], some.batches[0]
    with torch.no_grad():
        parts = total.parts(total.unpack(joint.eval()(images)), unpack_targets(packed, (16, 16)))
        assert float(parts[task]) == pytest.approx(float(own(model.eval()(images), targets)), rel=1e-5)


def test_legacy_and_group_norm_and_a_single_task_train(tmp_path):
    for name, settings in {
        "legacy": ["tasks.legacy=true"],
        "group": ["tasks.norm=group"],
        "one": ['tasks.names=["segment_unsup2d"]'],
    }.items():
        experiment = make(tmp_path / name, "training.epochs=1", *settings)
        train_experiment(experiment, only=["clean-s0"])
        run = open_run(experiment.run_path("clean-s0"))
        assert np.isfinite(run.metrics["test_loss"]).all()
        assert ("test_accuracy" in run.metrics) == (name != "one")


@pytest.mark.parametrize(
    ("assignments", "sentence"),
    [
        (["tasks.names=[]"], r"tasks.names is \[\]; it must be one or more"),
        (['tasks.names=["depth"]'], "different names of scene, keypoints2d"),
        (["tasks.weights=equal"], "'fixed' or 'learned'"),
        (["tasks.norm=layer"], "'batch' or 'group'"),
        (["tasks.colour=1"], "tasks.colour is not an entry"),
        (["training.augmentation=crop-flip"], "moves images, but not the targets of their pixels"),
        (['arms.noise.defences=["mixup"]'], "mixup changes batches with class labels"),
    ],
)
def test_impossible_specs_are_refused(assignments, sentence):
    with pytest.raises(SpecError, match=sentence):
        override(spec_from_table(TABLE), assignments)


def test_preparing_defences_are_allowed():
    assert override(spec_from_table(TABLE), ['arms.noise.defences=["jpeg"]']).arms["noise"].defences == ("jpeg",)


def test_data_and_networks_that_know_no_tasks_are_refused(tmp_path, finished):
    with pytest.raises(ExperimentError, match="digits has no per-pixel targets"):
        train_experiment(make(tmp_path / "digits", "data.name=digits"))
    with pytest.raises(ValueError, match="resnet-small, resnet18, resnet50, not 'lenet5'"):
        train_experiment(make(tmp_path / "lenet", "model.name=lenet5"))
    with pytest.raises(ExperimentError, match="do not have the task depth"):
        task_sample(finished, "clean", "depth")
    plain = dataclasses.replace(finished.spec, tasks=None)
    with pytest.raises(ExperimentError, match=r"has one task alone; give its spec a \[tasks\] table"):
        loss_of_task(plain, dataset_of(plain), "scene")
