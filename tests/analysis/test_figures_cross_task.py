"""Figures of several tasks: every number drawn and said in words, arms told apart, and the same on paper."""

import csv
import functools
import io

import numpy as np
import pytest

from analysis import Estimate, task_damage, task_similarity, task_ud
from analysis.figures_cross_task import (
    CONTROL_SYMBOLS,
    FLOOR,
    POISONED_SYMBOLS,
    arm_looks,
    damage_chart,
    similarity_matrices,
    task_ud_chart,
)
from analysis.figures_predictions import (
    MISSING,
    depth_images,
    keypoint_images,
    prediction_grid,
    scene_words,
    segment_images,
)
from landscape.static_draw import MARKER
from landscape.static_export import figure_csv, save_static
from landscape.style import CONTROL, POISONED

CHANCE = np.random.default_rng(0)
ROLES = {"em": "poisoned", "lsp": "poisoned", "noise": "control", "permuted": "control"}
TITLES = {"scene": "scene (accuracy)", "depth": "depth (relative error)", "keypoints": "key points (correlation)"}
NONE = Estimate(float("nan"), None, None, 0.95, "percentile", 3, "never")


def damages():
    clean = CHANCE.normal(0.9, 0.05, (3, 30))
    found = {}
    for task, loss in (("scene", 0.6), ("depth", 0.1)):
        poisoned = {arm: clean - CHANCE.uniform(0, loss, clean.shape) for arm in ROLES}
        found[task] = {a: task_damage(clean, p, np.full(30, 0.1), True, resamples=100) for a, p in poisoned.items()}
    return found | {"keypoints": dict.fromkeys(ROLES, NONE)}


def uds():
    level = np.repeat([1e-3, 1e-1], 6)
    clean, poisoned = ([level * np.exp(CHANCE.normal(0, 0.4, (4, 12))) for _ in range(3)] for _ in range(2))
    return {
        task: {"em": task_ud(clean, [0.05 * t for t in poisoned]), "noise": task_ud(clean, poisoned)} for task in TITLES
    }


@functools.cache
def drawn(dark):
    matrices = {name: task_similarity({t: np.exp(CHANCE.normal(size=9)) for t in TITLES}) for name in ("clean", "em")}
    return {
        "damage": damage_chart(damages(), ROLES, TITLES, subtitle="rooms · 30 images", dark=dark),
        "net": damage_chart(damages(), ROLES, TITLES, net=True, subtitle="rooms · net of noise", dark=dark),
        "ud": task_ud_chart(uds(), ROLES, TITLES, subtitle="rooms · 20 blocks", dark=dark),
        "similarity": similarity_matrices(matrices, list(TITLES), kind="pearson", subtitle="rooms", dark=dark),
    }


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["damage", "net", "ud", "similarity"])
def test_every_figure_says_what_it_is_of_and_prints(name, dark):
    figure = drawn(dark)[name]
    assert figure.layout.meta["dark"] is dark
    assert len(figure.layout.meta["alt"]) > 40
    assert figure.layout.title.subtitle.text.startswith("rooms")
    svg = save_static(figure, "svg")
    assert svg == save_static(figure, "svg")
    assert figure_csv(figure).count("\n") > 3


def test_damage_has_every_arm_in_every_learned_task_with_its_interval():
    found = damages()
    figure = damage_chart(found, ROLES, TITLES)
    assert [trace.name for trace in figure.data] == list(ROLES)
    rows = [row for row in csv.DictReader(io.StringIO(figure_csv(figure))) if row["trace"] == "lsp"]
    for row, task in zip(rows, ("scene", "depth"), strict=True):
        one = found[task]["lsp"]
        expected = [100 * v for v in (one.value, one.low, one.high)]
        assert [float(row[key]) for key in ("x", "x_low", "x_high")] == pytest.approx(expected)
    assert "key points (correlation): not learned by clean training" in figure.layout.title.subtitle.text
    places = sorted(float(y) for trace in figure.data for y in trace.y)
    assert len(set(places)) == 2 * len(ROLES), "no two arms of a task lie on each other"
    with pytest.raises(ValueError, match="no task with a number"):
        damage_chart({"scene": {"em": NONE}}, ROLES, TITLES)


