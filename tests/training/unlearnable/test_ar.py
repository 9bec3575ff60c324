"""Autoregressive perturbations: the recursion against plain loops, and filters that name every class."""

import itertools

import numpy as np
import pytest

from tests.training.samples import images, levels, vectors
from training import poison
from training.unlearnable import ar
from training.unlearnable.perturbation import method_generator, scaled_to


@pytest.fixture(scope="module", params=[(3, 32, 32), (1, 28, 28)], ids=str)
def processes(request):
    """Ten searched windows, and fresh unit-norm noise of each: shape, windows, noise, labels."""
    rng = np.random.default_rng(7)
    windows = ar.find_windows(rng, request.param, 10)
    noise = np.concatenate([scaled_to(ar.generate(rng, window, 30, request.param), 1.0) for window in windows])
    return request.param, windows, noise, np.repeat(np.arange(10), 30)


def residual(one, window):
    """What a filter leaves of one image [C, H, W], channels added, by plain loops."""
    kernel = window.copy()
    kernel[:, -1, -1] = -1
    height, width = one.shape[1] - kernel.shape[1] + 1, one.shape[2] - 2
    left = np.zeros((height, width))
    for i, j in itertools.product(range(height), range(width)):
        left[i, j] = (kernel * one[:, i : i + kernel.shape[1], j : j + 3]).sum()
    return left


def test_windows_are_as_published(processes):
    _, windows, _, _ = processes
    assert np.allclose(windows.sum(axis=(2, 3)), 1)
    assert not windows[:, :, 2, 2].any()


def test_a_filter_leaves_nothing_of_its_own_noise_and_something_of_all_others(processes):
    _, windows, noise, labels = processes
    for one, label in zip(noise[::30], labels[::30], strict=True):
        left = [np.abs(residual(one, window)).max() for window in windows]
        assert left[label] < 1e-6
        assert min(np.delete(left, label)) > 1e-2


def test_the_least_response_names_the_class_of_fresh_noise(processes):
    _, windows, noise, labels = processes
    found = ar.responses(noise, windows)
    assert (found.argmin(axis=1) == labels).all()
    assert np.allclose(found[5, 3], np.maximum(residual(noise[5], windows[3]), 0).sum())


def test_the_search_asks_for_separated_and_small_processes(processes):
    shape, windows, noise, labels = processes
    clear = 10 * (shape[1] - 2) * (shape[2] - 2) / 900 * 32 / shape[1]
    found = ar.responses(noise, windows)
    typical = [np.median(found[labels == a, b]) for a in range(10) for b in range(a)]  # a was accepted after b
    assert np.median(typical) > clear
    rng = np.random.default_rng(0)
    sizes = [np.sqrt(np.square(ar.generate(rng, window, 9, shape)).mean(axis=(1, 2, 3))) for window in windows]
    assert np.median(sizes) < 50 / np.sqrt(3072)


def test_noise_is_fresh_for_every_sample(processes):
    _, _, noise, _ = processes
    for k in range(10):
        alike = np.corrcoef(noise[30 * k : 30 * k + 30].reshape(30, -1))[np.triu_indices(30, 1)]
        assert abs(alike.mean()) < 0.3
        assert np.median(np.abs(alike)) < 0.8


def test_the_recursion_follows_its_definition():
    rng = np.random.default_rng(0)
    window = np.array(ar.find_windows(rng, (2, 8, 7), 1)[0])
    made = ar.generate(np.random.default_rng(5), window, 3, (2, 8, 7))
    field = np.random.default_rng(5).standard_normal((3, 2, 12, 11))
    for n, c, i, j in itertools.product(range(3), range(2), range(10), range(9)):
        field[n, c, i + 2, j + 2] = sum(window[c, a, b] * field[n, c, i + a, j + b] for a in range(3) for b in range(3))
    assert np.allclose(made, field[:, :, 4:, 4:], atol=1e-12)


def test_the_norm_is_exact_before_rounding_and_within_a_hundredth_after():
    data = images(n=40, shape=(3, 32, 32), low=60, high=190)
    made = ar.perturb(data, seed=0)
    assert made.strength == pytest.approx(1)
    assert np.abs(np.linalg.norm(made.delta.reshape(40, -1), axis=1) - 1).max() < 1e-5
    after = np.linalg.norm(poison("ar", data, seed=0).perturbation.reshape(40, -1), axis=1)
    assert np.abs(after - 1).max() < 0.01


@pytest.mark.parametrize("norm", ["inf", float("inf")])
def test_the_other_norm_holds_exactly_on_grey_levels(norm):
    data = images(n=40, shape=(3, 12, 12), low=60, high=190)
    made = poison("ar", data, seed=0, norm=norm)
    change = np.abs(levels(made.x_train) - levels(data.x_train)).reshape(40, -1).max(axis=1)
    assert (change == 8).all()
    assert "L∞ ≤ 8/255" in made.description


def test_features_oscillate_at_a_frequency_of_their_class():
    data = vectors(n=400, classes=10)
    made = ar.perturb(data, seed=3)
    relative = made.delta / data.x_train.std(axis=0, dtype=np.float64)
    assert np.allclose(np.linalg.norm(relative, axis=1), made.strength, atol=1e-5)
    windows = ar.oscillations(method_generator(3, "ar"), 12, 10)
    for delta, label in zip(relative / made.strength, data.y_train, strict=True):
        left = [np.abs(residual(delta[None, None], window[:, :1])).max() for window in windows]
        assert left[label] < 1e-6
        assert min(np.delete(left, label)) > 1e-2
    assert (ar.responses(relative, windows).argmin(axis=1) == data.y_train).all()


def test_many_classes_and_small_images_end_the_search():
    for shape, count in (((1, 5, 5), 10), ((3, 8, 8), 12)):
        assert len(np.unique(ar.find_windows(np.random.default_rng(0), shape, count), axis=0)) == count


@pytest.mark.parametrize(
    ("data", "options", "sentence"),
    [
        (images(), {"norm": 1}, "must be 2 or inf, not 1"),
        (images(), {"norm": "two"}, "must be 2 or inf, not 'two'"),
        (images(shape=(1, 2, 9)), {}, "at least 3×3 pixels, not 2×9"),
        (vectors(features=2), {}, "at least 3 features, not 2"),
        (images(), {"strength": 10.0}, "exceeds 9.487"),
    ],
)
def test_impossible_settings_are_refused(data, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison("ar", data, seed=0, **options)
