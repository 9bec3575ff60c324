"""Anyone's arrays: what is accepted, and one clear sentence for everything else."""

import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from training import DatasetError, load_dataset
from training.data import npz

GOOD = {
    "x_train": np.linspace(0, 1, 18, dtype=np.float32).reshape(6, 3),
    "y_train": np.array([0, 1, 2, 0, 1, 2]),
    "x_test": np.zeros((2, 3), np.float32),
    "y_test": np.array([2, 0]),
}


def write(path: Path, **changes: object) -> Path:
    arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
    np.savez_compressed(path / "data.npz", **arrays)
    return path / "data.npz"


def with_member(source: Path, name: str, data: bytes) -> Path:
    """A copy of an archive with one member replaced."""
    target = source.with_name("changed.npz")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            new.writestr(item.filename, data if item.filename == name else old.read(item.filename))
    return target


def npy(shape: str, body: bytes, descr: str = "<f4") -> bytes:
    """A version 1.0 array file that declares whatever it is told to."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def test_a_file_round_trips(tmp_path):
    data = load_dataset(str(write(tmp_path)))
    assert data.name == "data"
    assert data.n_classes == 3
    for name, array in GOOD.items():
        assert np.array_equal(getattr(data, name), array)


def test_images_round_trip_to_the_last_grey_level(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    data = load_dataset(str(write(tmp_path, x_train=x, x_test=x[:2])))
    assert data.input_shape == (3, 5, 4)
    assert np.array_equal(np.rint(data.x_train * 255).transpose(0, 2, 3, 1), x)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"y_test": None}, "lacks y_test; it must hold x_train, y_train, x_test, y_test"),
        ({"x_train": None, "y_train": None}, "lacks x_train, y_train"),
        ({"y_train": np.array([0, 1, 2, 0, 1])}, "x_train has 6 samples, y_train has 5"),
        ({"y_train": np.array([0, 1, 2, 0, 1, -1])}, "label -1"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 10**9])}, "label 1000000000"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 0.5])}, "not whole numbers"),
        ({"y_train": np.array([0, 1, 2, 0, 1, np.nan])}, "not whole numbers"),
        ({"y_train": np.array(list("abcabc"))}, "y_train must hold numbers"),
        ({"y_train": np.eye(6, 3)}, "list of class indices"),
        ({"y_train": np.full(6, 2)}, "at least two classes"),
        ({"y_test": np.array([3, 0])}, "test label 3 never occurs in training"),
        ({"x_train": np.full((6, 3), np.nan)}, "x_train holds NaN or infinite"),
        ({"x_test": np.full((2, 3), np.inf)}, "x_test holds NaN or infinite"),
        ({"x_train": np.full((6, 3), 1e300)}, "x_train holds NaN or infinite"),
        ({"x_train": np.zeros((0, 3)), "y_train": np.zeros(0, int)}, "x_train is empty"),
        ({"x_train": np.zeros((6, 0)), "x_test": np.zeros((2, 0))}, "x_train is empty"),
        ({"x_test": np.zeros((2, 4))}, "they must agree"),
        ({"x_train": np.zeros(6), "x_test": np.zeros(2)}, r"has shape \[6\]"),
        ({"x_train": np.zeros((6, 2, 2, 2, 2)), "x_test": np.zeros((2, 2, 2, 2, 2))}, r"\[6, 2, 2, 2, 2\]"),
        ({"x_train": np.zeros((6, 3), complex)}, "x_train must hold numbers"),
        (
            {"x_train": np.full((6, 8, 8), 255.0), "x_test": np.zeros((2, 8, 8))},
            "pixels from 255 to 255; save images as",
        ),
        ({"x_train": np.full((6, 8, 8), -1.0), "x_test": np.zeros((2, 8, 8))}, "pixels from -1"),
        ({"x_train": np.zeros((6, 8, 8, 8)), "x_test": np.zeros((2, 8, 8, 8))}, "1 to 4 channels"),
        ({"x_train": np.array([object()] * 6)}, "Python objects in x_train"),
    ],
)
def test_unusable_arrays_are_refused_in_one_sentence(tmp_path, changes, sentence):
    path = write(tmp_path, **changes)
    with pytest.raises(DatasetError, match=sentence) as caught:
        load_dataset(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")


def test_a_missing_file_is_named():
    with pytest.raises(DatasetError, match=r"There is no data file nowhere\.npz"):
        load_dataset("nowhere.npz")


@pytest.mark.parametrize(
    "member",
    [
        npy("(1099511627776, 4)", b"0" * 64),  # 16 TiB
        npy("(6, 3)", b"0" * 8),
        npy("(6, 3)", b"0" * 720),
        npy("(-6, -3)", b"0" * 72),
        npy("(9223372036854775807, 9223372036854775807)", b""),
        npy("(6, 3", b"0" * 72),
        npy("(6, 3)", b"0" * 72, descr="nonsense"),
        b"\x93NUMPY\x09\x00" + b"0" * 100,
        b"not an array",
        b"",
    ],
)
def test_headers_that_lie_are_refused_before_any_memory_is_taken(tmp_path, member):
    path = with_member(write(tmp_path), "x_train.npy", member)
    with pytest.raises(DatasetError, match=r"declares another size of x_train|is not a readable \.npz"):
        load_dataset(str(path))


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = write(tmp_path, x_train=np.zeros((6, 100_000), np.uint8), x_test=np.zeros((2, 100_000), np.uint8))
    assert path.stat().st_size < 10_000
    assert load_dataset(str(path)).x_train.shape == (6, 100_000)
    # Two bytes a value would suffice on disk; in memory inputs are float32.
    monkeypatch.setattr(npz, "MAX_BYTES", 8 * 100_000 * 2)
    monkeypatch.setattr(npz, "_read", lambda *_: pytest.fail("read an array"))
    with pytest.raises(DatasetError, match="unpacks to more than"):
        load_dataset(str(path))


def test_damaged_files_are_refused(tmp_path):
    whole = write(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.npz"
    survived = 0
    for _ in range(300):
        data = bytearray(whole)
        if rng.random() < 0.3:
            data = data[: rng.integers(len(data))]
        else:
            for place in rng.integers(len(data), size=3):
                data[place] = rng.integers(256)
        path.write_bytes(data)
        with suppress(DatasetError):  # and nothing else
            load_dataset(str(path))
            survived += 1
    assert survived < 100


def test_pickles_and_encrypted_members_are_refused(tmp_path):
    path = write(tmp_path)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # general purpose flag "encrypted" of the first local header …
    data[data.find(b"PK\x01\x02") + 8] |= 1  # … and of its entry in the directory
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="not a readable"):
        load_dataset(str(path))


@pytest.mark.skipif("UNLEARNSCAPE_DATA" not in os.environ, reason="needs the small real data sets")
@pytest.mark.parametrize(
    ("name", "shape", "samples"), [("mnist-20k", (1, 28, 28), (20000, 5000)), ("cifar10-5k", (3, 32, 32), (5085, 1017))]
)
def test_real_data_load(name, shape, samples):
    data = load_dataset(str(Path(os.environ["UNLEARNSCAPE_DATA"]) / f"{name}.npz"))
    assert (data.input_shape, data.n_classes, data.eight_bit) == (shape, 10, True)
    assert (len(data.y_train), len(data.y_test)) == samples
