"""The lessons compute what they claim: walks, nudges, judgements and remedies have the properties they are told by."""

import json

import numpy as np
import pytest

from experiments.lessons import believe, elsewhere, nudge, remedy, second_task, shortcut, valley, walks
from experiments.lessons.figures import (
    accuracy_bars,
    coordinates_over_time,
    nudge_curve,
    shadow_figure,
    told_bars,
    valley_map,
)
from experiments.lessons.short_run import Schedule, short_run, small_data
from training import build_defence


def test_a_short_run_is_determined_by_its_seed():
    data = small_data("toy")
    schedule = Schedule("linear", epochs=1, lr=0.1, batch_size=500, momentum=0.0)
    one, two, other = (short_run(data, schedule, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.vectors, two.vectors)
    assert not np.array_equal(one.vectors, other.vectors)
    assert list(one.steps) == [0, 8]
    assert 0 < one.test_accuracy < 1


def test_single_points_of_the_landscape_are_those_of_its_surface():
    found = valley.survey(0, grid=3)
    points = np.array([[found.surface.alphas[i], found.surface.betas[j]] for i in range(3) for j in range(3)])
    heights = [one.loss for one in valley.height(0, points)]
    assert np.allclose(heights, found.surface.loss.reshape(-1), rtol=1e-5)
    assert valley.answer(found) in valley.ANSWERS
    a, b, low = valley.lowest(found)
    assert low == found.surface.loss.min()
    figure = valley_map(found, (0.3, -0.2))
    assert {"your place", "end of training"} <= {trace.name for trace in figure.data}
    assert (a, b) in {(x, y) for x in found.surface.alphas for y in found.surface.betas}


def test_a_random_walk_has_the_steps_of_the_path_and_the_shares_of_theory():
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.standard_normal((200, 3000)), axis=0)
    walk = walks.random_walk(path, seed=1)
    assert np.allclose(np.linalg.norm(np.diff(walk, axis=0), axis=1), np.linalg.norm(np.diff(path, axis=0), axis=1))
    shadow = walks._shadow(walk)
    assert shadow.shares == pytest.approx(walks.EXPECTED, abs=0.05)
    t = (np.arange(200) + 0.5) / 200
    assert abs(np.corrcoef(shadow.coordinates[:, 0], np.cos(np.pi * t))[0, 1]) > 0.99
    assert abs(np.corrcoef(shadow.coordinates[:, 1], np.cos(2 * np.pi * t))[0, 1]) > 0.95


def test_the_training_holds_more_in_its_plane_than_chance():
    found = walks.compare_with_random_walk(0)
    assert found.training.shares.sum() > found.random.shares.sum() + 0.05
    assert found.training.length == pytest.approx(found.random.length, rel=1e-6)
    assert walks.answer(found) == walks.ANSWERS[3]
    for shadow, role in ((found.training, "clean"), (found.random, "control")):
        assert len(shadow_figure(shadow, "walk", role).data[0].x) == 31
        assert len(coordinates_over_time(shadow, "walk", role).data) == 2


def test_the_pinned_pixel_is_constant_over_its_class_and_unique_to_it():
    pinned = shortcut.find_pixels(2)
    assert len({mine[0][:2] + mine[0][2:] for mine in pinned.pixels}) == 10
    for k, mine in enumerate(pinned.pixels):
        assert len(mine) == 2
        for row, column, value in mine:
            assert pinned.poisoned[k, 0, row, column] == value
    changed = (pinned.clean != pinned.poisoned).sum(axis=(1, 2, 3))
    assert (changed <= 2).all()
    assert changed.any()


def test_a_linear_network_learns_pixel_and_digit():
    found = shortcut.train_on_pixels("linear", 1)
    assert found.poisoned_train > 0.98
    assert found.clean_test - found.poisoned_test < 0.1


def test_the_poisoned_end_is_good_on_its_own_data_alone():
    found = elsewhere.judge_both_ends(0)
    assert found.find("poisoned", "poisoned training").accuracy > 0.95
    assert found.find("poisoned", "clean training").accuracy < 0.2
    assert found.find("clean", "test").accuracy > 0.7
    clean, poisoned = found.surfaces
    assert np.array_equal(clean.alphas, poisoned.alphas)
    assert not np.allclose(clean.loss, poisoned.loss)
    assert {path.role for path in found.paths} == {"clean", "poisoned"}


def test_the_nudge_stays_in_the_ball_and_meets_the_curve():
    found = nudge.nudge_layer("second layer", 0.05)
    assert nudge.loss_after("second layer", 0.05, 0.5) == pytest.approx(
        float(np.interp(0.5, found.shares, found.losses)), rel=1e-5
    )
    assert nudge.loss_after("second layer", 0.05, 0.0) == pytest.approx(found.start, rel=1e-6)
    assert found.sal["projected"] >= 0.98 * found.best_by_hand, "the projected search reaches the edge of the ball"
    slope = (found.losses[21] - found.losses[19]) / (found.shares[21] - found.shares[19])
    assert found.sal["gradient"] == pytest.approx(slope, rel=0.02), "the estimate is the slope times the radius"
    assert nudge.answer(found) in nudge.ANSWERS
    assert any(trace.name == "your step" for trace in nudge_curve(found, 0.2).data)


