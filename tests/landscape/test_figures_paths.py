"""Paths that grow: the ghost holds every checkpoint, the walked part ends at the step, small pictures repeat."""

import numpy as np
import pytest

from landscape.figures import contour_2d, surface_3d
from landscape.figures_point import SliceData, slice_through_point
from landscape.static_thumbnail import bars_thumbnail, points_thumbnail, surface_thumbnail
from tests.landscape.test_figures import path, surface


def parts(figure) -> dict:
    return {trace.meta["part"]: trace for trace in figure.data if trace.meta}


@pytest.mark.parametrize("build", [surface_3d, contour_2d])
def test_the_walked_part_ends_at_the_step_and_the_ghost_goes_on(build):
    found = parts(build([surface(9, 9)], [[path()]], step=100))
    assert len(found["ghost"].x) == 65
    assert len(found["walked"].x) == len(found["halo"].x) == 21
    assert np.asarray(found["head"].customdata)[0, 0] == 100
    np.testing.assert_array_equal(found["head"].x, found["walked"].x[-1:])
    assert len(found["start"].x) == len(found["end"].x) == 1


@pytest.mark.parametrize("build", [surface_3d, contour_2d])
def test_at_the_end_the_star_stands_alone_and_without_a_step_there_is_no_ghost(build):
    found = parts(build([surface(9, 9)], [[path()]], step=320))
    assert len(found["head"].x) == 0
    assert len(found["walked"].x) == 65
    assert not {"ghost", "head"} & set(parts(build([surface(9, 9)], [[path()]])))


def test_hover_tells_step_epoch_both_losses_and_the_residual():
    walked = parts(surface_3d([surface(9, 9)], [[path()]], step=320))["walked"]
    for word in ("step", "epoch", "true loss", "in-plane loss", "nats", "off the plane", "residual"):
        assert word in walked.hovertemplate
    row = np.asarray(walked.customdata)[10]
    np.testing.assert_allclose(row, [50, 10 / 6, path().loss_true[10], path().loss_in_plane[10], 5.0], rtol=1e-6)


def test_a_chosen_point_is_marked_on_the_surface():
    s = surface(9, 9)
    figure = surface_3d([s], [[]], at=(0.5, 0.5))
    mark = parts(figure)["picked"]
    assert (mark.x[0], mark.y[0]) == (0.5, 0.5)
    assert 1.0 < mark.z[0] < 1.3, "on the surface, a little above"
    assert parts(contour_2d([s], [[]], at=(0.5, 0.5)))["picked"].x[0] == 0.5
    assert mark.marker.symbol == "cross", "which Plotly draws as a plus, a letter that every font has"


def test_long_paths_and_fine_grids_stay_small():
    many = [[path(name, "poisoned", 400) for name in ("clean-s0", "ops-s0", "em-s0")]]
    for build in (surface_3d, contour_2d):
        assert len(build([surface(101, 101)], many, step=500).to_json()) < 400_000


def test_slices_have_words_and_need_a_direction():
    one = SliceData("along PC 1", "test data", "test", np.linspace(-1, 1, 5), np.arange(5.0), False)
    figure = slice_through_point([one], unit="weight units")
    assert "along PC 1" in figure.layout.meta["alt"]
    assert "0 to 4 nats" in figure.layout.meta["alt"]
    with pytest.raises(ValueError, match="no slice"):
        slice_through_point([], unit="weight units")


@pytest.mark.parametrize("dark", [False, True])
def test_thumbnails_are_small_pngs_and_the_same_twice(dark):
    s, p = surface(9, 9), [path(), path("ops-s0", "poisoned")]
    for draw in (
        lambda: surface_thumbnail(s, p, dark=dark),
        lambda: bars_thumbnail([0.5, 1.2], ["poisoned", "control"], reference=1.0, dark=dark),
        lambda: points_thumbnail([0.5, 1.2], [0.1, 0.9], ["poisoned", "control"], reference=1.0, dark=dark),
    ):
        data = draw()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert data == draw()
        assert len(data) < 100_000
    with pytest.raises(ValueError, match="nothing to draw"):
        bars_thumbnail([], [], reference=1.0)
