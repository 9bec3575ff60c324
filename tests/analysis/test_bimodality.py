"""Dip, silhouette and Ashman's D against known values and other programs."""

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.metrics import silhouette_score

from analysis import ashman_d, dip_p_value, dip_statistic, judge_bimodality, split_silhouette
from analysis.splits import best_split


def dip_by_definition(values):
    """The nearest unimodal distribution function by linear programming, for every place of the mode."""
    x, counts = np.unique(values, return_counts=True)
    n, m = counts.sum(), len(x)
    after = np.cumsum(counts) / n
    before = after - counts / n
    best = 1.0
    for mode in range(m):
        left, right, t = (lambda i: i), (lambda i, mode=mode: i + 1), m + 1
        rows, bounds = [], []

        def add(entries, bound, rows=rows, bounds=bounds):
            row = np.zeros(m + 2)
            for place, value in entries:
                row[place] += value
            rows.append(row)
            bounds.append(bound)

        for i in range(m):
            for place, limits in ((left(i), [before, after]), (right(i), [before, after])):
                if (place == left(i) and i > mode) or (place == right(i) and i < mode):
                    continue
                kept = limits if i != mode else ([before] if place == left(i) else [after])
                for limit in kept:
                    add([(place, 1), (t, -1)], limit[i])
                    add([(place, -1), (t, -1)], -limit[i])
        add([(left(mode), 1), (right(mode), -1)], 0)
        for i in range(1, mode):
            a, b = x[i] - x[i - 1], x[i + 1] - x[i]
            add([(left(i), 1 / a + 1 / b), (left(i - 1), -1 / a), (left(i + 1), -1 / b)], 0)
        for i in range(mode + 1, m - 1):
            a, b = x[i] - x[i - 1], x[i + 1] - x[i]
            add([(right(i), -1 / a - 1 / b), (right(i - 1), 1 / a), (right(i + 1), 1 / b)], 0)
        if mode > 0:
            add([(left(0), 1), (left(1), -1)], 0)
        if mode < m - 1:
            add([(right(m - 2), 1), (right(m - 1), -1)], 0)
        cost = np.zeros(m + 2)
        cost[t] = 1
        best = min(best, linprog(cost, A_ub=np.array(rows), b_ub=bounds, bounds=[(0, 1)] * (m + 2)).fun)
    return best


@pytest.mark.parametrize("ties", [False, True])
def test_dip_is_the_distance_to_the_nearest_unimodal_distribution(ties):
    chance = np.random.default_rng(1)
    for _ in range(12):
        n = int(chance.integers(6, 13))
        values = chance.integers(0, 5, n).astype(float) if ties else chance.normal(size=n)
        if len(np.unique(values)) > 2:
            assert dip_statistic(values) == pytest.approx(max(dip_by_definition(values), 1 / (2 * n)), abs=1e-7)


def test_dip_of_simple_lists():
    assert dip_statistic(np.linspace(0, 1, 50)) == pytest.approx(0.01), "evenly spread: 1/(2n)"
    assert dip_statistic([0, 0, 0, 0, 1, 1, 1, 1]) == pytest.approx(0.25), "two points: the largest dip"
    assert dip_statistic([3, 3, 3]) == 0
    values = np.random.default_rng(0).normal(size=30)
    assert dip_statistic(5 * values - 2) == pytest.approx(dip_statistic(values))
    assert dip_statistic(-values) == pytest.approx(dip_statistic(values))
    with pytest.raises(ValueError, match="finite"):
        dip_statistic([1, np.nan])


def test_p_values_follow_the_published_table():
    assert dip_p_value(0.0702, 50, draws=2000) == pytest.approx(0.05, abs=0.015), "Hartigan and Hartigan, Table 1"
    assert dip_p_value(0.25, 100, draws=200) == pytest.approx(1 / 201)
    assert dip_p_value(0.01, 50, draws=200) == 1
    assert dip_p_value(0.05, 80, draws=200, seed=3) == dip_p_value(0.05, 80, draws=200, seed=3)


def test_silhouette_is_scikit_learns():
    chance = np.random.default_rng(0)
    for values in (chance.normal(size=40), np.array([0.0, 0.1, 9.0]), chance.integers(0, 5, 30).astype(float)):
        ordered = np.sort(values)
        labels = np.arange(len(values)) >= best_split(ordered)
        assert split_silhouette(values) == pytest.approx(silhouette_score(ordered[:, None], labels))
    assert split_silhouette(np.linspace(0, 1, 4001)) == pytest.approx(0.63, abs=0.01)
    with pytest.raises(ValueError, match="different"):
        split_silhouette([1, 1])


def test_ashmans_d_of_two_gaussians():
    chance = np.random.default_rng(0)
    values = np.concatenate([chance.normal(0, 1, 3000), chance.normal(8, 1, 3000)])
    assert ashman_d(values) == pytest.approx(8, rel=0.05)


def test_words():
    chance = np.random.default_rng(0)
    apart = np.exp(np.concatenate([chance.normal(0, 1, 60), chance.normal(8, 1, 60)]))
    assert judge_bimodality(apart, draws=200).verdict == "two groups, clearly apart"
    one = judge_bimodality(np.append(np.exp(chance.normal(size=80)), [0.0, 0.0]), draws=200)
    assert one.verdict == "no sign of two groups; β cuts a continuum"
    assert (one.n, one.left_out) == (80, 2)
    assert judge_bimodality(apart[:5]).verdict.startswith("too few values to tell (5)")
    equal = judge_bimodality(np.ones(30), draws=200)
    assert (equal.silhouette, equal.ashman_d, equal.p_value) == (None, None, 1.0)
    with pytest.raises(ValueError, match="scale"):
        judge_bimodality(apart, scale="decibel")
    with pytest.raises(ValueError, match="0 or more"):
        judge_bimodality([-1.0, 2.0])
    with pytest.raises(ValueError, match="two values"):
        judge_bimodality([0.0, 2.0])
