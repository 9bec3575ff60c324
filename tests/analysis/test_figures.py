"""Figures of SAL and UD: counts above β, zeros shown, shared colours, words."""

import json

import numpy as np
import pytest

from analysis import figures
from analysis.figures_live import DistanceSoFar, blank_learnable, learnable_and_distance, learnable_numbers
from landscape.figures_standing import StandingChart
from landscape.static_export import save_static
from tests.landscape.test_figures_standing import same

RNG = np.random.default_rng(0)
CLEAN, POISONED = RNG.lognormal(-6, 2, 120), RNG.lognormal(-9, 2, 120)


def test_histograms_hold_every_block_and_the_threshold():
    poisoned = np.append(POISONED[:-1], 0.0)
    figure = figures.sal_histogram(CLEAN, {"ops-s0": poisoned}, 0.003, roles={"ops-s0": "poisoned"})
    bars = [t for t in figure.data if t.type == "bar"]
    assert [int(np.sum(t.y)) for t in bars] == [120, 120], "a zero falls into the first bin, none is lost"
    assert bars[0].name == f"clean: {(CLEAN > 0.003).sum()} of 120 above β"
    assert "counted in the first bin" in figure.layout.title.subtitle.text
    assert f"{(poisoned > 0.003).sum()} of 120" in figure.layout.meta["alt"]
    assert any(shape.x0 == 0.003 for shape in figure.layout.shapes)
    assert any("β = 0.003" in (a.text or "") for a in figure.layout.annotations)


@pytest.mark.parametrize("blocks", [120, 30])
def test_histograms_count_on_one_scale_so_that_bars_compare(blocks):
    narrow = np.full(blocks, 1e-3)
    figure = figures.sal_histogram(CLEAN[:blocks], {"ops": narrow}, 0.003, roles={"ops": "poisoned"})
    above, below = figure.layout.yaxis.range, figure.layout.yaxis2.range
    assert above == below
    assert above[1] > blocks, "the bar of all blocks of one run fits"
    points = [t for t in figure.data if t.type == "scatter"]
    assert len(points) == (2 if blocks == 30 else 0)
    assert all(above[0] < y < 0 for t in points for y in t.y), "single blocks lie below the bars, within the panel"
    assert above[0] == 0 or points


@pytest.mark.parametrize(("threshold", "side"), [(1e-6, "left"), (10.0, "right")])
def test_the_threshold_is_labelled_towards_the_middle_and_below_every_line_of_the_subtitle(threshold, side):
    figure = figures.sal_histogram(
        CLEAN, {"ops": POISONED}, threshold, roles={}, subtitle=" · ".join(3 * ["words " * 8])
    )
    label = next(a for a in figure.layout.annotations if "β" in a.text)
    assert label.xanchor == side
    shorter = figures.sal_histogram(CLEAN, {"ops": POISONED}, threshold, roles={}, subtitle="words")
    assert figure.layout.margin.t >= shorter.layout.margin.t + 2 * 16, "two more lines"


@pytest.mark.parametrize("blocks", [5, 120])
def test_heat_maps_share_one_scale_and_keep_the_rows(blocks):
    a, b = RNG.lognormal(size=(4, blocks)), RNG.lognormal(size=(6, blocks)) * 1e-3
    b[0, 0] = 0
    panels = {"clean-s0": (a, np.arange(4.0)), "ops-s0": (b, np.arange(6.0))}
    figure = figures.sal_heatmap(panels, [f"fc[{i}]" for i in range(blocks)])
    first, second = figure.data
    assert (first.zmin, first.zmax) == (second.zmin, second.zmax)
    assert np.asarray(first.z).shape == (blocks, 4)
    np.testing.assert_allclose(np.asarray(second.customdata)[2], b[:, 2], rtol=1e-6)
    assert np.isfinite(np.asarray(second.z)).all()


def test_layers_that_are_called_by_numbers_keep_their_names():
    figure = figures.sal_heatmap({"clean-s0": (RNG.lognormal(size=(4, 3)), np.arange(4.0))}, ["0", "2", "4"])
    assert {axis.type for axis in figure.select_yaxes()} == {"category"}
    drawn = save_static(figure, "svg", width=331).decode()
    assert all(f">{name}</text>" in drawn for name in ("0", "2", "4"))
    assert figures.ud_steps(2.0, 1.0, 0.5, name="1", reference="0").layout.yaxis.type == "category"


