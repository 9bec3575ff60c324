"""Without the network the paths are drawn where a surface would have them."""

import numpy as np
import pytest

from experiments import SurfaceSpec, import_runs
from experiments.paths_alone import draw_paths_alone
from experiments.pictures import choose_surface


def traces(figure, part):
    return {trace.meta["path"]: trace for trace in figure.data if trace.meta["part"] == part}


@pytest.fixture
def unknown(toy, tmp_path):
    """The toy runs, imported without their network."""
    return import_runs(tmp_path / "unknown", [toy.run_path(name) for name in toy.run_names()])


def test_paths_lie_where_the_surface_has_them(toy, unknown):
    stored = choose_surface(toy)
    figure = draw_paths_alone(unknown, SurfaceSpec(), toy.run_names())
    walked = traces(figure, "walked")
    assert list(walked) == toy.run_names()
    for name, trace in walked.items():
        there = stored.arrays[f"path/{name}/coordinates"]
        np.testing.assert_allclose(np.column_stack([trace.x, trace.y]), there, atol=1e-4 * np.abs(there).max())
    assert figure.layout.xaxis.title.text == stored.header["axis_names"][0]
    assert len({trace.line.color for trace in walked.values()}) == 2
    assert len({trace.line.dash for trace in walked.values()}) == 2
    assert "no loss without the network and the data" in figure.layout.title.subtitle.text
    assert "ops-s0 goes from" in figure.layout.meta["alt"]
    assert not traces(figure, "halo")


def test_one_run_one_layer_and_what_needs_the_network(unknown):
    assert list(traces(draw_paths_alone(unknown, SurfaceSpec(plane="pca-single"), ["ops-s0"]), "end")) == ["ops-s0"]
    assert "joint PCA of top10 plane" in str(
        draw_paths_alone(unknown, SurfaceSpec(block="top10"), unknown.run_names()).layout.title
    )
    assert draw_paths_alone(unknown, SurfaceSpec(plane="random"), unknown.run_names()) is None
    dark = draw_paths_alone(unknown, SurfaceSpec(), unknown.run_names(), dark=True)
    light = draw_paths_alone(unknown, SurfaceSpec(), unknown.run_names())
    ring = [traces(figure, "start")["clean-s0"].marker.color for figure in (dark, light)]
    assert ring[0] != ring[1], "seen on both grounds"
