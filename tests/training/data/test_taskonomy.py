"""Folders of Taskonomy's shape: what is read, what is left out with a sentence, and what is refused."""

import shutil

import numpy as np
import pytest
from PIL import Image

from training import DatasetError, load_dataset
from training.data import taskonomy
from training.data.taskonomy_files import MAX_NOTES, Notes

TRAIN, TEST = ("hanson", "newfields"), ("ihlen",)
KITCHEN, BEDROOM, CLOSET = 203, 52, 95
DOMAINS = ("rgb", "depth_euclidean", "keypoints2d", "segment_unsup2d", "class_scene")
SUFFIX = {"class_scene": "_domain_class_places.npy"}


def path(root, domain, building, point, view, layout="taskonomy/"):
    suffix = SUFFIX.get(domain, f"_domain_{domain}.png")
    return root / domain / f"{layout}{building}" / f"point_{point}_view_{view}{suffix}"


def pixels(building, point, side):
    """Files of one view, from a generator that depends on its name."""
    rng = np.random.default_rng([len(building), point])
    depth = rng.integers(600, 5000, (side, side)).astype(np.uint16)
    depth[0, :2] = 65535
    return {
        "rgb": rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        "depth_euclidean": depth,
        "keypoints2d": rng.integers(0, 700, (side, side)).astype(np.uint16),
        "segment_unsup2d": rng.integers(0, 256, (side, side), dtype=np.uint8),
    }


def add(root, building, point, place, *, view=0, side=16, layout="taskonomy/"):
    for domain, array in pixels(building, point, side).items():
        file = path(root, domain, building, point, view, layout)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(file)
    scene = np.full(365, 0.0005, np.float32)
    scene[place], scene[100 if place != 100 else 3] = 0.5, 0.1
    scene[0] = 0.9  # an airfield, which Taskonomy does not keep
    file = path(root, "class_scene", building, point, view, layout)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, scene)


def folder(root, *, layout="taskonomy/", places=(KITCHEN, BEDROOM), side=16):
    """Six views in each of two training buildings and one test building."""
    for building in TRAIN + TEST:
        for point in range(6):
            add(root, building, point, places[point % len(places)], layout=layout, side=side)
    return root


@pytest.mark.parametrize("layout", ["taskonomy/", ""])
def test_values_are_read_in_their_units(tmp_path, layout):
    data = load_dataset(str(folder(tmp_path, layout=layout)))
    assert (data.x_train.shape, data.x_test.shape) == ((12, 3, 16, 16), (6, 3, 16, 16))
    assert data.class_names == ("bedroom", "kitchen")
    assert data.y_train.tolist() == [1, 0] * 6
    assert (data.dense_train.buildings[0], data.dense_train.names[1]) == ("hanson", "point_1_view_0")
    assert data.left_out == ()
    stored = pixels("hanson", 1, 16)
    assert np.array_equal(np.rint(data.x_train[1] * 255).transpose(1, 2, 0), stored["rgb"])
    dense = data.dense_train
    missing = stored["depth_euclidean"] == 65535
    assert np.array_equal(np.isnan(dense.depth_euclidean[1]), missing)
    assert np.array_equal(dense.depth_euclidean[1][~missing] * 512, stored["depth_euclidean"][~missing])
    assert np.array_equal(dense.segment_unsup2d[1], stored["segment_unsup2d"])
    expected = np.minimum(stored["keypoints2d"] / 327.68, 1)
    assert np.allclose(dense.keypoints2d[1], expected, atol=1e-6)
    assert data.eight_bit


def test_scaling_averages_colours_and_takes_the_nearest_depth_and_ids(tmp_path):
    data = load_dataset("taskonomy", folder=str(folder(tmp_path)), size=8)
    stored, dense = pixels("hanson", 0, 16), data.dense_train
    means = stored["rgb"].reshape(8, 2, 8, 2, 3).mean((1, 3))
    assert np.abs(data.x_train[0].transpose(1, 2, 0) * 255 - means).max() <= 1.001  # rounded after each axis
    points = np.minimum(stored["keypoints2d"].reshape(8, 2, 8, 2).mean((1, 3)) / 327.68, 1)
    assert np.allclose(dense.keypoints2d[0], points, atol=1e-5)
    for got, name, unit in (
        (dense.depth_euclidean[0], "depth_euclidean", 512),
        (dense.segment_unsup2d[0], "segment_unsup2d", 1),
    ):
        blocks = stored[name].reshape(8, 2, 8, 2).transpose(0, 2, 1, 3).reshape(8, 8, 4)
        valid = np.isfinite(got)
        assert (blocks == np.nan_to_num(got)[..., None] * unit).any(-1)[valid].all()  # never a mixture
    # two missing pixels in the corner reach two further, to where the first two samples are taken
    assert np.argwhere(np.isnan(dense.depth_euclidean[0])).tolist() == [[0, 0], [0, 1]]


