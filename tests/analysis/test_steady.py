"""Steadier estimates of UD, floor, power, comparison and calibration on tables whose answers are known."""

import numpy as np
import pytest

from analysis import (
    ESTIMATORS,
    calibrate,
    compare_estimators,
    estimate_ud,
    floor,
    pooled_threshold,
    power,
    ud_authors,
    ud_geometric,
    ud_log,
    ud_rank,
    unlearnable_distance,
)
from analysis.steady import exceedance

CHANCE = np.random.default_rng(0)
CLEAN = [CHANCE.lognormal(-4, 2, size=(5, 12)) for _ in range(4)]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_equal_runs_give_one_and_flat_runs_less(name):
    same = estimate_ud(CLEAN, CLEAN, estimator=name)
    assert same.value == pytest.approx(1)
    assert same.per_seed == pytest.approx((1,) * 4)
    lower = [estimate_ud(CLEAN, [table * s for table in CLEAN], estimator=name).value for s in (10, 0.3, 0.01)]
    assert lower[0] > 1 > lower[1] > lower[2] >= 0
    assert estimate_ud(CLEAN, CLEAN, estimator=name, paired=False).value > 0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_seed_has_no_spread(name):
    one = estimate_ud(CLEAN[:1], CLEAN[1:2], estimator=name)
    assert (one.std, one.low, one.high, one.summary.n) == (None, None, None, 1)
    assert one.bootstrap.note == "one seed, no spread known"


def test_authors_estimate_is_their_ud():
    found = ud_authors(CLEAN[:2], CLEAN[2:])
    assert found.per_seed == pytest.approx([unlearnable_distance(CLEAN[i], CLEAN[i + 2]).value for i in range(2)])
    loose = ud_authors(CLEAN[:2], CLEAN[2:], paired=False)
    wanted = [np.mean([unlearnable_distance(c, p).value for c in CLEAN[:2]]) for p in CLEAN[2:]]
    assert loose.per_seed == pytest.approx(wanted)


def test_log_estimate_has_one_threshold():
    found = ud_log(CLEAN[:2], CLEAN[2:])
    beta = pooled_threshold(CLEAN[:2], rule="log-two-means")
    assert found.threshold == beta
    assert found.per_seed[0] == pytest.approx((CLEAN[2] > beta).mean() / (CLEAN[0] > beta).mean())
    scaled = ud_log([7 * t for t in CLEAN[:2]], [7 * t for t in CLEAN[2:]])
    assert scaled.per_seed == pytest.approx(found.per_seed), "units of the loss cancel"


