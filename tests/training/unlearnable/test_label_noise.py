"""Label noise: exactly the asked share of wrong labels, inputs as they are."""

import numpy as np
import pytest

from tests.training.samples import images, vectors
from training import poison


@pytest.mark.parametrize("data", [images(n=500), images(n=500, shape=(1, 8, 8)), vectors(n=500)])
@pytest.mark.parametrize(("rate", "wrong"), [(None, 200), (0.1, 50), (0.001, 0), (1.0, 500)])
def test_exactly_the_asked_share_of_labels_is_wrong(data, rate, wrong):
    made = poison("label-noise", data, seed=0, strength=rate)
    assert (made.y_train != data.y_train).sum() == wrong
    assert made.y_train.dtype == np.int64
    assert set(made.y_train) <= set(range(data.n_classes))
    assert np.array_equal(made.x_train, data.x_train)
    assert not made.perturbation.any()
    assert f"{100 * (rate or 0.4):g} % of labels replaced" in made.description


def test_wrong_labels_are_uniform_among_the_others():
    data = vectors(n=8000)
    made = poison("label-noise", data, seed=0, strength=1.0)
    table = np.zeros((5, 5))
    np.add.at(table, (data.y_train, made.y_train), 1)
    assert not table.diagonal().any()
    assert np.abs(table[~np.eye(5, dtype=bool)] / 400 - 1).max() < 0.2


def test_wrong_labels_follow_no_epoch_s_batch_order():
    data = vectors(n=1000)
    wrong = poison("label-noise", data, seed=0).y_train != data.y_train
    for epoch in range(120):
        first = np.random.default_rng([0, epoch]).permutation(1000)[:400]  # the batch order of training/loop.py
        assert 110 < wrong[first].sum() < 210


def test_the_ratio_bounds_where_labels_may_be_wrong():
    data = vectors(n=1000)
    full, half = (poison("label-noise", data, seed=0, ratio=r) for r in (1.0, 0.5))
    assert np.array_equal(half.y_train[half.changed], full.y_train[half.changed])
    assert np.array_equal(half.y_train[~half.changed], data.y_train[~half.changed])


def test_a_rate_above_one_is_refused():
    with pytest.raises(ValueError, match=r"share of wrong labels; 1\.5 exceeds 1"):
        poison("label-noise", vectors(), seed=0, strength=1.5)
