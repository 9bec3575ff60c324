"""The cross-task step: every task of every run measured once, SAL under one task's loss, and what the report says."""

import json
import os
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import training.data
from analysis import Estimate, mean_similarity, task_damage, unlearnable_distance
from checkpoints import read_result, write_result
from cli import main
from experiments import Experiment, ExperimentError, SalSpec, Stopped, compute_surface, override, train_experiment
from experiments.cross_task_names import BASE, BATCHNORM, SCORES, SCORES_KIND
from experiments.cross_task_pictures import draw_cross_task, example_grid, example_images, task_surfaces
from experiments.cross_task_report import cross_task_verdict, report_cross_task
from experiments.cross_task_step import measure_cross_task, sal_options
from experiments.cross_task_stored import shared_blocks
from experiments.cross_task_words import cross_task_json, cross_task_text
from experiments.engine import Where
from experiments.materials import dataset_of
from experiments.progress import Silent
from experiments.sal_step import compute_sal
from experiments.spec import SurfaceSpec
from experiments.spec_toml import spec_from_table
from experiments.stored import read_sal
from experiments.summary import summarise
from experiments.task_materials import task_network, task_sample
from experiments.tasks import image_size
from tests.experiments.test_tasks import TABLE, rectangles
from training.batchnorm import reestimate_batchnorm
from training.tasks import TASKS, image_metrics, tasks_named

ARMS = {
    "clean": {},
    "lsp": {"method": "lsp"},
    "noise": {"method": "uniform-noise", "control": True},
}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(training.data.DATASETS, "rectangles", rectangles)


def make(path, *assignments):
    table = {**TABLE, "arms": ARMS, "seeds": [0, 1], "training": TABLE["training"] | {"epochs": 5}}
    return Experiment.create(override(spec_from_table(table), assignments), path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.data.DATASETS, "rectangles", rectangles)
        experiment = make(tmp_path_factory.mktemp("cross") / "several")
        train_experiment(experiment)
    return experiment


@pytest.fixture(scope="module")
def measured(trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.data.DATASETS, "rectangles", rectangles)
        measure_cross_task(trained, where=Where(1))
    return trained


def copied(experiment, tmp_path):
    shutil.copytree(experiment.path, tmp_path / "copy")
    return Experiment.open(tmp_path / "copy")


def test_a_run_is_measured_as_its_network_does_on_the_test_images(measured):
    stored = report_cross_task(measured).shown["lsp-s1"]
    run, dataset = measured.open_run("lsp-s1"), dataset_of(measured.spec)
    model = task_network(measured.spec, dataset, run, "lsp-s1", None)
    model.load_state_dict(run.state_dict(len(run) - 1))
    batches = task_sample(measured, "test", None).batches
    found = image_metrics(model, batches, tasks_named(), size=image_size(dataset), n_classes=dataset.n_classes)
    for task in TASKS:
        for metric, values in found[task].items():
            np.testing.assert_array_equal(stored.arrays[f"metric/{task}/{metric}"], values)
    assert stored.arrays["example/scene"].shape == (6, 3)
    assert stored.arrays["example/depth_euclidean"].shape == (6, 16, 16)


def test_another_tasks_head_has_no_sal_at_all(measured):
    for task in TASKS:
        path = next(path for path in measured.result_files(f"cross-task/sal/{task}") if "clean-s0" in path.name)
        series = read_sal(path)
        for k, block in enumerate(series.blocks):
            other = block.startswith("heads.") and not block.startswith(f"heads.{task}.")
            assert (series.sal[:, k] == 0).all() == other, block
        shared = shared_blocks(series, task)
        assert all(block.startswith("backbone.") for block in shared.blocks)
        assert len(shared.blocks) == shared.sal.shape[1] == len(shared.sizes)
        wrong = "scene" if task != "scene" else "segment_unsup2d"
        with pytest.raises(ExperimentError, match="not 0 in the head of another task"):
            shared_blocks(series, wrong)