def test_wild_intervals_do_not_squeeze_the_others():
    wild = Estimate(0.5, -40.0, 90.0, 0.95, "percentile", 3)
    low, high = damage_chart({"scene": {"em": wild}}, ROLES, TITLES).layout.xaxis.range
    assert -150 < low < -90
    assert 190 < high < 250


def test_the_interval_of_two_seeds_does_not_squeeze_ud():
    tables = [np.repeat([[1e-3, 1e-1]], 6, axis=1) * scale for scale in (1.0, 1.0)]
    poisoned = [tables[0], np.full((1, 12), 1e-4)]
    figure = task_ud_chart({"scene": {"em": task_ud(tables, poisoned)}}, ROLES, TITLES)
    assert figure.data[-1].error_x.array[0] > 5
    assert figure.layout.xaxis.range[1] < 3.5


def test_arms_are_told_apart_and_controls_are_grey():
    looks = arm_looks(ROLES)
    assert looks["em"][0] == POISONED
    assert looks["noise"][0] == looks["permuted"][0] == CONTROL
    assert len(set(looks.values())) == len(looks)


def test_ud_shows_what_clean_data_reach_and_hollow_marks_for_one_seed():
    figure = drawn(False)["ud"]
    assert [trace.name for trace in figure.data] == [FLOOR, "em", "noise"]
    assert figure.data[0].marker.symbol == "circle"
    one = {"scene": {"em": task_ud([np.repeat([[1e-3, 1e-1]], 3, axis=1)], [np.full((1, 6), 0.2)])}}
    (trace,) = task_ud_chart(one, ROLES, TITLES).data
    assert trace.marker.symbol.endswith("-open")
    assert trace.name == "em, one seed"


def test_matrices_share_their_scale_and_write_their_numbers():
    figure = drawn(False)["similarity"]
    clean, poisoned = figure.data
    assert (clean.zmin, clean.zmax) == (poisoned.zmin, poisoned.zmax) == (-1, 1)
    assert "blue: −1 · red: 1" in figure.layout.title.subtitle.text.replace("<br>", " · ")
    numbers = [note for note in figure.layout.annotations if note.ax == 0]
    assert len(numbers) == 2 * len(TITLES) ** 2
    assert sum(note.text == "1.00" for note in numbers) == 2 * len(TITLES)
    with pytest.raises(ValueError, match="one row and one column"):
        similarity_matrices({"clean": np.ones((2, 3))}, ["a", "b"], kind="cosine")


def test_predicted_segments_take_the_colour_of_the_true_one_they_overlap():
    truth = np.repeat([[7, 7, 7, 200]], 4, axis=0)
    renamed, halves = np.where(truth == 7, 3, 1), np.repeat([[1, 1, 2, 2], [3, 3, 2, 2]], 2, axis=0)
    shown = segment_images([truth, renamed, halves], truth)
    np.testing.assert_array_equal(shown[0], shown[1])
    np.testing.assert_array_equal(shown[2][:, 0, 0], shown[0][:, 0, 0])
    np.testing.assert_allclose(shown[2][:, 3, 0], MISSING, err_msg="a segment without a partner is grey")


def test_maps_become_images_on_the_truths_scale():
    truth = np.array([[1.0, 3.0], [np.nan, 2.0]])
    shown = depth_images([truth, np.full((2, 2), 99.0)], truth)
    assert shown.shape == (2, 3, 2, 2)
    np.testing.assert_allclose(shown[0][:, 1, 0], MISSING)
    np.testing.assert_allclose(shown[1][:, 0, 0], shown[0][:, 0, 1], err_msg="beyond the scale is its end")
    assert keypoint_images([np.array([[2.0, -1.0]])])[0][:, 0].tolist() == [[1, 0]] * 3
    assert scene_words(np.array([0.2, 0.8]), ("bath", "kitchen")) == "kitchen, 80 %"


def test_the_grid_names_tasks_columns_and_scenes():
    html = prediction_grid({"depth <m>": np.zeros((2, 3, 4, 4))}, ["truth", "em"], {"em": "kitchen, 80 %"})
    assert html.count("<img") == 1
    assert "depth &lt;m&gt;" in html
    assert 'alt="depth &lt;m&gt;: truth and predictions of truth, em: kitchen, 80 %"' in html


def test_every_mark_can_be_printed():
    assert {*POISONED_SYMBOLS, *CONTROL_SYMBOLS} <= set(MARKER)
