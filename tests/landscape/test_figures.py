"""Figures: orientation, scales, honesty about clipping, words for those who cannot see, small payloads."""

import json
import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.axes import Axes

from analysis.figures import sal_histogram
from landscape.figures import PathData, RunCurves, StandingSurface, SurfaceData, contour_2d, interpolate, surface_3d
from landscape.figures_lines import divergence_bar, loss_along_path, residual_along_path, training_curves
from landscape.heights import choose_heights, nice_ticks
from landscape.static_export import figure_csv, figure_html, save_static
from landscape.static_layout import panels_of, sample_length, stacked
from landscape.style import (
    CLEAN,
    CONTROL,
    PLOTLY_CONFIG,
    POISONED,
    arrange,
    colours,
    format_accuracy,
    format_loss,
    format_ud,
    format_with_error,
)


def surface(n: int = 51, m: int = 51, top: float = 2.0) -> SurfaceData:
    a, b = np.linspace(-1, 1, n), np.linspace(-2, 3, m)
    loss = 0.5 + top * (a[:, None] ** 2) + 0.01 * b[None, :]
    names = ("PC 1 (85 %)", "PC 2 (9 %)")
    return SurfaceData(a, b, loss, np.clip(1 - loss / 5, 0, 1), 100, names, "clean training data",
                       "joint PCA", (0.85, 0.09), np.full(loss.shape, 0.02), (0,))  # fmt: skip


