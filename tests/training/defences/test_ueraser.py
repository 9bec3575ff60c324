"""UEraser: its fractals, its operations, and that the hardest candidate is kept."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from training import build_defence, build_model
from training.defences.plasma import plasma
from training.defences.trivial_augment import RANGES, apply_operation
from training.defences.ueraser import losses


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 28), (1, 5), (33, 64)])
def test_plasma_fills_the_unit_interval_smoothly(height, width):
    maps = plasma(np.random.default_rng(0), np.full(6, 0.5), 3, height, width)
    assert maps.shape == (6, 3, height, width)
    assert maps.dtype == np.float32
    assert np.allclose(maps.min(axis=(2, 3)), 0)
    assert np.allclose(maps.max(axis=(2, 3)), 1)
    assert not np.array_equal(maps[0, 0], maps[0, 1])


def test_plasma_is_rougher_where_roughness_is_larger():
    maps = plasma(np.random.default_rng(0), np.array([0.2] * 40 + [0.9] * 40), 1, 65, 65)[:, 0]
    steps = np.abs(np.diff(maps, axis=2)).mean(axis=(1, 2))
    assert 3 * steps[:40].mean() < steps[40:].mean()


def test_without_noise_plasma_is_the_mean_of_its_neighbours():
    maps = plasma(np.random.default_rng(0), np.zeros(4), 1, 17, 17)[:, 0]
    # The first level alone is random: beyond it, refinement interpolates, so that midpoints are means.
    assert np.allclose(maps[:, 0, 2], (maps[:, 0, 0] + maps[:, 0, 4] + maps[:, 2, 2]) / 3, atol=1e-6)
    inner = (maps[:, 4, 4] + maps[:, 4, 8] + maps[:, 2, 6] + maps[:, 6, 6]) / 4
    assert np.allclose(maps[:, 4, 6], inner, atol=1e-6)


@pytest.mark.parametrize("name", sorted(RANGES))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_keeps_images_images(name, channels):
    x = torch.rand(7, channels, 12, 10, generator=torch.Generator().manual_seed(0))
    changed = apply_operation(name, np.random.default_rng(0), x)
    assert changed.shape == x.shape
    assert changed.dtype == x.dtype
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed, x)


def test_strengths_differ_between_images():
    x = torch.rand(1, 3, 8, 8).expand(5, 3, 8, 8)
    changed = apply_operation("brightness", np.random.default_rng(0), x)
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 5
    drawn = np.random.default_rng(0).uniform(0.1, 1.9, 5)
    assert torch.allclose(changed[2], transforms.adjust_brightness(x[2], drawn[2]))


def setting(**options):
    model = build_model("resnet-small", (3, 8, 8), 4, seed=0)
    x, y = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(2)), torch.arange(16) % 4
    return build_defence("ueraser", **options), model, x, y


def defend(defence, model, x, y, **options):
    return defence.batch(model, x, y, generator=torch.Generator().manual_seed(5), **options)[0]


def test_the_hardest_candidates_are_kept():
    defence, model, x, y = setting(mode="max")
    model.eval()
    rng = np.random.default_rng(0)
    hard = losses(model, defend(defence, model, x, y), y, rng).mean()
    single = [losses(model, defence.augment(np.random.default_rng(s), x), y, rng).mean() for s in range(10)]
    assert hard > np.mean(single)


def test_each_image_comes_from_one_candidate_with_its_largest_loss(monkeypatch):
    defence, model, x, y = setting(mode="max", candidates=3)
    seen = []
    original = type(defence).augment
    monkeypatch.setattr(type(defence), "augment", lambda *a: seen.append(original(*a)) or seen[-1])
    chosen = defend(defence, model, x, y)
    assert len(seen) == 3
    table = torch.stack([losses(model, candidate, y, np.random.default_rng(0)) for candidate in seen])
    expected = torch.stack([seen[int(r)][i] for i, r in enumerate(table.argmax(dim=0))])
    assert torch.equal(chosen, expected)


@pytest.mark.parametrize(
    ("options", "epoch", "expected"),
    [
        ({"mode": "lite"}, 0, 1),
        ({"mode": "max"}, 500, 5),
        ({}, 49, 5),
        ({}, 50, 1),
        ({"epochs": 2, "candidates": 3}, 1, 3),
    ],
)
def test_modes_differ_in_how_many_candidates_they_draw(monkeypatch, options, epoch, expected):
    defence, model, x, y = setting(**options)
    drawn = []
    original = type(defence).augment
    monkeypatch.setattr(type(defence), "augment", lambda *a: drawn.append(1) or original(*a))
    defend(defence, model, x, y, epoch=epoch)
    assert len(drawn) == expected


def test_losses_are_those_of_the_network_as_it_trains():
    _, model, x, y = setting()
    found = losses(model, x, y, np.random.default_rng(0))
    model.train()
    with torch.no_grad():
        assert torch.equal(found, functional.cross_entropy(model(x), y, reduction="none"))
