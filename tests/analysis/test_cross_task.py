"""Damage of tasks: closed forms, what it must not depend on, and the bootstrap done by hand."""

import dataclasses

import numpy as np
import pytest

from analysis import TaskScores, cross_task_ratio, net_damage, task_damage
from analysis.cross_task import NOTHING_LEARNED, _draws

CHANCE = np.random.default_rng(0)
CLEAN = CHANCE.normal(0.9, 0.05, (3, 40)).clip(0, 1)
TRIVIAL = CHANCE.normal(0.2, 0.05, 40)
POISONED = CLEAN - CHANCE.uniform(0.1, 0.4, (3, 40))
CONTROL = CLEAN - CHANCE.uniform(0.0, 0.1, (3, 40))
SCORES = TaskScores(CLEAN, POISONED, TRIVIAL, True, CONTROL)


def ends(one):
    return (one.value, one.low, one.high)


def test_closed_forms():
    assert ends(task_damage(CLEAN, CLEAN, TRIVIAL, True)) == (0, 0, 0)
    assert ends(task_damage(CLEAN, np.tile(TRIVIAL, (3, 1)), TRIVIAL, True)) == pytest.approx((1, 1, 1))
    between = 0.75 * CLEAN + 0.25 * TRIVIAL
    assert ends(task_damage(CLEAN, between, TRIVIAL, True)) == pytest.approx((0.25, 0.25, 0.25))
    assert ends(net_damage(CLEAN, POISONED, POISONED, TRIVIAL, True)) == (0, 0, 0)
    better = task_damage(CLEAN, CLEAN + 0.1, TRIVIAL, True)
    assert better.high < 0, "a poison that helps does negative damage"


def test_units_and_direction_do_not_matter():
    plain = task_damage(CLEAN, POISONED, TRIVIAL, True)
    turned = task_damage(*(5 - 3 * m for m in (CLEAN, POISONED, TRIVIAL)), False)
    assert ends(turned) == pytest.approx(ends(plain), rel=1e-12)
    assert plain.low < plain.value < plain.high
    assert plain.value == pytest.approx((CLEAN.mean() - POISONED.mean()) / (CLEAN.mean() - TRIVIAL.mean()))


def test_the_interval_is_that_of_the_bootstrap_done_by_hand():
    draws, rows = _draws(3, 40, 300, 7), []
    for seeds, images in zip(draws.seeds[1:].astype(int), draws.images[1:].astype(int), strict=True):
        s, i = np.repeat(np.arange(3), seeds), np.repeat(np.arange(40), images)
        assert len(s) == 3
        assert len(i) == 40
        clean, poisoned, control = (m[np.ix_(s, i)].mean() for m in (CLEAN, POISONED, CONTROL))
        gain = clean - TRIVIAL[i].mean()
        rows.append(((clean - poisoned) / gain, (control - poisoned) / gain))
    low, high = np.percentile(rows, [5, 95], axis=0)
    settings = {"level": 0.9, "resamples": 300, "seed": 7}
    alone = task_damage(CLEAN, POISONED, TRIVIAL, True, **settings)
    net = net_damage(CLEAN, POISONED, CONTROL, TRIVIAL, True, **settings)
    assert [(e.low, e.high) for e in (alone, net)] == [
        pytest.approx(pair, rel=1e-6) for pair in zip(low, high, strict=True)
    ]


def test_what_seeds_and_images_do_to_both_sides_cancels():
    hard = CHANCE.normal(0, 0.3, (1, 40)) + CHANCE.normal(0, 0.3, (3, 1))
    clean, poisoned, control = (0.9 + hard - loss for loss in (0.0, 0.3, 0.1))
    net = net_damage(clean, poisoned, control, np.full(40, -5.0), True)
    shuffled = net_damage(clean, poisoned[:, CHANCE.permutation(40)], control, np.full(40, -5.0), True)
    assert shuffled.value == pytest.approx(net.value)
    assert net.high - net.low < 0.2 * (shuffled.high - shuffled.low)


def test_images_without_a_measure_are_left_out_everywhere():
    holes = CLEAN.copy()
    holes[1, :4] = np.nan
    found = task_damage(holes, POISONED, TRIVIAL, True)
    assert found.value == pytest.approx(task_damage(CLEAN[:, 4:], POISONED[:, 4:], TRIVIAL[4:], True).value)
    with pytest.raises(ValueError, match="No test image allows"):
        task_damage(np.full_like(CLEAN, np.nan), POISONED, TRIVIAL, True)