def path(name: str = "clean-s0", role: str = "clean", t: int = 65) -> PathData:
    x = np.linspace(-0.8, 0.6, t)
    residual = np.zeros(t)
    residual[: t // 2] = 5.0
    loss = 0.5 + 2 * x**2
    return PathData(name, role, np.stack([x, x], 1), np.arange(t) * 5, np.arange(t) / 6, residual, loss, loss + 0.1)


def test_both_views_put_alpha_on_x_and_beta_on_y():
    s = surface(4, 7)
    for figure, kind in ((surface_3d([s], [[]]), "surface"), (contour_2d([s], [[]]), "contour")):
        trace = next(t for t in figure.data if t.type == kind)
        assert np.asarray(trace.z).shape == (7, 4)
        np.testing.assert_allclose(np.asarray(trace.customdata)[5, 3], s.loss[3, 5], rtol=1e-6)
        np.testing.assert_allclose(trace.x, s.alphas, rtol=1e-6)
        np.testing.assert_allclose(trace.y, s.betas, rtol=1e-6)


@pytest.mark.parametrize("step", [None, 100])
def test_a_standing_surface_draws_what_a_new_figure_would(step):
    paths = [path(), path("ops-s0", "poisoned")]
    standing = StandingSurface(surface(), dark=True)
    standing.drawn(paths[:1])
    drawn, words = standing.drawn(paths, step=step)
    new = json.loads(surface_3d([surface()], [paths], step=step, dark=True).to_json())
    drawn = json.loads(drawn)
    for trace in new["data"]:
        trace.pop("scene", None)  # the only scene is the default
    for trace in drawn["data"]:
        trace.pop("scene", None)
    assert drawn == new
    assert words == new["layout"]["meta"]["alt"]


def test_payload_travels_as_bytes():
    figure = surface_3d([surface()], [[path(), path("ops-s0", "poisoned")]])
    assert len(figure.to_json()) < 90_000
    assert '"bdata"' in figure.to_json()


def test_alternative_text_and_subtitle_name_what_is_shown():
    figure = contour_2d([surface()], [[path(), path("ops-s0", "poisoned")]], step=100)
    words = figure.layout.meta["alt"]
    for part in ("joint PCA", "clean training data", "clean-s0", "ops-s0", "off the plane", "0.4"):
        assert part in words
    for part in ("94.0 % of the variance", "100 samples", "s.e. 0.02", "seed 0"):
        assert part in figure.layout.title.subtitle.text


def test_roles_have_their_colours_dashes_and_markers():
    assert colours(["clean", "poisoned", "control"]) == [CLEAN, POISONED, CONTROL]
    assert len(set(colours(["clean", "poisoned", "poisoned", "poisoned", "other"]))) == 5
    figure = contour_2d([surface()], [[path(), path("ops-s0", "poisoned")]])
    lines = {t.name: t for t in figure.data if t.type == "scatter" and t.mode == "lines+markers"}
    assert (lines["clean-s0"].line.dash, lines["ops-s0"].line.dash) == ("solid", "dash")
    assert (lines["clean-s0"].marker.symbol, lines["ops-s0"].marker.symbol) == ("circle", "diamond")
    sizes = list(lines["clean-s0"].marker.size)
    assert sizes[0] < sizes[-1], "markers are thinner where the path is far off the plane"


def test_contours_have_one_scale_for_both_axes_unless_they_were_a_thin_strip():
    square = surface()
    for factor, one_scale in ((1.0, True), (2.9, True), (3.1, False)):
        wide = replace(square, alphas=factor * square.alphas * np.ptp(square.betas) / np.ptp(square.alphas))
        figure = contour_2d([wide, wide], [[path()], [path()]])
        assert [figure.layout.yaxis.scaleanchor, figure.layout.yaxis2.scaleanchor] == (
            ["x", "x2"] if one_scale else [None, None]
        )
    assert save_static(contour_2d([square], [[path()]]), "png")[:4] == b"\x89PNG"


def test_printed_contours_have_one_scale_too(monkeypatch):
    drawn = []
    monkeypatch.setattr(Axes, "set_aspect", lambda self, aspect, **rest: drawn.append((aspect, rest)))
    save_static(contour_2d([surface()], [[path()]]), "png")
    assert ("equal", {"adjustable": "box"}) in drawn


def test_long_names_of_axes_fit_scenes():
    s = replace(surface(), axis_names=("random direction 1 (filter norm)", "PC 2 (12 %)"))
    alone, pair = surface_3d([s], [[path()]]).layout, surface_3d([s, s], [[path()], [path()]]).layout
    assert (alone.scene.xaxis.title.text, pair.scene2.xaxis.title.text) == ("random direction 1", "random 1")
    assert alone.scene.yaxis.title.text == pair.scene.yaxis.title.text == "PC 2 (12 %)"


def test_a_legend_of_thick_lines_shows_more_than_one_dash():
    scene = surface_3d([surface()], [[path(), path("ops-s0", "poisoned")]])
    dashed = next(t for t in scene.data if t.type == "scatter3d" and t.line.dash == "dash")
    dash = 3 * dashed.line.width  # pixels of a dash, and of the gap behind it, in Plotly
    assert scene.layout.legend.itemwidth >= 3 * dash
    assert contour_2d([surface()], [[path()]]).layout.legend.itemwidth == 30


def test_panels_share_scales_and_uirevision():
    figure = surface_3d([surface(top=2), surface(top=200)], [[path()], [path("ops-s0", "poisoned")]])
    first, second = (t for t in figure.data if t.type == "surface")
    assert (first.cmin, first.cmax) == (second.cmin, second.cmax)
    assert figure.layout.scene.zaxis.range == figure.layout.scene2.zaxis.range
    assert figure.layout.scene.camera == figure.layout.scene2.camera
    assert figure.layout.uirevision == figure.layout.scene.uirevision == "constant"


def test_scale_is_logarithmic_beyond_a_factor_of_twenty():
    assert not choose_heights([np.array([1.0, 19.0])], "loss", "auto").log
    wide = choose_heights([np.array([0.1, 10.0])], "loss", "auto")
    assert wide.log
    assert {"0.1", "1", "10"} <= set(wide.labels)
    np.testing.assert_allclose(wide.place(np.array([0.1, 1, 10])), [-1, 0, 1])
    assert choose_heights([np.array([1.0, 2.0])], "loss", "log").log
    with pytest.raises(ValueError, match="scale"):
        choose_heights([np.ones(2)], "loss", "cubic")


def test_non_finite_and_clipped_values_are_counted():
    values = np.full(100, 1.0)
    values[:3], values[3:5] = [np.nan, np.inf, np.inf], 1e9
    heights = choose_heights([values], "loss", "linear")
    assert "3 points are not finite" in heights.note
    assert "2 points" in heights.note
    placed = heights.place(values)
    assert np.isnan(placed[0])
    assert (placed[1:5] == heights.high).all()
    assert choose_heights([np.full(4, np.nan)], "loss", "auto").note == "no value is finite"


def test_constant_losses_still_have_a_height():
    heights = choose_heights([np.full(9, 2.0)], "loss", "auto")
    assert heights.high > heights.low
    assert nice_ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_interpolation_is_exact_for_bilinear_surfaces():
    a, b = np.array([0.0, 1, 3]), np.array([-1.0, 2])
    values = 2 * a[:, None] - b[None, :] + a[:, None] * b[None, :]
    points = np.array([[0.5, 0], [2, 1], [3, 2], [0, -1]])
    np.testing.assert_allclose(interpolate(a, b, values, points), 2 * points[:, 0] - points[:, 1] + points.prod(1))


def test_accuracy_needs_class_indices():
    s = surface(3, 3)
    assert surface_3d([s], [[path()]], quantity="accuracy").data[0].cmax == 1
    with pytest.raises(ValueError, match="no accuracy"):
        contour_2d([SurfaceData(**{**s.__dict__, "accuracy": None})], [[]], quantity="accuracy")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_static_files_are_the_same_twice(kind, dark):
    figures = [
        surface_3d([surface(9, 9), surface(9, 9)], [[path()], [path("ops-s0", "poisoned")]], dark=dark),
        contour_2d([surface(9, 9)], [[path(), path("noise-s0", "control")]], step=50, dark=dark),
        loss_along_path([path()], dark=dark),
        residual_along_path([path()], dark=dark),
        divergence_bar(["fc[0, 1]", "fc[2, 3]"], np.array([2.0, 1.0]), dark=dark),
    ]
    for figure in figures:
        data = save_static(figure, kind)
        assert data == save_static(figure, kind)
        assert len(data) > 3000
        if kind == "svg" and figure.layout.title.text:
            assert figure.layout.title.text.strip("</b>")[:6] in data.decode()
    with pytest.raises(ValueError, match="format"):
        save_static(figures[0], "gif")
    with pytest.raises(ValueError, match="200 to 8000"):
        save_static(figures[0], kind, width=3)


def test_a_narrow_figure_is_as_tall_as_its_words_and_rows_need():
    def height(figure, **style):
        return float(re.search(r'height="([\d.]+)pt"', save_static(figure, "svg", width=331, **style).decode())[1])

    runs = {f"poison-{k}": np.geomspace(1e-6, 1e-2, 60) for k in range(3)}
    stacks = [
        sal_histogram(np.geomspace(1e-6, 1e-2, 60), dict(list(runs.items())[:k]), 1e-3, roles={}) for k in (1, 2, 3)
    ]
    two, three, four = (height(stack, title=False) for stack in stacks)
    assert four - three == pytest.approx(three - two, abs=15)
    assert three - two > 0.62 * 72, "a row more is a panel more, and its line in the legend"
    assert height(stacks[1]) > three + 20, "title and subtitle come on top"
    assert height(surface_3d([surface(9, 9)], [[path()]])) > 238, "no thumbnail"
    assert float(height(stacks[2], height=300)) == pytest.approx(216), "a height that was asked for is kept"


def test_stacked_panels_share_one_title_and_bars_are_hatched_on_paper():
    values = np.geomspace(1e-6, 1e-2, 60)
    figure = sal_histogram(values, {"ops-s0": values}, 1e-3, roles={"ops-s0": "poisoned"})
    drawn = save_static(figure, "svg", width=331).decode()
    assert drawn.count(">blocks<") == 1
    assert drawn.count("<pattern ") == 1, "the poisoned run's bars"


def test_a_legend_keeps_the_widths_of_lines():
    figure = loss_along_path([path(t=5)])
    for trace in figure.data:
        trace.mode = "lines"
    drawn = save_static(figure, "svg").decode()
    legend = drawn[drawn.index('id="legend_1"') :]
    assert set(re.findall(r"stroke-width: ([\d.]+)", legend)) >= {"2.25", "1.125"}


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "csv"])
def test_runs_without_metrics_have_words_where_curves_would_be(kind):
    figure = training_curves([RunCurves("clean-s0", "clean", np.arange(3), np.arange(3.0), {})])
    assert "no loss and no accuracy" in figure.layout.annotations[0].text
    assert "no loss and no accuracy" in figure.layout.meta["alt"]
    assert figure.layout.xaxis.visible is False
    drawn = figure_csv(figure).encode() if kind == "csv" else save_static(figure, kind, width=331)
    if kind == "svg":
        assert b"recorder.record(step" in drawn
    assert drawn


