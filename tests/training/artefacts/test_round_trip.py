"""Reading what was written gives the same poison, in every format."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.samples import images, vectors
from training import fingerprint_arrays, load_dataset, poison
from training.artefacts import FORMATS, Artefact, ArtefactError, Budget, read_artefact, verify, write_artefact
from training.artefacts.int8_pickle import unpickle_array

NAMES = {
    "png": "folder",
    "pt": "perturbation.pt",
    "pkl": "rem-fin-def-noise.pkl",
    "npy": "noise.npy",
    "npy-pair": "x_train_images_ntga.npy",
    "npz-delta": "delta.npz",
    "npz": "data.npz",
    "tuple": "Linf.p1",
    "adv-pt": "training_adv.pt",
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 8, 8)])
def test_import_of_export_is_the_same_poison(kind, shape, tmp_path):
    if kind == "adv-pt" and shape[0] != 1:
        pytest.skip("grey images alone")
    data = images(shape=shape)
    made = poison("uniform-noise", data, seed=0, strength=20 / 255)
    place = write_artefact(tmp_path / NAMES[kind], made, data, kind)
    for format in ("auto", kind):
        read = read_artefact(place, format=format)
        assert read.kind == kind
        report = verify(read, data, promised=Budget(linf=20 / 255))
        assert report.levels == 20
        assert report.covered == report.samples == 60
        again = poison("file", data, seed=3, path=str(place), format=format)
        assert again.x_train.tobytes() == made.x_train.tobytes()
        assert np.array_equal(again.y_train, data.y_train)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_poison_gives_the_same_bytes_and_nothing_else_is_left(kind, tmp_path):
    data = images(shape=(1, 8, 8))
    made = poison("uniform-noise", data, seed=0, strength=20 / 255)
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_artefact(folder / NAMES[kind], made, data, kind)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        assert len(files) == {"png": 60, "npy-pair": 2}.get(kind, 1)
        written.append([p.read_bytes() for p in files])
    assert written[0] == written[1]


@pytest.mark.parametrize("kind", ["pt", "pkl", "npy", "npz-delta"])
def test_raw_noise_stays_as_it_is_before_clipping(kind, tmp_path):
    data = images()  # pixels of every grey level, so that noise leaves the range
    noise = np.random.default_rng(0).integers(-8, 9, size=data.x_train.shape).astype(np.int8)
    read = read_artefact(write_artefact(tmp_path / NAMES[kind], noise, data, kind))
    scale = 255 if kind == "pt" else 1
    assert np.array_equal(np.rint(read.delta.astype(np.float64) * scale), noise)
    report = verify(read, data, promised=Budget(linf=8 / 255))
    assert report.overshoot > 0
    assert report.order.startswith("not to be checked")
    converted = write_artefact(tmp_path / "second.npy", read, data, "npy")
    assert np.array_equal(np.load(converted), noise)
    levels = np.rint(data.x_train * 255).astype(np.int16)
    added = np.clip(levels + noise, 0, 255)  # the REM importer, in integers
    assert np.array_equal(np.rint(poison("file", data, seed=0, path=str(converted)).x_train * 255), added)


def test_float_images_survive_where_data_are_not_eight_bit(tmp_path):
    from training.data.dataset import make_dataset

    rng = np.random.default_rng(0)
    x, y = rng.random((40, 1, 6, 6)).astype(np.float32), np.arange(40) % 3
    data = make_dataset("floats", x, y, x[:9], y[:9], where="floats")
    made = poison("uniform-noise", data, seed=0, strength=0.1)
    for kind in ("pt", "tuple", "npz", "npy-pair", "adv-pt"):
        place = write_artefact(tmp_path / NAMES[kind], made, data, kind)
        again = poison("file", data, seed=0, path=str(place))
        assert np.abs(again.x_train - made.x_train).max() < 1e-7
    for kind in ("png", "pkl", "npy", "npz-delta"):
        with pytest.raises(ArtefactError, match="not 8-bit"):
            write_artefact(tmp_path / f"no-{kind}", made, data, kind)


def test_feature_vectors_go_through_data_files(tmp_path):
    data = vectors()
    made = poison("ops", data, seed=0)
    place = write_artefact(tmp_path / "toy.npz", made, data, "npz")
    assert np.array_equal(poison("file", data, seed=0, path=str(place)).x_train, made.x_train)
    assert np.array_equal(load_dataset(str(place)).x_train, made.x_train)
    with pytest.raises(ArtefactError, match="feature vectors"):
        write_artefact(tmp_path / "x", made, data, "png")


def test_changes_of_more_than_127_levels(tmp_path):
    data = images()
    made = poison("ops", data, seed=0)
    read = read_artefact(write_artefact(tmp_path / "ops.npz", made, data, "npz-delta"))
    assert read.delta.dtype == np.int16
    assert np.array_equal(poison("file", data, seed=0, path=str(tmp_path / "ops.npz")).x_train, made.x_train)
    assert verify(read, data, promised=Budget(l0=1)).l0 == 1
    with pytest.raises(ArtefactError, match="does not fit int8"):
        write_artefact(tmp_path / "ops.pkl", made, data, "pkl")


def test_rem_layout_is_what_plain_pickle_reads_and_writes(tmp_path):
    noise = np.random.default_rng(0).integers(-8, 9, size=(5, 3, 4, 4)).astype(np.int8)
    place = write_artefact(tmp_path / "r.pkl", noise, images(n=5, shape=(3, 4, 4), classes=3), "pkl")
    assert np.array_equal(pickle.loads(place.read_bytes()), noise)
    for protocol in (3, 4):
        for array in (noise, np.asfortranarray(noise), noise.astype(np.uint8), noise[:, :, ::2]):
            data = pickle.dumps(array, protocol=protocol)
            for old in (
                data,
                data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray") if protocol == 3 else data,
            ):
                built = unpickle_array(old, "here")
                assert built.dtype == array.dtype
                assert np.array_equal(built, array)


def test_formats_as_their_authors_write_them(tmp_path):
    data = images(classes=4)
    levels = np.rint(data.x_train * 255)
    shift = np.where(levels < 128, 5, -5)
    final = (levels + shift).astype(np.float64)
    np.save(tmp_path / "poisoned_training_data.npy", final.transpose(0, 2, 3, 1))  # TAP: 0 … 255, floats
    np.save(tmp_path / "poisoned_training_labels.npy", data.y_train.astype(np.float64))
    np.save(tmp_path / "x_train_c_ntga_cnn_best.npy", (final / 255).transpose(0, 2, 3, 1))  # NTGA: [0, 1], one-hot
    np.save(tmp_path / "y_train_c_ntga_cnn_best.npy", np.eye(4)[data.y_train])
    torch.save(torch.from_numpy((shift / 255).astype(np.float32)), tmp_path / "perturbation.pt")
    torch.save(
        (torch.from_numpy((final / 255).astype(np.float32)), torch.from_numpy(data.y_train)), tmp_path / "a.poison"
    )
    np.savez(tmp_path / "xy.npz", x=final.astype(np.uint8), y=data.y_train)
    for name in (
        "poisoned_training_data.npy",
        "x_train_c_ntga_cnn_best.npy",
        "perturbation.pt",
        "a.poison",
        "xy.npz",
    ):
        made = poison("file", data, seed=0, path=str(tmp_path / name), strength=5 / 255)
        assert np.array_equal(np.rint(made.x_train * 255), final), name
        assert made.budget == "L∞ ≤ 5/255"


def test_writing_needs_room_and_leaves_the_old_file(tmp_path):
    data = images()
    made = poison("uniform-noise", data, seed=0)
    folder = tmp_path / "p"
    write_artefact(folder, made, data, "png")
    with pytest.raises(ArtefactError, match="exists already"):
        write_artefact(folder, made, data, "png")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written|exists already"):
        write_artefact(tmp_path / "file", made, data, "png")
    with pytest.raises(ArtefactError, match="begin with x_"):
        write_artefact(tmp_path / "images.npy", made, data, "npy-pair")
    with pytest.raises(ArtefactError, match="written as"):
        write_artefact(tmp_path / "images", made, data, "gif")
    assert sorted(os.listdir(tmp_path)) == ["file", "p"]


def test_writing_touches_no_input():
    data = images()
    made = poison("uniform-noise", data, seed=0)
    before = fingerprint_arrays(data.x_train, made.x_train)
    artefact = Artefact("array", "here", images=made.x_train)
    verify(artefact, data)
    assert fingerprint_arrays(data.x_train, made.x_train) == before


@pytest.mark.skipif(
    not (Path(os.environ.get("UNLEARNSCAPE_DATA", "/nowhere")) / "cifar10-5k-tap-delta.npz").is_file(), reason="no data"
)
def test_the_published_tap_poison():
    folder = Path(os.environ["UNLEARNSCAPE_DATA"])
    data = load_dataset(str(folder / "cifar10-5k.npz"))
    report = verify(read_artefact(folder / "cifar10-5k-tap-delta.npz"), data, promised=Budget(linf=8 / 255))
    assert report.levels == 8
    assert report.overshoot == 0
    assert report.covered == 5085
    assert report.order.startswith("no pixel leaves its range")