def test_ud_of_the_lesson_has_an_interval_and_a_floor():
    found = believe.measure(2)
    assert set(found.summaries) == set(believe.ARMS)
    assert found.floor.n == 2
    assert all(len(values) == 2 for values in found.values.values())
    assert found.accuracy["one-pixel shortcut"] < 0.2 < found.accuracy["clean"]
    assert believe.answer(found) in (None, *believe.ANSWERS)
    for name, one in found.summaries.items():
        assert (name in found.told) == (one.high < 1 or one.low > 1)
    with pytest.raises(ValueError, match="2 to 6 seeds"):
        believe.measure(1)


@pytest.mark.parametrize("choice", ["mixup", "half of the data clean"])
def test_a_remedy_is_measured_against_what_was_lost(choice):
    found = remedy.try_remedy("linearly separable noise", choice)
    assert found.clean - found.poisoned > 0.1
    expected = (found.remedied - found.poisoned) / (found.clean - found.poisoned)
    assert found.recovered == pytest.approx(expected)
    if choice == "half of the data clean":
        assert remedy.answer(found) == remedy.ANSWERS[0]
    values = {"clean": found.clean, "with": found.remedied}
    bars = accuracy_bars(values, {"clean": "clean", "with": "other"}, title="t", subtitle="s").data[0]
    assert list(bars.y) == ["with", "clean"]


def test_every_remedy_can_be_built_for_the_digits():
    data = small_data("digits")
    for name, options in remedy.REMEDIES.values():
        defence = build_defence(name, **options)
        few = data.x_train[:40]
        assert defence.prepare(few, data.y_train[:40], seed=0).shape == few.shape


@pytest.mark.parametrize("name", second_task.POISONS)
def test_a_pattern_tells_the_class_and_little_else(name):
    found = second_task.read_pattern(name)
    pattern, dealt, label = (
        found.told[source] for source in (second_task.PATTERN, second_task.DEALT, second_task.NAME)
    )
    assert found.right[0] > 0.95 > 0.3 > found.right[1]
    assert pattern["scene"] > 0.8
    assert max(dealt.values()) < 0.05
    for task in ("keypoints2d", "depth_euclidean", "segment_unsup2d"):
        assert pattern[task] < label[task] + 0.05, "nothing is told beyond what the class tells"
        assert pattern[task] < second_task.READ
    assert second_task.answer(found) in second_task.ANSWERS[1:3]
    figure = told_bars(found)
    assert {trace.name for trace in figure.data} == set(found.told)
    assert "depth" in figure.layout.meta["alt"]


def test_ridge_regression_solves_its_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    learn, rest = np.arange(20), np.arange(20, 30)
    centred = x - x[:20].mean(axis=0)
    weight = second_task.RIDGE * (centred[:20] ** 2).sum() / 20
    slopes = np.linalg.solve(
        centred[:20].T @ centred[:20] + weight * np.eye(4), centred[:20].T @ (y[:20] - y[:20].mean(axis=0))
    )
    expected = centred[20:] @ slopes + y[:20].mean(axis=0)
    np.testing.assert_allclose(second_task.ridge(x, y, learn, rest), expected, rtol=1e-9)


def report_of(**changed):
    """The part of a cross-task report that the lesson takes."""
    one = {"value": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "seeds": 3, "note": ""}
    arms = [*second_task.CONTROLS, *second_task.CONTROLS.values()]
    task = {
        "damage": dict.fromkeys(arms, one),
        "net_damage": {
            control: {arm: one | {"value": 0.2, "low": -0.1}} for arm, control in second_task.CONTROLS.items()
        },
    }
    return {
        "experiment": "rooms-four-tasks",
        "images": 1000,
        "seeds": {arm: [0, 1, 2] for arm in arms},
        "tasks": dict.fromkeys(second_task.TASKS, task) | changed,
    }


def test_the_published_result_is_an_extract_of_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(second_task, "EXTRACT", tmp_path / "second_task.json")
    report = tmp_path / "cross-task.json"
    report.write_text(json.dumps(report_of()))
    second_task.main([str(report)])
    found = second_task.published()
    assert (found.images, found.seeds) == (1000, 3)
    assert found.damage["lsp-permuted"]["scene"].value == 0.5
    assert (found.net["ops"]["segment_unsup2d"].value, found.net["ops"]["segment_unsup2d"].low) == (0.2, -0.1)
    before = second_task.EXTRACT.read_bytes()
    report.write_text(json.dumps(report_of(scene={"damage": {}, "net_damage": {}})))
    for wrong in (report, tmp_path / "nowhere.json"):
        with pytest.raises(SystemExit, match="is no report of the four tasks"):
            second_task.main([str(wrong)])
    assert second_task.EXTRACT.read_bytes() == before
    second_task.EXTRACT.unlink()
    assert second_task.published() is None
