"""The toy task of the paper."""

import numpy as np
import pytest

from training import DatasetError, load_dataset


def test_shape_balance_and_scale():
    data = load_dataset("toy")
    assert data.x_train.shape == (4000, 12)
    assert data.x_test.shape == (1000, 12)
    assert (data.kind, data.n_classes, data.input_shape) == ("features", 10, (12,))
    assert np.abs(np.bincount(data.y_train) - 400).max() <= 2
    assert np.abs(data.x_train.std(axis=0, dtype=np.float64) - 1).max() < 1e-6


def test_the_seed_decides_the_data():
    assert load_dataset("toy").fingerprint == load_dataset("toy", seed=0).fingerprint
    assert load_dataset("toy", seed=1).fingerprint != load_dataset("toy").fingerprint


def test_options_shape_the_task():
    data = load_dataset("toy", n_samples=500, n_features=6, n_classes=3)
    assert data.x_train.shape == (400, 6)
    assert data.n_classes == 3


@pytest.mark.parametrize("options", [{"n_samples": 5}, {"n_features": 1}, {"class_sep": "x"}, {"n_samples": -1}])
def test_impossible_options_are_refused_by_name(options):
    with pytest.raises(DatasetError, match="The data set toy cannot be made"):
        load_dataset("toy", **options)
