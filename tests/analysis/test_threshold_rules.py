"""Threshold rules on lists whose best split is known."""

import numpy as np
import pytest

from analysis import RULES, learnable_threshold, pooled_threshold, splits, threshold_midpoints, unlearnable_distance
from options import RULES as OFFERED

TWO = np.array([[0.01, 0.02, 0.03, 4.01, 4.02, 4.03]])


@pytest.mark.parametrize(
    ("rule", "beta"),
    [
        ("two-means", 2.02),
        ("otsu", 2.02),
        ("gaussian-mixture", 2.02),
        ("percentile", 2.02),
        ("log-two-means", np.exp(np.log([0.01, 0.02, 0.03]).mean() / 2 + np.log([4.01, 4.02, 4.03]).mean() / 2)),
    ],
)
def test_closed_forms_pooled_or_not(rule, beta):
    assert learnable_threshold(TWO, rule=rule) == pytest.approx(beta, abs=0.01)
    assert learnable_threshold(np.tile(TWO, (3, 1)), rule="pooled-" + rule) == pytest.approx(beta, abs=0.01)


def test_log_two_means_scales_and_gives_every_decade_a_say():
    row = np.array([[1e-6, 2e-6, 4e-6, 1e-2, 2e-2, 4e-2, 1.0]])
    beta = learnable_threshold(row, rule="log-two-means")
    assert (row > beta).sum() == 4
    assert (row > learnable_threshold(row, rule="two-means")).sum() == 1, "on the plain scale one block outweighs all"
    assert learnable_threshold(7 * row, rule="log-two-means") == pytest.approx(7 * beta)


@pytest.mark.parametrize(
    ("row", "beta"),
    [([0.0, 0.0, 0.0], 0.0), ([0.0, 0.0, 0.4, 0.4], 0.2), ([0.3, 0.3], 0.3), ([0.0, 1.0, 100.0], 10.0)],
)
def test_zeros_belong_to_the_lower_group(row, beta):
    assert learnable_threshold([row], rule="log-two-means") == pytest.approx(beta)


def test_otsu_finds_the_split_of_two_means_and_returns_the_edge():
    chance = np.random.default_rng(0)
    for _ in range(30):
        values = np.concatenate([chance.normal(0, 1, 40), chance.normal(9, 1, 15)])
        lower = np.sort(values)[: splits.best_split(np.sort(values))]
        upper = np.sort(values)[len(lower) :]
        assert lower.max() - np.ptp(values) / 256 <= splits.otsu(values) <= upper.min() + np.ptp(values) / 256
    assert splits.otsu(np.array([0.0, 0.0, 0.0, 10.0])) == pytest.approx(5, abs=0.03), "middle of the gap"
    assert splits.two_means(np.array([0.0, 1.0, 10.0])) != pytest.approx(
        splits.otsu(np.array([0.0, 1.0, 10.0])), abs=0.1
    )


def test_crossing_of_two_gaussians():
    found = splits.crossing(np.array([0.8, 0.2]), np.array([0.0, 4.0]), np.array([1.0, 1.0]))
    assert found == pytest.approx(2 + np.log(4) / 4)
    weights, means, variances = np.array([0.6, 0.4]), np.array([0.0, 5.0]), np.array([1.0, 4.0])
    at = splits.crossing(weights, means, variances)
    density = weights * np.exp(-((at - means) ** 2) / (2 * variances)) / np.sqrt(variances)
    assert density[0] == pytest.approx(density[1])
    assert 0 < at < 5
    assert splits.crossing(np.array([0.999, 0.001]), np.array([0.0, 0.1]), np.array([1.0, 1.0])) == pytest.approx(0.05)


def test_a_mixture_of_tiny_values_is_not_swamped():
    tiny = 1e-5 * np.concatenate(
        [np.random.default_rng(0).normal(1, 0.1, 40), np.random.default_rng(1).normal(5, 0.1, 40)]
    )
    assert splits.gaussian_mixture(tiny) == pytest.approx(3e-5, rel=0.2)


def test_percentile_is_parametrised():
    row = np.arange(1.0, 102.0)[None]
    assert learnable_threshold(row, rule="percentile") == 51
    assert learnable_threshold(row, rule="percentile", percentile=75) == 76
    with pytest.raises(ValueError, match="between 0 and 100"):
        learnable_threshold(row, rule="percentile", percentile=100)


def test_pooling_over_checkpoints_and_seeds():
    chance = np.random.default_rng(0)
    runs = [chance.lognormal(size=(t, 6)) for t in (3, 5)]
    whole = np.concatenate([run.ravel() for run in runs])
    assert pooled_threshold(runs) == pytest.approx(splits.log_two_means(whole))
    assert pooled_threshold(runs, rule="two-means") == pooled_threshold(runs, rule="pooled-two-means")
    midpoints = threshold_midpoints(runs[0], rule="pooled-two-means")
    assert midpoints.shape == (3,)
    assert np.ptp(midpoints) == 0
    with pytest.raises(ValueError, match="At least one"):
        pooled_threshold([])
    with pytest.raises(ValueError, match="different numbers of blocks"):
        pooled_threshold([runs[0], runs[1][:, :2]])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_a_ud_and_leaves_chance_alone(rule):
    table = np.random.default_rng(2).lognormal(sigma=2, size=(4, 12))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert unlearnable_distance(table, table, rule=rule).value == 1
    assert learnable_threshold(table, rule=rule) == learnable_threshold(table, rule=rule)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert learnable_threshold(np.full((2, 3), 0.5), rule=rule) == 0.5


def test_the_command_line_offers_every_rule():
    assert (*OFFERED, *("pooled-" + rule for rule in OFFERED)) == RULES
