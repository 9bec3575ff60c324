"""What holds for every defence."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.training.samples import images, vectors
from training import DEFENCES, build_defence, build_model
from training.defences import defence_options

NAMES = sorted(DEFENCES)
IN_BATCHES = ("adversarial-training", "cutmix", "cutout", "mixup", "ueraser")
ONCE = sorted(set(NAMES) - set(IN_BATCHES))
FOR_VECTORS = ("adversarial-training", "mixup", "orthogonal-projection")


def network(shape=(3, 8, 8), classes=4):
    model = build_model("resnet-small", shape, classes, seed=0)
    model(torch.rand(8, *shape))  # running statistics of their own
    model.l2.eval()  # a part that the caller keeps frozen
    functional.cross_entropy(model(torch.rand(4, *shape)), torch.arange(4)).backward()
    return model


def batch(n=12, shape=(3, 8, 8), classes=4):
    drawn = torch.Generator().manual_seed(1)
    return torch.rand(n, *shape, generator=drawn), torch.arange(n) % classes


def defend(defence, model, inputs, targets, seed=0, **options):
    return defence.batch(model, inputs, targets, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_defence_acts_once_or_in_batches_and_keeps_shapes(name):
    defence, data = build_defence(name), images(shape=(3, 8, 8))
    before = data.x_train.copy()
    prepared = defence.prepare(data.x_train, data.y_train, seed=0)
    assert np.array_equal(before, data.x_train)
    assert prepared.shape == data.x_train.shape
    assert prepared.dtype == np.float32
    assert np.array_equal(prepared, data.x_train) == (name in IN_BATCHES)
    inputs, targets = batch()
    kept = inputs.clone()
    x, y = defend(defence, network(), inputs, targets)
    assert torch.equal(inputs, kept)
    assert x.shape == inputs.shape
    assert x.dtype == inputs.dtype
    assert not x.requires_grad
    assert torch.equal(x, inputs) == (name in ONCE)
    assert (y.dim() == 2) == (name in ("cutmix", "mixup"))
    if y.dim() == 1:
        assert torch.equal(y, targets)
    if name != "orthogonal-projection":
        assert min(float(x.min()), float(prepared.min())) >= 0
        assert max(float(x.max()), float(prepared.max())) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_model_and_the_global_random_state_are_left_as_they_were(name):
    model = network()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    modes = [part.training for part in model.modules()]
    before = random.getstate(), torch.get_rng_state()
    data = images(shape=(3, 8, 8))
    build_defence(name).prepare(data.x_train, data.y_train, seed=0)
    defend(build_defence(name), model, *batch())
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert all(torch.equal(old, p.grad) for old, p in zip(gradients, model.parameters(), strict=True))
    assert modes == [part.training for part in model.modules()]
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name):
    defence = build_defence(name, **({"size": 3} if name == "cutout" else {}))
    data, model = images(shape=(3, 8, 8)), network()
    once = [defence.prepare(data.x_train, data.y_train, seed=s).tobytes() for s in (3, 3, 4)]
    assert once[0] == once[1]
    assert (once[0] == once[2]) == (name != "orthogonal-projection")
    first, again, other = (defend(defence, model, *batch(), seed=s)[0] for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name in ONCE)


@pytest.mark.parametrize("name", NAMES)
def test_feature_vectors_are_defended_or_refused_in_one_sentence(name):
    data = vectors()
    model = build_model("mlp", data.input_shape, data.n_classes, seed=0)
    x, y = torch.from_numpy(data.x_train[:10]), torch.from_numpy(data.y_train[:10])
    defence = build_defence(name)
    if name in FOR_VECTORS:
        assert defence.prepare(data.x_train, data.y_train, seed=0).shape == data.x_train.shape
        assert defend(defence, model, x, y)[0].shape == x.shape
        return
    once = name in ONCE
    with pytest.raises(ValueError, match=rf"^{name} is for images; these inputs have the shape \[12\]\.$"):
        _ = defence.prepare(data.x_train, data.y_train, seed=0) if once else defend(defence, model, x, y)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"grayscale"}))
def test_grey_images_are_defended(name):
    data = images(shape=(1, 8, 8))
    assert build_defence(name).prepare(data.x_train, data.y_train, seed=0).shape == data.x_train.shape
    assert defend(build_defence(name), network((1, 8, 8)), *batch(shape=(1, 8, 8)))[0].shape == (12, 1, 8, 8)


@pytest.mark.parametrize("name", sorted(IN_BATCHES))
def test_soft_targets_pass_through_every_defence(name):
    inputs, targets = batch()
    soft = functional.one_hot(targets, 4) * 0.7 + 0.075
    _, changed = defend(build_defence(name), network(), inputs, soft)
    assert changed.shape == soft.shape
    assert torch.allclose(changed.sum(dim=1), torch.ones(12))
    assert torch.equal(changed, soft) == (name not in ("cutmix", "mixup"))


@pytest.mark.parametrize("name", NAMES)
def test_every_defence_names_its_source_and_its_settings(name):
    module = __import__(DEFENCES[name].__module__, fromlist=["x"])
    assert "20" in module.__doc__
    assert build_defence(name).description
    assert build_defence(name, **defence_options(name)) == build_defence(name)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("jpg", {}, "no defence called 'jpg'; did you mean jpeg"),
        ("zzz", {}, "known are jpeg, grayscale, bdr"),
        ("jpeg", {"qualty": 5}, "no option 'qualty'; did you mean quality"),
        ("grayscale", {"x": 5}, "no option 'x'; it knows none"),
        ("jpeg", {"quality": 0}, "whole number from 1 to 95, not 0"),
        ("jpeg", {"quality": 9.5}, "whole number from 1 to 95"),
        ("jpeg", {"quality": True}, "whole number from 1 to 95"),
        ("jpeg", {"quality": "high"}, "not 'high'"),
        ("bdr", {"bits": 8}, "from 1 to 7, not 8"),
        ("gaussian-blur", {"sigma": 0.1}, r"keeps 100 % of its weight, and no 8-bit image changes; use 0\.5 or more"),
        ("gaussian-blur", {"sigma": 0}, "does not blur"),
        ("gaussian-blur", {"sigma": float("nan")}, "a number of at least 0, not nan"),
        ("gaussian-blur", {"kernel": 4}, "must be odd"),
        ("cutout", {"size": 0}, "at least 1, not 0"),
        ("cutmix", {"alpha": 0}, r"at least 0\.001"),
        ("mixup", {"alpha": float("inf")}, "not inf"),
        ("ueraser", {"mode": "maximum"}, "one of lite, standard, max, not 'maximum'"),
        ("ueraser", {"plasma": 1.5}, "from 0 to 1"),
        ("adversarial-training", {"radius": 0}, "above 0"),
        ("adversarial-training", {"steps": 0}, "at least 1"),
        ("orthogonal-projection", {"epochs": 0}, "at least 1"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(name, options, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        build_defence(name, **options)
    assert "\n" not in str(caught.value)


def test_defences_compose_in_order():
    data = images(shape=(3, 8, 8))
    grey = build_defence("grayscale").prepare(data.x_train, data.y_train, seed=0)
    both = build_defence("bdr").prepare(grey, data.y_train, seed=0)
    assert np.array_equal(both[:, 0], both[:, 2])
    assert set(np.rint(both * 255).astype(int).ravel()) <= {0, 64, 128, 192}
    inputs, targets = batch()
    model = network()
    mixed = defend(build_defence("mixup"), model, inputs, targets)
    x, y = defend(build_defence("adversarial-training", steps=2), model, *mixed)
    assert torch.equal(y, mixed[1])
    assert (x - mixed[0]).abs().max() <= 8 / 255 + 1e-6


def test_a_model_that_draws_does_not_change_what_a_defence_draws():
    inputs, targets = batch()
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 4))
    defence = build_defence("ueraser", mode="max")
    first = defend(defence, model, inputs, targets)[0]
    torch.rand(5)
    assert torch.equal(first, defend(defence, model, inputs, targets)[0])
