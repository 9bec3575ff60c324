"""Per-pixel targets stay beside their images."""

from dataclasses import replace

import numpy as np
import pytest

from training import load_dataset
from training.data.dense import DenseTargets


def made(n: int, seed: int = 0) -> DenseTargets:
    rng = np.random.default_rng(seed)
    return DenseTargets(
        rng.random((n, 8, 8), np.float32),
        rng.random((n, 8, 8), np.float32),
        np.broadcast_to(np.arange(n, dtype=np.int16)[:, None, None], (n, 8, 8)),
        tuple(f"house-{i % 3}" for i in range(n)),
        tuple(f"point_{i}_view_0" for i in range(n)),
    )


def test_a_subset_keeps_each_image_with_its_targets():
    digits = load_dataset("digits")
    n = len(digits.y_train)
    part = replace(digits, dense_train=made(n)).subset(20, seed=3)
    assert part.dense_train is not None
    assert len(part.dense_train) == 20
    kept = part.dense_train.segment_unsup2d[:, 0, 0]
    np.testing.assert_array_equal(part.x_train, digits.x_train[kept])
    assert part.dense_train.names == tuple(f"point_{i}_view_0" for i in kept)
    assert part.dense_train.buildings == tuple(f"house-{i % 3}" for i in kept)


def test_the_fingerprint_sees_them_and_is_as_before_without():
    digits = load_dataset("digits")
    n = len(digits.y_train)
    plain = digits.fingerprint
    assert replace(digits, dense_train=made(n)).fingerprint not in (
        plain,
        replace(digits, dense_train=made(n, 1)).fingerprint,
    )
    assert replace(digits, class_names=("a",), left_out=("b",)).fingerprint == plain


def test_targets_of_different_sizes_are_refused():
    good = made(4)
    with pytest.raises(ValueError, match=r"must all be \[N, H, W\]"):
        replace(good, depth_euclidean=good.depth_euclidean[:, :4])
    with pytest.raises(ValueError, match="3 names"):
        replace(good, names=good.names[:3])
