"""Figures that compare methods and estimators: every number drawn, said in words, and the same on paper."""

import csv
import functools
import io

import numpy as np
import pytest

from analysis import SeedSummary, compare_estimators, floor, rule_sensitivity, summarise_seeds
from analysis.figures_bench import BenchRow, summaries_of, ud_against_accuracy, ud_intervals
from analysis.figures_trust import estimator_comparison, sensitivity_panels
from landscape.static_export import figure_csv, save_static

CHANCE = np.random.default_rng(0)
CLEAN = [np.exp(CHANCE.normal(-3, 2, size=(4, 12))) for _ in range(3)]
ROWS = [
    BenchRow("EM", "poisoned", (0.1, 0.2, 0.12), (0.2, 0.25, 0.22)),
    BenchRow("TAP", "poisoned", (1.5, 1.7, 1.6), (0.1, 0.1, 0.13)),
    BenchRow("LSP", "poisoned", (0.3, 0.35, 0.2), (0.3, 0.28, 0.31)),
    BenchRow("OPS", "poisoned", (0.4,), (0.35,)),
    BenchRow("noise", "control", (1.0, 0.9, 1.1), (0.9, 0.91, 0.92)),
]
ROLES = {row.name: row.role for row in ROWS}
POISONED = {"EM": [t * 0.01 for t in CLEAN], "LSP": [t * 0.3 for t in CLEAN], "noise": CLEAN[::-1]}


@functools.cache
def drawn(dark):
    low = floor(CLEAN)
    rules = ("kmeans", "otsu", "log-two-means")
    panels = {"rule": rule_sensitivity({"clean": CLEAN, **POISONED}, rules=rules)}
    panels |= {"pooling": rule_sensitivity({"clean": CLEAN, **POISONED}, rules=("kmeans", "pooled-kmeans"))}
    return {
        "scatter": ud_against_accuracy(ROWS, floor=low, subtitle="digits · 100 samples", dark=dark),
        "dots": ud_intervals(summaries_of(ROWS), ROLES, floor=low, subtitle="digits · 100 samples", dark=dark),
        "panels": sensitivity_panels(panels, ROLES, subtitle="digits · 100 samples", dark=dark),
        "estimators": estimator_comparison(compare_estimators(CLEAN, POISONED), ROLES, subtitle="digits", dark=dark),
    }


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["scatter", "dots", "panels", "estimators"])
def test_every_figure_says_what_it_is_of_and_prints(name, dark):
    figure = drawn(dark)[name]
    assert figure.layout.meta["dark"] is dark
    assert len(figure.layout.meta["alt"]) > 40
    assert figure.layout.title.subtitle.text.startswith("digits")
    assert save_static(figure, "pdf")[:5] == b"%PDF-"
    svg = save_static(figure, "svg")
    assert svg == save_static(figure, "svg")
    assert figure_csv(figure).count("\n") > 3


def test_csv_holds_the_ends_of_the_bars():
    figure = drawn(False)["scatter"]
    rows = list(csv.DictReader(io.StringIO(figure_csv(figure))))
    first = next(row for row in rows if row["trace"] == "poisoned")
    spread = np.std(ROWS[0].ud, ddof=1)
    np.testing.assert_allclose(float(first["y_low"]), float(first["y"]) - spread)
    np.testing.assert_allclose(float(first["y_high"]), float(first["y"]) + spread)


def test_scatter_bars_labels_band_and_correlation():
    figure = drawn(False)["scatter"]
    poisoned, controls = figure.data
    assert (poisoned.name, controls.name, controls.marker.symbol) == ("poisoned", "controls", "square")
    np.testing.assert_allclose(poisoned.x[0], 100 * np.mean(ROWS[0].accuracy))
    np.testing.assert_allclose(poisoned.error_y.array[0], np.std(ROWS[0].ud, ddof=1))
    assert poisoned.error_x.array[3] == 0, "one seed has no bar"
    assert [note.text for note in figure.layout.annotations] == [row.name for row in ROWS]
    low = floor(CLEAN)
    band, line = figure.layout.shapes
    assert (band.y0, band.y1, line.y0) == (*low.span, 1)
    assert "Spearman 0.00 (95 % interval −" in figure.layout.title.subtitle.text
    assert "1 to 3 seeds" in figure.layout.title.subtitle.text
    assert "EM: UD 0.14 ± 0.05 at 22.3 ± 2.5 %" in figure.layout.meta["alt"]
    svg = save_static(figure, "svg").decode()
    assert all(f">{row.name}<" in svg for row in ROWS), "labels are text in the SVG"


def test_dots_are_sorted_and_one_seed_is_hollow():
    figure = drawn(False)["dots"]
    assert list(figure.layout.yaxis.ticktext) == ["EM", "LSP", "OPS", "noise", "TAP"]
    by_name = {trace.name: trace for trace in figure.data}
    assert by_name["poisoned, one seed"].marker.symbol == "diamond-open"
    assert by_name["controls"].y.tolist() == [3]
    em = summarise_seeds(ROWS[0].ud)
    np.testing.assert_allclose(by_name["poisoned"].error_x.array[0], em.high - em.mean)
    np.testing.assert_allclose(by_name["poisoned"].error_x.arrayminus[0], em.mean - max(em.low, 0))
    assert "OPS 0.40 (one seed)" in figure.layout.meta["alt"]
    svg = save_static(figure, "svg").decode()
    assert svg.index(">EM<") < svg.index(">TAP<")


def test_panels_share_one_scale_and_mark_the_default():
    figure = drawn(False)["panels"]
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    assert figure.layout.xaxis.ticktext[0] == "<b>kmeans</b>"
    assert figure.layout.xaxis.ticktext[2] == "log-<br>two-<br>means"
    assert [trace.showlegend for trace in figure.data] == [True] * 3 + [False] * 3
    assert any(note.text.startswith("rule: τ ≥") for note in figure.layout.annotations)


def test_estimators_in_floors():
    rows = compare_estimators(CLEAN, POISONED)
    figure = drawn(False)["estimators"]
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["floor: clean against clean"].x) == [row.floor.log_std for row in rows]
    assert list(by_name["EM"].x) == [row.separation["EM"] for row in rows]
    assert "told from clean" in figure.layout.meta["alt"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ud_against_accuracy([]), "no method"),
        (lambda: ud_intervals({}, {}), "no method"),
        (lambda: ud_intervals({"a": SeedSummary(1, None, 1, None, None)}, {}), "needs a role"),
        (lambda: sensitivity_panels({}, {}), "no setting"),
        (lambda: estimator_comparison([]), "no estimator"),
        (lambda: BenchRow("a", "hero", (1,), (1,)), "role"),
        (lambda: BenchRow("a", "poisoned", (1, 2), (1,)), "one UD and one accuracy"),
        (lambda: BenchRow("a", "poisoned", (float("nan"),), (1,)), "finite"),
    ],
)
def test_wrong_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
