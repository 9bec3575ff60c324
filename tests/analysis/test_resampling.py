"""Bootstrap intervals: what scipy gives, honest with few seeds, and the same for the same seed."""

import numpy as np
import pytest
from scipy import stats

from analysis import bootstrap_difference, bootstrap_mean, bootstrap_rank_correlation, rank_correlation

MANY = list(np.random.default_rng(0).normal(1, 0.2, 60))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_many_seeds_agree_with_the_normal_interval(method):
    found = bootstrap_mean(MANY, method=method)
    low, high = stats.norm.interval(0.95, np.mean(MANY), stats.sem(MANY))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert (found.method, found.note) == (method, "")
    assert found == bootstrap_mean(MANY, method=method)
    assert found.low != bootstrap_mean(MANY, method=method, seed=1).low
    assert found.excludes(2)
    assert not found.excludes(found.value)


def test_few_seeds_say_so():
    one = bootstrap_mean([0.4])
    assert (one.low, one.high, one.note) == (None, None, "one seed, no spread known")
    assert not one.excludes(1)
    two = bootstrap_mean([0.4, 0.6])
    assert (two.method, two.low, two.high) == ("percentile", pytest.approx(0.4), pytest.approx(0.6))
    assert "allow 3 different resamples" in two.note
    assert "10 different" in bootstrap_mean([0.1, 0.4, 0.6]).note
    equal = bootstrap_mean([0.5, 0.5, 0.5])
    assert (equal.low, equal.high) == (0.5, 0.5)
    assert "does not prove" in equal.note


def test_pairs_cancel_what_seeds_share():
    shared = np.random.default_rng(1).normal(0, 1, 10)
    other = shared + 0.5 + 0.01 * np.random.default_rng(2).normal(size=10)
    paired, loose = bootstrap_difference(other, shared, paired=True), bootstrap_difference(other, shared)
    assert paired.value == pytest.approx(loose.value)
    assert paired.excludes(0)
    assert not loose.excludes(0)
    with pytest.raises(ValueError, match="equal length"):
        bootstrap_difference([1, 2], [1], paired=True)
    assert bootstrap_difference([1, 2], [1]).low is None


def test_correlation_over_rows_and_seeds():
    chance = np.random.default_rng(3)
    level = np.linspace(0, 1, 12)
    x = [v + 0.02 * chance.normal(size=3) for v in level]
    y = [v**2 + 0.02 * chance.normal(size=3) for v in level]
    found = bootstrap_rank_correlation(x, y, resamples=400)
    assert found.value == pytest.approx(rank_correlation([v.mean() for v in x], [v.mean() for v in y]))
    assert found.excludes(0)
    assert found == bootstrap_rank_correlation(x, y, resamples=400)
    noise = bootstrap_rank_correlation(x, [v[::-1] for v in chance.permutation(y)], resamples=400)
    assert noise.high - noise.low > found.high - found.low
    noisy = [v + 0.5 * chance.normal(size=3) for v in level]
    wide = bootstrap_rank_correlation(x, noisy, resamples=400)
    narrow = bootstrap_rank_correlation(x, [[v.mean()] * 3 for v in noisy], resamples=400)
    assert wide.high - wide.low > narrow.high - narrow.low, "seeds within rows add to the spread"


def test_short_or_constant_rows():
    few = bootstrap_rank_correlation([[1], [2], [3]], [[1], [3], [2]])
    assert (few.low, few.note) == (None, "3 rows, too few for an interval")
    constant = bootstrap_rank_correlation([[1]] * 5, [[1], [3], [2], [4], [5]])
    assert np.isnan(constant.value)
    assert constant.low is None
    single = bootstrap_rank_correlation([[1], [2], [3], [4]], [[1], [3], [2], [4]], resamples=200)
    assert "no spread of their own" in single.note


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bootstrap_mean([]), "finite number"),
        (lambda: bootstrap_mean([np.nan]), "finite number"),
        (lambda: bootstrap_mean([1, 2], method="jackknife"), "method"),
        (lambda: bootstrap_mean([1, 2], level=1), "level"),
        (lambda: bootstrap_mean([1, 2], resamples=10), "100"),
        (lambda: bootstrap_rank_correlation([[1]], [[1]]), "two rows"),
        (lambda: bootstrap_rank_correlation([[1], [2, 3]], [[1], [2]]), "Row 1"),
    ],
)
def test_wrong_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
