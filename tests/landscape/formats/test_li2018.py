"""Li et al.'s files: read as their tool means them, written so that it could not tell the difference."""

import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from checkpoints import CheckpointError
from landscape.formats import li2018
from tests.checkpoints.test_hostile import guarded, mutate

READERS = {
    "directions": li2018.read_directions,
    "surface": li2018.read_surface,
    "projection": li2018.read_projection,
}
GOLDEN = Path(__file__).parents[1] / "golden" / "li2018"


def contents(path: Path) -> dict:
    """Everything in a file: bytes, shape and type of each dataset."""
    found: dict = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            value = item[()]
            found[name] = (item.shape, item.dtype, value if isinstance(value, bytes) else value.tobytes())

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


@pytest.mark.parametrize("name", ["directions", "pca_directions", "surface", "pca_surface", "pca_projection"])
def test_what_is_read_and_written_again_is_the_same_file(name, tmp_path):
    path = GOLDEN / f"{name}.h5"
    kind = li2018.kind_of(path)
    read, write = {
        "directions": (li2018.read_directions, li2018.write_directions),
        "surface": (li2018.read_surface, li2018.write_surface),
        "projection": (li2018.read_projection, li2018.write_projection),
    }[kind]
    (tmp_path / "again.h5").write_bytes(write(read(path)))
    assert contents(tmp_path / "again.h5") == contents(path)


def test_values_lie_where_their_tool_draws_them(tmp_path):
    # Their plots take reshape(len(y), len(x)) of the buffer, with x along the columns.
    x, y = np.array([0.0, 1.0, 2.0]), np.array([5.0, 7.0])
    loss = 10 * x[:, None] + y
    (tmp_path / "s.h5").write_bytes(li2018.write_surface(li2018.GridFile(x, y, {"train_loss": loss})))
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["train_loss"].shape == (3, 2)
        drawn = file["train_loss"][:].reshape(2, 3)
    np.testing.assert_array_equal(drawn, np.array([[5.0, 15.0, 25.0], [7.0, 17.0, 27.0]]))
    np.testing.assert_array_equal(li2018.read_surface(tmp_path / "s.h5").values["train_loss"], loss)


def test_the_centre_of_the_golden_surface_is_its_minimum_and_axes_fit_a_network():
    surface = li2018.read_surface(GOLDEN / "surface.h5")
    assert surface.dir_file.startswith("model_6.t7_weights")
    assert surface.values["train_acc"].max() <= 100
    read = li2018.read_directions(GOLDEN / "pca_directions.h5")
    shapes = [tuple(t.shape) for t in read.axes[0]]
    axes = read.flat(shapes, "x")
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, rtol=1e-5)
    with pytest.raises(CheckpointError, match=r"tensor 1 is \[8\] where the network has \[9\]"):
        read.flat([shapes[0], (9,), *shapes[2:]], "x")


@pytest.mark.parametrize("count", [7, 1000, 60_000, 999_999])
def test_accuracies_come_back_to_the_bit(count):
    given = np.random.default_rng(count).integers(0, count + 1, (20, 20)) / count
    assert li2018.from_percent(li2018.to_percent(given)).tobytes() == given.tobytes()
    odd = np.array([[np.nan, np.inf, 0.1234567890123456]])
    np.testing.assert_allclose(li2018.from_percent(li2018.to_percent(odd)), odd, rtol=1e-15)


def attack(path: Path, name: str) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(b"s" * 4000)
    with h5py.File(path, "r+") as file:
        if name == "external":
            del file["train_loss"]
            file.create_dataset("train_loss", shape=(11, 11), dtype="f8", external=[(str(secret), 0, 968)])
        elif name == "link":
            del file["train_loss"]
            file["train_loss"] = h5py.ExternalLink(str(GOLDEN / "pca_surface.h5"), "/train_loss")
        elif name == "huge":
            del file["train_loss"]
            file.create_dataset("train_loss", shape=(1 << 20, 1 << 20), dtype="f8")
        elif name == "objects":
            del file["train_loss"]
            file["train_loss"] = np.array(["a"] * 121, dtype=h5py.string_dtype())
        elif name == "few":
            del file["train_loss"]
            file["train_loss"] = np.zeros(5)
        elif name == "order":
            file["xcoordinates"][:] = 0
        elif name == "line":
            del file["ycoordinates"]
        else:
            del file["train_loss"]


@pytest.mark.parametrize("name", ["external", "link", "huge", "objects", "few", "order", "line", "nothing"])
def test_surfaces_that_lie_or_lack_something_are_refused(tmp_path, name):
    path = tmp_path / "s.h5"
    path.write_bytes((GOLDEN / "surface.h5").read_bytes())
    attack(path, name)
    with pytest.raises(CheckpointError, match=r"s\.h5"):
        li2018.read_surface(path)


@pytest.mark.parametrize("name", ["directions", "surface", "pca_projection"])
def test_mutated_files_are_refused_or_read_and_never_hang(tmp_path, name):
    original, target = (GOLDEN / f"{name}.h5").read_bytes(), tmp_path / "x.h5"

    def action() -> str:
        chance, refused = random.Random(5), 0
        for _ in range(250):
            target.write_bytes(mutate(original, chance))
            li2018.kind_of(target)
            try:
                READERS[name.removeprefix("pca_")](target)
            except CheckpointError as error:
                refused += str(target) in str(error)
        return f"{refused} refused"

    said = guarded(action, seconds=30)
    assert int(said.split()[0]) > 30, said


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    assert li2018.kind_of(tmp_path / "text") is None
    for read in (li2018.read_directions, li2018.read_surface, li2018.read_projection):
        for path in (tmp_path / "text", tmp_path / "none"):
            with pytest.raises(CheckpointError):
                read(path)
    with pytest.raises(CheckpointError):
        li2018.read_projection(GOLDEN / "surface.h5")
