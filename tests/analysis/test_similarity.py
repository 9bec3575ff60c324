"""Similarity of SAL vectors between tasks, and UD under each task's own loss."""

import numpy as np
import pytest
from scipy import stats

from analysis import mean_similarity, task_similarity, task_ud, unlearnable_distance
from analysis.similarity import KINDS

CHANCE = np.random.default_rng(0)
SAL = {name: np.exp(CHANCE.normal(-3, 2, 20)) for name in ("scene", "depth", "segments")}


def test_each_kind_agrees_with_its_definition():
    table = np.stack(list(SAL.values()))
    expected = {
        "cosine": table @ table.T / np.outer(np.linalg.norm(table, axis=1), np.linalg.norm(table, axis=1)),
        "pearson": np.corrcoef(table),
        "spearman": stats.spearmanr(table.T).statistic,
    }
    for kind in KINDS:
        np.testing.assert_allclose(task_similarity(SAL, kind=kind), expected[kind], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_a_loss_do_not_matter_and_a_task_is_like_itself(kind):
    scaled = {name: (3 + 40 * k) * values for k, (name, values) in enumerate(SAL.items())}
    found = task_similarity(SAL, kind=kind)
    np.testing.assert_allclose(task_similarity(scaled, kind=kind), found, atol=1e-12)
    np.testing.assert_allclose(np.diag(found), 1)
    np.testing.assert_array_equal(found, found.T)


def test_no_direction_is_no_number_and_ties_share_ranks():
    vectors = {"a": [0.0, 0.0, 0.0], "b": [1.0, 1.0, 1.0], "c": [1.0, 2.0, 2.0], "d": [5.0, 7.0, 9.0]}
    assert np.isnan(task_similarity(vectors, kind="cosine")[0]).all()
    pearson = task_similarity(vectors, kind="pearson")
    assert np.isnan(pearson[:2]).all()
    assert task_similarity(vectors, kind="spearman")[2, 3] == pytest.approx(stats.spearmanr([1, 2, 2], [5, 7, 9])[0])


def test_seeds_are_averaged():
    other = {name: values[::-1] for name, values in SAL.items()} | {"depth": SAL["depth"]}
    both = mean_similarity([SAL, other], kind="pearson")
    np.testing.assert_allclose(both, (task_similarity(SAL) + task_similarity(other)) / 2)


@pytest.mark.parametrize(
    ("vectors", "kind", "words"),
    [
        (SAL, "euclid", "one of cosine"),
        ({}, "cosine", "one SAL vector per task"),
        ({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, "cosine", "the same two or more blocks"),
        ({"a": [1.0, np.inf]}, "cosine", "finite"),
    ],
)
def test_what_has_no_similarity_is_refused(vectors, kind, words):
    with pytest.raises(ValueError, match=words):
        task_similarity(vectors, kind=kind)


def runs(seed, scale=1.0, n=4, spread=0.4):
    """SAL [6, 12] of n runs that differ by chance alone: half of the blocks are learnable."""
    chance = np.random.default_rng(seed)
    level = np.repeat([1e-3, 1e-1], 6)
    return [scale * level * np.exp(chance.normal(0, spread, (6, 12))) for _ in range(n)]


def test_ud_of_a_task_takes_its_own_threshold_from_the_clean_run_of_the_seed():
    clean, poisoned = runs(0), runs(1, 0.05)
    found = task_ud(clean, poisoned)
    by_hand = [unlearnable_distance(c, p).value for c, p in zip(clean, poisoned, strict=True)]
    assert found.ud.per_seed == tuple(by_hand)
    assert found.verdict == "less learnable"
    milli = task_ud([1000 * t for t in clean], [1000 * t for t in poisoned])
    assert milli.ud.per_seed == pytest.approx(found.ud.per_seed), "another unit of the loss gives the same UD"


def test_clean_against_clean_holds_one():
    found = task_ud(runs(0), runs(1))
    assert found.verdict == "not told apart from clean"
    assert found.ud.summary.low <= 1 <= found.ud.summary.high
    low, high = found.floor.span
    assert low < 1 < high
    assert task_ud(runs(0, n=1), runs(1, n=1)).floor is None
    clear = task_ud(runs(0, spread=0.05), runs(1, spread=0.05))
    assert clear.ud.per_seed == (1, 1, 1, 1), "where the groups are clear, chance changes no count"
    assert clear.floor.span == (1, 1)
