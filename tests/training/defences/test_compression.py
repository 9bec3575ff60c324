"""Defences that change the training images once: JPEG, grayscale, bit depth, blur."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.training.samples import images, levels
from training import build_defence, poison


def prepare(name, x, **options):
    return build_defence(name, **options).prepare(x, np.zeros(len(x), np.int64), seed=0)


def test_a_lone_white_pixel_vanishes_in_jpeg_of_quality_10():
    x = np.full((1, 3, 32, 32), 128 / 255, np.float32)
    x[0, :, 9, 20] = 1.0
    squeezed = levels(prepare("jpeg", x))
    assert abs(squeezed[0, :, 9, 20] - 128).max() <= 16
    assert levels(prepare("jpeg", x, quality=95))[0, :, 9, 20].min() > 200


def test_the_one_pixel_shortcut_is_squeezed_away():
    data = images(n=40, shape=(3, 32, 32), low=100, high=110)
    made = poison("ops", data, seed=0)
    apart = made.x_train - data.x_train
    squeezed = prepare("jpeg", made.x_train) - prepare("jpeg", data.x_train)
    assert np.linalg.norm(squeezed) < 0.5 * np.linalg.norm(apart)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_the_encoders_default_subsampling(channels):
    x = images(n=4, shape=(channels, 16, 24)).x_train
    expected = []
    for image in levels(x).astype(np.uint8).transpose(0, 2, 3, 1):
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "JPEG", quality=10, **({"subsampling": 2} if channels == 3 else {}))
        expected.append(np.asarray(Image.open(file)).reshape(image.shape))
    assert np.array_equal(levels(prepare("jpeg", x)), np.stack(expected).transpose(0, 3, 1, 2))


def test_grayscale_is_the_luma_of_itu_601():
    x = images(n=50, shape=(3, 16, 16)).x_train
    grey, given = levels(prepare("grayscale", x)), levels(x)
    assert np.array_equal(grey[:, 0], grey[:, 1])
    assert np.array_equal(grey[:, 0], grey[:, 2])
    luma = 0.299 * given[:, 0] + 0.587 * given[:, 1] + 0.114 * given[:, 2]
    assert np.abs(grey[:, 0] - luma).max() <= 0.5 + 1e-2
    decoder = [np.asarray(Image.fromarray(i.astype(np.uint8).transpose(1, 2, 0)).convert("L")) for i in given]
    assert np.array_equal(grey[:, 0], decoder)


@pytest.mark.parametrize(("channels", "sentence"), [(1, "grey already; leave it out"), (4, "3 channels; these have 4")])
def test_grayscale_refuses_what_has_no_three_colours(channels, sentence):
    with pytest.raises(ValueError, match=sentence):
        prepare("grayscale", images(shape=(channels, 8, 8)).x_train)


@pytest.mark.parametrize("bits", range(1, 8))
def test_bit_depth_keeps_the_highest_bits(bits):
    x = (np.arange(256) / 255).astype(np.float32).reshape(1, 1, 16, 16)
    kept = levels(prepare("bdr", x, bits=bits)).ravel()
    assert np.array_equal(kept, np.arange(256) // 2 ** (8 - bits) * 2 ** (8 - bits))
    posterised = ImageOps.posterize(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), bits)
    assert np.array_equal(kept, np.asarray(posterised)[0])
    if bits == 2:
        assert set(kept) == {0, 64, 128, 192}


def test_blur_is_a_convolution_with_the_gaussian():
    x = np.zeros((1, 1, 9, 9), np.float32)
    x[0, 0, 4, 4] = 1.0
    weights = np.exp(-0.5 * np.array([-1, 0, 1]) ** 2)
    weights /= weights.sum()
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = np.outer(weights, weights)
    assert np.abs(levels(prepare("gaussian-blur", x))[0, 0] - 255 * expected).max() <= 0.5 + 1e-4


def test_every_sigma_that_is_allowed_blurs():
    x = np.zeros((1, 1, 9, 9), np.float32)
    x[0, 0, 4, 4] = 1.0
    assert levels(prepare("gaussian-blur", x, sigma=0.28))[0, 0, 4, 4] < 255
    with pytest.raises(ValueError, match="does not blur"):
        build_defence("gaussian-blur", sigma=0.25)
    flat = np.full((2, 3, 8, 8), 77 / 255, np.float32)
    assert np.array_equal(prepare("gaussian-blur", flat, kernel=5), flat)
    with pytest.raises(ValueError, match="too large for images"):
        prepare("gaussian-blur", np.zeros((1, 1, 3, 3), np.float32), kernel=7)
