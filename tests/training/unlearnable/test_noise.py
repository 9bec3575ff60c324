"""Class-wise random patterns and the sample-wise control: one budget, with and without a link to the class."""

import numpy as np
import pytest

from tests.training.samples import images, levels, vectors
from training import poison
from training.data.dataset import make_dataset
from training.unlearnable import class_random

BOTH = ["class-random", "uniform-noise"]


def wide_images(shape=(3, 8, 8), low=0, high=256):
    return images(n=400, shape=shape, low=low, high=high)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("shape", "strength", "budget"),
    [
        ((3, 8, 8), None, 8),
        ((1, 8, 8), None, 76),
        ((3, 8, 8), 16 / 255, 16),
        ((1, 8, 8), 0.1, 25),
        ((1, 8, 8), 1.0, 255),
    ],
)
def test_the_budget_holds_exactly_on_grey_levels_and_is_used_up(name, shape, strength, budget):
    data = wide_images(shape)
    made = poison(name, data, seed=0, strength=strength)
    change = levels(made.x_train) - levels(data.x_train)
    assert np.abs(change).max() <= budget
    assert change.max() >= 0.9 * budget
    assert change.min() <= -0.9 * budget
    assert f"L∞ ≤ {budget}/255" in made.budget


def test_pixels_are_rounded_half_up():
    # 8-bit grey 100 plus u in grey levels must become floor(100 + u + 1/2).
    data = wide_images((1, 8, 8), low=100, high=101)
    made = poison("class-random", data, seed=0, strength=20 / 255)
    pattern = np.random.default_rng([0, 2]).uniform(-20 / 255, 20 / 255, size=(4, 1, 8, 8)) * 255
    assert np.array_equal(levels(made.x_train), np.floor(100 + pattern + 0.5).astype(int)[data.y_train])


def test_a_class_wise_pattern_depends_on_the_label_alone():
    for data in (images(n=4000, shape=(1, 16, 16), low=80, high=170), vectors()):
        made = poison("class-random", data, seed=0)
        patterns = [made.perturbation[data.y_train == k] for k in range(data.n_classes)]
        for pattern in patterns:
            assert np.abs(pattern - pattern[0]).max() < 1e-5  # not one grey level, 4e-3
        for k, pattern in enumerate(patterns[1:]):
            assert np.abs(pattern[0] - patterns[k][0]).max() > 0.01
    before = wide_images(low=80, high=170)
    shuffled = np.random.default_rng(1).permutation(len(before.y_train))
    again = make_dataset(
        "x",
        levels(before.x_train)[shuffled].astype(np.uint8),
        before.y_train[shuffled],
        levels(before.x_test).astype(np.uint8),
        before.y_test,
        where="x",
    )
    one, two = (poison("class-random", d, seed=0).perturbation for d in (before, again))
    assert np.array_equal(one[shuffled], two)


def test_sample_wise_noise_is_fresh_for_every_sample_and_knows_no_class():
    data = wide_images(low=80, high=170)
    noise = poison("uniform-noise", data, seed=0, strength=0.2).perturbation.reshape(400, -1)
    assert len(np.unique(noise, axis=0)) == 400
    means = np.stack([noise[data.y_train == k].mean(axis=0) for k in range(4)])
    expected = 0.2 / np.sqrt(3) / np.sqrt(100)  # of the mean of 100 draws
    assert abs(means.std() / expected - 1) < 0.1


@pytest.mark.parametrize("name", BOTH)
def test_noise_is_uniform(name):
    data = wide_images((3, 16, 16), low=80, high=170)
    noise = poison(name, data, seed=0, strength=0.2).perturbation
    counts, _ = np.histogram(noise, bins=8, range=(-0.2, 0.2))
    assert np.abs(counts / noise.size - 1 / 8).max() < 0.02


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("strength", [None, 0.5])
def test_features_are_moved_in_units_of_their_own_spread(name, strength):
    data = vectors(n=2000, features=6)
    made = poison(name, data, seed=0, strength=strength)
    radius = strength or 1.0
    relative = np.abs(made.perturbation) / data.x_train.std(axis=0)
    assert relative.max() <= radius * (1 + 1e-5)
    assert (relative.max(axis=0) > (0.9 if name == "uniform-noise" else 0.2) * radius).all()
    assert made.options["strength"] == radius


def test_both_have_the_same_budget_by_default():
    for data in (images(), images(shape=(1, 8, 8)), vectors()):
        one, two = (poison(name, data, seed=0) for name in BOTH)
        assert one.budget == two.budget
        assert one.options["strength"] == two.options["strength"]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("cell", [2, 3, 7, 20])
def test_squares_share_a_value_per_channel(name, cell):
    data = wide_images((3, 14, 9), low=80, high=170)
    noise = levels(poison(name, data, seed=0, strength=0.2, cell=cell).x_train) - levels(data.x_train)
    corners = noise[:, :, ::cell, ::cell]
    expected = np.kron(corners, np.ones((cell, cell), int))[:, :, :14, :9]
    assert np.array_equal(noise, expected)
    assert not np.array_equal(noise[:, 0], noise[:, 1])
    assert f"in squares of {cell}×{cell}" in poison(name, data, seed=0, cell=cell).description


@pytest.mark.parametrize("name", BOTH)
def test_single_pixels_are_the_default(name):
    data = wide_images((1, 8, 8))
    made, plain = poison(name, data, seed=0, cell=1), poison(name, data, seed=0)
    assert np.array_equal(made.x_train, plain.x_train)
    assert "squares" not in plain.description
    assert plain.options["cell"] == 1


@pytest.mark.parametrize("cell", [1, 4])
def test_the_other_norm_is_exact_and_class_wise(cell):
    data = images(n=40, shape=(3, 32, 32), low=60, high=190)
    made = class_random.perturb(data, seed=0, norm=2, cell=cell)
    assert made.strength == pytest.approx(0.5)
    assert np.abs(np.linalg.norm(made.delta.reshape(40, -1), axis=1) - 0.5).max() < 1e-5
    assert len(np.unique(made.delta.reshape(40, -1), axis=0)) == 4
    rounded = poison("class-random", data, seed=0, norm=2, cell=cell, strength=1.0).perturbation.reshape(40, -1)
    within = 0.01 if cell == 1 else 0.04  # all pixels of a square are rounded alike
    assert np.abs(np.linalg.norm(rounded, axis=1) - 1).max() < within


def test_the_other_norm_of_features_is_in_units_of_their_spread():
    data = vectors()
    made = class_random.perturb(data, seed=0, norm=2, strength=3.0)
    relative = made.delta / data.x_train.std(axis=0, dtype=np.float64)
    assert np.allclose(np.linalg.norm(relative, axis=1), 3, atol=1e-5)


def test_there_is_no_third_norm():
    with pytest.raises(ValueError, match="must be 2 or inf, not 1"):
        poison("class-random", images(), seed=0, norm=1)
