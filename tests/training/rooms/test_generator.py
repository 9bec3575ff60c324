"""Generated rooms: the same from run to run, balanced, and not to be told apart by their colours."""

import hashlib
from functools import lru_cache

import numpy as np
import pytest

from benchmarks.rooms import histogram_probe
from training.rooms import BUILDINGS, SCENES, building_names, render_part

PLACES = [scene.places for scene in SCENES]


@lru_cache
def images(part, count, seed=0):
    return render_part(part, count, size=64, seed=seed)


def digest(image):
    parts = (image.rgb, image.depth, image.keypoints, image.segments, image.class_scene)
    return hashlib.sha256(b"".join(array.tobytes() for array in parts) + repr(image.point_info).encode()).hexdigest()


def test_the_seed_decides_every_byte_and_few_images_are_the_first_of_many():
    again = render_part("train", 30, size=64, seed=0)
    assert [digest(i) for i in again] == [digest(i) for i in images("train", 320)[:30]]
    assert digest(render_part("train", 1, size=64, seed=1)[0]) != digest(again[0])
    assert len({digest(i) for i in again}) == 30


def test_parts_share_no_building():
    names = {part: set(building_names(part)) for part in BUILDINGS}
    assert [len(names[part]) for part in ("train", "val", "test")] == [20, 4, 6]
    assert len(set().union(*names.values())) == 30
    assert {i.building for i in images("train", 320)} == names["train"]


@pytest.mark.parametrize(("part", "count"), [("train", 320), ("test", 53)])
def test_kinds_of_rooms_are_balanced(part, count):
    kinds = np.array([PLACES.index(int(i.class_scene.argmax())) for i in images(part, count)])
    frequency = np.bincount(kinds, minlength=8)
    assert frequency.max() - frequency.min() <= 1
    for name in building_names(part):
        here = kinds[[i.building == name for i in images(part, count)]]
        assert len(np.unique(here)) == 8


def test_an_image_has_all_that_taskonomy_stores():
    every = images("train", 320)
    assert {i.rgb.shape for i in every} == {(64, 64, 3)}
    depth = np.stack([i.depth for i in every])
    missing = depth == 65535
    assert 0.02 <= missing.mean() <= 0.08
    assert depth[~missing].min() / 512 > 0.1
    assert depth[~missing].max() / 512 < 12
    assert np.array_equal(np.stack([i.mask_valid for i in every]) == 0, missing)
    clipped = np.mean([i.keypoints > 327.68 for i in every])
    assert 0.01 <= clipped <= 0.05
    parts = [len(np.unique(i.segments)) for i in every]
    assert 15 <= np.mean(parts) <= 70
    scene = every[0].class_scene
    assert scene.dtype == np.float32
    assert scene.shape == (365,)
    assert scene.sum() == pytest.approx(1)
    assert scene.max() == np.float32(0.9)
    assert (scene > 0).sum() == 8


def test_colours_alone_do_not_give_the_kind_away():
    train, test = images("train", 320), images("test", 200)
    x = {"train": np.stack([i.rgb for i in train]), "test": np.stack([i.rgb for i in test])}
    y = {
        k: np.array([PLACES.index(int(i.class_scene.argmax())) for i in v])
        for k, v in (("train", train), ("test", test))
    }
    assert histogram_probe(x, y) <= 0.6