def test_it_is_said_what_an_interval_cannot_do():
    one = task_damage(CLEAN[:1], POISONED[:1], TRIVIAL, True)
    assert one.low is not None
    assert "images alone" in one.note
    assert "too narrow" in task_damage(CLEAN, POISONED, TRIVIAL, True).note
    never = task_damage(CLEAN, POISONED, np.ones(40), True)
    assert np.isnan(never.value)
    assert (never.low, never.note) == (None, NOTHING_LEARNED)
    rarely = task_damage(CLEAN, POISONED, CLEAN.mean(axis=0) - 0.001 + CHANCE.normal(0, 0.05, 40), True)
    assert np.isnan(rarely.value) or "resamples had no value" in rarely.note


def test_many_images_and_seeds_are_covered_at_least_as_often_as_promised():
    held, trials = 0, 120
    for trial in range(trials):
        chance = np.random.default_rng(trial)
        seeds, images = chance.normal(0, 0.05, (12, 1)), chance.normal(0, 0.2, (1, 60))
        clean = 0.9 + images + seeds + chance.normal(0, 0.1, (12, 60))
        poisoned = clean - 0.4 + chance.normal(0, 0.1, (12, 1)) + chance.normal(0, 0.3, (12, 60))
        found = task_damage(clean, poisoned, np.full(60, 0.1) + images[0], True, level=0.9, resamples=200, seed=trial)
        held += found.low <= 0.5 <= found.high
    assert 0.84 <= held / trials <= 0.99


def test_ratio_compares_the_other_tasks_with_the_scene():
    def scores(share):
        return TaskScores(CLEAN, (1 - share) * CLEAN + share * TRIVIAL, TRIVIAL, True, 0.9 * CLEAN + 0.1 * TRIVIAL)

    tasks = {"depth": scores(0.2), "scene": scores(0.8), "segments": scores(0.4)}
    assert ends(cross_task_ratio(tasks)) == pytest.approx((0.375,) * 3)
    assert ends(cross_task_ratio(tasks, net=True)) == pytest.approx(((0.1 + 0.3) / 2 / 0.7,) * 3)
    never = TaskScores(CLEAN, POISONED, np.ones(40), True, CONTROL)
    lacking = cross_task_ratio(tasks | {"keypoints": never})
    assert lacking.value == pytest.approx(0.375)
    assert "without keypoints" in lacking.note
    whole = cross_task_ratio({"depth": scores(0.2), "scene": dataclasses.replace(SCORES, poisoned=CLEAN)})
    assert np.isnan(whole.value)
    assert "the scene is not damaged" in whole.note
    noisy = np.clip(CLEAN + np.random.default_rng(5).normal(0.0, 0.4, CLEAN.shape) - 0.002, 0.0, None)
    unsure = dataclasses.replace(SCORES, poisoned=noisy)
    own = task_damage(unsure.clean, unsure.poisoned, unsure.trivial, unsure.higher_is_better)
    assert own.low < 0 < own.value < own.high  # a quotient by this may be anything
    assert "not damaged for certain" in cross_task_ratio({"depth": scores(0.2), "scene": unsure}).note
    for bad, words in (({"depth": SCORES}, "needs the task scene"), ({"scene": SCORES}, "another one")):
        with pytest.raises(ValueError, match=words):
            cross_task_ratio(bad)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((CLEAN, POISONED[:2], TRIVIAL), r"\[2, 40\]"),
        ((CLEAN, POISONED, TRIVIAL[:9]), r"\[9\]"),
        ((CLEAN[0], POISONED[0], TRIVIAL), "seeds, images"),
        ((CLEAN, np.where(CLEAN > 0.95, np.inf, CLEAN), TRIVIAL), "infinite"),
    ],
)
def test_what_does_not_fit_is_refused(arrays, words):
    with pytest.raises(ValueError, match=words):
        task_damage(*arrays, True)
    with pytest.raises(ValueError, match="at least 100"):
        task_damage(CLEAN, POISONED, TRIVIAL, True, resamples=9)
    with pytest.raises(ValueError, match="between 0 and 1"):
        task_damage(CLEAN, POISONED, TRIVIAL, True, level=1)
