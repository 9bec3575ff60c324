"""The snapshot while runs train: its plane stays as long as it holds the paths, and does not turn over."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from experiments import Experiment, LiveObserver, load_preset_or_file, override, read_snapshot, train_experiment
from experiments.live import GROWTH, _turned_like
from landscape import Plane


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """Every snapshot of a short training, written after each checkpoint."""
    spec = override(load_preset_or_file("toy-ops"), ["training.epochs=2"])
    experiment = Experiment.create(replace(spec, name="seen"), tmp_path_factory.mktemp("live") / "seen")
    observer, seen = LiveObserver(experiment), []

    def observe(run):
        observer(run)
        observer.write()
        seen.append(read_snapshot(experiment))

    train_experiment(experiment, observe=observe)
    observer.write(finished=True)
    return [*seen, read_snapshot(experiment)]


def test_the_plane_stays_while_it_holds_the_paths(snapshots):
    drawn = [one for one in snapshots if one.header["plane"]]
    assert 1 < len({one.header["plane"]["number"] for one in drawn}) < len(drawn) / 2
    for before, after in pairwise(drawn):
        if before.header["plane"]["number"] == after.header["plane"]["number"]:
            assert np.array_equal(before.arrays["loss"], after.arrays["loss"])
            for run in before.header["runs"]:
                path = before.arrays[f"run/{run['name']}/coordinates"]
                assert np.array_equal(path, after.arrays[f"run/{run['name']}/coordinates"][: len(path)])


def test_every_path_lies_on_its_surface_and_the_plane_is_not_old(snapshots):
    for one in (one for one in snapshots if one.header["plane"]):
        paths = [one.arrays[f"run/{run['name']}/coordinates"] for run in one.header["runs"]]
        for path in paths:
            for k, axis in enumerate(("alphas", "betas")):
                assert one.arrays[axis][0] <= path[:, k].min()
                assert path[:, k].max() <= one.arrays[axis][-1]
        assert sum(map(len, paths)) <= GROWTH * one.header["plane"]["checkpoints"]


def test_the_last_plane_is_that_of_all_checkpoints(snapshots):
    last = snapshots[-1].header
    assert last["plane"]["checkpoints"] == sum(run["checkpoints"] for run in last["runs"])


def test_a_new_plane_points_where_the_one_before_it_did():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(9, 2)))[0].T
    before = Plane(np.zeros(9), axes)
    turned = _turned_like(Plane(np.ones(9), axes * [[-1.0], [1.0]], np.array([0.6, 0.3])), before)
    assert np.array_equal(turned.axes, axes)
    assert turned.explained_variance_ratio.tolist() == [0.6, 0.3]
