"""Robust and stable error-minimising noise."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.samples import images, levels
from training import poison
from training.unlearnable import rem, robust, sem, surrogate

SMALL = robust.Setting(epochs=2, lr=0.05, steps=3, step=0.4, samples=2, adversary_steps=2, adversary_step=0.5)


def crafting(data, *, strength=None, name=None):
    task = surrogate.make_task(data, seed=0, strength=strength, surrogate=name, device="cpu")
    (model,) = surrogate.train_clean(task, epochs=5, lr=0.05, batch_size=16, tick=lambda: None)
    return task, model


@pytest.mark.parametrize("name", ["rem", "sem"])
@pytest.mark.parametrize(("shape", "budget"), [((3, 8, 8), 8), ((1, 8, 8), 76)])
def test_the_budget_holds_exactly_on_grey_levels(name, shape, budget):
    data = images(n=64, shape=shape)
    change = levels(poison(name, data, seed=0).x_train) - levels(data.x_train)
    assert np.abs(change).max() == budget


@pytest.mark.parametrize("random_adversary", [False, True])
def test_without_adversary_and_transformation_it_is_error_minimisation(random_adversary):
    task, model = crafting(images(n=40, shape=(3, 8, 8)))
    plain = replace(SMALL, samples=1, adversary=0.0, transform=False)
    start = torch.zeros_like(task.inputs)
    with surrogate.frozen(model):
        crafted = robust.craft(
            task,
            model,
            task.inputs,
            task.targets,
            plain,
            np.random.default_rng(0),
            random_adversary=random_adversary,
            start=start,
        )
        loss = surrogate.cross_entropy(model, task.targets)
        minimised = surrogate.descend(task, task.inputs, start, loss, steps=plain.steps, step=plain.step)
    assert torch.equal(crafted, minimised)


def test_the_adversary_stays_in_its_radius_and_raises_the_loss():
    task, model = crafting(images(n=40, shape=(3, 8, 8)))
    with surrogate.frozen(model):
        found = robust.attacked(task, model, task.inputs, task.targets, SMALL, np.random.default_rng(0))
        loss = surrogate.cross_entropy(model, task.targets)
        assert loss(found) > loss(task.inputs)
    assert (found - task.inputs).abs().max() <= 4 / 255 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("random_adversary", [False, True])
def test_crafted_noise_lowers_the_loss_under_the_adversary(random_adversary):
    task, model = crafting(images(n=40, shape=(1, 8, 8)), name="mlp")
    setting, x, y = replace(SMALL, transform=False), task.inputs, task.targets
    with surrogate.frozen(model):
        delta = robust.craft(task, model, x, y, setting, np.random.default_rng(0), random_adversary=random_adversary)
        before, after = (
            surrogate.cross_entropy(model, y)(robust.attacked(task, model, z, y, setting, np.random.default_rng(1)))
            for z in (x, task.inside(x + delta))
        )
    assert (delta.abs() <= task.radius).all()
    assert after < 0.9 * before


def test_a_random_adversary_is_one_draw_within_its_radius(monkeypatch):
    task, model = crafting(images(n=20, shape=(3, 8, 8), low=60, high=200))
    points = []
    monkeypatch.setattr(robust, "cross_entropy", lambda model, targets: lambda x: points.append(x.detach()) or x.sum())
    plain = replace(SMALL, steps=1, samples=1, transform=False)
    start = torch.zeros_like(task.inputs)
    robust.craft(
        task,
        model,
        task.inputs,
        task.targets,
        plain,
        np.random.default_rng(0),
        random_adversary=True,
        start=start,
    )
    (seen,) = points
    off = (seen - task.inputs) * 255
    assert off.abs().max() <= 4 + 1e-4
    assert off.abs().max() > 3.9
    assert abs(float(off.mean())) < 0.2


def test_transformations_are_crops_and_flips_for_colour_alone():
    for shape, pad in (((3, 8, 8), 4), ((1, 8, 8), 2)):
        task, _ = crafting(images(n=20, shape=shape), name="linear")
        moved = robust.transformed(task, task.inputs, SMALL, np.random.default_rng(0))
        padded = torch.nn.functional.pad(task.inputs, (pad,) * 4)
        for image, found in zip(padded, moved, strict=True):
            places = [image[:, i : i + 8, j : j + 8] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
            straight = any(torch.equal(place, found) for place in places)
            assert straight or (shape[0] == 3 and any(torch.equal(place.flip(2), found) for place in places))


def test_carried_noise_starts_from_the_samples_last(monkeypatch):
    starts = []
    craft = robust.craft

    def noted(task, model, inputs, targets, setting, rng, *, random_adversary, start):
        begun = start.clone()  # a view of what is overwritten next
        made = craft(task, model, inputs, targets, setting, rng, random_adversary=random_adversary, start=start)
        starts.append((begun, made))
        return made

    monkeypatch.setattr(robust, "craft", noted)
    poison("sem", images(n=40, shape=(1, 8, 8)), seed=0)  # one batch an epoch, in another order each time
    assert not starts[0][0].any()
    for (_, made), (start, _) in itertools.pairwise(starts):
        assert np.array_equal(*(np.unique(noise.flatten(1).numpy(), axis=0) for noise in (made, start)))


def test_the_full_setting_is_the_authors():
    full = robust.chosen_setting("rem", "full", rem.REDUCED)
    assert full.sgd_steps(50_000) == full.sgd_steps(10) == 5000
    assert (full.steps, full.samples, full.adversary_steps) == (10, 5, 10)
    assert (full.transform, full.carried, full.clean_epochs) == (True, False, 0)
    assert full.step * 8 == pytest.approx(1.6)
    assert full.adversary * full.adversary_step * 8 == pytest.approx(0.8)
    assert robust.chosen_setting("sem", "reduced", sem.REDUCED).sgd_steps(300) == 4 * 3


@pytest.mark.parametrize("name", ["rem", "sem"])
def test_unknown_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"setting of {name} must be 'reduced' or 'full', not 'small'"):
        poison(name, images(), seed=0, setting="small")
