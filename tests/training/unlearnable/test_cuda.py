"""Convolution-based unlearnable data: one filter per class, found again from a single pair of images."""

import numpy as np
import pytest
from scipy.signal import correlate2d

from tests.training.samples import images, levels, vectors
from training import poison
from training.data.dataset import make_dataset
from training.unlearnable import cuda


def fitted(clean, poisoned):
    """The filter [9], up to scale, that best explains one image [C, H, W], by least squares."""
    padded = np.pad(clean.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    height, width = clean.shape[1:]
    columns = [padded[:, i : i + height, j : j + width].ravel() for i in range(3) for j in range(3)]
    found = np.linalg.lstsq(np.stack(columns, axis=1), poisoned.ravel().astype(np.float64), rcond=None)[0]
    return found / found.max()


def test_the_filter_is_the_definition():
    rng = np.random.default_rng(0)
    image, kernel = rng.random((2, 3, 7, 6)), rng.random((3, 3))
    expected = np.stack([[correlate2d(channel, kernel, mode="same") for channel in one] for one in image])
    expected /= expected.max(axis=(1, 2, 3), keepdims=True)
    assert np.allclose(cuda.filtered(image, kernel), expected)


def test_without_blur_an_image_is_shifted_and_stretched():
    image = np.random.default_rng(0).random((1, 3, 6, 6)) * 0.7
    for i in range(3):
        for j in range(3):
            kernel = np.zeros((3, 3))
            kernel[i, j] = 1
            shifted = np.roll(np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1))), (1 - i, 1 - j), axis=(2, 3))[
                :, :, 1:-1, 1:-1
            ]
            assert np.allclose(cuda.filtered(image, kernel), shifted / shifted.max())


@pytest.mark.parametrize("shape", [(3, 12, 10), (1, 12, 12)])
def test_the_brightest_pixel_of_every_image_is_white(shape):
    made = poison("cuda", images(shape=shape, low=0, high=120), seed=0)
    assert (levels(made.x_train).reshape(60, -1).max(axis=1) == 255).all()
    assert levels(made.x_train).min() >= 0


def test_one_filter_per_class_is_found_again_from_one_image():
    data = images(n=40, shape=(3, 16, 16))
    made = poison("cuda", data, seed=0)
    kernels = [fitted(data.x_train[i], made.x_train[i]) for i in range(40)]
    for k in range(4):
        own = np.stack([kernels[i] for i in range(40) if data.y_train[i] == k])
        assert np.abs(own - own[0]).max() < 0.02  # of rounding to 8 bits
        assert (np.sort(own, axis=1)[:, :-1] <= 0.3 + 0.02).all()
        others = np.stack([kernels[i] for i in range(40) if data.y_train[i] != k])
        assert np.abs(others - own[0]).max(axis=1).min() > 0.05


def test_a_drawn_filter_has_one_weight_of_one():
    kernels = cuda.draw_filters(np.random.default_rng(0), 500, 0.3).reshape(500, 9)
    assert ((kernels == 1).sum(axis=1) == 1).all()
    assert len(np.unique(kernels.argmax(axis=1))) == 9
    assert np.sort(kernels, axis=1)[:, :-1].max() <= 0.3
    assert kernels[kernels < 1].mean() == pytest.approx(0.15, abs=0.01)


def test_black_images_stay_black():
    x = np.zeros((8, 3, 5, 5), np.uint8)
    x[4:] = 7
    y = np.arange(8) % 2
    with np.errstate(all="raise"):
        made = poison("cuda", make_dataset("x", x, y, x, y, where="x"), seed=0)
    assert not made.x_train[:4].any()
    assert (made.x_train[4:].max(axis=(1, 2, 3)) == 1).all()


def test_strength_is_the_blur():
    data = images()
    light, strong = (np.abs(poison("cuda", data, seed=0, strength=b).perturbation).mean() for b in (0.01, 1.0))
    assert light != strong
    assert poison("cuda", data, seed=0).options["strength"] == 0.3
    assert "blur 0.3" in poison("cuda", data, seed=0).description


@pytest.mark.parametrize(
    ("data", "options", "sentence"),
    [
        (vectors(), {}, "CUDA filters images; this data set holds feature vectors"),
        (images(), {"strength": 1.5}, "1.5 exceeds 1"),
    ],
)
def test_impossible_settings_are_refused(data, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison("cuda", data, seed=0, **options)