def test_sal_of_a_task_is_kept_apart_and_old_keys_stay(measured):
    assert measured.result_files("sal") == []
    path = compute_sal(measured, SalSpec(samples=12), runs=["clean-s0"])[0]
    assert path.parent.name == "sal"
    assert "task" not in read_result(path, kind="sal").header
    (task,) = compute_sal(measured, SalSpec(samples=12), runs=["clean-s0"], task="scene")
    mine, plain = read_sal(task), read_sal(path)
    shared = [k for k, block in enumerate(mine.blocks) if block in plain.blocks]
    np.testing.assert_allclose(mine.sal[:, shared], plain.sal, rtol=1e-5, atol=1e-12)
    path.unlink()


def test_the_report_is_the_analysis_of_what_was_measured(measured):
    found = report_cross_task(measured)
    assert found.arms == {"lsp": "poisoned", "noise": "control"}
    assert found.seeds == {"clean": (0, 1), "lsp": (0, 1), "noise": (0, 1)}
    scores = found.shown
    base = read_result(measured.result_files(BASE)[0], kind="cross-task-base")
    sides = [
        np.stack([scores[f"{a}-s{s}"].arrays["metric/depth_euclidean/abs_rel"] for s in (0, 1)])
        for a in ("clean", "lsp")
    ]
    by_hand = task_damage(*sides, base.arrays["trivial/depth_euclidean/abs_rel"], False)
    np.testing.assert_equal(asdict(found.damage["depth_euclidean"]["lsp"]), asdict(by_hand))
    assert found.means["scene"]["lsp"]["accuracy"] == tuple(
        scores[f"lsp-s{s}"].arrays["metric/scene/accuracy"].mean() for s in (0, 1)
    )
    runs = found.sal["scene"]
    pairs = [unlearnable_distance(runs[f"clean-s{s}"].sal, runs[f"lsp-s{s}"].sal).value for s in (0, 1)]
    assert list(found.ud["scene"]["lsp"].ud.per_seed) == pairs
    assert set(found.net) == {"noise"}
    assert set(found.net["noise"]["scene"]) == {"lsp"}
    by_seed = [{task: runs[f"lsp-s{s}"].sal[-1] for task, runs in found.sal.items()} for s in (0, 1)]
    np.testing.assert_array_equal(found.similarity("lsp", "spearman"), mean_similarity(by_seed, kind="spearman"))
    assert found.similarity("lsp", "cosine")[0, 2] > 0


def test_batchnorm_statistics_of_clean_images_stand_beside_the_runs_own(measured, tmp_path):
    dataset, run = dataset_of(measured.spec), measured.open_run("lsp-s1")
    model = task_network(measured.spec, dataset, run, "lsp-s1", None)
    model.load_state_dict(run.state_dict(len(run) - 1))
    reestimate_batchnorm(model, torch.from_numpy(dataset.x_train))
    shape = {"size": image_size(dataset), "n_classes": dataset.n_classes}
    by_hand = image_metrics(model, task_sample(measured, "test", None).batches, tasks_named(), **shape)
    found = report_cross_task(measured)
    again = found.batchnorm
    assert again.images == 24
    for task, title in found.tasks.items():
        values = again.means[task]["lsp"][title.metric]
        assert values[1] == pytest.approx(np.nanmean(by_hand[task][title.metric]))
    assert again.means["depth_euclidean"]["lsp"] != found.means["depth_euclidean"]["lsp"]
    table = json.loads(json.dumps(cross_task_json(found), allow_nan=False))
    assert table["batchnorm_images"] == 24
    shown = table["tasks"]["depth_euclidean"]["clean_batchnorm"]
    assert shown["means"]["lsp"]["abs_rel"] == list(again.means["depth_euclidean"]["lsp"]["abs_rel"])
    assert set(shown["damage"]) == {"lsp", "noise"}
    assert "with BatchNorm statistics from 24 clean images" in cross_task_text(found)
    experiment = copied(measured, tmp_path)
    shutil.copy(experiment.run_path("noise-s1"), experiment.run_path("lsp-s1"))  # trained anew, as it were
    assert set(report_cross_task(experiment).batchnorm.means["scene"]) == {"clean", "noise", "lsp"}
    file_of(experiment, BATCHNORM, "lsp-s0").unlink()
    assert set(report_cross_task(experiment).batchnorm.means["scene"]) == {"clean", "noise"}


