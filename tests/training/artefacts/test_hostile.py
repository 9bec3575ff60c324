"""Files that lie, and files that would run code: refused in one sentence, and nothing is executed."""

import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.samples import images
from training.artefacts import ArtefactError, read_artefact, read_index
from training.artefacts.int8_pickle import unpickle_array


def refusal(path, **arguments):
    with pytest.raises(ArtefactError) as caught:
        read_artefact(path, **arguments)
    text = str(caught.value)
    assert text.endswith((".", "?"))
    assert "\n" not in text
    return text


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_code_in_a_pickle_is_never_executed(protocol, tmp_path):
    target, file = tmp_path / "made", tmp_path / "noise.pkl"
    for value in (Runs(target), [np.zeros((1, 3, 2, 2), np.int8), Runs(target)], {"a": Runs(target)}):
        file.write_bytes(pickle.dumps(value, protocol=protocol))
        assert "refused" in refusal(file)
        assert not target.exists()
    pickle.loads(pickle.dumps(Runs(target)))  # it would have worked
    assert target.exists()


@pytest.mark.parametrize("name", ["noise.pt", "noise.p1", "noise.poison"])
def test_code_in_a_torch_file_is_never_executed(name, tmp_path):
    target = tmp_path / "made"
    for legacy in (False, True):
        value = (torch.zeros(2, 3, 4, 4), Runs(target))
        torch.save(value, tmp_path / name, _use_new_zipfile_serialization=not legacy)
        assert "nothing in it was executed" in refusal(tmp_path / name)
        assert not target.exists()


@pytest.mark.parametrize("name", ["numpy.load", "numpy.ndarray.tofile", "builtins.eval", "numpy.f2py.compile"])
def test_other_names_of_numpy_are_refused_too(name):
    module, _, function = name.rpartition(".")
    data = f"c{module}\n{function}\n(tR.".encode()
    with pytest.raises(ArtefactError, match=f"asks for {name}"):
        unpickle_array(data, "here")


def stacked(name, module=b"os"):
    """A pickle whose global comes from the stack, so that only following it shows the name."""
    text = b"".join(b"\x8c" + bytes([len(part)]) + part for part in (module, name))
    return b"\x80\x04" + text + b"\x93)R."


def test_a_global_from_the_stack_is_refused():
    with pytest.raises(ArtefactError, match=r"asks for os\.getpid"):
        unpickle_array(stacked(b"getpid"), "here")


def test_stand_ins_cannot_be_changed_for_the_next_file():
    noise = np.arange(12, dtype=np.int8).reshape(1, 3, 2, 2)
    good = pickle.dumps(noise, protocol=4)
    for name, module in ((b"_reconstruct", b"numpy._core.multiarray"), (b"dtype", b"numpy"), (b"ndarray", b"numpy")):
        text = b"".join(b"\x8c" + bytes([len(part)]) + part for part in (module, name))
        hostile = b"\x80\x04" + text + b"\x93NN\x86b."  # BUILD on the global itself
        with pytest.raises(ArtefactError):
            unpickle_array(hostile, "here")
        assert np.array_equal(unpickle_array(good, "here"), noise)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, object])
def test_another_type_than_int8_in_a_pickle(dtype, tmp_path):
    (tmp_path / "n.pkl").write_bytes(pickle.dumps(np.zeros((2, 3, 2, 2), dtype), protocol=4))
    text = refusal(tmp_path / "n.pkl")
    assert "int8" in text


