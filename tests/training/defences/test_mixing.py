"""Cutout, CutMix and MixUp: what becomes of pixels and labels."""

import numpy as np
import pytest
import torch

from training import build_defence, build_model


def defend(name, x, y, seed=0, classes=5, **options):
    model = build_model("linear", tuple(x.shape[1:]), classes, seed=0)
    return build_defence(name, **options).batch(model, x, y, generator=torch.Generator().manual_seed(seed))


def test_cutout_erases_one_clipped_square():
    x, y = torch.full((500, 3, 32, 32), 0.5), torch.zeros(500, dtype=torch.long)
    cut, _ = defend("cutout", x, y)
    erased = (cut == 0).numpy()
    assert np.array_equal(erased[:, 0], erased[:, 2])
    rows, columns = erased[:, 0].any(axis=2), erased[:, 0].any(axis=1)
    for image, row, column in zip(erased[:, 0], rows, columns, strict=True):
        assert np.array_equal(image, np.outer(row, column))  # a rectangle
        for line in (row, column):
            inside = np.flatnonzero(line)
            assert len(inside) == inside[-1] - inside[0] + 1 <= 16
            assert len(inside) == 16 or line[0] or line[-1]  # smaller only where the border clips it
    assert rows.sum(axis=1).min() < 16
    centre = erased[:, 0].mean(axis=0)
    assert centre[16, 16] > centre[0, 0] > 0


def test_cutmix_labels_follow_the_pixels():
    y = torch.arange(64) % 4
    x = y.float()[:, None, None, None].expand(64, 3, 12, 10).contiguous()
    mixed, soft = defend("cutmix", x, y, classes=4)
    for k in range(4):
        share = (mixed[:, 0] == k).float().mean(dim=(1, 2))
        assert torch.allclose(share, soft[:, k], atol=1e-6)
    assert ((soft > 0.01).sum(dim=1) == 2).any()


def test_mixup_labels_follow_the_mixture():
    y = torch.arange(64) % 4
    x = torch.nn.functional.one_hot(y, 4).float()
    mixed, soft = defend("mixup", x, y, classes=4)
    assert torch.allclose(mixed, soft, atol=1e-6)
    assert torch.allclose(soft.sum(dim=1), torch.ones(64))
    largest = torch.cat([defend("mixup", x, y, seed=s, classes=4)[1].amax(dim=1) for s in range(20)])
    mixtures = largest[largest < 0.999]
    assert 0.7 < float(mixtures.mean()) < 0.8  # max(λ, 1 − λ) of uniform λ has mean 3/4


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
def test_probabilities_have_a_column_for_every_output_of_the_model(name):
    x, y = torch.rand(6, 1, 4, 4), torch.zeros(6, dtype=torch.long)
    assert defend(name, x, y, classes=9)[1].shape == (6, 9)