def test_without_batchnorm_there_is_nothing_to_measure_anew(tmp_path):
    experiment = make(tmp_path / "groups", "tasks.norm=group", "training.epochs=1", "seeds=[0]")
    train_experiment(experiment)
    assert measure_cross_task(experiment, where=Where(1)).batchnorm == ()
    found = report_cross_task(experiment)
    assert found.batchnorm is None
    table = cross_task_json(found)
    assert table["batchnorm_images"] is table["tasks"]["scene"]["clean_batchnorm"] is None
    assert "BatchNorm" not in cross_task_text(found)


def test_words_and_json_say_everything(measured):
    found = report_cross_task(measured)
    text = cross_task_text(found)
    for words in (
        "depth (relative error): lower is better",
        "net of noise",
        "UD",
        "cross-task ratio",
        "clean against clean",
    ):
        assert words in text
    table = json.loads(json.dumps(cross_task_json(found), allow_nan=False))
    assert set(table["tasks"]) == set(TASKS)
    assert len(table["tasks"]["scene"]["ud"]["lsp"]["per_seed"]) == 2
    assert len(table["similarity"]["clean"]["spearman"]) == 4


def test_show_counts_what_is_measured_and_names_the_command(measured, tmp_path):
    told = summarise(measured)
    runs = len(measured.finished_runs())
    assert (told.scored, told.as_json()["runs_with_scores"]) == (runs, runs)
    assert f"measured in {runs} of {runs} runs" in told.as_text()
    assert [what for what, _ in told.missing] == ["loss surfaces of every task"]
    before = copied(measured, tmp_path)
    shutil.rmtree(before.path / "cross-task")
    assert summarise(before).missing[0] == ("damage, SAL and UD of every task", f"cross-task {before.path}")


def test_what_exists_is_not_measured_again(measured):
    before = {path: path.stat().st_mtime_ns for path in measured.path.rglob("cross-task/**/*.h5")}
    again = measure_cross_task(measured)
    assert {path: path.stat().st_mtime_ns for path in measured.path.rglob("cross-task/**/*.h5")} == before
    assert len(again.scores) == len(again.batchnorm) == 6
    assert {len(paths) for paths in again.sal.values()} == {6}


def test_a_stop_loses_at_most_the_part_of_one_run(trained, measured, tmp_path):
    experiment = copied(trained, tmp_path)
    shutil.rmtree(experiment.path / "cross-task")

    class StopsAfterTwo(Silent):
        left = 2

        def start(self, label, total, done=0):
            self.label = label

        def advance(self, units=1):
            if self.label.startswith("tasks on"):
                self.left -= 1
                if not self.left:
                    raise Stopped

    with pytest.raises(Stopped):
        measure_cross_task(experiment, progress=StopsAfterTwo())
    kept = experiment.result_files(SCORES)
    assert [path.name for path in kept] == [
        path.name for path in measured.result_files(SCORES) if path.name in {k.name for k in kept}
    ]
    assert len(kept) == 2
    first = kept[0].stat().st_mtime_ns
    measure_cross_task(experiment)
    assert kept[0].stat().st_mtime_ns == first
    assert {p.name for p in experiment.path.rglob("cross-task/**/*.h5")} == {
        p.name for p in measured.path.rglob("cross-task/**/*.h5")
    }
    for path in experiment.result_files(SCORES):
        one, two = (
            read_result(folder / path.name, kind=SCORES_KIND) for folder in (path.parent, measured.path / SCORES)
        )
        assert all(np.array_equal(one.arrays[name], two.arrays[name], equal_nan=True) for name in two.arrays)


