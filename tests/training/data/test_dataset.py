"""What a data set is: its form, its fingerprint, its parts."""

import hashlib

import numpy as np
import pytest
import torch

from tests.training.samples import images, vectors
from training import DatasetError, batches, fingerprint_arrays, load_dataset
from training.data.dataset import make_dataset


def test_fingerprint_follows_values_shapes_and_types_but_not_memory_layout():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    known = hashlib.sha256(b"f4(3, 4)" + x.astype("<f4").tobytes()).hexdigest()[:32]
    assert fingerprint_arrays(x) == known
    assert fingerprint_arrays(x.astype(">f4")) == known
    assert fingerprint_arrays(np.asfortranarray(x)) == known
    for other in (x + 1, x.reshape(4, 3), x.astype(np.float64), x[:2]):
        assert fingerprint_arrays(other) != known
    assert fingerprint_arrays(x, x) != fingerprint_arrays(x)


def test_fingerprint_of_a_data_set_does_not_depend_on_its_name():
    data = vectors()
    renamed = make_dataset("other", data.x_train, data.y_train, data.x_test, data.y_test, where="x")
    assert renamed.fingerprint == data.fingerprint
    moved = make_dataset("vectors", data.x_train, data.y_train, data.x_test + 1, data.y_test, where="x")
    assert moved.fingerprint != data.fingerprint


def test_images_in_any_layout_become_channels_first_in_zero_to_one():
    rng = np.random.default_rng(0)
    channels_first = rng.integers(0, 256, (8, 3, 6, 5), dtype=np.uint8)
    y = np.arange(8) % 2
    expected = channels_first.astype(np.float32) / np.float32(255)
    for given in (channels_first, channels_first.transpose(0, 2, 3, 1)):
        data = make_dataset("x", given, y, given, y, where="x")
        assert data.x_train.dtype == np.float32
        assert data.x_train.flags.c_contiguous
        assert np.array_equal(data.x_train, expected)
        assert (data.kind, data.eight_bit, data.input_shape) == ("image", True, (3, 6, 5))
    grey = make_dataset("x", channels_first[:, 0], y, channels_first[:, 0], y, where="x")
    assert np.array_equal(grey.x_train[:, 0], expected[:, 0])


def test_two_dimensional_inputs_are_features_and_stay_as_they_are():
    x = np.arange(12, dtype=np.uint8).reshape(4, 3) * 20
    data = make_dataset("x", x, [0, 1, 0, 1], x, [0, 1, 0, 1], where="x")
    assert (data.kind, data.eight_bit, data.n_classes, data.input_shape) == ("features", False, 2, (3,))
    assert np.array_equal(data.x_train, x.astype(np.float32))


def test_labels_may_be_a_column_of_whole_floats():
    x = np.zeros((4, 3))
    data = make_dataset("x", x, np.array([[0.0], [2], [1], [2]]), x, [0, 1, 0, 1], where="x")
    assert data.y_train.dtype == np.int64
    assert data.y_train.tolist() == [0, 2, 1, 2]
    assert data.n_classes == 3


def test_batches_cut_in_order_and_keep_every_sample():
    x, y = np.arange(14.0).reshape(7, 2), np.arange(7)
    cut = batches(x, y, 3)
    assert [len(targets) for _, targets in cut] == [3, 3, 1]
    assert torch.equal(torch.cat([inputs for inputs, _ in cut]), torch.from_numpy(x))
    assert torch.equal(torch.cat([targets for _, targets in cut]), torch.from_numpy(y))
    for wrong in ((x, y, 0), (x, y[:3], 2)):
        with pytest.raises(DatasetError, match="Cannot cut"):
            batches(*wrong)


def test_a_subset_keeps_every_class_in_proportion():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    x = np.arange(1000.0)[:, None] * np.ones(2)
    data = make_dataset("x", x, y, x, y, where="x")
    part = data.subset(100, seed=3)
    assert np.abs(np.bincount(part.y_train) - [60, 30, 10]).max() <= 1
    kept = part.x_train[:, 0].astype(int)
    assert np.array_equal(part.y_train, y[kept])  # samples keep their labels …
    assert (np.diff(kept) > 0).all()  # … and their order, none twice
    assert part.x_test is data.x_test
    assert part.fingerprint == data.subset(100, seed=3).fingerprint != data.subset(100, seed=4).fingerprint
    assert data.subset(1000, seed=0).fingerprint == data.fingerprint
    for n in (0, 1001):
        with pytest.raises(DatasetError, match="1000 training samples"):
            data.subset(n, seed=0)


def test_unknown_names_and_options_name_what_is_known():
    with pytest.raises(DatasetError, match="did you mean digits"):
        load_dataset("digit")
    with pytest.raises(DatasetError, match=r"known are toy, digits.*\.npz"):
        load_dataset("zzz")
    with pytest.raises(DatasetError, match="toy has no option 'sep'; it knows class_sep"):
        load_dataset("toy", sep=1)
    with pytest.raises(DatasetError, match="takes no options"):
        load_dataset("some.npz", sep=1)


def test_helper_images_are_eight_bit():
    assert images().eight_bit


def test_n_train_takes_a_part_of_any_data_set(tmp_path):
    part = load_dataset("toy", n_train=500)
    assert len(part.y_train) == 500
    assert part.fingerprint == load_dataset("toy").subset(500, 0).fingerprint
    assert len(load_dataset("digits", n_train=50, seed=3).y_train) == 50
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "d.npz",
        x_train=rng.random((20, 3)),
        y_train=np.arange(20) % 2,
        x_test=rng.random((4, 3)),
        y_test=np.arange(4) % 2,
    )
    parts = [load_dataset(str(tmp_path / "d.npz"), n_train=6, seed=s).fingerprint for s in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    with pytest.raises(DatasetError, match="a subset holds 1 to 20, not 21"):
        load_dataset(str(tmp_path / "d.npz"), n_train=21)
