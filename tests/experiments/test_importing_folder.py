"""The folder of ``export --format li`` comes back whole: with its runs or alone, to the bit, or with one sentence."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from checkpoints import Recorder, write_bytes
from cli import main
from experiments import import_runs
from experiments.importing_surfaces import surface_kinds
from experiments.pictures import choose_surface, draw
from experiments.taking_weights import ABOUT, NOT_IN_LI, ORIGIN, li_files
from landscape.formats import li2018
from tests.checkpoints.importing.samples import Small


@pytest.fixture
def folder(toy, tmp_path):
    """What export writes of the toy experiment's surface."""
    place = tmp_path / "toy-li"
    write(place, li_files(toy, choose_surface(toy)))
    return place


def write(place, files):
    place.mkdir(exist_ok=True)
    for name, data in files.items():
        write_bytes(place / name, data)


def contents(place):
    return {file.name: file.read_bytes() for file in place.iterdir()}


def same_surface(found, stored):
    wanted = {key: array for key, array in stored.arrays.items() if not key.startswith("divergence")}
    wanted.pop("loss_standard_error", None)
    assert found.arrays.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (found.arrays[name].dtype, found.arrays[name].tobytes()) == (array.dtype, array.tobytes()), name
    for name in stored.header.keys() - set(NOT_IN_LI):
        assert found.header[name] == json.loads(json.dumps(stored.header[name])), name


@pytest.mark.parametrize("with_runs", [False, True])
def test_the_folder_comes_back_and_is_exported_to_the_same_bytes(toy, tmp_path, folder, with_runs):
    runs = [toy.run_path(name) for name in toy.run_names()] if with_runs else []
    said: list[str] = []
    again = import_runs(tmp_path / "again" / "toy", [*runs, folder], say=said.append)
    same_surface(choose_surface(again), choose_surface(toy))
    assert li_files(again, choose_surface(again)) == contents(folder)
    assert [again.role_of(name) for name in ("clean-s0", "ops-s0")] == ["clean", "poisoned"]
    assert again.spec.surface.grid == 7
    assert draw(again, "compare").data
    assert again.run_names() == (toy.run_names() if with_runs else ["clean-s0"])
    with again.open_run("clean-s0") as mine, toy.open_run("clean-s0") as theirs:
        assert mine.steps[-1] == theirs.steps[-1]
        assert np.array_equal(mine.vector(len(mine) - 1), theirs.vector(len(theirs) - 1))
    words = "agrees with the path of" if with_runs else "has one checkpoint, the origin of the plane"
    assert sum(words in note for note in said) == (2 if with_runs else 1)


def test_buffers_ties_and_an_order_of_their_own_come_back(tmp_path):
    model = Small()
    with Recorder(tmp_path / "a.h5", model) as recorder:
        for step in range(3):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += torch.randn_like(parameter)
            model.norm(torch.randn(8, 4))
            recorder.record(step, epoch=step / 2)
    experiment = import_runs(tmp_path / "x" / "same", [tmp_path / "a.h5"])
    rng, T = np.random.default_rng(0), 3
    with experiment.open_run("a-s0") as run:
        D, first, last, state = run.vector(0).size, run.vector(0), run.vector(2), run.state_dict(2)
        names = run.parameters.names
    assert list(names) != sorted(names), "another order than that of safetensors"
    arrays = {"origin": first, "axes": rng.standard_normal((2, D)).astype(np.float32), "loss": rng.random((2, 3))}
    arrays |= {"alphas": np.arange(2.0), "betas": np.arange(3.0)}
    arrays["loss"][0, 0] = np.nan
    path = {"coordinates": rng.random((T, 2)), "steps": np.arange(T), "epochs": np.arange(T) / 2}
    path |= {"residual": np.zeros(T), "metric_train/loss": np.ones(T)}
    arrays |= {f"path/a-s0/{key}": array for key, array in path.items()}
    options = {"plane": "three-point", "grid": 3, "on": "test", "block": "", "parameters": [], "seed": 0}
    header = {"options": options, "runs": ["a-s0"], "measured_on": "test data", "samples": 8, "available": 8}
    header |= {"explained_variance_ratio": None, "axis_names": ["a", "b"], "data_fingerprint": "f"}
    stored = type("Stored", (), {"header": header, "arrays": arrays})()
    files = li_files(experiment, stored)
    write(tmp_path / "li", files)
    again = import_runs(tmp_path / "y" / "same", [tmp_path / "li"])
    same_surface(choose_surface(again), stored)
    assert li_files(again, choose_surface(again)) == files
    with again.open_run("a-s0") as run:
        assert run.steps.tolist() == [0], "the origin is the first checkpoint, not the last"
        assert run.parameters.names == names
        assert np.array_equal(run.vector(0), first)
        assert not np.array_equal(run.vector(0), last)
        assert run.state_dict(0).keys() == state.keys()
        assert torch.equal(run.state_dict(0)["norm.running_mean"], state["norm.running_mean"])