def test_html_needs_no_network_and_cannot_upload():
    page = figure_html(contour_2d([surface(5, 5)], [[path()]]))
    assert "<script src=" not in page
    assert "sendChartToCloud" in page[page.index("modeBarButtonsToRemove") :]
    assert "sendChartToCloud" in PLOTLY_CONFIG["modeBarButtonsToRemove"]


def test_csv_holds_every_grid_value_and_path_point():
    rows = figure_csv(contour_2d([surface(3, 4)], [[path(t=5)]])).splitlines()
    assert rows[0] == "panel,trace,x,y,z,value,x_low,x_high,y_low,y_high"
    assert sum(",clean training data," in row for row in rows) == 12
    assert sum(",clean-s0," in row for row in rows) == 5


def test_numbers_read_as_promised():
    assert format_loss(1.23456) == "1.23"
    assert format_loss(float("nan")) == "not finite"
    assert format_accuracy(0.8137) == "81.4 %"
    assert format_ud(0.5213) == "0.52"
    json.dumps(PLOTLY_CONFIG)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (1.45, 0.0078, "1.450 ± 0.008"),
        (1.4, 0.25, "1.40 ± 0.25"),
        (0.5, 0.0999, "0.50 ± 0.10"),
        (123.4, 4.0, "123 ± 4"),
        (12.0, 99.6, "12 ± 100"),
        (2.0, 0.0, "2 ± 0"),
        (1e-7, 1e-9, "1e-07 ± 1e-09"),
        (2.0, float("nan"), "2"),
        (float("nan"), 1.0, "not finite"),
    ],
)
def test_a_value_has_as_many_decimals_as_its_error(value, error, words):
    assert format_with_error(value, error) == words


