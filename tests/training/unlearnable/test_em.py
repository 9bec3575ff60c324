"""Error-minimising noise, per sample and per class."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.training.samples import images, levels, vectors
from training import poison
from training.unlearnable import em, surrogate


@pytest.mark.parametrize("name", ["em", "em-class"])
@pytest.mark.parametrize(("shape", "budget"), [((3, 8, 8), 8), ((1, 8, 8), 76)])
def test_the_budget_holds_exactly_on_grey_levels(name, shape, budget):
    data = images(n=64, shape=shape)
    change = levels(poison(name, data, seed=0).x_train) - levels(data.x_train)
    assert np.abs(change).max() <= budget
    assert np.abs(change).max() == budget or name == "em-class"  # which needs few rounds, and so little, for few images


@pytest.mark.parametrize("name", ["em", "em-class"])
def test_the_noise_is_learned_rather_than_the_data(name):
    # The labels of these images are random, so all that can be learned in general is the noise.
    data = images(n=240, shape=(1, 8, 8), low=80, high=170)
    made = poison(name, data, seed=0, strength=0.1, surrogate="mlp")
    flat = made.perturbation.reshape(240, -1)
    half = np.arange(240) < 120
    probe = LogisticRegression(C=100, max_iter=500).fit(flat[half], data.y_train[half])
    assert probe.score(flat[~half], data.y_train[~half]) >= (1.0 if name == "em-class" else 0.9)


@pytest.mark.parametrize("data", [images(n=60, low=80, high=170), vectors()])
def test_a_class_shares_one_pattern(data):
    change = poison("em-class", data, seed=0).perturbation
    for k in range(data.n_classes):
        own = change[data.y_train == k]
        assert np.abs(own - own[0]).max() < 1e-5
    firsts = np.stack([change[data.y_train == k][0].ravel() for k in range(data.n_classes)])
    assert len(np.unique(firsts.round(4), axis=0)) == data.n_classes


def test_rounds_end_when_the_surrogate_knows_the_perturbed_data(monkeypatch):
    calls = []

    def known_in_round_two(task, model, delta):
        calls.append(1)
        return 0.99 if len(calls) == 2 else 0.5

    monkeypatch.setattr(em, "perturbed_accuracy", known_in_round_two)
    ticks = []
    poison("em", vectors(), seed=0, max_rounds=9, progress=lambda done, total: ticks.append((done, total)))
    assert len(calls) == 2
    assert ticks[-1] == (9, 9)
    assert len(ticks) == 3


def test_with_enough_rounds_the_surrogate_reaches_99_percent(monkeypatch):
    reached = []
    measure = em.perturbed_accuracy

    def noted(task, model, delta):
        reached.append(measure(task, model, delta))
        clean = torch.nn.functional.cross_entropy(model.eval()(task.inputs), task.targets)
        dirty = torch.nn.functional.cross_entropy(model(task.inside(task.inputs + delta)), task.targets)
        assert dirty < clean
        return reached[-1]

    monkeypatch.setattr(em, "perturbed_accuracy", noted)
    poison("em", images(n=64, shape=(1, 8, 8)), seed=0, max_rounds=30)
    assert reached[-1] >= 0.99
    assert len(reached) < 30


def test_class_wise_steps_average_over_a_class():
    from training.unlearnable import em_class

    data = images(n=12, shape=(1, 4, 4), classes=3, low=80, high=170)
    task = surrogate.make_task(data, seed=0, strength=0.2, surrogate="linear", device="cpu")
    model = surrogate.build(task)
    patterns = torch.zeros(3, 1, 4, 4)
    with surrogate.frozen(model):
        em_class._fit(task, model, patterns, torch.arange(12), 0.5)
        for k in range(3):
            own = task.targets == k
            loss = surrogate.cross_entropy(model, task.targets[own])
            signs = -surrogate.input_gradient(loss, task.inputs[own]).sign()
            assert torch.allclose(patterns[k], (0.5 * task.radius[0] * signs).mean(dim=0), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("em", {"steps": 0}, "steps of em is a whole number, at least 1, not 0"),
        ("em", {"step": 3.0}, "share of the radius"),
        ("em-class", {"max_rounds": 1.5}, r"not 1\.5"),
        ("em-class", {"step": -0.1}, "share of the radius"),
    ],
)
def test_impossible_settings_are_refused(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison(name, images(), seed=0, **options)
