"""Damage of a task by its other measures, which need not agree with the one that is reported first."""

from types import SimpleNamespace

import pytest

from experiments.cross_task_report import CrossTask, TaskTitle
from experiments.cross_task_words import other_measures

MEANS = {
    "clean": {"abs_rel": (0.2, 0.3), "rmse_m": (0.6, 0.8), "delta_1.25": (0.7, 0.9), "l1": (0.5, 0.5), "valid": (1, 1)},
    "em": {"abs_rel": (0.3, 0.4), "rmse_m": (0.7, 0.9), "delta_1.25": (0.6, 0.6), "l1": (0.9, 0.9), "valid": (1, 1)},
    "late": {"abs_rel": (0.4,), "rmse_m": (1.0,), "delta_1.25": (0.5,), "l1": (0.9,), "valid": (1,)},
}


@pytest.fixture
def found():
    return SimpleNamespace(
        means={"depth": MEANS},
        trivial={"depth": {"abs_rel": 0.45, "rmse_m": 1.0, "delta_1.25": 0.4, "l1": 0.5, "valid": 1.0}},
        seeds={"clean": (0, 1), "em": (0, 1), "late": (1,)},
        clean_arm="clean",
        arms={"em": "poisoned", "late": "poisoned"},
        tasks={"depth": TaskTitle("depth", "abs_rel", higher_is_better=False)},
    )


def test_damage_by_other_measures_is_of_the_same_seeds_and_knows_what_is_better(found):
    em = CrossTask.other_damage(found, "depth", "em")
    assert em == pytest.approx({"rmse_m": (0.8 - 0.7) / (1.0 - 0.7), "delta_1.25": (0.6 - 0.8) / (0.4 - 0.8)})
    late = CrossTask.other_damage(found, "depth", "late")
    assert late == pytest.approx({"rmse_m": 1.0, "delta_1.25": 0.8}), "against the clean run of its own seed alone"


def test_what_clean_training_does_not_learn_by_a_measure_has_no_damage_by_it(found):
    found.trivial["depth"]["rmse_m"] = 0.65  # better than clean training
    assert set(CrossTask.other_damage(found, "depth", "em")) == {"delta_1.25"}


def test_words_name_every_arm_and_never_minus_nothing(found):
    found.other_damage = lambda task, arm: {"rmse_m": -0.001 if arm == "em" else float("nan")}
    assert other_measures(found, "depth") == ["damage by RMSE: em 0 %"]