def test_rank_is_the_area_under_the_curve():
    clean, poisoned = np.array([[1.0, 1.0], [2.0, 1.0]]), np.array([[1.5, 1.0], [3.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(exceedance(clean, poisoned), [(1 + 2 + 0) / 6, 0.5])
    assert ud_rank([clean], [poisoned]).value == pytest.approx(1)
    assert ud_rank([clean], [clean + 9]).value == 2
    assert ud_rank([clean], [clean - 9]).value == 0
    assert ud_rank([clean], [poisoned]).value == ud_rank([np.exp(clean)], [np.exp(poisoned)]).value


def test_geometric_is_a_factor():
    halved = [table / 2 for table in CLEAN]
    assert ud_geometric(CLEAN, halved, smallest=1e-12).per_seed == pytest.approx((0.5,) * 4)
    assert ud_geometric(CLEAN, [np.zeros_like(t) for t in CLEAN]).value > 0, "zeros count as the smallest clean SAL"
    with pytest.raises(ValueError, match="positive"):
        ud_geometric(CLEAN, CLEAN, smallest=0)
    with pytest.raises(ValueError, match="0 everywhere"):
        ud_geometric([np.zeros((2, 2))], [np.ones((2, 2))])


def test_floor_takes_every_ordered_pair_and_leaves_one_out():
    found = floor(CLEAN, estimator="log")
    assert (len(found.values), found.n) == (12, 4)
    beta = pooled_threshold([CLEAN[0], CLEAN[1], CLEAN[3]], rule="log-two-means")
    place = found.pairs.index((0, 2))
    assert found.values[place] == pytest.approx((CLEAN[2] > beta).mean() / (CLEAN[0] > beta).mean())
    assert floor([CLEAN[0]] * 3).log_std == 0
    assert floor(CLEAN, estimator="rank").low < 1 < floor(CLEAN, estimator="rank").high
    with pytest.raises(ValueError, match="at least two"):
        floor(CLEAN[:1])


def test_power_counts_intervals():
    flat, flatter = [t * 1e-3 for t in CLEAN], [t * 1e-6 for t in CLEAN]
    estimates = {
        "flat": ud_geometric(CLEAN, flat, smallest=1e-20),
        "flatter": ud_geometric(CLEAN, flatter, smallest=1e-20),
        "other": ud_rank(CLEAN, CLEAN[::-1]),
        "single": ud_rank(CLEAN[:1], flat[:1]),
    }
    found = power(estimates)
    assert found.from_clean == ("flat", "flatter")
    assert ("flat", "flatter") in found.apart
    assert (found.methods, found.pairs, found.unknown) == (4, 6, ("single",))
    assert set(power(estimates, interval="bootstrap").from_clean) >= {"flat", "flatter"}
    with pytest.raises(ValueError, match="interval"):
        power(estimates, interval="guess")


def test_estimators_side_by_side():
    poisoned = {f"m{k}": [t * s for t in CLEAN] for k, s in enumerate((0.5, 0.2, 0.05))}
    rows = compare_estimators(CLEAN, poisoned)
    assert [row.estimator for row in rows] == list(ESTIMATORS)
    for row in rows:
        assert row.agreement == pytest.approx(1)
        assert row.separation["m2"] >= row.separation["m1"] > row.separation["m0"] > 0
        assert row.separation["m1"] == pytest.approx(abs(np.log(row.estimates["m1"].value)) / row.floor.log_std)
    single = compare_estimators(CLEAN, {"a": CLEAN}, estimators=["rank"])[0]
    assert np.isnan(single.agreement)
    with pytest.raises(ValueError, match="no method"):
        compare_estimators(CLEAN, {})


@pytest.mark.parametrize(
    ("clean", "poisoned", "kwargs", "words"),
    [
        ([], CLEAN, {}, "At least one clean"),
        (CLEAN, [], {}, "At least one poisoned"),
        (CLEAN, CLEAN[:2], {}, "paired=False"),
        (CLEAN, [t[:, :3] for t in CLEAN], {}, "12 blocks"),
        (CLEAN, CLEAN, {"estimator": "oracle"}, "estimator"),
    ],
)
def test_wrong_sides(clean, poisoned, kwargs, words):
    with pytest.raises(ValueError, match=words):
        estimate_ud(clean, poisoned, **kwargs)


def test_calibration_recovers_a_power_law_per_block():
    gradient = np.exp(np.random.default_rng(1).normal(size=(20, 6)))
    truth = np.exp(np.linspace(-1, 1, 6)) * gradient**1.3
    at = [0, 5, 11, 19]
    found = calibrate(gradient, truth[at], at)
    np.testing.assert_allclose(found.sal, truth)
    assert (found.slope, found.searched) == (pytest.approx(1.3), 24)
    assert found.log_error < 1e-9 < found.log_error_raw
    spoiled = truth[at].copy()
    spoiled[1, 2] *= 1e4
    np.testing.assert_allclose(calibrate(gradient, spoiled, at).sal[:, :2], truth[:, :2], rtol=1e-6)
    common = calibrate(gradient, 3 * gradient[at] ** 0.5, at, scope="global")
    np.testing.assert_allclose(common.sal, 3 * gradient**0.5)
    assert np.ptp(common.offsets) == 0


def test_calibration_by_one_checkpoint_and_with_zeros():
    gradient = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 3.0]])
    found = calibrate(gradient, [[2.0, 4.0, 0.0]], [0])
    assert (found.slope, found.log_error, found.error_factor) == (1, None, None)
    np.testing.assert_allclose(found.sal, [[2, 4, 0], [4, 2, 6]])


@pytest.mark.parametrize(
    ("search", "at", "scope", "words"),
    [
        (np.ones((1, 2)), [0], "block", "12 blocks"),
        (np.ones((2, 12)), [0], "block", "one row per index"),
        (np.ones((2, 12)), [0, 0], "block", "different rows"),
        (np.ones((1, 12)), [9], "block", "from 0 to 4"),
        (np.zeros((1, 12)), [0], "block", "nothing to fit"),
        (np.ones((1, 12)), [0], "room", "scope"),
    ],
)
def test_calibration_refuses(search, at, scope, words):
    with pytest.raises(ValueError, match=words):
        calibrate(CLEAN[0], search, at, scope=scope)
