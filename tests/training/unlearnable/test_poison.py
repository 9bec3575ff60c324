"""What holds for every unlearnable method."""

import random

import numpy as np
import pytest
import torch

from tests.training.samples import images, levels, vectors
from training import UNLEARNABLE, fingerprint_arrays, poison
from training.data.dataset import make_dataset

METHODS = sorted(set(UNLEARNABLE) - {"file"})  # which needs a file: test_file.py
PERTURBING = [name for name in METHODS if name != "label-noise"]
IMAGES_ONLY = ["cuda"]


QUICK = {  # so that the methods with a network take part without taking long
    "em": {"max_rounds": 2, "train_batches": 4, "steps": 2},
    "em-class": {"max_rounds": 2, "train_batches": 4},
    "hypo": {"epochs": 2, "steps": 2},
    "tap": {"epochs": 2, "steps": 2},
    "sep": {"epochs": 2, "checkpoints": 2, "steps": 2},
    "deepconfuse": {"epochs": 1},
}


def made_by(name, data, **options):
    return poison(name, data, **options | QUICK.get(name, {}))


def some_images(name, **options):
    """Small images, of the one shape that DeepConfuse takes where it is asked for."""
    return images(**options | ({"shape": (1, 28, 28)} if name == "deepconfuse" else {}))


def sets(name):
    if name == "deepconfuse":
        return [some_images(name)]
    return [images(), images(shape=(1, 8, 8)), *([] if name in IMAGES_ONLY else [vectors()])]


def content(made):
    return made.x_train.tobytes() + made.y_train.tobytes()


@pytest.mark.parametrize("name", PERTURBING)
def test_shapes_types_labels_and_the_clean_data_stay(name):
    for data in sets(name):
        before = data.x_train.copy(), data.y_train.copy()
        made = made_by(name, data, seed=0)
        assert made.x_train.shape == made.perturbation.shape == data.x_train.shape
        assert made.x_train.dtype == made.perturbation.dtype == np.float32
        assert np.array_equal(before[0], data.x_train)
        assert np.array_equal(before[1], data.y_train)
        assert np.array_equal(made.perturbation, made.x_train - data.x_train)
        assert np.array_equal(made.y_train, data.y_train)
        assert made.changed.all()
        assert made.perturbation.any()


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_bytes(name):
    for data in sets(name):
        first, again, other = (content(made_by(name, data, seed=s)) for s in (3, 3, 4))
        assert first == again
        assert (first == other) == (name == "ops")  # OPS searches, the others draw


@pytest.mark.parametrize("name", METHODS)
def test_poisoned_images_are_eight_bit_images(name):
    made = made_by(name, some_images(name), seed=0)
    grey = levels(made.x_train)
    assert grey.min() >= 0
    assert grey.max() <= 255


@pytest.mark.parametrize("name", PERTURBING)
@pytest.mark.parametrize("ratio", [0, 0.1, 0.25, 0.5, 0.999, 1])
def test_exactly_the_asked_share_is_poisoned(name, ratio):
    data = some_images(name, n=57, low=60, high=200)
    made = made_by(name, data, seed=1, ratio=ratio)
    assert made.changed.sum() == round(ratio * 57)
    touched = made.perturbation.reshape(57, -1).any(axis=1)
    assert np.array_equal(touched, made.changed)
    full = made_by(name, data, seed=1)
    assert np.array_equal(made.x_train[made.changed], full.x_train[made.changed])
    assert np.array_equal(made.x_train[~made.changed], data.x_train[~made.changed])


def test_poisoned_samples_are_spread_and_do_not_follow_any_batch_order():
    data = vectors(n=1000)
    changed = poison("ops", data, seed=0, ratio=0.5).changed
    assert 200 < changed[:500].sum() < 300
    for epoch in range(50):
        first_half = np.random.default_rng([0, epoch]).permutation(1000)[:500]  # the batch order of training/loop.py
        assert 200 < changed[first_half].sum() < 300
    assert not np.array_equal(changed, poison("ops", data, seed=1, ratio=0.5).changed)


def test_a_larger_ratio_poisons_the_same_samples_and_more():
    data = images()
    small, large = (poison("ops", data, seed=0, ratio=r).changed for r in (0.2, 0.6))
    assert large[small].all()


@pytest.mark.parametrize("name", METHODS)
def test_what_was_done_is_told_in_full(name):
    data = some_images(name, n=20)
    made = made_by(name, data, seed=5, ratio=0.5)
    assert made.method == name
    assert made.budget in made.description
    assert made.description.endswith("on 10 of 20 samples")
    assert made.options["seed"] == 5
    assert made.options["ratio"] == 0.5
    own = {key: value for key, value in made.options.items() if key not in ("seed", "ratio", "strength")}
    again = poison(name, data, seed=5, ratio=0.5, strength=made.options["strength"], **own)
    assert fingerprint_arrays(again.x_train) == fingerprint_arrays(made.x_train)


def test_options_of_ops_are_resolved():
    made = poison("ops", images(), seed=0, sparsity=2)
    assert made.options == {"seed": 0, "ratio": 1.0, "strength": 1.0, "sparsity": 2, "score": "mean_over_std"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_names_its_source(name):
    module = __import__(UNLEARNABLE[name].__module__, fromlist=["x"])
    assert "20" in module.__doc__
    assert UNLEARNABLE[name].__doc__


@pytest.mark.parametrize("name", METHODS)
def test_the_global_random_state_is_untouched(name):
    before = random.getstate(), torch.get_rng_state()
    made_by(name, some_images(name), seed=0, ratio=0.5)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "op"}, "did you mean ops"),
        ({"name": "zzz"}, "known are ops, .*uniform-noise"),
        ({"ratio": 1.1}, "between 0 and 1"),
        ({"ratio": float("nan")}, "between 0 and 1"),
        ({"seed": -1}, "0 or more"),
        ({"strength": 0}, "positive number"),
        ({"strength": -1.0}, "positive number"),
        ({"strength": float("inf")}, "positive number"),
        ({"strength": 1.5}, "exceeds 1"),
        ({"sparsty": 3}, "no option 'sparsty'; it knows sparsity, score"),
        ({"name": "class-random", "sparsity": 3}, "it knows cell, norm"),
        ({"name": "class-random", "cell": 0}, "at least 1, not 0"),
        ({"name": "uniform-noise", "cell": 2.5}, r"at least 1, not 2\.5"),
        ({"name": "uniform-noise", "cell": 2, "dataset": vectors()}, "leave cell at 1 instead of 2"),
        ({"name": "class-random", "strength": 8}, "8/255 = 0.0314"),
        ({"name": "uniform-noise", "strength": 0.003}, "less than one grey level"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison(**({"name": "ops", "dataset": images(), "seed": 0} | arguments))


def test_float_images_are_clipped_but_not_rounded():
    rng = np.random.default_rng(0)
    x = rng.random((40, 1, 6, 6)).astype(np.float32)
    data = make_dataset("x", x, np.arange(40) % 4, x, np.arange(40) % 4, where="x")
    made = poison("uniform-noise", data, seed=0, strength=0.25)
    assert made.x_train.min() >= 0
    assert made.x_train.max() <= 1
    assert np.abs(made.perturbation).max() <= 0.25 + 1e-6
    assert np.abs(made.x_train * 255 - np.rint(made.x_train * 255)).max() > 0.1
