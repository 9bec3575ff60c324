"""Adversarial training and orthogonal projection."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from tests.training.samples import images, vectors
from training import build_defence, build_model, poison


def attack(model, x, y, **options):
    defence = build_defence("adversarial-training", **options)
    return defence.batch(model, x, y, generator=torch.Generator().manual_seed(0))[0]


def test_the_attack_stays_in_its_ball_and_raises_the_loss():
    data = images(n=40, shape=(3, 8, 8))
    model = build_model("resnet-small", (3, 8, 8), 4, seed=0)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    moved = attack(model, x, y)
    assert (moved - x).abs().max() <= 8 / 255 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    model.eval()
    with torch.no_grad():
        before, after = (functional.cross_entropy(model(z), y) for z in (x, moved))
        noise = functional.cross_entropy(model((x + 8 / 255 * torch.randn_like(x).sign()).clamp(0, 1)), y)
    assert after > max(before, noise)


def test_the_attack_on_a_linear_model_is_the_sign_of_its_gradient():
    data = images(n=20, shape=(1, 4, 4), low=60, high=200)
    model = build_model("linear", (1, 4, 4), 2, seed=0)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train % 2)
    moved = attack(model, x, y, start=0.0)
    w = model.fc.weight.detach()
    away = (w[1] - w[0]).sign() * (1 - 2 * y[:, None])
    assert torch.allclose(moved, x + 8 / 255 * away.reshape(x.shape), atol=1e-6)


def test_vectors_are_not_clipped_to_the_unit_interval():
    data = vectors()
    model = build_model("linear", (12,), 5, seed=0)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    moved = attack(model, x, y, radius=0.5, step=0.1)
    assert (moved - x).abs().max() <= 0.5 + 1e-5
    assert moved.abs().max() > 1


def test_what_the_linear_model_sees_is_gone():
    data = poisoned()
    defence = build_defence("orthogonal-projection")
    flat = torch.from_numpy(data.x_train.reshape(len(data.x_train), -1))
    weights = defence.fit(flat, torch.from_numpy(data.y_train), 4, 0)
    projected = defence.prepare(data.x_train, data.y_train, seed=0)
    after = torch.from_numpy(projected.reshape(len(projected), -1))
    assert (flat @ weights.T).abs().max() > 0.1
    assert (after @ weights.T).abs().max() < 1e-4
    assert projected.min() < 0  # not clipped
    basis = torch.linalg.qr(weights.double().T).Q
    again = after.double() - after.double() @ basis @ basis.T
    assert torch.allclose(again, after.double(), atol=1e-6)


def poisoned():
    data = images(n=400, shape=(3, 8, 8), low=60, high=200)
    made = poison("class-random", data, seed=0, strength=60 / 255)
    return type(data)("p", made.x_train, data.y_train, data.x_test, data.y_test, 4, "image", True)


def test_the_class_wise_shortcut_is_projected_away():
    data = poisoned()
    defence = build_defence("orthogonal-projection", batch_size=16, epochs=100)  # few samples need many steps
    projected = defence.prepare(data.x_train, data.y_train, seed=0)

    def held_out(x):
        flat = x.reshape(len(x), -1)
        fitted = LogisticRegression(max_iter=300).fit(flat[:300], data.y_train[:300])
        return fitted.score(flat[300:], data.y_train[300:])

    assert held_out(data.x_train) > 0.95
    assert held_out(projected) < 0.65


def test_projection_of_everything_and_divergence_are_refused():
    data = vectors(features=5, classes=5)
    with pytest.raises(ValueError, match="leave nothing of 5 values a sample with 5 classes"):
        build_defence("orthogonal-projection").prepare(data.x_train, data.y_train, seed=0)
    data = vectors()
    with pytest.raises(ValueError, match="diverged with lr 1e\\+30; lower it"):
        build_defence("orthogonal-projection", lr=1e30).prepare(data.x_train * 1e20, data.y_train, seed=0)
    assert np.isfinite(data.x_train).all()
