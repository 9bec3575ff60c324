"""What the methods with a surrogate network share: seeds, modes, the budget, signed steps."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.samples import images, vectors
from training import build_model, poison
from training.unlearnable import surrogate
from training.unlearnable.shifts import random_crop, random_shift

NETWORKED = ["em", "em-class", "hypo", "tap", "sep", "rem", "sem"]
TRAINED = ["em", "em-class", "hypo", "tap", "sep"]  # with a learning rate of their own to choose


def task_of(data, *, seed=0, strength=None, name=None):
    return surrogate.make_task(data, seed=seed, strength=strength, surrogate=name, device="cpu")


def trained(task, epochs=6):
    return surrogate.train_clean(task, epochs=epochs, lr=0.05, batch_size=16, tick=lambda: None)[-1]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (images(n=8, shape=(1, 28, 28)), "lenet5"),
        (images(n=8, shape=(1, 8, 8)), "mlp"),
        (images(n=8, shape=(3, 8, 8)), "resnet-small"),
        (vectors(n=20), "mlp"),
    ],
)
def test_the_surrogate_suits_the_data(data, name):
    task = task_of(data)
    assert task.surrogate == name
    assert f"(surrogate {name})" in poison("hypo", data, seed=0, epochs=1, steps=1).description


def test_the_surrogate_does_not_start_where_a_victim_of_the_same_seed_does():
    task = task_of(images(), name="mlp")
    mine, again = (surrogate.build(task).state_dict()["1.weight"] for _ in range(2))
    assert torch.equal(mine, again)
    assert not torch.equal(mine, build_model("mlp", (3, 6, 5), 4, seed=0).state_dict()["1.weight"])
    assert not torch.equal(mine, surrogate.build(task_of(images(), seed=1, name="mlp")).state_dict()["1.weight"])


def test_training_learns_and_leaves_the_global_random_state():
    data = vectors(n=200, features=6, classes=3)
    data.x_train[np.arange(200), data.y_train] += 40
    task = task_of(data)
    before = torch.get_rng_state()
    model = trained(task, epochs=20)
    assert surrogate.accuracy(model, task.inputs, task.targets) > 0.9
    assert torch.equal(before, torch.get_rng_state())


def test_networks_of_several_epochs_are_kept_apart():
    kept = surrogate.train_clean(
        task_of(vectors()), epochs=4, lr=0.05, batch_size=16, tick=lambda: None, keep=[0, 2, 3]
    )
    weights = [model.state_dict()["0.weight"] for model in kept]
    assert len(weights) == 3
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_a_frozen_network_comes_back_as_it_was():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).train()
    model[0].bias.requires_grad_(False)
    with surrogate.frozen(model):
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]


@pytest.mark.parametrize("data", [images(low=0, high=256), vectors()])
def test_signed_steps_lower_the_loss_within_the_budget(data):
    task = task_of(data)
    model = trained(task)
    loss = surrogate.cross_entropy(model, task.targets)
    losses = []
    delta = torch.zeros_like(task.inputs)
    with surrogate.frozen(model):
        for _ in range(8):
            losses.append(float(loss(task.inside(task.inputs + delta))))
            delta = surrogate.descend(task, task.inputs, delta, loss, steps=1, step=0.1)
            assert (delta.abs() <= task.radius).all()
    assert losses == sorted(losses, reverse=True)


def test_a_first_signed_step_has_its_length_everywhere():
    task = task_of(images(low=60, high=200), strength=10 / 255)
    delta = surrogate.descend(
        task, task.inputs, torch.zeros_like(task.inputs), lambda x: (x * torch.ones_like(x)).sum(), steps=1, step=0.3
    )
    assert torch.allclose(delta, torch.full_like(delta, -3 / 255), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKED)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"surrogate": "lenet"}, "no surrogate network called 'lenet'; known are"),
        ({"surrogate": "lenet5"}, "LeNet-5 takes images of at least 12×12"),
        ({"device": "nowhere"}, "device 'nowhere' cannot be used here"),
    ],
)
def test_impossible_settings_are_refused(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison(name, images(), seed=0, **options)


@pytest.mark.parametrize("name", TRAINED)
def test_a_learning_rate_must_be_positive(name):
    with pytest.raises(ValueError, match="learning rate must be a positive number"):
        poison(name, images(), seed=0, lr=0.0)


@pytest.mark.parametrize("name", NETWORKED)
def test_progress_rises_to_its_end_and_may_stop_the_work(name):
    calls = []
    poison(name, vectors(), seed=0, progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert len({total for _, total in calls}) == 1
    assert calls[-1][0] == calls[-1][1]

    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        poison(name, vectors(), seed=0, progress=stop)


def test_layers_that_draw_do_so_from_their_own_stream():
    def draw(seed, number):
        with surrogate.chance(seed, number, torch.device("cpu")):
            return torch.rand(4)

    before = torch.get_rng_state()
    assert torch.equal(draw(0, 1), draw(0, 1))
    assert not torch.equal(draw(0, 1), draw(0, 2))
    assert torch.equal(before, torch.get_rng_state())


def test_random_shifts_move_whole_images_and_pass_gradients():
    x = torch.rand(6, 2, 9, 7, requires_grad=True)
    still = random_shift(x, 0, np.random.default_rng(0)).detach()
    for one, moved in zip(x.detach(), still, strict=True):
        assert torch.allclose(one, moved, atol=1e-5) or torch.allclose(one.flip(2), moved, atol=1e-5)
    random_shift(x, 3, np.random.default_rng(0)).sum().backward()
    assert x.grad.abs().sum() > 0


def test_random_crops_are_cuts_of_the_padded_image():
    x = torch.rand(20, 2, 5, 6)
    cut = random_crop(x, 2, flip=True, rng=np.random.default_rng(0))
    padded = nn.functional.pad(x, (2, 2, 2, 2))
    for image, found in zip(padded, cut, strict=True):
        places = [image[:, i : i + 5, j : j + 6] for i in range(5) for j in range(5)]
        assert any(torch.equal(place, found) or torch.equal(place.flip(2), found) for place in places)
    assert torch.equal(random_crop(x, 0, flip=False, rng=np.random.default_rng(0)), x)
