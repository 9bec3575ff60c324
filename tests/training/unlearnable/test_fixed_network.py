"""Methods that take a gradient through a network trained beforehand: hypocritical and adversarial perturbations."""

import numpy as np
import pytest
import torch

from tests.training.samples import images, levels
from training import poison
from training.unlearnable import sep, surrogate


def learnable(n=160, shape=(1, 8, 8), classes=4):
    """Noisy images whose class brightens one of four quarters, which a network learns soon."""
    data = images(n=n, shape=shape, classes=classes, low=80, high=140)
    half = shape[1] // 2
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        for k in range(classes):
            rows, columns = divmod(k % 4, 2)
            x[y == k, :, rows * half : (rows + 1) * half, columns * half : (columns + 1) * half] += np.float32(60 / 255)
    x = np.rint(data.x_train * 255).astype(np.uint8)
    return data.__class__(**{**vars(data), "x_train": x.astype(np.float32) / np.float32(255)})


def crafting_network(data, *, epochs, seed=0):
    """The network that a method trains for itself, again."""
    task = surrogate.make_task(data, seed=seed, strength=None, surrogate=None, device="cpu")
    (model,) = surrogate.train_clean(task, epochs=epochs, lr=0.05, batch_size=128, tick=lambda: None)
    return model.eval()


def losses(model, x, y):
    with torch.inference_mode():
        return torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y), reduction="none")


def seen(model, x):
    with torch.inference_mode():
        return model(torch.from_numpy(x)).argmax(dim=1).numpy()


@pytest.mark.parametrize("name", ["hypo", "tap", "sep"])
@pytest.mark.parametrize(("shape", "budget"), [((3, 8, 8), 8), ((1, 8, 8), 76)])
def test_the_budget_holds_exactly_on_grey_levels(name, shape, budget):
    data = images(n=64, shape=shape)
    change = levels(poison(name, data, seed=0).x_train) - levels(data.x_train)
    assert np.abs(change).max() == budget


def test_hypocritical_samples_are_surer_of_their_class():
    data = learnable()
    made = poison("hypo", data, seed=0, epochs=40)
    model = crafting_network(data, epochs=40)
    before, after = losses(model, data.x_train, data.y_train), losses(model, made.x_train, data.y_train)
    assert (after < before).float().mean() > 0.99
    assert (seen(model, made.x_train) == data.y_train).all()


def test_targeted_samples_are_seen_as_the_next_class():
    data = learnable()
    made = poison("tap", data, seed=0, epochs=40)
    model = crafting_network(data, epochs=40)
    assert (seen(model, data.x_train) == data.y_train).mean() > 0.9
    assert (seen(model, made.x_train) == (data.y_train + 1) % 4).mean() >= 0.95
    assert np.array_equal(made.y_train, data.y_train)


def test_untargeted_samples_are_not_seen_as_their_class():
    data = learnable()
    made = poison("tap", data, seed=0, epochs=40, untargeted=True)
    model = crafting_network(data, epochs=40)
    assert (seen(model, made.x_train) == data.y_train).mean() <= 0.05
    assert "untargeted" in made.description


def test_the_best_restart_is_kept():
    data = learnable(n=40)
    model = crafting_network(data, epochs=2)
    wrong = (data.y_train + 1) % 4
    few, many = (poison("tap", data, seed=0, epochs=2, steps=1, restarts=r) for r in (1, 6))
    assert losses(model, many.x_train, wrong).mean() < losses(model, few.x_train, wrong).mean()


def test_shifted_steps_stay_in_the_budget_and_depend_on_the_seed():
    data = images(n=30, shape=(3, 8, 8))
    one, again, plain = (poison("tap", data, seed=0, epochs=1, steps=3, shift=s).x_train for s in (2, 2, 0))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, plain)
    assert np.abs(levels(one) - levels(data.x_train)).max() <= 8


def test_checkpoints_are_evenly_spaced_and_end_with_the_last():
    assert sep.evenly_spaced(8, 4) == [1, 3, 5, 7]
    assert sep.evenly_spaced(120, 30) == list(range(3, 120, 4))
    assert sep.evenly_spaced(5, 1) == [4]
    assert sep.evenly_spaced(5, 5) == [0, 1, 2, 3, 4]


def test_the_loss_of_an_ensemble_is_the_mean():
    models = [torch.nn.Linear(3, 4) for _ in range(3)]
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    losses = [torch.nn.functional.cross_entropy(model(x), y, reduction="sum") for model in models]
    assert torch.allclose(sep.ensemble_loss(models, y)(x), sum(losses) / 3)


def test_self_ensemble_samples_are_seen_as_another_class_by_the_checkpoints():
    data = learnable()
    made = poison("sep", data, seed=0, epochs=40, checkpoints=4)
    task = surrogate.make_task(data, seed=0, strength=None, surrogate=None, device="cpu")
    run = surrogate.train_clean(task, epochs=40, lr=0.05, batch_size=128, tick=lambda: None, keep=[9, 19, 29, 39])
    wrong = (data.y_train + 2) % 4
    for model in (one.eval() for one in run):
        assert losses(model, made.x_train, wrong).mean() < losses(model, data.x_train, wrong).mean()
        assert (seen(model, made.x_train) == wrong).mean() > (seen(model, data.x_train) == wrong).mean() + 0.5


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("sep", {"checkpoints": 9}, "8 epochs cannot give 9"),
        ("sep", {"steps": 0}, "steps of sep is a whole number"),
        ("tap", {"shift": 6}, "does not fit samples of shape"),
        ("tap", {"restarts": 0}, "restarts of tap is a whole number"),
        ("hypo", {"epochs": 0}, "epochs of hypo is a whole number"),
        ("hypo", {"step": 0}, "share of the radius"),
    ],
)
def test_impossible_settings_are_refused(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison(name, images(), seed=0, **options)
