"""The embedded digits: enlarged exactly, the same bytes on every machine."""

import numpy as np
import pytest
import torch
from sklearn import datasets
from torch.nn import functional

from tests.training.samples import levels
from training import DatasetError, load_dataset
from training.data.digits import enlarge


def test_shape_range_and_split():
    data = load_dataset("digits")
    assert data.input_shape == (1, 28, 28)
    assert (len(data.x_train), len(data.x_test), data.n_classes) == (1437, 360, 10)
    assert data.eight_bit
    assert levels(data.x_train).min() == 0
    assert levels(data.x_train).max() == 255
    shares = np.bincount(data.y_train) / np.bincount(np.concatenate([data.y_train, data.y_test]))
    assert np.abs(shares - 0.8).max() < 0.01


def test_the_fingerprint_is_the_same_on_every_machine():
    assert load_dataset("digits").fingerprint == "4b99488decb3caade0aa6abdce1cfff2"


def test_the_seed_decides_the_split_and_nothing_else():
    first, second = load_dataset("digits"), load_dataset("digits", seed=1)
    assert first.fingerprint != second.fingerprint
    everything = [np.concatenate([d.x_train, d.x_test]).reshape(1797, -1) for d in (first, second)]
    assert np.array_equal(*(np.sort(x.sum(axis=1)) for x in everything))


@pytest.mark.parametrize("size", [8, 12, 28, 32])
def test_enlarging_is_bilinear_with_half_pixel_centres(size):
    small = datasets.load_digits().images[:50] / 16.0
    reference = functional.interpolate(
        torch.from_numpy(small)[:, None], size=(size, size), mode="bilinear", align_corners=False
    )[:, 0].numpy()  # float64
    assert np.abs(enlarge(small.astype(np.float32), size) - reference).max() < 2e-6


@pytest.mark.parametrize("size", [0, -3, 2.5, 10**6])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(DatasetError, match="whole number from 1 to 512"):
        load_dataset("digits", size=size)
