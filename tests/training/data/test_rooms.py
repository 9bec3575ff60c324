"""The generated data set: made once, kept whole, and the same as what its folder gives."""

import dataclasses

import numpy as np
import pytest

from training import DatasetError, load_dataset
from training.data import rooms
from training.rooms.folder import write_rooms

SMALL = {"n_train": 48, "n_test": 16, "size": 32, "seed": 5}


def same(one, two):
    """Whether two data sets agree in everything but their names."""
    assert one.fingerprint == two.fingerprint  # of images, classes and per-pixel targets
    assert (one.class_names, one.left_out, one.n_classes) == (two.class_names, two.left_out, two.n_classes)
    for a, b in ((one.dense_train, two.dense_train), (one.dense_test, two.dense_test)):
        assert (a.buildings, a.names) == (b.buildings, b.names)
    return True


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "rooms"


def test_the_file_holds_what_the_folder_gives(tmp_path, place):
    made = load_dataset("rooms", **SMALL)
    write_rooms(tmp_path / "houses", n_train=48, n_val=4, n_test=16, size=32, seed=5)
    assert same(made, load_dataset(str(tmp_path / "houses")))
    assert same(made, load_dataset("taskonomy", folder=str(tmp_path / "houses")))
    assert same(made, load_dataset("rooms", **SMALL))
    assert made.left_out == ()
    assert len(list(tmp_path.glob("houses/rgb/taskonomy/*/*.png"))) == 68


def test_it_looks_as_other_images_do(place):
    data = load_dataset("rooms", **SMALL)
    assert (data.name, data.n_classes, data.kind, data.eight_bit) == ("rooms", 8, "image", True)
    assert (data.x_train.shape, data.x_test.shape) == ((48, 3, 32, 32), (16, 3, 32, 32))
    assert np.bincount(data.y_train).tolist() == [6] * 8
    assert data.class_names[0] == "bathroom"
    assert data.class_names[7] == "living room"
    dense = data.dense_train
    assert dense.keypoints2d.max() == 1
    assert not set(dense.buildings) & set(data.dense_test.buildings)
    assert np.isnan(dense.depth_euclidean).any()
    assert 0.1 < np.nanmin(dense.depth_euclidean) < np.nanmax(dense.depth_euclidean) < 12


def test_it_is_made_once(place, monkeypatch):
    first = load_dataset("rooms", **SMALL)
    before = next(place.iterdir()).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(rooms, "render_part", None)
        assert same(first, load_dataset("rooms", **SMALL))
    kept = next(place.iterdir())
    kept.write_bytes(before[:5000])  # damaged: made again, to the same bytes
    assert same(first, load_dataset("rooms", **SMALL))
    assert kept.read_bytes() == before
    assert [p.name for p in place.iterdir()] == [kept.name]


def test_it_needs_no_place_to_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("UNLEARNSCAPE_DATA", str(tmp_path / "file"))
    assert len(load_dataset("rooms", n_train=8, n_test=8, size=16).y_train) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_train": 7}, "n_train of rooms must be a whole number from 8 to 100000, not 7"),
        ({"size": 8}, "size of rooms must be a whole number from 16 to 256"),
        ({"n_test": 2.5}, "n_test of rooms"),
        ({"houses": 3}, "rooms has no option 'houses'"),
    ],
)
def test_options_that_make_no_rooms_are_refused(place, options, message):
    with pytest.raises(DatasetError, match=message):
        load_dataset("rooms", **options)
    assert not place.exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def stop(done):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rooms(tmp_path / "houses", n_train=8, n_val=0, n_test=8, size=16, progress=stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "houses").mkdir()
    (tmp_path / "houses" / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="exists and is not an empty folder"):
        write_rooms(tmp_path / "houses", n_train=8, n_val=0, n_test=8, size=16)


def test_a_part_of_the_training_images_keeps_their_targets(place):
    data = load_dataset("rooms", **SMALL)
    part = data.subset(16, 0)
    names = list(zip(data.dense_train.buildings, data.dense_train.names, strict=True))
    chosen = [names.index(k) for k in zip(part.dense_train.buildings, part.dense_train.names, strict=True)]
    assert np.array_equal(data.x_train[chosen], part.x_train)
    assert np.array_equal(data.dense_train.segment_unsup2d[chosen], part.dense_train.segment_unsup2d)
    assert dataclasses.replace(part, dense_train=None).fingerprint != part.fingerprint
