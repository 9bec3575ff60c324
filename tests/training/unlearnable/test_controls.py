"""Controls without a link to the class: noise of an L2 budget, random pixels, and a method's own noise permuted."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.training.samples import images, levels, vectors
from training import poison


def norms(delta):
    return np.linalg.norm(delta.reshape(len(delta), -1).astype(np.float64), axis=1)


def not_rounded(data):
    return dataclasses.replace(data, eight_bit=False)


@pytest.mark.parametrize(("like", "norm"), [("lsp", 6 / 255 * np.sqrt(3 * 16 * 16)), ("ar", np.sqrt(256 / 1024))])
def test_gaussian_noise_lies_on_the_sphere_of_the_method_it_stands_beside(like, norm):
    data = images(n=40, shape=(3, 16, 16), low=100, high=150)
    made = poison("gaussian-noise", not_rounded(data), seed=0, like=like)
    assert norms(made.perturbation) == pytest.approx(np.full(40, norm), rel=1e-5)
    assert f"L2 = {norm:.4g}" in made.budget
    other = poison(like, not_rounded(data), seed=0)
    assert other.options["strength"] == pytest.approx(made.options["strength"])
    rounded = poison("gaussian-noise", data, seed=0, like=like)
    assert np.abs(levels(rounded.x_train) - levels(data.x_train) - 255 * made.perturbation).max() <= 0.501


def test_gaussian_noise_is_fresh_for_every_sample_and_in_units_of_the_features():
    data = vectors()
    delta = poison("gaussian-noise", data, seed=0, strength=2.0).perturbation / data.x_train.std(axis=0)
    assert norms(delta) == pytest.approx(np.full(80, 2.0), rel=1e-4)
    assert len(np.unique(delta.round(5), axis=0)) == 80


@pytest.mark.parametrize("sparsity", [1, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_as_many_random_pixels_as_asked_become_extreme(sparsity, channels):
    data = images(n=200, shape=(channels, 8, 8), low=60, high=200)
    made = poison("random-pixel", data, seed=0, sparsity=sparsity)
    changed = made.perturbation.any(axis=1).reshape(200, -1)
    assert (changed.sum(axis=1) == sparsity).all()
    seen = levels(made.x_train).transpose(0, 2, 3, 1).reshape(200, -1, channels)[changed]
    assert set(np.unique(seen)) == {0, 255}
    assert len(np.unique(seen, axis=0)) == 2**channels
    shares = changed.mean(axis=0) * 64 / sparsity
    assert shares.max() < 4  # of uniform; no place is anybody's
    assert f"{'one pixel' if sparsity == 1 else '4 pixels'} per sample" in made.budget


def test_random_pixels_go_part_of_the_way_where_asked():
    data = images(n=20, low=100, high=101)
    whole, half = (poison("random-pixel", data, seed=0, strength=s).perturbation for s in (1.0, 0.5))
    assert np.abs(whole / 2 - half).max() <= 0.51 / 255


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("gaussian-noise", {"like": "ops"}, "lsp or ar, not 'ops'"),
        ("random-pixel", {"sparsity": 0}, "from 1 to 30, not 0"),
        ("random-pixel", {"sparsity": 31}, "from 1 to 30, not 31"),
        ("random-pixel", {"strength": 1.5}, "1.5 exceeds 1"),
    ],
)
def test_impossible_controls_are_refused(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison(name, images(), seed=0, **options)


@pytest.mark.parametrize("name", ["lsp", "ops", "class-random"])
def test_permuted_perturbations_are_the_originals_elsewhere(name):
    data = images(n=100, shape=(3, 8, 8), low=110, high=140)
    options = {"strength": 0.3} if name != "ops" else {"strength": 0.5}
    plain, control = poison(name, data, seed=0, **options), poison(name, data, seed=0, permute=True, **options)
    before, after = (levels(m.x_train) - levels(data.x_train) for m in (plain, control))
    order = {row.tobytes() for row in before}
    if name != "ops":  # whose change of one image may be more than another's pixel has room for
        assert np.array_equal(np.sort(norms(after)), np.sort(norms(before)))
        assert {row.tobytes() for row in after} == order
    assert np.array_equal(control.y_train, data.y_train)
    assert control.budget == plain.budget
    assert control.options == dict(plain.options) | {"permute": True}
    assert control.description == f"{plain.description}, permuted across samples"
    again = poison(name, data, seed=0, permute=True, **options)
    assert again.x_train.tobytes() == control.x_train.tobytes()
    assert (np.abs(before - after).reshape(100, -1).max(axis=1) > 0).mean() > 0.7


def test_permuted_noise_tells_nothing_of_the_class():
    data = images(n=600, shape=(1, 8, 8), low=110, high=140)
    plain, control = (poison("lsp", data, seed=0, permute=p).perturbation.reshape(600, -1) for p in (False, True))
    half = np.arange(600) < 300
    scores = [
        LogisticRegression(max_iter=300).fit(x[half], data.y_train[half]).score(x[~half], data.y_train[~half])
        for x in (plain, control)
    ]
    assert scores[0] > 0.95
    assert scores[1] < 0.35  # of four classes


def test_permuting_stays_among_the_poisoned_samples():
    data = images(n=50, low=110, high=140)
    plain, control = (poison("lsp", data, seed=0, ratio=0.4, permute=p) for p in (False, True))
    assert np.array_equal(plain.changed, control.changed)
    assert not control.perturbation[~control.changed].any()
    assert control.perturbation[control.changed].reshape(20, -1).any(axis=1).all()
