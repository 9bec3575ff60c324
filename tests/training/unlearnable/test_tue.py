"""TUE in its separability-only form: the CSD against its definition, its gradient, and what descending it gives."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.training.samples import images, levels, vectors
from training import poison
from training.unlearnable import tue


def plain_csd(noise, labels):
    """The definition, pair by pair."""
    classes = np.unique(labels)
    centre = {k: noise[labels == k].mean(axis=0) for k in classes}
    spread = {k: np.linalg.norm(noise[labels == k] - centre[k], axis=1).mean() for k in classes}
    return np.mean(
        [
            (spread[a] + spread[b] + 1e-5) / (np.linalg.norm(centre[a] - centre[b]) + 1e-5)
            for a in classes
            for b in classes
            if a != b
        ]
    )


def members_of(labels):
    return [np.flatnonzero(labels == k) for k in np.unique(labels)]


def test_the_csd_is_its_definition():
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(40, 7)), rng.permutation(np.arange(40) % 3)
    centres, spreads = tue.class_statistics(noise, members_of(labels))
    assert tue.separability(centres, spreads) == pytest.approx(plain_csd(noise, labels), rel=1e-12)


def test_the_gradient_is_that_of_autograd():
    rng = np.random.default_rng(0)
    spreads = torch.tensor(rng.random(4))
    centres = torch.tensor(rng.normal(size=(4, 6)), requires_grad=True)
    loss = torch.zeros((), dtype=torch.float64)
    for a in range(4):
        for b in range(4):
            if a != b:
                loss = loss + (spreads[a] + spreads[b] + 1e-5) / ((centres[a] - centres[b]).norm() + 1e-5) / 12
    loss.backward()
    found = tue.centre_gradients(centres.detach().numpy(), spreads.numpy())
    assert np.allclose(found, centres.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize(("shape", "budget"), [((3, 8, 8), 8), ((1, 8, 8), 76)])
def test_the_budget_holds_exactly_and_classes_come_apart(shape, budget):
    data = images(n=200, shape=shape, low=80, high=175)
    start, end = (poison("tue", data, seed=0, steps=n) for n in (1, 20))
    change = levels(end.x_train) - levels(data.x_train)
    assert np.abs(change).max() == budget
    assert f"L∞ ≤ {budget}/255" in end.description
    before, after = (plain_csd(made.perturbation.reshape(200, -1), data.y_train) for made in (start, end))
    assert after < before / 100
    flat = end.perturbation.reshape(200, -1) * 255 / budget
    assert (
        LogisticRegression(max_iter=200).fit(flat[:100], data.y_train[:100]).score(flat[100:], data.y_train[100:]) == 1
    )


def test_noise_starts_anywhere_in_the_ball():
    data = images(n=200, shape=(1, 8, 8), low=80, high=175)
    delta = tue.perturb(data, seed=0, steps=1, step_size=1e-9).delta
    assert np.abs(delta).max() <= 76 / 255
    assert abs(delta.std() - 76 / 255 / np.sqrt(3)) < 0.01


def test_features_are_moved_in_units_of_their_own_spread():
    data = vectors(n=300)
    relative = np.abs(tue.perturb(data, seed=0, strength=0.5).delta) / data.x_train.std(axis=0, dtype=np.float64)
    assert relative.max() == pytest.approx(0.5)


def test_it_tells_how_far_it_is():
    told = []
    tue.perturb(images(), seed=0, steps=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_coinciding_centres_and_absent_classes_make_no_nan():
    with np.errstate(all="raise"):
        assert np.isfinite(tue.centre_gradients(np.ones((3, 4)), np.zeros(3))).all()
        data = images(n=60).subset(3, 0)
        assert len(np.unique(data.y_train)) < 4
        assert np.isfinite(poison("tue", data, seed=0).x_train).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 0}, "at least 1, not 0"),
        ({"steps": 1.5}, r"at least 1, not 1\.5"),
        ({"step_size": 0}, "positive share of the radius, not 0"),
        ({"step_size": float("nan")}, "positive share of the radius, not nan"),
    ],
)
def test_impossible_settings_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison("tue", images(), seed=0, **options)
