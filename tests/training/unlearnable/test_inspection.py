"""What is told about a perturbation."""

import random

import numpy as np
import pytest

from tests.training.samples import images
from training import poison
from training.unlearnable.inspection import (
    choose,
    class_means,
    class_share,
    embed,
    is_class_wise,
    linear_separability,
    norms,
)

LABELS = np.arange(400) % 4


def class_wise(scale=1.0):
    return scale * np.random.default_rng(0).normal(size=(4, 3, 5, 5))[LABELS]


def noise():
    return np.random.default_rng(1).normal(size=(400, 3, 5, 5))


def test_norms_are_those_of_each_sample():
    delta = np.zeros((2, 3, 4, 4))
    delta[0, :, 1, 1] = [3, -4, 0]
    sizes = norms(delta)
    assert np.array_equal(sizes.linf, [4, 0])
    assert np.array_equal(sizes.l2, [5, 0])
    assert np.array_equal(sizes.l0, [1, 0])  # one pixel, though two channels change
    assert np.array_equal(norms(np.array([[0.0, 2.0, -2.0]])).l0, [2])


def test_class_means_and_their_share():
    delta = class_wise()
    assert np.allclose(class_means(delta, LABELS, 5)[LABELS], delta)
    assert not class_means(delta, LABELS, 5)[4].any()
    assert class_share(delta, LABELS) == pytest.approx(1)
    assert class_share(noise(), LABELS) == pytest.approx(4 / 400, rel=0.3)
    assert class_share(np.zeros((400, 2)), LABELS) == 0
    assert is_class_wise(delta, LABELS)
    assert not is_class_wise(noise(), LABELS)


def test_separability_tells_patterns_from_noise():
    shortcut, plain = (linear_separability(d, LABELS, seed=0) for d in (class_wise(), noise()))
    assert (shortcut.train, shortcut.held_out) == (1, 1)
    assert plain.held_out < 0.4
    assert plain.train > plain.held_out + 0.2  # many dimensions fit anything; only held-out accuracy tells
    assert plain.chance == 0.25
    tiny = linear_separability(class_wise(1e-3) + 1e-5 * noise(), LABELS, seed=0)
    assert tiny.held_out == 1  # standardised, so that a small budget is no smaller a shortcut


def test_limits_keep_what_is_separable():
    limited = linear_separability(class_wise() + noise(), LABELS, seed=0, samples=200, features=40)
    assert (limited.samples, limited.features) == (200, 40)
    assert limited.held_out > 0.9
    one_pixel = poison("ops", images(n=400, shape=(1, 12, 12)), seed=0)
    assert linear_separability(one_pixel.perturbation, one_pixel.y_train, seed=0, features=64).held_out > 0.9


def test_seeds_decide_everything_and_global_randomness_stays():
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    for call in (
        lambda s: linear_separability(noise(), LABELS, seed=s, samples=100, features=20),
        lambda s: embed(noise(), LABELS, seed=s, samples=60).points.tobytes(),
        lambda s: embed(noise(), LABELS, seed=s, samples=60, method="t-sne").points.tobytes(),
    ):
        assert call(0) == call(0)
        assert call(0) != call(1)
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert before[1] == random.getstate()


@pytest.mark.parametrize("method", ["pca", "t-sne"])
def test_a_map_parts_the_classes_of_a_pattern(method):
    delta = class_wise() + 0.05 * noise()
    drawn = embed(delta, LABELS, seed=0, method=method, samples=120)
    assert drawn.points.shape == (120, 2)
    labels = LABELS[drawn.rows]
    assert np.array_equal(np.bincount(labels), [30] * 4)
    centres = np.array([drawn.points[labels == k].mean(axis=0) for k in range(4)])
    nearest = ((drawn.points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.95
    assert (drawn.explained is None) == (method == "t-sne")
    if method == "pca":
        assert 0.5 < drawn.explained < 1


def test_a_map_of_nothing_is_a_point():
    drawn = embed(np.zeros((10, 3, 2, 2)), np.arange(10) % 2, seed=0)
    assert not drawn.points.any()


def test_samples_are_chosen_class_by_class():
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    rows = choose(labels, 100, seed=0)
    assert np.array_equal(np.bincount(labels[rows]), [50, 30, 20])
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(choose(labels, 2000, seed=0), np.arange(1000))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: norms(np.zeros(3)), "Perturbations are"),
        (lambda: class_means(noise(), LABELS[:-1], 4), "as many labels"),
        (lambda: linear_separability(noise(), np.zeros(400, int), seed=0), "two classes"),
        (lambda: linear_separability(noise(), np.arange(400), seed=0), "two classes"),
        (lambda: linear_separability(noise(), LABELS, seed=0, held_out=1), "held_out"),
        (lambda: embed(noise(), LABELS, seed=0, method="umap"), "pca or t-sne"),
        (lambda: embed(noise()[:2], LABELS[:2], seed=0), "three perturbations"),
    ],
)
def test_wrong_calls(call, words):
    with pytest.raises(ValueError, match=words):
        call()
