"""The poison lab: what can be chosen, that the same recipe gives the same poison everywhere, and training on it."""

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from experiments import lab
from experiments.materials import arm_inputs, dataset_of
from training import UNLEARNABLE, load_dataset
from training.artefacts import read_artefact, write_artefact

TOY = (("n_samples", 400),)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def toy():
    return load_dataset("toy", n_samples=400)


@pytest.mark.parametrize("method", UNLEARNABLE)
def test_every_method_s_settings_can_be_chosen_and_its_own_are_no_change(method):
    options = lab.method_options(method)
    assert not {option.name for option in options} & {"dataset", "seed", "strength", "progress", "device"}
    assert all(option.kind in ("bool", "int", "float", "str") for option in options)
    usual = {option.name: option.default if option.default is not None else "" for option in options}
    assert lab.option_values(usual, options) == ()


def test_only_methods_that_train_or_search_work_long():
    assert {"em", "tap"} <= {name for name in UNLEARNABLE if lab.works_long(name)}
    assert not any(lab.works_long(name) for name in ("ops", "lsp", "class-random", "uniform-noise", "file"))


def test_names_tell_recipes_apart():
    one = lab.Recipe("toy", "ops")
    others = [lab.Recipe("toy", "ops", seed=1), lab.Recipe("toy", "ops", options=(("sparsity", 2),))]
    assert len({one.name, *(other.name for other in others)}) == 3
    assert one.name == lab.Recipe("toy", "ops").name


def test_the_command_makes_the_same_poison(toy):
    recipe = lab.Recipe("toy", "class-random", 3, 0.5, 2.0, (), TOY)
    result = CliRunner().invoke(main, recipe.command(recipe.file, "npz"))
    assert result.exit_code == 0, result.output
    here, there = lab.make_now(recipe, toy), lab.read_made(recipe, toy)
    np.testing.assert_array_equal(here.x_train, there.x_train)
    np.testing.assert_array_equal(here.y_train, there.y_train)


def test_a_file_of_other_data_is_refused(toy):
    recipe = lab.Recipe("toy", "ops", data_options=TOY)
    write_artefact(recipe.file, lab.make_now(recipe, toy), toy, "npz")
    with pytest.raises(ValueError, match="does not hold a poison of this data set"):
        lab.read_made(recipe, load_dataset("toy", n_samples=600))


def test_a_look_tells_a_shortcut_from_noise(toy):
    shortcut = lab.look(lab.make_now(lab.Recipe("toy", "class-random"), toy), toy)
    noise = lab.look(lab.make_now(lab.Recipe("toy", "uniform-noise"), toy), toy)
    assert shortcut.separability.held_out == 1
    assert noise.separability.held_out < 0.35
    assert shortcut.class_share > 0.99 > 0.2 > noise.class_share
    assert shortcut.class_means.shape == (10, 12)


def test_label_noise_changes_labels_and_no_input(toy):
    found = lab.look(lab.make_now(lab.Recipe("toy", "label-noise"), toy), toy)
    assert found.relabelled > 0
    assert found.separability is None
    assert not found.norms.linf.any()


def test_every_offered_format_can_be_written_and_read():
    digits = load_dataset("digits", n_train=200)
    recipe = lab.Recipe("digits", "class-random", strength=0.3)
    made = lab.make_now(recipe, digits)
    for kind in lab.formats(digits):
        path = write_artefact(lab.saved_path(recipe, kind), made, digits, kind)
        assert read_artefact(path, format=kind).entries == 200


@pytest.mark.parametrize("kept", [False, True])
def test_training_uses_this_very_poison(kept):
    digits = load_dataset("digits", n_train=200)
    recipe = lab.Recipe("digits", "class-random", 1, strength=0.3, data_options=(("n_train", 200),))
    made = lab.make_now(recipe, digits)
    if kept:
        write_artefact(recipe.file, made, digits, "npz")
    experiment = lab.lab_experiment(recipe, digits, "lenet5", 1)
    assert experiment.planned_runs() == ["clean-s1", "class-random-s1"]
    assert experiment.spec.training.epochs == 1
    found = arm_inputs(experiment, dataset_of(experiment.spec), "class-random", 1)
    np.testing.assert_array_equal(found.inputs, made.x_train)


def test_data_files_are_those_that_hold_data(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_DATA", str(tmp_path))
    assert lab.data_files() == []
    arrays = {name: np.zeros((4, 3)) for name in ("x_train", "x_test")}
    labels = {name: np.array([0, 1, 0, 1]) for name in ("y_train", "y_test")}
    np.savez(tmp_path / "mine.npz", **arrays, **labels)
    np.savez(tmp_path / "delta.npz", delta=np.zeros(3))
    (tmp_path / "broken.npz").write_text("no archive")
    assert [path.name for path in lab.data_files()] == ["mine.npz"]
