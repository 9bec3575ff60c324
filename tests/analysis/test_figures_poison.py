"""Figures of perturbations: grey is no change, every tile its place, every number in words."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from analysis import figures_poison as figures
from landscape.static_export import save_static

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("largest", "factor"), [(1.0, 0.5), (0.5, 1), (8 / 255, 10), (1 / 255, 100), (0.0, 1)])
def test_amplification_is_the_largest_that_clips_nothing(largest, factor):
    delta = np.zeros((2, 3, 4, 4))
    delta[0, 0, 0, 0] = -largest
    assert figures.amplification(delta) == factor


def test_no_change_is_mid_grey_and_changes_go_both_ways():
    delta = np.array([0.0, 0.01, -0.01, 1.0])
    np.testing.assert_allclose(figures.centred(delta, 10), [0.5, 0.6, 0.4, 1.0])


@pytest.mark.parametrize("channels", [1, 3])
def test_every_tile_is_in_its_place_and_gaps_are_clear(channels):
    images = RNG.integers(0, 256, (3, channels, 4, 5)) / 255
    canvas = figures.compose([images, 1 - images])
    assert canvas.shape == (4 + figures.GAP + 4, 3 * 5 + 2 * figures.GAP, 4)
    tile = canvas[:4, 5 + figures.GAP : 10 + figures.GAP]
    np.testing.assert_array_equal(tile[..., 0], np.rint(255 * images[1, 0]))
    np.testing.assert_array_equal(tile[..., 2], np.rint(255 * images[1, channels - 1]))
    assert (canvas[4 : 4 + figures.GAP, :, 3] == 0).all()
    enlarged = np.asarray(Image.open(io.BytesIO(figures.png(canvas, scale=3))))
    np.testing.assert_array_equal(enlarged[::3, ::3], canvas)


def test_strips_hold_the_pixels_and_words_for_them():
    images = RNG.integers(0, 256, (2, 1, 3, 3)) / 255
    html = figures.image_strips([("clean", images), ("<change>", 1 - images)], ["0", "7"])
    assert "<change>" not in html
    assert html.count("alt=") == 2
    assert "classes 0, 7" in html
    found = re.findall(r"base64,([^\"]+)", html)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0]))))
    np.testing.assert_array_equal(pixels[:, :3, 0], np.rint(255 * images[0, 0]))


def test_vectors_share_one_scale_centred_at_zero():
    clean, delta = RNG.normal(size=(3, 12)), np.zeros((3, 12))
    delta[1, 4] = -7
    figure = figures.vector_panels([("clean", clean), ("change", delta)], ["0", "1", "2"], unit="std", dark=True)
    assert [(trace.zmin, trace.zmax) for trace in figure.data] == [(-7, 7)] * 2
    assert [trace.showscale for trace in figure.data] == [False, True]
    assert "change, from -7 to 0" in figure.layout.meta["alt"]
    assert save_static(figure, "png")[:4] == b"\x89PNG"


@pytest.mark.parametrize("values", [RNG.normal(5, 1, 300), np.full(300, 2.0), np.zeros(300)])
def test_every_sample_is_in_the_histogram_of_norms(values):
    figure = figures.norm_histogram(values, norm="L2", unit="levels")
    assert int(np.sum(figure.data[0].y)) == 300
    assert f"mean {values.mean():.3g}" in figure.layout.meta["alt"]


def test_the_map_shows_every_class_in_its_own_way():
    labels = np.repeat(np.arange(10), 5)
    figure = figures.perturbation_map(RNG.normal(size=(50, 2)), labels, method="pca", explained=0.25)
    assert [len(trace.x) for trace in figure.data] == [5] * 10
    looks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data}
    assert len({colour for colour, _ in looks}) == len(looks) == 10
    assert "25 %" in figure.layout.title.subtitle.text
    assert figure.layout.xaxis.title.text == "PC 1"
    assert save_static(figure, "svg").startswith(b"<?xml")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: figures.image_strips([], ["0"]),
        lambda: figures.image_strips([("clean", np.zeros((2, 2, 3, 3)))], ["0", "1"]),
        lambda: figures.vector_panels([("clean", np.zeros((2, 3)))], ["0"], unit="std"),
        lambda: figures.norm_histogram(np.empty(0), norm="L2", unit="levels"),
        lambda: figures.perturbation_map(np.zeros((3, 2)), np.zeros(4, int), method="pca"),
    ],
)
def test_wrong_input_is_one_sentence(wrong):
    with pytest.raises(ValueError, match=r"^[A-Z0-9][^\n]+\.$"):
        wrong()