def test_surfaces_of_all_tasks_share_plane_and_paths(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    options = SurfaceSpec(grid=3, samples=12)
    paths = {task: compute_surface(experiment, options, runs=["clean-s0", "lsp-s0"], task=task) for task in TASKS}
    stored = {task: read_result(path, kind="surface") for task, path in paths.items()}
    scene = stored["scene"]
    assert scene.arrays["accuracy"].shape == (3, 3)
    for task, one in stored.items():
        assert one.header["task"] == task
        for name in ("origin", "axes", "alphas", "betas", "path/lsp-s0/coordinates"):
            np.testing.assert_array_equal(one.arrays[name], scene.arrays[name])
        assert ("accuracy" in one.arrays) == (task == "scene")
        assert np.isfinite(one.arrays["loss"]).all()
    losses = [one.arrays["loss"] for one in stored.values()]
    assert not any(np.allclose(a, b) for k, a in enumerate(losses) for b in losses[:k])
    plain = read_result(compute_surface(experiment, options, runs=["clean-s0", "lsp-s0"]), kind="surface")
    np.testing.assert_allclose(plain.arrays["loss"], scene.arrays["loss"], rtol=1e-5)
    assert "task" not in plain.header
    assert len(experiment.result_files("surfaces")) == 1


def test_surfaces_of_former_runs_are_not_shown(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    options, runs = SurfaceSpec(grid=2, samples=6), ["clean-s0", "lsp-s0"]
    compute_surface(experiment, options, runs=runs, task="scene")
    assert set(task_surfaces(experiment)) == {"scene"}
    former = experiment.run_path("lsp-s0").read_bytes()
    shutil.copy(experiment.run_path("lsp-s1"), experiment.run_path("lsp-s0"))  # trained anew, as it were
    assert task_surfaces(experiment) == {}
    compute_surface(experiment, options, runs=runs, task="depth_euclidean")
    assert set(task_surfaces(experiment)) == {"depth_euclidean"}
    experiment.run_path("lsp-s0").write_bytes(former)
    assert set(task_surfaces(experiment)) == {"scene"}
    experiment.run_path("lsp-s0").unlink()
    assert task_surfaces(experiment) == {}
    shutil.rmtree(experiment.path / "runs")  # results alone are taken as they are
    assert len(task_surfaces(experiment)) == 1


def test_two_processes_give_the_same_bits(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    options = SurfaceSpec(grid=2, samples=12)
    runs = ["clean-s0", "lsp-s0"]
    one = compute_surface(experiment, options, runs=runs, task="depth_euclidean", where=Where(1))
    loss = read_result(one, kind="surface").arrays["loss"]
    one.unlink()
    from experiments import surface_step, surface_work

    class Elsewhere:
        def run(self, function, items):
            surface_work._worker.cache_clear()
            yield from ((item, surface_work.measure_elsewhere(item)) for item in items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surface_step.Where, "engine", lambda self, seconds: Elsewhere())
        two = compute_surface(experiment, options, runs=runs, task="depth_euclidean")
    np.testing.assert_array_equal(read_result(two, kind="surface").arrays["loss"], loss)


def test_a_damaged_file_is_passed_over(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    for path in experiment.result_files(SCORES):
        if path.name.startswith("noise"):
            path.write_bytes(b"nothing")
    assert set(report_cross_task(experiment).seeds) == {"clean", "lsp"}


def test_the_command_prints_the_table_and_refuses_in_one_sentence(measured, tmp_path):
    shown = CliRunner().invoke(main, ["cross-task", str(measured.path), "--jobs", "1"])
    assert shown.exit_code == 0, shown.output
    assert "segments (adjusted Rand index)" in shown.output
    shown = CliRunner().invoke(main, ["cross-task", str(measured.path), "--measured-only", "--json"])
    assert json.loads(shown.output)["images"] == 6
    single = override(spec_from_table({k: v for k, v in TABLE.items() if k != "tasks"}), [])
    for spec, words in ((single, "one task alone"), (make(tmp_path / "empty").spec, "no finished run")):
        experiment = Experiment.create(spec, tmp_path / words.replace(" ", "-"))
        refused = CliRunner().invoke(main, ["cross-task", str(experiment.path)])
        assert refused.exit_code == 1
        assert words in refused.output
        assert refused.output.count("\n") == 1
    (tmp_path / "nothing-measured").mkdir()
    shutil.copytree(measured.path / "runs", tmp_path / "nothing-measured" / "runs")
    shutil.copy(measured.path / "experiment.toml", tmp_path / "nothing-measured")
    refused = CliRunner().invoke(main, ["cross-task", str(tmp_path / "nothing-measured"), "--measured-only"])
    assert "no measures of a clean run" in refused.output


def test_settings_of_sal_follow_the_experiment(measured):
    assert sal_options(measured).samples == 12
    changed = sal_options(measured, samples=5, every=2)
    assert (changed.samples, changed.every, changed.method, changed.blocks) == (5, 2, "gradient", "layer")


def test_figures_are_drawn_from_the_report_and_exported(measured, tmp_path):
    for figure in ("damage", "net-damage", "task-ud", "task-similarity"):
        target = tmp_path / f"{figure}.svg"
        arguments = ["export", str(measured.path), "--figure", figure, "--format", "svg", "--out", str(target)]
        shown = CliRunner().invoke(main, arguments)
        assert shown.exit_code == 0, shown.output
        assert target.read_bytes().startswith(b"<?xml")
    found = report_cross_task(measured)
    with pytest.raises(ExperimentError, match="no measured control"):
        draw_cross_task(found, "net-damage", control="nobody")
    names = example_images(found)
    assert len(names) == 6
    assert names[0].startswith("1: class ")
    html = example_grid(found, 0, 1, ["clean", "lsp"])
    assert html.count("<img") == 3
    for words in ("key points", "depth", "segments", "truth: class", "lsp: class"):
        assert words in html


def test_a_verdict_says_what_the_intervals_allow(measured):
    found = report_cross_task(measured)

    def one(value, low, high):
        return Estimate(value, low, high, 0.95, "percentile", 2)

    numbers = (one(0.5, 0.2, 0.7), one(-0.3, -0.5, -0.1), one(0.1, -0.1, 0.3), one(float("nan"), None, None))
    net = {task: {"lsp": number} for task, number in zip(TASKS, numbers, strict=True)}
    words = cross_task_verdict(replace(found, net={"noise": net}), "lsp", "noise")
    assert words == (
        "Lsp damages scene class (net of noise); key points does better than with it; "
        "depth: not told apart from noise; segments: not learned by clean training."
    )
    assert cross_task_verdict(replace(found, damage=net), "lsp", None).endswith("clean training.")


# What is missing, stale or diverged ------------------------------------------------------------------------


def file_of(experiment, folder, run):
    (path,) = (path for path in experiment.result_files(folder) if path.name.startswith(f"{run}-"))
    return path


def rewritten(path, kind, to=None, arrays=None, **header):
    """Write a result anew with another header or other arrays."""
    found = read_result(path, kind=kind)
    target = to or path
    path.unlink() if target == path else None
    write_result(target, kind=kind, header=found.header | header, arrays={**found.arrays, **(arrays or {})})
    return target


def test_the_report_takes_the_settings_that_most_tasks_and_runs_have(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    folder = "cross-task/sal/segment_unsup2d"  # the last task, whose file is the newest too
    one = file_of(experiment, folder, "lsp-s0")
    options = read_sal(one).header["options"] | {"samples": 5}
    other = rewritten(one, "sal", one.with_name("lsp-s0-other.h5"), options=options)
    found = report_cross_task(experiment)
    assert set(found.sal) == set(found.ud) == set(TASKS)
    assert (found.options.samples, found.without_sal) == (12, {})
    for path in experiment.path.rglob("cross-task/sal/**/*.h5"):
        if path not in (one, other):
            path.unlink()
    assert report_cross_task(experiment).options.samples == 5
    os.utime(other, ns=(0, 0))
    assert report_cross_task(experiment).options.samples == 12


def test_a_run_that_diverged_costs_its_own_arm_and_task_alone(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    whole = report_cross_task(measured)
    name = "metric/depth_euclidean/abs_rel"
    scores = file_of(experiment, SCORES, "lsp-s1")
    rewritten(scores, SCORES_KIND, arrays={name: np.full(6, np.nan)})
    sal = file_of(experiment, "cross-task/sal/scene", "noise-s0")
    values = read_sal(sal).sal.copy()
    values[-1] = np.nan
    rewritten(sal, "sal", arrays={"sal": values})
    found = report_cross_task(experiment)
    assert set(found.damage["depth_euclidean"]) == {"noise"}
    assert "lsp-s1 has no finite relative error" in found.damage_problems["depth_euclidean"]["lsp"]
    for task in set(TASKS) - {"depth_euclidean"}:
        np.testing.assert_equal(asdict(found.damage[task]["lsp"]), asdict(whole.damage[task]["lsp"]))
    assert set(found.ratio) == {"noise"}
    assert found.similarity("noise", "pearson") is None
    np.testing.assert_array_equal(found.similarity("lsp", "pearson"), whole.similarity("lsp", "pearson"))
    assert "No damage of lsp to depth: lsp-s1" in cross_task_text(found)
    table = json.loads(json.dumps(cross_task_json(found), allow_nan=False))
    assert table["similarity"]["noise"]["pearson"] is None
    assert "noise-s0" in table["no_similarity"]["noise"]
    for figure in ("damage", "net-damage", "task-ud", "task-similarity"):
        draw_cross_task(found, figure, arm="noise" if figure == "task-similarity" else None)


def test_results_of_a_run_or_data_set_that_is_no_more_are_left_out(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    shutil.copy(experiment.run_path("noise-s1"), experiment.run_path("lsp-s1"))  # trained anew, as it were
    for changed in ({"dataset": "0" * 32}, {"data_fingerprint": "0" * 32}):
        path = file_of(experiment, SCORES, "noise-s0")
        os.utime(rewritten(path, SCORES_KIND, **changed), ns=(0, 0))
        found = report_cross_task(experiment)
        assert found.seeds == {"clean": (0, 1), "lsp": (0,), "noise": (1,)}
        shutil.copy(measured.path / SCORES / path.name, path)
    assert found.unmeasured == ("noise-s0", "lsp-s1")
    assert found.without_sal == dict.fromkeys(TASKS, ("lsp-s1",))
    text = cross_task_text(found)
    assert "not measured for noise-s0, lsp-s1 as they are now" in text
    assert "SAL under the loss of depth is not measured by these settings for lsp-s1." in text
    shutil.rmtree(experiment.path / "runs")  # results alone are taken as they are
    assert report_cross_task(experiment).seeds["lsp"] == (0, 1)


def test_a_poisoned_run_that_diverged_is_told_of_once(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    rewritten(file_of(experiment, SCORES, "lsp-s1"), SCORES_KIND, diverged=True)
    found = report_cross_task(experiment)
    assert found.clean_problem is None
    assert all(np.isnan(found.mean(task, "lsp")) for task in TASKS)
    assert all(set(found.damage[task]) == {"noise"} for task in TASKS)
    text = cross_task_text(found)
    assert text.count("No damage of lsp: lsp-s1 diverged") == text.count("lsp-s1 diverged") == 1


def test_runs_outside_the_arms_are_not_measured(measured, tmp_path):
    experiment = copied(measured, tmp_path)
    shutil.copy(experiment.run_path("clean-s0"), experiment.run_path("extra"))
    assert "extra" in experiment.finished_runs()
    found = measure_cross_task(experiment)
    assert {len(paths) for paths in (found.scores, *found.sal.values())} == {6}
    assert not list(experiment.path.rglob("cross-task/**/extra*"))


def test_runs_that_diverged_are_reported_without_sal(tmp_path):
    experiment = make(tmp_path / "diverged", "training.lr=1e6", "training.epochs=1", "seeds=[0]")
    train_experiment(experiment)
    shown = CliRunner().invoke(main, ["cross-task", str(experiment.path), "--jobs", "1"])
    assert shown.exit_code == 0, shown.output
    assert "SAL of lsp-s0 is not measured: its training diverged" in shown.output
    assert "Clean training diverged (clean-s0): its weights are NaN or infinite" in shown.output
    for nonsense in ("0.000", "nan", "damage:", "no better"):
        assert nonsense not in shown.stdout
    found = report_cross_task(experiment)
    assert set(found.lost) == {"clean-s0", "lsp-s0", "noise-s0"}
    table = json.loads(json.dumps(cross_task_json(found), allow_nan=False))
    assert table["tasks"]["segment_unsup2d"]["means"]["lsp"]["ari"] == [None]
    assert set(table["diverged"]) == set(found.lost)
    refused = CliRunner().invoke(main, ["cross-task", str(experiment.path), "--measured-only", "--surfaces"])
    assert "leave one of them out" in refused.output