@pytest.mark.parametrize("dark", [False, True])
def test_the_toolbar_of_a_chart_can_be_seen_in_both_themes(dark):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    bar = arrange(go.Figure(), title="x", alt="x", dark=dark).layout.modebar
    ground = luminance("#1A1F29" if dark else "#FFFFFF")
    for colour in (bar.color, bar.activecolor):
        low, high = sorted([luminance(colour), ground])
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_narrow_linear_heights_are_told_apart():
    heights = choose_heights([np.array([2.3001, 2.3009])], "loss", "linear")
    assert len(set(heights.labels)) == len(heights.labels) > 3
    np.testing.assert_allclose([float(label) for label in heights.labels], heights.ticks)


def test_printed_logarithmic_axes_show_plain_numbers():
    svg = save_static(loss_along_path([path()]), "svg").decode()
    for number in (">0.5<", ">1<", ">1.5<"):
        assert number in svg
    assert "mathdefault" not in svg


def test_printed_legends_show_more_of_long_dashes():
    short, long = ([path("a", "clean"), path("b", role)] for role in ("compared", "compared 5"))
    assert sample_length(residual_along_path(long)) > 1.5 * sample_length(residual_along_path(short))


@pytest.mark.parametrize("draw", [surface_3d, contour_2d])
def test_two_panels_stand_above_each_other_in_a_narrow_column(draw):
    figure = draw([surface(5, 5), surface(5, 5)], [[path()], [path("ops-s0", "poisoned")]])
    assert (panels_of(stacked(figure, 10)).rows, panels_of(stacked(figure, 10)).columns) == (1, 2)
    assert (panels_of(stacked(figure, 3.31)).rows, panels_of(stacked(figure, 3.31)).columns) == (2, 1)
    assert save_static(figure, "png", width=331)
