"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: read where they lie, downloaded only when allowed."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from training import DatasetError, load_dataset
from training.data.torchvision_sets import data_folder


def write_idx(path: Path, array: np.ndarray) -> None:
    """The file format of MNIST: a magic number that names type and dimensions, the shape, the bytes."""
    shape = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, folder: str = "MNIST") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    arrays = {}
    for part, n in (("train", 30), ("t10k", 10)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28))
        arrays[f"{part}-labels-idx1-ubyte"] = np.arange(n) % 10
    for name, array in arrays.items():
        write_idx(raw / name, array)
    return arrays


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_files_in_place_are_read(tmp_path, name, folder):
    arrays = write_mnist(tmp_path, folder)
    data = load_dataset(name, root=tmp_path)
    assert (data.name, data.input_shape, data.n_classes, data.eight_bit) == (name, (1, 28, 28), 10, True)
    assert np.array_equal(np.rint(data.x_train[:, 0] * 255), arrays["train-images-idx3-ubyte"])
    assert np.array_equal(data.y_test, arrays["t10k-labels-idx1-ubyte"])


@pytest.mark.parametrize(
    ("name", "kind", "key"), [("cifar10", "CIFAR10", "labels"), ("cifar100", "CIFAR100", "fine_labels")]
)
def test_cifar_in_place_is_read(tmp_path, monkeypatch, name, kind, key):
    rng = np.random.default_rng(0)
    set_of = getattr(datasets, kind)
    folder = tmp_path / set_of.base_folder
    folder.mkdir()
    written = {}
    for file, _ in [*set_of.train_list, *set_of.test_list]:
        pixels = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
        written[file] = pixels
        (folder / file).write_bytes(pickle.dumps({"data": pixels, key: [i % 10 for i in range(20)]}))
    meta = set_of.meta
    (folder / meta["filename"]).write_bytes(pickle.dumps({meta["key"]: list("abcdefghij")}))
    monkeypatch.setattr(set_of, "_check_integrity", lambda _: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = load_dataset(name, root=tmp_path)
    assert (data.name, data.input_shape, data.n_classes, data.eight_bit) == (name, (3, 32, 32), 10, True)
    first = set_of.train_list[0][0]
    assert np.array_equal(np.rint(data.x_train[:20] * 255).reshape(20, -1), written[first])
    assert len(data.y_train) == 20 * len(set_of.train_list)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_not_downloaded_without_permission(tmp_path, name):
    with pytest.raises(DatasetError, match=rf"{name} is not in .*--download"):
        load_dataset(name, root=tmp_path)


def test_the_default_folder_is_the_variable_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UNLEARNSCAPE_DATA", raising=False)
    assert data_folder() == tmp_path / "cache" / "unlearnscape"
    monkeypatch.setenv("UNLEARNSCAPE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    write_mnist(tmp_path)
    assert len(load_dataset("mnist").y_train) == 30


def test_nothing_is_downloaded_without_permission(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("tried to download")

    monkeypatch.setattr(datasets.MNIST, "download", refuse)
    with pytest.raises(DatasetError, match=r"mnist is not in .*--download"):
        load_dataset("mnist", root=tmp_path)
    assert not any(tmp_path.rglob("*-ubyte*"))


def test_a_failed_download_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("Error downloading\n a file")

    monkeypatch.setattr(datasets.FashionMNIST, "download", fail)
    with pytest.raises(DatasetError, match=r"fashion-mnist could not be downloaded \(Error downloading a file\)"):
        load_dataset("fashion-mnist", root=tmp_path, download=True)


def test_a_truncated_file_is_one_sentence(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"is damaged there"):
        load_dataset("mnist", root=tmp_path)
