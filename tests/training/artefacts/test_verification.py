"""Each thing that may be wrong with an artefact is named in one sentence."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.samples import images, vectors
from training import poison
from training.artefacts import (
    Artefact,
    ArtefactError,
    Budget,
    align,
    applied_delta,
    examine,
    match_order,
    verify,
)
from training.data.dataset import make_dataset


def shipped(data, *, labels=True, strength=10 / 255):
    made = poison("uniform-noise", data, seed=0, strength=strength)
    grey = np.rint(made.x_train * 255).astype(np.uint8)
    return Artefact("png", "the folder", images=grey, labels=data.y_train if labels else None)


def noise(data, entries=None, top=8, seed=0):
    shape = (entries or len(data.y_train), *data.input_shape)
    return np.random.default_rng(seed).integers(-top, top + 1, size=shape).astype(np.int8)


def refusal(artefact, data, **arguments):
    with pytest.raises(ArtefactError) as caught:
        verify(artefact, data, **arguments)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_a_true_artefact_passes_with_its_evidence():
    data = images()
    report = verify(shipped(data), data, promised=Budget(linf=10 / 255, l2=1.0, l0=30))
    assert report.order == "the labels match, each image is close to its own clean one"
    assert (report.entries, report.samples, report.covered, report.levels) == (60, 60, 60, 10)
    assert report.violations == ()
    assert not report.class_wise
    assert report.as_json()["shape"] == [3, 6, 5]


@pytest.mark.parametrize("labels", [True, False])
def test_another_order_is_noticed(labels):
    data = images()
    good = shipped(data, labels=labels)
    order = np.random.default_rng(1).permutation(60)
    wrong = replace(good, images=good.images[order], labels=good.labels[order] if labels else None)
    words = "shipped label of sample" if labels else "closer to the clean image"
    assert words in refusal(wrong, data)


def test_two_swapped_images_are_noticed():
    data = images()
    good = shipped(data, labels=False)
    order = np.arange(60)
    order[[10, 40]] = [40, 10]
    text = refusal(replace(good, images=good.images[order]), data)
    assert "Image 10 is closer" in text
    assert "2 of 60" in text


def test_strong_poisons_and_copies_in_the_data_are_no_wrong_order():
    data = images()
    verify(shipped(data, labels=False, strength=0.3), data)
    x = np.concatenate([data.x_train[:30]] * 2)  # every image twice
    doubled = make_dataset(
        "twice", np.rint(x * 255).astype(np.uint8), data.y_train, np.uint8(x * 255), data.y_train, where=""
    )
    verify(shipped(doubled, labels=False), doubled)


def test_another_brightness_and_contrast_is_no_wrong_order():
    data = images(low=0, high=80)
    brighter = np.rint(data.x_train * 255 * np.linspace(1.5, 3, 60)[:, None, None, None]).astype(np.uint8)
    good = Artefact("png", "brighter", images=brighter)
    verify(good, data)
    assert "closer to the clean image" in refusal(replace(good, images=brighter[::-1].copy()), data)


def test_the_order_of_differences_shows_at_the_ends_of_the_range():
    data = images()
    made = poison("uniform-noise", data, seed=0, strength=8 / 255)
    delta = np.rint(made.perturbation * 255).astype(np.int8)
    good = Artefact("npy", "noise", delta=delta)
    assert "no pixel leaves its range" in verify(good, data).order
    assert "not to be checked" in verify(replace(good, delta=delta[::-1]), data).order
    assert "not to be checked" in verify(Artefact("npy", "noise", delta=noise(data)), data).order


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(linf=9 / 255), "L∞ is 10/255 at sample"),
        (Budget(linf=9.99 / 255), "above the promised 9/255"),
        (Budget(l2=0.1), "L2 norm"),
        (Budget(l0=3), "30 pixels"),
    ],
)
def test_a_broken_promise(budget, words):
    data = images()
    assert words in refusal(shipped(data), data, promised=budget)


def test_one_level_too_much_in_one_pixel_of_one_sample():
    data = images()
    delta = noise(data)
    verify(Artefact("npy", "noise", delta=delta), data, promised=Budget(linf=8 / 255))
    delta[37, 1, 2, 3] = -9
    text = refusal(Artefact("npy", "noise", delta=delta), data, promised=Budget(linf=8 / 255))
    assert text == "L∞ is 9/255 at sample 37, above the promised 8/255."


def test_all_violations_are_listed_together():
    data = images()
    order = np.roll(np.arange(60), 1)
    good = shipped(data)
    report = examine(replace(good, images=good.images[order], labels=None), data, promised=Budget(1 / 255, 0.01, 1))
    assert len(report.violations) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": np.full((60, 3, 6, 5), np.nan, np.float32)}, "NaN or infinite values in entry 0"),
        ({"images": np.full((60, 3, 6, 5), 1.5, np.float32)}, "pixels from 1.5 to 1.5"),
        ({"images": np.zeros((60, 3, 5, 6), np.uint8)}, "samples of shape [3, 5, 6]"),
        ({"images": np.zeros((59, 3, 6, 5), np.uint8), "labels": None}, "holds 59 entries"),
        ({"images": np.zeros((61, 3, 6, 5), np.uint8), "labels": None}, "give an index"),
    ],
)
def test_values_and_shapes_that_cannot_be(change, words):
    data = images()
    assert words in refusal(replace(shipped(data), **change), data)


def test_deltas_in_eight_bit_units_as_floats_are_refused():
    data = images()
    text = refusal(Artefact("pt", "p.pt", delta=noise(data).astype(np.float32)), data)
    assert "must be int8" in text
    one_nan = (noise(data) / 255).astype(np.float32)
    one_nan[17, 0, 0, 0] = np.nan
    assert "entry 17" in refusal(Artefact("pt", "p.pt", delta=one_nan), data)


def test_what_does_not_belong_together_is_refused_at_once():
    grey = np.zeros((4, 1, 2, 2), np.uint8)
    with pytest.raises(ArtefactError, match="either images or perturbations"):
        Artefact("x", "it")
    with pytest.raises(ArtefactError, match="labels of shape"):
        Artefact("x", "it", images=grey, labels=np.zeros(3, np.int64))
    with pytest.raises(ArtefactError, match="sample 2 twice"):
        Artefact("x", "it", images=grey, index=np.array([0, 2, 2, 1]))
    with pytest.raises(ArtefactError, match="start at 0"):
        Artefact("x", "it", images=grey, index=np.array([0, 2, -1, 1]))


def test_class_wise_noise_goes_by_label():
    data = images()
    artefact = Artefact("pt", "classes", delta=noise(data, 4))
    report = verify(artefact, data)
    assert report.class_wise
    assert report.order == "by class"
    delta = applied_delta(artefact, data, align(artefact, data))
    assert np.array_equal(np.rint(delta * 255), artefact.delta[data.y_train])


def test_each_sample_draws_among_alternatives_by_the_seed():
    data = images()
    several = np.stack([noise(data, seed=s) for s in range(3)])
    artefact = Artefact("pt", "three", delta=several)
    assert verify(artefact, data).alternatives == 3
    alignment = align(artefact, data)
    one, again, other = (applied_delta(artefact, data, alignment, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    matches = np.array([(np.rint(one * 255) == each).all(axis=(1, 2, 3)) for each in several])
    assert (matches.sum(axis=0) == 1).all()
    assert matches.any(axis=1).all()


def test_an_index_says_where_entries_belong():
    data = images()
    whole = noise(data)
    order = np.random.default_rng(0).permutation(60)
    shuffled = Artefact("npz-delta", "shuffled", delta=whole[order], index=order)
    assert np.array_equal(np.rint(applied_delta(shuffled, data, align(shuffled, data)) * 255), whole)
    some = Artefact("npz-delta", "some", delta=whole[order[:20]], index=order[:20])
    alignment = align(some, data)
    delta = np.rint(applied_delta(some, data, alignment) * 255)
    assert alignment.covered.sum() == 20
    assert np.array_equal(delta[order[:20]], whole[order[:20]])
    assert not delta[~alignment.covered].any()
    elsewhere = Artefact("npz-delta", "subset", delta=whole, index=np.arange(60) * 7)  # of a larger set: in order
    assert np.array_equal(align(elsewhere, data).rows, np.arange(60))


def test_a_larger_artefact_needs_an_index_of_the_data():
    data = images()
    larger = noise(data, 200)
    where = np.random.default_rng(0).permutation(200)[:60]
    artefact = Artefact("npy", "larger", delta=larger)
    assert "holds 200 entries" in refusal(artefact, data)
    assert np.array_equal(np.rint(applied_delta(artefact, data, align(artefact, data, where)) * 255), larger[where])
    assert "no entry for position 200" in refusal(artefact, data, index=np.r_[where[:-1], 200])
    assert "names 59 positions" in refusal(artefact, data, index=where[:-1])
    known = Artefact("npy", "known", delta=larger, index=np.arange(200) + 1000)
    assert np.array_equal(align(known, data, where + 1000).rows, where)


@pytest.mark.parametrize("labels", [True, False])
def test_the_order_of_shuffled_images_is_found(labels):
    data = images(shape=(3, 17, 20))
    good = shipped(data, labels=labels)
    order = np.random.default_rng(2).permutation(60)
    found = match_order(replace(good, images=good.images[order], labels=good.labels[order] if labels else None), data)
    assert np.array_equal(found.index, order)
    verify(found, data)
    part = match_order(replace(good, images=good.images[order[:20]], labels=None), data)
    assert verify(part, data).covered == 20


def test_no_order_is_found_where_there_is_none():
    data = images()
    delta = Artefact("npy", "noise", delta=noise(data))
    with pytest.raises(ArtefactError, match="cannot be found"):
        match_order(delta, data)
    good = shipped(data)
    more = replace(good, images=np.concatenate([good.images] * 2), labels=None)
    with pytest.raises(ArtefactError, match="60 of 120 images"):
        match_order(more, data)


def test_feature_vectors_are_measured_in_their_own_units():
    data = vectors()
    made = poison("uniform-noise", data, seed=0)
    artefact = Artefact("npz", "features", images=made.x_train, labels=data.y_train)
    report = verify(artefact, data)
    assert report.levels is None
    assert report.linf == pytest.approx(np.abs(made.perturbation).max(), rel=1e-6)
    assert "L∞ is" in refusal(artefact, data, promised=Budget(linf=report.linf * 0.9))
