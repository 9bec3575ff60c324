"""Linearly separable synthetic perturbations: one norm, constant patches, blobs that a linear model tells apart."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.training.samples import images, vectors
from training import load_dataset, poison
from training.unlearnable import lsp


def flat(delta):
    return delta.reshape(len(delta), -1)


def test_every_perturbation_lies_on_the_sphere_before_and_after_rounding():
    data = images(n=50, shape=(3, 32, 32), low=60, high=190)
    made = lsp.perturb(data, seed=0)
    assert made.strength == pytest.approx(1.3041, abs=1e-4)
    assert np.abs(np.linalg.norm(flat(made.delta), axis=1) - made.strength).max() < 1e-5
    rounded = np.linalg.norm(flat(poison("lsp", data, seed=0).perturbation), axis=1)
    assert np.abs(rounded / made.strength - 1).max() < 0.03  # all pixels of a patch are rounded alike
    single = np.linalg.norm(flat(poison("lsp", data, seed=0, patch=1).perturbation), axis=1)
    assert np.abs(single / made.strength - 1).max() < 0.01
    assert np.allclose(np.linalg.norm(flat(lsp.perturb(data, seed=0, strength=2.5).delta), axis=1), 2.5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "side"),
    [
        ((3, 32, 32), {}, 8),
        ((1, 28, 28), {}, 7),
        ((3, 32, 32), {"patch": 4}, 4),
        ((3, 10, 14), {}, 4),
        ((1, 9, 9), {"patch": 2}, 2),
    ],
)
def test_patches_share_a_value_per_channel(shape, options, side):
    channels, height, width = shape
    delta = lsp.perturb(images(n=24, shape=shape), seed=0, **options).delta
    corners = delta[:, :, ::side, ::side]
    assert np.array_equal(delta, np.kron(corners, np.ones((side, side)))[:, :, :height, :width])
    values = channels * -(-height // side) * -(-width // side)
    assert all(len(np.unique(one)) == values for one in delta)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28)])
def test_a_linear_model_tells_unseen_perturbations_apart(shape):
    data = images(n=1000, shape=shape, classes=10)
    delta = flat(lsp.perturb(data, seed=0).delta)
    model = LogisticRegression(max_iter=200).fit(delta[:300] * 10, data.y_train[:300])
    assert model.score(delta[:300] * 10, data.y_train[:300]) == 1
    assert model.score(delta[300:] * 10, data.y_train[300:]) == 1


def test_samples_of_a_class_differ():
    data = images(n=80)
    delta = flat(lsp.perturb(data, seed=0).delta)
    assert len(np.unique(delta, axis=0)) == 80


def test_classes_of_any_size_are_served():
    data = load_dataset("toy", n_samples=300).subset(97, 0)
    counts = np.bincount(data.y_train)
    assert len(set(counts)) > 1
    delta = lsp.perturb(data, seed=0).delta
    assert np.isfinite(delta).all()
    assert len(np.unique(delta, axis=0)) == 97


def test_features_are_moved_in_units_of_their_own_spread():
    data = vectors(n=500)
    made = lsp.perturb(data, seed=0)
    relative = made.delta / data.x_train.std(axis=0, dtype=np.float64)
    assert np.allclose(np.linalg.norm(relative, axis=1), 0.75 * np.sqrt(12), atol=1e-5)
    assert made.budget == "L2 = 2.598 standard deviations"
    model = LogisticRegression(max_iter=200).fit(relative[:250] * 10, data.y_train[:250])
    assert model.score(relative[250:] * 10, data.y_train[250:]) == 1


def test_blobs_are_not_those_of_data_drawn_with_the_same_seed():
    # Both come from make_classification: with one stream, the perturbation would push samples along their own class.
    data = load_dataset("toy", seed=0)
    delta = lsp.perturb(data, seed=0).delta
    along = [
        np.corrcoef(data.x_train[data.y_train == k].mean(axis=0), delta[data.y_train == k].mean(axis=0))[0, 1]
        for k in range(10)
    ]
    assert abs(np.mean(along)) < 0.3


@pytest.mark.parametrize(
    ("data", "options", "sentence"),
    [
        (images(), {"patch": 0}, "The patch is a whole number of pixels, at least 1, not 0"),
        (images(), {"patch": 2.5}, r"at least 1, not 2\.5"),
        (images(), {"class_sep": 0}, "class_sep must be a positive number, not 0"),
        (images(), {"strength": 20}, "A strength of 20 exceeds 9.487, the L2 norm of changing every pixel"),
        (images(shape=(1, 6, 6), classes=10, n=40), {"patch": 6}, "needs 4 values to tell 10 classes apart, not 1"),
        (vectors(features=2), {}, "needs 3 values to tell 5 classes apart, not 2"),
        (vectors(), {"patch": 2}, "leave patch at 1 instead of 2"),
    ],
)
def test_impossible_settings_are_refused(data, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison("lsp", data, seed=0, **options)