def test_typed_by_hand(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    for command in (
        ["export", toy.path, "--format", "li"],
        ["import", "again", "toy-li", "--dry-run"],
        ["import", "again", "toy-li"],
        ["show", "again"],
    ):
        result = CliRunner().invoke(main, list(map(str, command)))
        assert result.exit_code == 0, result.output
        if "--dry-run" in command:
            assert "toy-li: an exported surface 7×7 with the runs clean-s0, ops-s0" in result.output
            assert not (tmp_path / "again").exists()
    assert "pca plane of clean-s0, ops-s0, 7×7 on clean training data" in result.output
    assert "runs ops-s0: import again-whole RUNS" in result.output, "nobody here can train it"


def _without_about(folder):
    save_file(load_file(folder / ORIGIN), folder / ORIGIN, metadata={"format": "pt"})


def _other_about(**changes):
    def change(folder):
        from checkpoints.importing.states import read_metadata

        about = json.loads(read_metadata(folder / ORIGIN)[ABOUT]) | changes
        save_file(load_file(folder / ORIGIN), folder / ORIGIN, metadata={"format": "pt", ABOUT: json.dumps(about)})

    return change


def _other_surface(folder):
    grid = li2018.read_surface(folder / "surface.h5")
    grid.values["train_loss"][0, 0] += 1
    (folder / "surface.h5").write_bytes(li2018.write_surface(grid))


def _plain_projection(folder):
    path = folder / "ops-s0_proj_cos.h5"
    path.write_bytes(li2018.write_projection(li2018.read_projection(path)))


def _cut_short(folder):
    path = folder / "directions.h5"
    path.write_bytes(path.read_bytes()[:500])


WRONG = {
    "no directions": (lambda f: (f / "directions.h5").unlink(), "lacks directions.h5; export it again"),
    "no surface": (lambda f: (f / "surface.h5").unlink(), "lacks surface.h5; export it again"),
    "no weights": (lambda f: (f / ORIGIN).unlink(), "lacks origin.safetensors; export it again"),
    "no path": (lambda f: (f / "ops-s0_proj_cos.h5").unlink(), "lacks ops-s0_proj_cos.h5; export it again"),
    "weights alone": (
        lambda f: [one.unlink() for one in f.glob("*.h5")],
        "lacks directions.h5, surface.h5, clean-s0_proj_cos.h5, ops-s0_proj_cos.h5",
    ),
    "of an earlier version": (_without_about, "does not say which surface it is the origin of"),
    "a surface of another": (_other_surface, "are not of one surface; export it again"),
    "a path of Li et al.": (_plain_projection, "does not say of which checkpoints its path is"),
    "damaged": (_cut_short, "directions.h5 is damaged"),
    "other parameters": (_other_about(parameters=["weight", "weight"]), "does not hold the weights that it lists"),
    "no list": (_other_about(parameters=7), "does not say which surface"),
    "a name that leads away": (_other_about(surface={"runs": ["../x"]}, roles={}), "lacks ../x_proj_cos.h5"),
    "options that are none": (
        _other_about(surface={"runs": ["clean-s0"], "options": {"plane": "round"}}, roles={}),
        "lacks what a surface needs",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_or_half_folder_is_one_sentence_and_leaves_nothing(case, tmp_path, folder):
    spoil, words = WRONG[case]
    spoil(folder)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=words.replace(".", r"\.")) as caught:
        import_runs(tmp_path / "again", [folder])
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_beside_runs_of_other_checkpoints(toy, tmp_path, folder):
    with toy.open_run("ops-s0") as run, Recorder(tmp_path / "ops-s0.h5", _linear(run)) as recorder:
        recorder.record(3)
    with pytest.raises(ValueError, match=r"The path of ops-s0 in .* is not of the checkpoints of that run here\."):
        import_runs(tmp_path / "again", [toy.run_path("clean-s0"), tmp_path / "ops-s0.h5", folder])
    assert not (tmp_path / "again").exists()


def _linear(run):
    from training import load_dataset
    from training.models import build_model

    data = load_dataset("toy")
    model = build_model("linear", data.input_shape, data.n_classes, seed=0)
    model.load_state_dict(run.state_dict(0))
    return model


def test_folders_of_checkpoints_are_no_exported_ones(tmp_path, folder):
    (folder / "model_1.pt").write_bytes(b"")
    runs = [folder]
    assert surface_kinds(runs) == {}
