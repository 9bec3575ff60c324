"""Rankings under other settings: order kept, order turned, and what the words say."""

import numpy as np
import pytest

from analysis import rule_sensitivity, ud_sensitivity, unlearnable_distance

CHANCE = np.random.default_rng(0)
CLEAN = [np.exp(CHANCE.normal(-3, 2, size=(6, 30))) for _ in range(3)]
BETAS = {"em": 0.05, "lsp": 0.25, "tap": 0.8, "noise": 1.0}


def arms(factors):
    return {"clean": CLEAN} | {name: [table * s for table in CLEAN] for name, s in factors.items()}


def test_ud_per_setting_against_the_default():
    found = ud_sensitivity({"0.01": arms(BETAS), "0.05": arms(BETAS)}, default="0.05", rule="log-two-means")
    assert [one.setting for one in found.settings] == ["0.01", "0.05"]
    assert found.methods == ("em", "lsp", "tap", "noise")
    wanted = np.mean([unlearnable_distance(c, 0.25 * c, rule="log-two-means").value for c in CLEAN])
    assert found.settings[0].summaries["lsp"].mean == pytest.approx(wanted)
    assert found.settings[0].kendall == found.settings[0].spearman == pytest.approx(1)
    assert found.settings[0].swapped == ()
    assert found.verdict.startswith("the ranking holds under every setting")


def test_a_turned_ranking_is_told():
    turned = {name: 1.05 - s for name, s in BETAS.items()}
    found = ud_sensitivity({"a": arms(BETAS), "b": arms(turned)}, default="a", rule="log-two-means")
    assert found.settings[1].kendall == pytest.approx(-1)
    assert len(found.settings[1].swapped) == 6
    assert "depends on the setting" in found.verdict


def test_places_changed_within_the_spread_are_forgiven():
    def noisy(seed):
        chance = np.random.default_rng(seed)
        return {"clean": CLEAN} | {
            name: [t * np.exp(chance.normal(0, 1, size=(1, 30))) for t in CLEAN] for name in ("a", "b", "c", "d")
        }

    found = ud_sensitivity({"x": noisy(1), "y": noisy(2)}, default="x")
    assert found.settings[1].undecided == len(found.settings[1].swapped) > 0
    assert "only methods that the seeds do not tell apart" in found.verdict


def test_rules_are_settings_too():
    found = rule_sensitivity(arms(BETAS), rules=("kmeans", "two-means", "log-two-means"))
    assert [one.setting for one in found.settings] == ["kmeans", "two-means", "log-two-means"]
    with pytest.raises(ValueError, match="default rule"):
        rule_sensitivity(arms(BETAS), rules=("two-means",))


def test_settings_without_ud_and_too_few_methods():
    dead = {name: [np.zeros((2, 30))] * 3 for name in arms(BETAS)}
    found = ud_sensitivity({"ok": arms(BETAS), "dead": dead}, default="ok")
    assert "undefined" in found.failed["dead"]
    assert found.verdict == "one setting only, so nothing is known about others" or "gave no UD" in found.verdict
    with pytest.raises(ValueError, match="undefined"):
        ud_sensitivity({"ok": arms(BETAS), "dead": dead}, default="dead")
    two = ud_sensitivity({"a": arms({"em": 0.1, "tap": 2})}, default="a")
    assert two.verdict == "2 methods make no ranking to judge; add methods"


@pytest.mark.parametrize(
    ("tables", "default", "words"),
    [
        ({"a": arms(BETAS)}, "b", "default setting"),
        ({"a": arms(BETAS), "b": arms({"em": 1})}, "a", "other arms"),
        ({"a": {"em": CLEAN, "tap": CLEAN}}, "a", "clean arm"),
        ({"a": {"clean": CLEAN, "em": CLEAN[:1]}}, "a", "same seeds"),
    ],
)
def test_wrong_tables(tables, default, words):
    with pytest.raises(ValueError, match=words):
        ud_sensitivity(tables, default=default)
