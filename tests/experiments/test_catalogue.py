"""The catalogue: what may be changed of an experiment's entry, and what stays."""

import pytest

from experiments import Experiment
from experiments.catalogue import GALLERY, retitle
from experiments.spec_toml import without_labels


def test_another_title_changes_nothing_else(toy):
    before = (toy.path / "experiment.toml").read_text()
    retitle(toy, "  A title\n of mine ")
    after = Experiment.open(toy.path)
    assert after.spec.title == "A title of mine"
    assert without_labels(after.spec) == without_labels(toy.spec)
    assert before.split("[made_by]")[1] == (toy.path / "experiment.toml").read_text().split("[made_by]")[1]
    assert Experiment.create(toy.spec, toy.path).name == toy.name, "the same command still goes on with it"


@pytest.mark.parametrize("title", ["", " \n", "x" * 121, "a\x00b"])
def test_what_is_no_title_is_refused(toy, title):
    with pytest.raises(ValueError, match="A title is one line"):
        retitle(toy, title)


def test_what_ships_keeps_its_title_and_what_cannot_be_read_is_not_written(toy):
    with pytest.raises(ValueError, match="ships with the project"):
        retitle(Experiment.open(GALLERY / "toy-ops"), "Mine")
    (toy.path / "experiment.toml").write_text("[[")
    with pytest.raises(ValueError, match=r"experiment\.toml"):
        retitle(toy, "Mine")
    assert (toy.path / "experiment.toml").read_text() == "[["