def test_every_poison_has_a_hatch_of_its_own():
    runs = {f"poison-{k}": POISONED for k in range(4)}
    figure = figures.sal_histogram(CLEAN, runs, 0.003, roles=dict.fromkeys(runs, "poisoned"))
    shapes = [trace.marker.pattern.shape for trace in figure.data if trace.type == "bar"]
    assert shapes[0] == ""
    assert len(set(shapes)) == 5


def test_counts_and_means_over_time():
    counts = {"clean-s0": (np.arange(3.0), np.array([4, 5, 6])), "ops-s0": (np.arange(3.0), np.array([2, 1, 0]))}
    figure = figures.learnable_blocks_over_time(counts, {"clean-s0": "clean", "ops-s0": "poisoned"})
    assert [t.name for t in figure.data] == ["clean-s0 (mean 5.0)", "ops-s0 (mean 1.0)"]
    assert sorted(shape.y0 for shape in figure.layout.shapes) == [1, 5]


@pytest.mark.parametrize("dark", [False, True])
def test_ud_in_one_picture_and_on_paper(dark):
    figure = figures.ud_steps(24.58, 12.8, 0.5207, name="ops", dark=dark)
    assert "UD = 12.80 / 24.58 = 0.52" in figure.layout.title.text
    assert "0.52" in figure.layout.meta["alt"]
    assert figure.layout.yaxis.showgrid is False, "no line strikes through the numbers"
    assert save_static(figure, "png")[:4] == b"\x89PNG"


def test_numbers_below_heat_maps_side_by_side_do_not_meet():
    epochs, blocks = np.arange(11.0), [f"fc[{i}]" for i in range(40)]
    figure = figures.sal_heatmap({name: (np.full((11, 40), 1e-3), epochs) for name in ("clean", "ops")}, blocks)
    assert max(figure.layout.xaxis.tickvals) <= 9
    assert max(figure.layout.xaxis2.tickvals) == 10


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("blocks", [7, 120])
def test_a_standing_histogram_is_that_of_a_new_figure(blocks, dark):
    roles = {"clean": "clean", "ops": "poisoned", "seed": "control"}
    standing = StandingChart(figures.blank_histogram(dict.fromkeys(roles, blocks), roles=roles, dark=dark))
    for threshold, words in ((0.003, "few"), (1e-6, " · ".join(3 * ["words " * 8])), (0.0, "none")):
        series = {name: RNG.lognormal(-6, 2, blocks) for name in roles}
        series["ops"][0] = 0.0
        drawn = standing.drawn(figures.histogram_numbers(series, threshold, subtitle=words, dark=dark))
        clean = series.pop("clean")
        same(drawn, figures.sal_histogram(clean, series, threshold, roles=roles, subtitle=words, dark=dark))


@pytest.mark.parametrize("dark", [False, True])
def test_standing_learnable_blocks_are_those_of_a_new_figure(dark):
    roles = {"clean": "clean", "ops": "poisoned"}
    standing = StandingChart(blank_learnable(roles, ["ops"], roles, dark=dark))
    for count in (2, 30):
        epochs = np.arange(count) / 6
        counts = {name: (epochs, RNG.integers(0, 9, count)) for name in roles}
        search = np.arange(count // 6)
        distances = {"ops": DistanceSoFar(epochs, RNG.random(count), search.astype(float), RNG.random(len(search)))}
        new = learnable_and_distance(counts, distances, roles, dark=dark)
        same(standing.drawn(learnable_numbers(counts, distances)), new)
        marked = standing.drawn(learnable_numbers(counts, distances), mark=0.5)
        assert len(json.loads(marked)["layout"]["shapes"]) == 3, "one in each panel, and the line at 1 stays"
        low, high = new.layout.xaxis.range
        assert new.layout.xaxis2.range == (low, high), "one stretch of time in both panels"
        assert low < 0 < epochs[-1] < high
        assert f"UD of ops is {distances['ops'].gradient[-1]:.2f} by gradient" in new.layout.meta["alt"]
