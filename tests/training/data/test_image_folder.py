"""Folders of images: classes and files in order, one size, and clear words for what is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import DatasetError, load_dataset

CLASSES = ("cat", "dog", "owl")


def image(value: int, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.fromarray(np.full((*size, 3), value, np.uint8))


def write(root: Path, *, test: str = "test", counts: int = 12, classes: tuple[str, ...] = CLASSES) -> Path:
    """Images whose grey level is 20 · class + number."""
    for part, n in (("train", counts), (test, 2)):
        for label, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(n):
                image(20 * label + i).save(folder / f"{i}.png")
    return root


@pytest.mark.parametrize("test", ["test", "val"])
def test_classes_and_files_are_taken_in_order(tmp_path, test):
    data = load_dataset(str(write(tmp_path, test=test)))
    assert (data.input_shape, data.n_classes, data.eight_bit, data.kind) == ((3, 8, 6), 3, True, "image")
    assert data.y_train.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    levels = np.rint(data.x_train[:, 0, 0, 0] * 255)
    assert levels.tolist() == [20 * k + i for k in range(3) for i in range(12)]  # 9.png before 10.png
    assert data.y_test.tolist() == [0, 0, 1, 1, 2, 2]


def test_numbered_classes_count_as_numbers(tmp_path):
    data = load_dataset(str(write(tmp_path, classes=("10", "9", "2"))), classes=2)
    assert data.n_classes == 2
    assert np.rint(data.x_train[0, 0, 0, 0] * 255) == 40  # of class "2"


def test_the_first_classes_by_name_are_kept(tmp_path):
    data = load_dataset(str(write(tmp_path)), classes=2)
    assert data.n_classes == 2
    assert len(data.y_train) == 24


def test_size_scales_the_shorter_side_and_cuts_the_centre(tmp_path):
    write(tmp_path, counts=2)
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "train" / "cat" / "0.png")
    Image.fromarray(wide[..., 0]).save(tmp_path / "train" / "cat" / "1.png")  # grey becomes colour
    data = load_dataset(str(tmp_path), size=10)
    assert data.input_shape == (3, 10, 10)
    assert np.rint(data.x_train[:2] * 255).min() == 200
    small = load_dataset(str(tmp_path), size=5)
    assert small.input_shape == (3, 5, 5)
    assert np.rint(small.x_train[0, :, 2, 2] * 255).tolist() == [200] * 3


def test_images_of_the_right_size_are_read_as_they_are(tmp_path):
    write(tmp_path, counts=2)
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    for path in tmp_path.rglob("*.png"):
        Image.fromarray(noise).save(path)
    data = load_dataset(str(tmp_path), size=6)
    assert np.array_equal(np.rint(data.x_train[3] * 255).transpose(1, 2, 0), noise)


def test_a_part_of_the_training_images(tmp_path):
    write(tmp_path)
    part = load_dataset(str(tmp_path), n_train=9, seed=1)
    assert np.bincount(part.y_train).tolist() == [3, 3, 3]
    assert len(part.y_test) == 6
    whole = load_dataset(str(tmp_path)).subset(9, 1)
    assert np.array_equal(part.x_train, whole.x_train)
    assert load_dataset(str(tmp_path), n_train=9, seed=2).fingerprint != part.fingerprint


def remove(path: Path) -> None:
    for inner in sorted(path.rglob("*"), reverse=True):
        inner.rmdir() if inner.is_dir() else inner.unlink()
    path.rmdir()


@pytest.mark.parametrize(
    ("spoil", "options", "sentence"),
    [
        (lambda p: remove(p / "train"), {}, "has no folder train; it must hold train and test"),
        (lambda p: remove(p / "test"), {}, r"has no folder test \(or val\)"),
        (lambda p: remove(p / "test" / "dog"), {}, "test has no folder for the class 'dog', which train has"),
        (lambda p: [remove(p / "train" / c) for c in ("dog", "owl")], {}, "gives 1 class folders; .* at least two"),
        (lambda p: None, {"classes": 1}, "gives 1 class folders"),
        (lambda p: None, {"classes": 5}, "holds 3 classes, not the 5 asked for"),
        (lambda p: None, {"size": 0}, "size must be a whole number of at least 1, not 0"),
        (lambda p: None, {"sise": 4}, "no option 'sise'; it knows classes, n_train, seed, size"),
        (lambda p: None, {"n_train": 37}, "has 36 training images"),
        (lambda p: None, {"n_train": 0}, "n_train must be a whole number of at least 1, not 0"),
        (lambda p: None, {"seed": -1}, "seed must be a whole number of at least 0"),
        (lambda p: [f.unlink() for f in (p / "train" / "owl").iterdir()], {}, "owl holds no image; files must end"),
        (lambda p: (p / "train" / "dog" / "3.png").write_bytes(b"x"), {}, r"dog.3\.png is not a readable image"),
        (lambda p: image(1, (5, 5)).save(p / "test" / "cat" / "0.png"), {}, r"5×5 pixels, where others have 8×6; give"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(tmp_path, spoil, options, sentence):
    spoil(write(tmp_path))
    with pytest.raises(DatasetError, match=sentence) as caught:
        load_dataset(str(tmp_path), **options)
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_named(tmp_path):
    path = write(tmp_path) / "train" / "cat" / "5.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DatasetError, match=r"5\.png is not a readable image; remove or replace it"):
        load_dataset(str(tmp_path))


def test_too_many_images_for_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr("training.data.image_folder.MAX_BYTES", 1000)
    with pytest.raises(DatasetError, match="smaller n_train, classes or size"):
        load_dataset(str(tmp_path))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="There is no folder"):
        load_dataset(str(tmp_path / "none"))
