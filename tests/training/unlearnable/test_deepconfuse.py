"""DeepConfuse: the generator, its one look ahead, and what it refuses."""

import numpy as np
import pytest
import torch

from tests.training.samples import images, levels, vectors
from training import poison
from training.unlearnable import deepconfuse, surrogate


def grey(n=70):
    return images(n=n, shape=(1, 28, 28))


def task_of(data):
    return surrogate.make_task(data, seed=0, strength=None, surrogate=None, device="cpu")


def test_the_budget_holds_exactly_on_grey_levels():
    data = grey()
    change = levels(poison("deepconfuse", data, seed=0).x_train) - levels(data.x_train)
    assert 1 <= np.abs(change).max() <= 76


def test_noise_is_a_function_of_the_image_alone():
    data = grey()
    data.x_train[69] = data.x_train[0]
    data.y_train[69] = (data.y_train[0] + 1) % 4
    change = poison("deepconfuse", data, seed=0).perturbation
    assert np.array_equal(change[0], change[69])
    assert not np.array_equal(change[0], change[1])


def test_the_generator_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    generator = deepconfuse.Generator().eval()
    x = torch.rand(9, 1, 28, 28)
    with torch.inference_mode():
        together, apart = generator(x), torch.cat([generator(one[None]) for one in x])
    assert together.shape == x.shape
    assert together.abs().max() <= 1
    assert torch.allclose(together, apart, atol=1e-6)


def test_the_look_ahead_is_the_gradient_of_the_victims_next_step(monkeypatch):
    # Against finite differences: how the clean loss after one victim step answers to a change of the generator.
    data = grey(n=8)
    task = task_of(data)
    double = task.__class__(**{**vars(task), "inputs": task.inputs.double(), "radius": task.radius.double()})
    torch.manual_seed(0)
    generator, victim = deepconfuse.Generator().double(), deepconfuse.make_victim(4).double().train()
    before = {name: p.detach().clone() for name, p in generator.named_parameters()}
    seen = {}

    class Watching(torch.optim.SGD):
        def step(self):
            seen.update({name: -p.grad.clone() for name, p in generator.named_parameters()})

    start = {name: value.clone() for name, value in victim.state_dict().items()}
    adam = Watching(generator.parameters(), lr=1.0)
    fixed = deepconfuse.Generator().double().eval()
    deepconfuse._inner_step(double, generator, adam, fixed, victim, torch.arange(8))

    def harm(shift):
        with torch.no_grad():
            for name, p in generator.named_parameters():
                p.copy_(before[name] + shift * seen[name])
        twin = deepconfuse.make_victim(4).double().train()
        twin.load_state_dict(start)
        noisy = double.inside(double.inputs + double.radius * generator(double.inputs)).detach()
        loss = torch.nn.functional.cross_entropy(twin(noisy), double.targets)
        for p, g in zip(twin.parameters(), torch.autograd.grad(loss, list(twin.parameters())), strict=True):
            with torch.no_grad():
                p.sub_(g, alpha=deepconfuse.VICTIM_LR)
        return torch.nn.functional.cross_entropy(twin(double.inputs), double.targets).item()

    norm = sum(float((g**2).sum()) for g in seen.values())
    h = 1e-7 / norm**0.5  # so small that few of the many ReLUs, maxima and clips change sides
    assert norm > 0
    assert (harm(h) - harm(-h)) / (2 * h) == pytest.approx(norm, rel=1e-3)


def test_a_last_batch_of_one_sample_is_no_obstacle():
    made = poison("deepconfuse", grey(n=65), seed=0, epochs=1)
    assert np.isfinite(made.x_train).all()


@pytest.mark.parametrize("data", [images(), images(shape=(1, 8, 8)), images(shape=(3, 28, 28)), vectors()])
def test_other_shapes_are_refused(data):
    with pytest.raises(ValueError, match="grey images of 28×28 pixels, not for samples of shape"):
        poison("deepconfuse", data, seed=0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"epochs": 0}, "epochs of deepconfuse is a whole number"),
        ({"generator_lr": -1.0}, "generator's learning rate must be a positive number"),
        ({"device": "nowhere"}, "cannot be used here"),
    ],
)
def test_impossible_settings_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison("deepconfuse", grey(n=10), seed=0, **options)
