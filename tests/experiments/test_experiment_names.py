"""Experiments of one title are told apart by what differs, and by when they were made."""

import os

import pytest

from experiments import Experiment, load_preset_or_file, override
from experiments.catalogue import GALLERY
from experiments.experiment_names import tell_titles_apart


@pytest.fixture
def make(tmp_path):
    def one(name, *changes):
        made = Experiment.create(override(load_preset_or_file("toy-ops"), changes), tmp_path / name)
        os.utime(made.path / "experiment.toml", (1.7e9, 1.7e9))
        return Experiment.open(made.path)

    return one


def test_only_those_of_one_title_are_told_apart_and_by_what_differs(make):
    slow, fast = make("slow", "training.lr=0.05", "training.epochs=3"), make("fast", "training.epochs=3")
    words = tell_titles_apart([slow, fast, make("other", 'title="Another"')])
    assert set(words) == {"slow", "fast"}
    assert words["slow"].startswith("lr 0.05 · made 2023-11-1")
    assert words["fast"].startswith(f"lr {fast.spec.training.lr:g} · made 2023-11-1")


def test_the_same_settings_are_told_apart_by_their_day_and_by_what_ships(make):
    mine = make("mine")
    words = tell_titles_apart([mine, Experiment.open(GALLERY / "toy-ops")])
    assert words["mine"].startswith("made 2023-11-1")
    assert words["toy-ops"] == "ships with the project"


def test_many_differences_are_counted_not_listed(make):
    more = make("more", "training.lr=0.05", "training.epochs=3", "training.batch_size=7", "seeds=[3, 4]", "data.seed=9")
    assert "2 more · made" in tell_titles_apart([more, make("mine")])["more"]


def test_what_cannot_be_read_is_left_out(make):
    broken = make("broken")
    (broken.path / "experiment.toml").write_text("[[")
    assert tell_titles_apart([Experiment(broken.path), make("a"), make("b")]).keys() == {"a", "b"}
