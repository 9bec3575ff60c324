"""Classroom limits: what a class may start, and in which words the rest is refused."""

import pytest

from experiments import Experiment, classroom, jobs, load_preset_or_file, override
from experiments.catalogue import GALLERY


@pytest.fixture
def in_class(monkeypatch, tmp_path):
    monkeypatch.setenv(classroom.CLASSROOM_VARIABLE, "1")
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    return tmp_path


def test_outside_a_class_there_are_no_limits(monkeypatch):
    monkeypatch.delenv(classroom.CLASSROOM_VARIABLE, raising=False)
    assert classroom.limits() is None
    classroom.check_job(["bench", "digits", "--download"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "toy-ops", "--out", "x", "--live"],
        ["run", "digits-random", "--set", "training.epochs=20"],
        ["surface", str(GALLERY / "toy-ops"), "--plane", "random"],
    ],
)
def test_small_jobs_are_allowed(in_class, arguments):
    classroom.check_job(arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "toy-ops", "--set", "training.epochs=21"], "at most 20 epochs, not 21"),
        (["run", "toy-ops", "--set", "training.lr=9"], "at most 1, not 9"),
        (["run", "toy-ops", "--set", "seeds=[0,1,2,3]"], "at most 3 seeds"),
        (["run", "toy-ops", "--set", "surface.grid=400"], "51 points"),
        (["run", "mnist-ops"], "data set mnist"),
        (["run", "mnist-ops", "--download"], "Nothing is downloaded"),
        (["bench", "digits"], "Benchmarks take too long"),
        (["poison", "make", "em"], "need no network"),
        (["export", "toy-ops"], "not for a class"),
        ([], "not for a class"),
        (["run", "nothing-here"], "no experiment"),
    ],
)
def test_the_rest_is_refused_in_one_sentence(in_class, arguments, words):
    with pytest.raises(ValueError, match=words) as refusal:
        jobs.start(arguments, experiment="x")
    assert "\n" not in str(refusal.value)
    assert not (in_class / "jobs").exists()


def test_a_large_network_is_refused(in_class):
    spec = override(load_preset_or_file("digits-ops"), ['model.name="resnet18"'])
    with pytest.raises(classroom.ClassroomError, match="resnet18 takes too long"):
        classroom.check_spec(spec, classroom.Limits())


def test_nobody_s_name_is_taken_twice(tmp_path):
    assert classroom.free_name("toy-ops", tmp_path) == "toy-ops"
    for expected in ("toy-ops", "toy-ops-2", "toy-ops-3"):
        name = classroom.free_name("toy-ops", tmp_path)
        assert name == expected
        Experiment.create(load_preset_or_file("toy-ops"), tmp_path / name)


def test_a_class_reads_no_folder_of_the_server(in_class, monkeypatch):
    text = f"{in_class}/toy-ops-live/runs cannot be written; see {in_class} and {GALLERY}/toy-ops"
    assert classroom.without_paths(text) == (
        f"toy-ops-live/runs cannot be written; see {in_class.name} and experiments/gallery/toy-ops"
    )
    monkeypatch.delenv(classroom.CLASSROOM_VARIABLE)
    assert classroom.without_paths(text) == text