def test_a_mask_takes_pixels_away(tmp_path):
    folder(tmp_path)
    mask = np.full((16, 16), 255, np.uint8)
    mask[5:7] = 0
    (tmp_path / "mask_valid" / "taskonomy" / "hanson").mkdir(parents=True)
    Image.fromarray(mask).save(path(tmp_path, "mask_valid", "hanson", 2, 0))
    dense = load_dataset(str(tmp_path)).dense_train
    assert np.isnan(dense.depth_euclidean[2, 5:7]).all()
    assert np.isnan(dense.depth_euclidean[2]).sum() == 34
    assert np.isnan(dense.depth_euclidean[3]).sum() == 2


def test_the_most_frequent_classes_stay(tmp_path):
    data = load_dataset(str(folder(tmp_path, places=(KITCHEN, KITCHEN, KITCHEN, BEDROOM, BEDROOM, CLOSET))), classes=2)
    assert data.class_names == ("bedroom", "kitchen")
    assert np.bincount(data.y_train).tolist() == [4, 6]
    assert len(data.y_test) == 5
    assert data.left_out == ("1 rarer classes with 2 training images are left out, such as closet.",)


def test_only_what_is_wanted_is_decoded(tmp_path, monkeypatch):
    folder(tmp_path, places=(KITCHEN, KITCHEN, BEDROOM))
    read, decoded = taskonomy.read_view, []
    monkeypatch.setattr(taskonomy, "read_view", lambda files, size: decoded.append(files) or read(files, size))
    data = load_dataset(str(tmp_path), n_train=6, n_test=3, seed=1)
    assert len(decoded) == 9
    assert np.bincount(data.y_train).tolist() == [2, 4]
    assert np.bincount(data.y_test).tolist() == [1, 2]
    assert load_dataset(str(tmp_path), n_train=6, n_test=3, seed=1).fingerprint == data.fingerprint
    assert load_dataset(str(tmp_path), n_train=6, n_test=3, seed=2).fingerprint != data.fingerprint
    with pytest.raises(DatasetError, match="There are 12 training images"):
        load_dataset(str(tmp_path), n_train=13)


def test_damaged_files_are_left_out_with_a_sentence_each(tmp_path):
    folder(tmp_path)
    add(tmp_path, "newfields", 1070, KITCHEN, view=8)
    add(tmp_path, "strange", 0, KITCHEN)
    path(tmp_path, "keypoints2d", "hanson", 0, 0).unlink()
    broken = path(tmp_path, "rgb", "hanson", 1, 0)
    broken.write_bytes(broken.read_bytes()[:60])
    path(tmp_path, "class_scene", "hanson", 2, 0).write_bytes(b"\x93NUMPY")
    np.save(path(tmp_path, "class_scene", "hanson", 3, 0), np.ones(10))
    Image.fromarray(np.full((16, 16), 65535, np.uint16)).save(path(tmp_path, "depth_euclidean", "hanson", 4, 0))
    Image.fromarray(np.ones((8, 8), np.uint16)).save(path(tmp_path, "depth_euclidean", "hanson", 5, 0))
    Image.fromarray(np.zeros((16, 12), np.uint8)).save(path(tmp_path, "segment_unsup2d", "newfields", 0, 0))
    (tmp_path / "rgb" / "taskonomy" / "newfields" / "Thumbs.db").write_bytes(b"")
    for domain in DOMAINS:  # a whole view that is not square
        file = path(tmp_path, domain, "newfields", 1, 0)
        if domain != "class_scene":
            Image.fromarray(np.asarray(Image.open(file))[:10]).save(file)
    data = load_dataset(str(tmp_path))
    assert data.dense_train.names == tuple(f"point_{k}_view_0" for k in range(2, 6))
    assert set(data.dense_train.buildings) == {"newfields"}
    told = "\n".join(data.left_out)
    for words in (
        "The building strange is left out",
        "View 8 of point 1070 in newfields is left out: its rgb is known to be damaged",
        "View 0 of point 0 in hanson is left out: it has no keypoints2d",
        "point_1_view_0_domain_rgb.png is left out: it is not a readable image",
        "point_2_view_0_domain_class_places.npy is left out: it is not a readable .npy file",
        "point_3_view_0_domain_class_places.npy is left out: it does not hold 365 probabilities",
        "point_4_view_0_domain_depth_euclidean.png is left out: no pixel of it is valid",
        "point_5_view_0_domain_depth_euclidean.png is left out: it has 8×8 pixels, its rgb 16×16",
        "point_0_view_0_domain_segment_unsup2d.png is left out: it has 12×16 pixels, its rgb 16×16",
        "Thumbs.db is left out: it is not called point_P_view_V….png",
        "point_1_view_0_domain_rgb.png is left out: it has 16×10 pixels, and images must be square",
    ):
        assert told.count(words) == 1, words
    assert len(data.left_out) == 11


