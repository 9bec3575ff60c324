"""Specifications: what is accepted, what is refused, and that keys follow content."""

import dataclasses

import pytest

from experiments import Experiment
from experiments.catalogue import load_preset_or_file, preset_names
from experiments.spec import (
    ArmSpec,
    ExperimentSpec,
    SalSpec,
    SpecError,
    SurfaceSpec,
    TrainingSpec,
    content_key,
    parse_run_name,
    run_name,
)
from experiments.spec_toml import load_spec, override, spec_from_table, spec_to_table, spec_to_toml


@pytest.fixture
def toy() -> ExperimentSpec:
    return load_preset_or_file("toy-ops")


def test_every_preset_loads_and_has_a_clean_arm_first():
    assert {"toy-ops", "digits-ops", "mnist-ops", "toy-random", "digits-random", "mnist-random"} <= set(preset_names())
    for name in preset_names():
        spec = load_preset_or_file(name)
        assert spec.name == name
        assert spec.clean_arm == "clean"
        assert spec.poisoned_arms
        assert spec.title
        assert spec.description


@pytest.mark.parametrize("alias", ["toy-ops-random", "digits-ops-random", "mnist-ops-random"])
def test_random_controls_are_found_under_both_names(alias):
    assert load_preset_or_file(alias).name == alias.replace("-ops", "")


def test_toml_round_trip_is_lossless(toy, tmp_path):
    rich = dataclasses.replace(
        toy,
        seeds=(0, 3),
        arms={**toy.arms, "half": ArmSpec("ops", ratio=0.5, strength=1.5, options={"sparsity": 2})},
        training=TrainingSpec(lr_milestones=(3, 6)),
        surface=SurfaceSpec(plane="parameters", parameters=(1, 7)),
    )
    path = tmp_path / "spec.toml"
    path.write_text(spec_to_toml(rich, made_by={"torch": "2"}))
    assert load_spec(path) == rich
    assert spec_from_table(spec_to_table(rich)) == rich


def test_override_sets_nested_entries_and_reads_toml_values(toy):
    changed = override(toy, ["training.lr=0.5", "seeds=[1, 2]", "arms.ops.ratio=0.25", "data.name=some.npz"])
    assert changed.training.lr == 0.5
    assert changed.seeds == (1, 2)
    assert changed.arms["ops"].ratio == 0.25
    assert changed.data.name == "some.npz"
    assert toy.training.lr == 0.1


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("training.lr", "key=value"),
        ("training.lrr=1", "did you mean lr"),
        ("training.lr=-1", "positive"),
        ("training.lr='x'", "a number"),
        ("training.lr=nan", "a number"),
        ("training.lr=inf", "positive"),
        ("training.epochs=0", "at least 1"),
        ("training.epochs=2.5", "whole number"),
        ("training.epochs=inf", "whole number"),
        ("sal.epsilon=-0.1", "positive"),
        ("sal.method=magic", "'search', 'projected' or 'gradient'"),
        ("sal.p=3", "1, 2 or inf"),
        ("surface.grid=1", "at least 2"),
        ("surface.plane=tilted", "one of pca"),
        ("seeds=[]", "at least one"),
        ("seeds=[1, 1]", "different"),
        ("seeds=[-1]", "0 or more"),
        ("arms.ops.ratio=1.5", "between 0 and 1"),
        ("name='../escape'", "letters, digits"),
        ("model=3", "table"),
        ("name.deep=1", "not a table"),
        ("training.lr_milestones=[1.5]", "whole numbers"),
    ],
)
def test_wrong_overrides_are_refused_in_one_sentence(toy, assignment, words):
    with pytest.raises(SpecError, match=words) as caught:
        override(toy, [assignment])
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_presets_and_ones_own_experiments_the_nearest_first(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    with pytest.raises(SpecError, match=r"did you mean toy-ops\? Presets are toy-ops, .*, mnist-ops.*[a-z]\.$"):
        load_preset_or_file("toy-op")
    with pytest.raises(SpecError, match=r"called 'qqqqqq'; presets are [^;]*$"):
        load_preset_or_file("qqqqqq")
    for name in ("adam", "my-optimisers", "zebra"):
        Experiment.create(toy, tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError) as caught:
        load_preset_or_file("my-optimizers")
    said = str(caught.value)
    assert "did you mean my-optimisers? Presets are " in said
    first, *others = said.removesuffix(".").split("; experiments of yours are ")[1].split(", ")
    assert (first, set(others)) == ("my-optimisers", {"adam", "zebra"})
    for i in range(20):
        Experiment.create(toy, tmp_path / f"more-{i}")
    with pytest.raises(SpecError, match=r"yours are zebra, [^;]* and 11 more\.$"):
        load_preset_or_file("zebr")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "not valid TOML"),
        ("title = 'x'", "name is missing"),
        ("name = 'x'\narms = 3", "tables"),
        ("", "name"),
    ],
)
def test_broken_files_are_refused_by_path(tmp_path, text, words):
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=words) as caught:
        load_spec(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_told_apart(tmp_path):
    with pytest.raises(SpecError, match="no file"):
        load_spec(tmp_path / "none.toml")
    with pytest.raises(SpecError, match="folder"):
        load_spec(tmp_path)


def test_parameters_plane_needs_two_different_indices():
    with pytest.raises(SpecError, match="two different"):
        SurfaceSpec(plane="parameters", parameters=(4, 4))


def test_run_names_split_again():
    assert parse_run_name(run_name("class-random-s2", 11)) == ("class-random-s2", 11)
    assert parse_run_name("stranger") is None


def test_content_keys_follow_content_not_order():
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key(dataclasses.asdict(SalSpec())) != content_key(dataclasses.asdict(SalSpec(epsilon=0.1)))
