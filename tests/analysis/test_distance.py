"""Threshold, UD, spread over seeds and verdicts on tables whose answers are known."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.cluster import KMeans

from analysis import (
    learnable_threshold,
    rank_correlation,
    summarise_seeds,
    threshold_midpoints,
    unlearnable_distance,
    verdict,
)

CLEAN = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]])


def test_two_means_is_the_best_split():
    chance = np.random.default_rng(0)
    for _ in range(40):
        values = chance.lognormal(sigma=2, size=9)
        best = min(
            (values[list(left)].var() * len(left) + np.delete(values, left).var() * (9 - len(left)), left)
            for k in range(1, 5)
            for left in itertools.combinations(range(9), k)
        )[1]
        wanted = (values[list(best)].mean() + np.delete(values, best).mean()) / 2
        assert learnable_threshold([values], rule="two-means") == pytest.approx(wanted)


def test_kmeans_is_the_authors_call():
    table = np.random.default_rng(1).lognormal(size=(5, 21))
    wanted = [
        KMeans(n_clusters=2, random_state=0, n_init="auto").fit(row[:, None]).cluster_centers_.mean() for row in table
    ]
    np.testing.assert_allclose(threshold_midpoints(table), wanted)
    assert learnable_threshold(table) == pytest.approx(np.mean(wanted))


def test_ud_counts_blocks_and_weighs_them():
    poisoned = np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.2]])
    found = unlearnable_distance(CLEAN, poisoned, sizes=[1, 2, 3, 4])
    assert found.threshold == pytest.approx(0.5)
    assert found.counts_clean.tolist() == [2, 3]
    assert found.counts_poisoned.tolist() == [1, 0, 0]
    assert found.value == pytest.approx((1 / 3) / 2.5)
    assert found.value_by_parameters == pytest.approx((4 / 3) / ((7 + 9) / 2))
    assert unlearnable_distance(CLEAN, CLEAN).value == 1
    assert unlearnable_distance(CLEAN, CLEAN, threshold=0.1).thresholds.size == 0


def test_thresholds_that_are_known_are_not_found_anew(monkeypatch):
    poisoned = CLEAN / 3
    found = unlearnable_distance(CLEAN, poisoned)
    monkeypatch.setattr("analysis.splits.kmeans", lambda values: pytest.fail("found anew"))
    again = unlearnable_distance(CLEAN, poisoned, thresholds=found.thresholds)
    assert (again.value, again.threshold) == (found.value, found.threshold)
    np.testing.assert_array_equal(again.thresholds, found.thresholds)


@pytest.mark.parametrize(
    ("clean", "poisoned", "kwargs", "words"),
    [
        (np.ones((2, 1)), np.ones((2, 1)), {}, "unit"),
        (CLEAN, CLEAN[:, :3], {}, "4 blocks"),
        (CLEAN, CLEAN, {"threshold": 2.0}, "undefined"),
        (np.ones((2, 3)), np.ones((2, 3)), {}, "undefined"),
        (CLEAN, np.where(CLEAN > 0, np.nan, 0), {}, "checkpoint 0, block 2"),
        (np.zeros((0, 3)), CLEAN, {}, "with entries"),
        (CLEAN, CLEAN, {"sizes": [1, 2]}, "4 blocks"),
        (CLEAN, CLEAN, {"rule": "guess"}, "rule"),
        (CLEAN, CLEAN, {"threshold": np.nan}, "finite"),
        (CLEAN, CLEAN, {"thresholds": [0.5]}, "each of the 2 clean checkpoints"),
        (CLEAN, CLEAN, {"thresholds": [0.5, 0.5], "threshold": 0.5}, "without a threshold"),
        (CLEAN, CLEAN, {"thresholds": [0.5, np.inf]}, "finite"),
    ],
)
def test_what_has_no_ud_says_so(clean, poisoned, kwargs, words):
    with pytest.raises(ValueError, match=words):
        unlearnable_distance(clean, poisoned, **kwargs)


def test_spread_over_seeds():
    values = [0.4, 0.5, 0.7]
    found = summarise_seeds(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.n, found.mean) == (3, pytest.approx(np.mean(values)))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    with pytest.raises(ValueError, match="finite"):
        summarise_seeds([])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.1, 0.12, 0.11], "less learnable"),
        ([1.9, 2.0, 2.1], "learns, but wrongly (adversarial)"),
        ([0.7, 1.3, 1.1], "not told apart from clean"),
        ([0.5], "looks less learnable; one run, no spread known"),
        ([1.1], "not told apart from clean; one run, no spread known"),
        ([1.8], "seems to learn, but wrongly (adversarial); one run, no spread known"),
    ],
)
def test_verdicts(values, words):
    assert verdict(summarise_seeds(values)) == words


def test_rank_correlation():
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert np.isnan(rank_correlation([1, 1], [1, 2]))
    with pytest.raises(ValueError, match="equal length"):
        rank_correlation([1], [1])