def test_many_sentences_are_counted():
    notes = Notes()
    for _ in range(MAX_NOTES + 7):
        notes.add("One.")
    assert len(notes.told()) == MAX_NOTES + 1
    assert notes.told()[-1].startswith("7 more")


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
def test_the_table_says_who_is_in_which_part(tmp_path, ending):
    folder(tmp_path)
    table = ["id,train,val,test", "hanson,0,0,1", "ihlen,1,0,0", "newfields,0,1,0"]
    (tmp_path / "train_val_test_tiny.csv").write_bytes(ending.join(table).encode())
    data = load_dataset(str(tmp_path))
    assert (set(data.dense_train.buildings), set(data.dense_test.buildings)) == ({"ihlen"}, {"hanson"})


def test_parts_that_share_a_building_are_refused(tmp_path):
    folder(tmp_path)
    (tmp_path / "splits.csv").write_text("id,train,val,test\nhanson,1,0,1\nihlen,0,0,1\n")
    with pytest.raises(DatasetError, match="puts the building hanson into both train and test"):
        load_dataset(str(tmp_path))


def test_validation_buildings_stand_in_for_missing_test_buildings(tmp_path):
    folder(tmp_path)
    for domain in DOMAINS:
        (tmp_path / domain / "taskonomy" / "ihlen").rename(tmp_path / domain / "taskonomy" / "darden")
    data = load_dataset(str(tmp_path))
    assert set(data.dense_test.buildings) == {"darden"}
    assert data.left_out == ("No test building is here: the validation buildings are the test data.",)


def no_domain(root):
    for domain in DOMAINS:
        shutil.rmtree(root / domain)
    (root / "images").mkdir()


def all_invalid(root):
    for file in root.glob("depth_euclidean/*/*/*.png"):
        Image.fromarray(np.full((16, 16), 65535, np.uint16)).save(file)


def one_class(root):
    for file in root.glob("class_scene/*/*/*.npy"):
        np.save(file, np.eye(365, dtype=np.float32)[KITCHEN])


def another_size(root):
    for point in range(6):
        add(root, "newfields", point, KITCHEN, side=12)


def no_test_building(root):
    for domain in DOMAINS:
        shutil.rmtree(root / domain / "taskonomy" / "ihlen")


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (no_domain, {}, "is not Taskonomy: it has none of the folders rgb"),
        (lambda root: shutil.rmtree(root / "depth_euclidean"), {}, "lacks the domain depth_euclidean"),
        (all_invalid, {}, "can be used: .*no pixel of it is valid"),
        (one_class, {}, r"are of one class \(kitchen\)"),
        (another_size, {}, "has 12×12 pixels, where others have 16×16; give size"),
        (no_test_building, {}, "holds no complete image of a test building"),
        (lambda root: None, {"classes": 5}, "are of 2 classes, not the 5 asked for"),
        (lambda root: None, {"size": 4}, "size must be a whole number of at least 8"),
        (lambda root: None, {"colour": 1}, "has no option 'colour'"),
        (shutil.rmtree, {}, "There is no folder"),
    ],
)
def test_wrong_folders_are_refused_with_one_sentence(tmp_path, spoil, options, message):
    root = folder(tmp_path / "data")
    spoil(root)
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset("taskonomy", folder=str(root), **options)
    assert "\n" not in str(caught.value)


def test_the_folder_must_be_named():
    with pytest.raises(DatasetError, match="needs the option folder"):
        load_dataset("taskonomy")


def test_a_folder_that_is_neither_kind_is_told_what_it_lacks(tmp_path):
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DatasetError, match="holds neither train and test"):
        load_dataset(str(tmp_path), n_test=10)
