"""The method that takes a published poison."""

import numpy as np
import pytest

from tests.training.samples import images, levels, vectors
from training import poison
from training.artefacts import ArtefactError, write_artefact


@pytest.fixture
def delta(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(-8, 9, size=images().x_train.shape).astype(np.int8)
    return noise, str(write_artefact(tmp_path / "noise.npz", noise, images(), "npz-delta"))


def test_it_adds_in_integers_and_clips(delta):
    noise, path = delta
    data = images()
    made = poison("file", data, seed=0, path=path)
    assert np.array_equal(levels(made.x_train), np.clip(levels(data.x_train) + noise, 0, 255))
    assert np.array_equal(made.y_train, data.y_train)
    assert made.budget == "L∞ ≤ 8/255"
    assert made.description == "noise.npz from a file, L∞ ≤ 8/255"
    assert made.options["path"] == path


def test_a_share_of_it(delta):
    _, path = delta
    made = poison("file", images(), seed=1, path=path, ratio=0.5)
    assert made.changed.sum() == 30
    assert not made.perturbation[~made.changed].any()


def test_strength_is_a_promise(delta):
    _, path = delta
    assert poison("file", images(), seed=0, path=path, strength=0.0314).options["strength"] == 0.0314
    with pytest.raises(ArtefactError, match="above the promised 7/255"):
        poison("file", images(), seed=0, path=path, strength=7 / 255)


def test_positive_only_is_what_the_importer_of_em_does(tmp_path):
    import torch

    data = images()
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-8 / 255, 8 / 255, data.x_train.shape).astype(np.float32))
    noise[:, :, 0] = 8 / 255
    torch.save(noise, tmp_path / "perturbation.pt")
    made = poison("file", data, seed=0, path=str(tmp_path / "perturbation.pt"), positive_only=True)
    grey = levels(data.x_train)
    expected = np.clip(grey.astype(np.float32) + noise.mul(255).clamp(0, 255).numpy(), 0, 255).astype(np.uint8)
    assert np.array_equal(levels(made.x_train), expected)
    assert (levels(made.x_train) >= grey).all()
    plain = poison("file", data, seed=0, path=str(tmp_path / "perturbation.pt"))
    assert (levels(plain.x_train) < grey).any()


def test_a_larger_artefact_by_an_index(tmp_path):
    data = images()
    noise = np.random.default_rng(0).integers(-8, 9, size=(100, 3, 6, 5)).astype(np.int8)
    np.save(tmp_path / "all.npy", noise)
    np.savez(tmp_path / "where.npz", index=np.arange(20, 80))
    arguments = {"path": str(tmp_path / "all.npy"), "index": str(tmp_path / "where.npz")}
    made = poison("file", data, seed=0, **arguments)
    assert np.array_equal(levels(made.x_train), np.clip(levels(data.x_train) + noise[20:80], 0, 255))


def test_a_smaller_artefact_says_so(tmp_path):
    noise = np.full((5, 3, 6, 5), 3, np.int8)
    np.savez(tmp_path / "some.npz", delta=noise, index=np.array([3, 1, 4, 15, 9]))
    made = poison("file", images(), seed=0, path=str(tmp_path / "some.npz"))
    assert "for 5 of 60 samples" in made.description
    assert set(np.flatnonzero(made.perturbation.any(axis=(1, 2, 3)))) == {1, 3, 4, 9, 15}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs the path"),
        ({"path": "nowhere.npz"}, "no file or folder"),
        ({"path": 7}, "needs the path"),
        ({"path": "a", "format": "jpeg"}, "no artefact format"),
        ({"path": "a", "positive_only": "yes"}, "true or false"),
        ({"path": "a", "depth": 2}, "no option 'depth'"),
    ],
)
def test_wrong_options(arguments, words):
    with pytest.raises(ValueError, match=words):
        poison("file", images(), seed=0, **arguments)


def test_data_it_was_not_made_for(delta, tmp_path):
    _, path = delta
    with pytest.raises(ArtefactError, match="samples of shape"):
        poison("file", vectors(), seed=0, path=path)
    with pytest.raises(ArtefactError, match="holds 60 entries"):
        poison("file", images(n=50), seed=0, path=path)
    np.savez(tmp_path / "zeros.npz", delta=np.zeros((60, 3, 6, 5), np.int8))
    with pytest.raises(ArtefactError, match="changes nothing"):
        poison("file", images(), seed=0, path=str(tmp_path / "zeros.npz"))
    made = write_artefact(tmp_path / "p", poison("file", images(), seed=0, path=path), images(), "png")
    with pytest.raises(ArtefactError, match="final images"):
        poison("file", images(), seed=0, path=str(made), positive_only=True)
