"""Any point of a plane answers: with the surface's own numbers, by true distances, and with a sentence otherwise."""

import numpy as np
import pytest

from experiments import ExperimentError, find_experiment
from experiments.pictures import choose_surface
from experiments.probe import LINE_POINTS, nearest_checkpoints, probe_point


@pytest.fixture(scope="module")
def toy():
    experiment = find_experiment("toy-ops")
    return experiment, choose_surface(experiment)


def test_a_grid_point_answers_with_the_surface_s_own_loss(toy):
    experiment, stored = toy
    i, j = 4, 9
    alpha, beta = float(stored.arrays["alphas"][i]), float(stored.arrays["betas"][j])
    known = probe_point(experiment, stored, alpha, beta)
    losses = {one.label: one for one in known.losses}
    assert set(losses) == {"clean training data", "training data of ops", "test data"}
    own = losses[stored.header["measured_on"]]
    assert own.loss == pytest.approx(float(stored.arrays["loss"][i, j]), rel=1e-4)
    assert own.accuracy == pytest.approx(float(stored.arrays["accuracy"][i, j]), abs=1e-3)
    assert own.samples == stored.header["samples"]
    assert 0 < own.loss_error < 0.1
    along = [one for one in known.slices if one.direction.startswith("along")]
    for one in along:
        (at_point,) = np.unique(one.loss[one.places == 0])
        assert at_point == pytest.approx(float(stored.arrays["loss"][i, j]))
    lines = [one for one in known.slices if one.exact]
    assert {one.on for one in lines} == set(losses)
    assert all(len(one.loss) == LINE_POINTS for one in lines)


def test_the_nearest_checkpoint_is_the_one_the_point_lies_on(toy):
    experiment, stored = toy
    t = 20
    alpha, beta = stored.arrays["path/ops-s0/coordinates"][t]
    first, second = nearest_checkpoints(experiment, stored, float(alpha), float(beta))
    assert (first.run, first.step, first.role) == ("ops-s0", int(stored.arrays["path/ops-s0/steps"][t]), "poisoned")
    assert first.distance == pytest.approx(0, abs=1e-6)
    assert second.distance > 0


@pytest.mark.parametrize("point", [(1e9, 0.0), (float("nan"), 0.0), (0.0, float("inf"))])
def test_points_that_are_none_are_refused(toy, point):
    with pytest.raises(ExperimentError, match=r"outside|finite"):
        probe_point(*toy, *point)


def test_results_without_runs_say_what_is_missing():
    experiment = find_experiment("digits-random")
    stored = choose_surface(experiment)
    known = probe_point(experiment, stored, float(stored.arrays["alphas"][3]), float(stored.arrays["betas"][3]))
    assert known.losses == ()
    assert len(known.near) == 3
    assert "train it" in known.notes[0]