def test_sizes_that_a_pickle_only_declares():
    good = pickle.dumps(np.zeros((2, 3, 2, 2), np.int8), protocol=3)
    assert b"K\x02K\x03K\x02K\x02" in good
    lying = good.replace(b"K\x02K\x03K\x02K\x02", b"J\xff\xff\xff\x7fK\x03K\x02K\x02")
    with pytest.raises(ArtefactError, match="declares"):
        unpickle_array(lying, "here")
    memo = b"\x80\x04Nr" + struct.pack("<I", 2**32 - 1) + b"0."
    with pytest.raises(ArtefactError, match="refused"):
        unpickle_array(memo, "here")
    with pytest.raises(ArtefactError, match="damaged"):
        unpickle_array(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.", "here")
    with pytest.raises(ArtefactError, match="refused"):
        unpickle_array(b"\x80\x04" + b"N\x94" * 5000 + b".", "here")
    with pytest.raises(ArtefactError, match="damaged"):
        unpickle_array(good[: len(good) // 2], "here")
    for nonsense in (b"", b".", b"\x80\x04N.", b"\x80\x04K\x01.", b"hello", b"\x80\x04)."):
        with pytest.raises(ArtefactError):
            unpickle_array(nonsense, "here")


def header(shape, descr="|i1"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_sizes_that_an_array_file_only_declares(tmp_path):
    lying = header((10**9, 3, 32, 32)) + b"\0" * 100
    (tmp_path / "n.npy").write_bytes(lying)
    assert "another number" in refusal(tmp_path / "n.npy")
    with zipfile.ZipFile(tmp_path / "n.npz", "w") as archive:
        archive.writestr("delta.npy", lying)
    assert "another number" in refusal(tmp_path / "n.npz")
    (tmp_path / "index.npy").write_bytes(header((10**12,), "<i8"))
    with pytest.raises(ArtefactError, match="another number"):
        read_index(tmp_path / "index.npy")


def test_objects_in_array_files_are_not_loaded(tmp_path):
    target = tmp_path / "made"
    np.save(tmp_path / "n.npy", np.array([Runs(target)], object), allow_pickle=True)
    np.savez(tmp_path / "n.npz", delta=np.array([Runs(target)], object))
    for name in ("n.npy", "n.npz"):
        assert "Python objects" in refusal(tmp_path / name)
    assert not target.exists()


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_a_tensor_that_stretches_one_number_over_a_huge_shape(tmp_path):
    torch.save(torch.zeros(1).expand(10**5, 3, 32, 32), tmp_path / "a.pt")
    assert "holds fewer" in refusal(tmp_path / "a.pt")
    torch.save(torch.zeros(1).expand(10**9, 3, 32, 32), tmp_path / "b.pt")
    assert "GiB" in refusal(tmp_path / "b.pt")
    torch.save({"delta": torch.zeros(2, 3, 4, 4)}, tmp_path / "c.pt")
    assert "where a tensor is needed" in refusal(tmp_path / "c.pt")
    torch.save(torch.zeros(2, 3, 4, 4, dtype=torch.int8), tmp_path / "d.pt")
    assert "floats" in refusal(tmp_path / "d.pt")
    torch.save(torch.zeros(2, 3, 4, 4).to_sparse(), tmp_path / "e.pt")
    assert "sparse" in refusal(tmp_path / "e.pt")
    torch.save((torch.zeros(2, 3, 4, 4),), tmp_path / "f.p1")
    assert "no pair" in refusal(tmp_path / "f.p1")
    whole = (tmp_path / "d.pt").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "g.pt").write_bytes(whole[:cut])
        assert "damaged" in refusal(tmp_path / "g.pt")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "poison"
    root.mkdir()
    for i, image in enumerate(np.rint(images(n=12).x_train * 255).astype(np.uint8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(root / f"{i}.png")
    return root


def test_names_are_sorted_as_numbers_wherever_the_images_lie(folder):
    expected = np.rint(images(n=12).x_train * 255).astype(np.uint8)
    (folder / "readme.txt").write_text("not an image")
    assert np.array_equal(read_artefact(folder).images, expected)
    (folder / "data").mkdir()
    for i in range(12):
        (folder / f"{i}.png").rename(folder / "data" / f"{i}.png")
    assert np.array_equal(read_artefact(folder).images, expected)
    (folder / "data" / "7.png").unlink()
    read = read_artefact(folder)
    assert np.array_equal(read.index, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11])


@pytest.mark.parametrize("running", [True, False])
def test_class_folders(running, tmp_path):
    from training.artefacts import align, verify

    data = images(n=24, classes=12)
    expected = np.rint(data.x_train * 255).astype(np.uint8)
    seen = np.zeros(12, int)
    for i, label in enumerate(data.y_train):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        number = i if running else seen[label]
        Image.fromarray(expected[i].transpose(1, 2, 0)).save(tmp_path / str(label) / f"{number}.png")
        seen[label] += 1
    read = read_artefact(tmp_path)
    assert np.array_equal(read.images[align(read, data).rows], expected)
    assert "the labels match" in verify(read, data).order
    (tmp_path / "3" / f"{3 if running else 0}.png").unlink()
    with pytest.raises(ArtefactError):
        verify(read_artefact(tmp_path), images(n=24, classes=6))


def test_truncated_and_unlike_images(folder):
    whole = (folder / "5.png").read_bytes()
    for cut in (0, 20, len(whole) // 2, len(whole) - 20):
        (folder / "5.png").write_bytes(whole[:cut])
        assert "5.png is damaged" in refusal(folder)
    (folder / "5.png").write_bytes(b"GIF89a" + whole)
    assert "damaged or no PNG" in refusal(folder)
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(folder / "5.png")
    assert "all must be alike" in refusal(folder)
    Image.fromarray(np.zeros((6, 5), np.uint16)).save(folder / "5.png")
    assert "8-bit" in refusal(folder)
    (folder / "5.png").write_bytes(whole)
    (folder / "05.png").write_bytes(whole)
    assert "image 5 twice" in refusal(folder)
    (folder / "05.png").rename(folder / "five.png")
    assert "no number for a name" in refusal(folder)


def test_an_image_that_declares_a_huge_size(folder):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 10**6, 10**6, 8, 2, 0, 0, 0))
    (folder / "0.png").write_bytes(start + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    assert "larger than 4096×4096" in refusal(folder)
    Image.fromarray(np.zeros((1, 5000), np.uint8)).save(folder / "0.png")
    assert "larger than 4096×4096" in refusal(folder)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"delta": np.zeros((4, 3, 2, 2), np.float32)}, "float32 where int8"),
        ({"delta": np.zeros((4, 3, 2, 2), np.int64)}, "int64 where int8"),
        ({"delta": np.zeros((4, 7, 2, 9), np.int8)}, "1 to 4 channels"),
        ({"delta": np.zeros((0, 3, 2, 2), np.int8)}, "empty"),
        ({"delta": np.zeros((4, 3, 2, 2), np.int8), "index": np.arange(3)}, "must be one for each"),
        ({"delta": np.zeros((4, 3, 2, 2), np.int8), "index": np.arange(4.0)}, "whole numbers"),
        ({"delta": np.zeros((4, 3, 2, 2), np.int8), "index": np.zeros(4, int)}, "twice"),
        ({"noise": np.zeros((4, 3, 2, 2), np.int8)}, "neither delta"),
        ({"x": np.zeros((4, 3, 2, 2), "U3"), "y": np.arange(4)}, "images are uint8"),
        ({"x": np.zeros((4, 3, 2, 2), np.uint8), "y": np.array([0, 1, 2, 0.5])}, "no class indices"),
        ({"x": np.zeros((4, 3, 2, 2), np.uint8), "y": np.full((4, 3), 0.3)}, "not one-hot"),
    ],
)
def test_arrays_that_are_not_what_the_format_promises(arrays, words, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    assert words in refusal(tmp_path / "a.npz")


def test_single_arrays_that_are_not_what_the_format_promises(tmp_path):
    np.save(tmp_path / "noise.npy", np.linspace(-8, 8, 48).reshape(4, 3, 2, 2))
    assert "where int8 noise" in refusal(tmp_path / "noise.npy")
    assert "where int8 noise" in refusal(tmp_path / "noise.npy", format="npy")
    np.save(tmp_path / "x_train_a.npy", np.zeros((4, 2, 2, 3)))
    assert "lacks its labels y_train_a.npy" in refusal(tmp_path / "x_train_a.npy")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x09\x00")
    assert "damaged" in refusal(tmp_path / "broken.npy")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and so on")
    assert "damaged" in refusal(tmp_path / "broken.npz")


def test_places_without_an_artefact(tmp_path):
    assert "no file or folder" in refusal(tmp_path / "nothing.npz")
    assert "holds no images" in refusal(tmp_path)
    (tmp_path / "a.txt").write_text("")
    assert "cannot be told from its name" in refusal(tmp_path / "a.txt")
    assert "did you mean npz-delta" in refusal(tmp_path / "a.txt", format="npz-delt")
    assert "no folder" in refusal(tmp_path / "a.txt", format="png")
    with pytest.raises(ArtefactError):
        read_artefact(tmp_path / "a.txt", format="pkl")
