"""What is taken away comes back: surfaces of Li et al.'s tool, npz, and the weights of any point, to the bit."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from safetensors.torch import load

from checkpoints import Recorder, open_run, read_result, write_bytes
from checkpoints.importing import import_checkpoints, read_state
from experiments import Experiment, ExperimentError, import_runs
from experiments.pictures import choose_surface, draw, surface_picture
from experiments.probe import network_of, plane_of, probe_point
from experiments.taking import take_surface
from experiments.taking_weights import li_files, weights_at
from tests.checkpoints.importing.samples import Small


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    folder.mkdir()
    for name, data in files.items():
        write_bytes(folder / name, data)
    return [folder / name for name in files if name.endswith(".h5")]


def test_lis_files_come_back_to_the_bit(toy, tmp_path):
    stored = choose_surface(toy)
    files = written(tmp_path / "li", li_files(toy, stored))
    runs = [toy.run_path(name) for name in stored.header["runs"]]
    said: list[str] = []
    again = import_runs(tmp_path / "again", [*runs, *files], model="linear", data="toy", say=said.append)
    found = choose_surface(again)
    for name in ("alphas", "betas", "loss", "accuracy", "origin", "axes"):
        assert found.arrays[name].dtype == stored.arrays[name].dtype
        assert found.arrays[name].tobytes() == stored.arrays[name].tobytes(), name
    assert found.header["explained_variance_ratio"] == stored.header["explained_variance_ratio"]
    assert found.header["options"]["plane"] == "pca"
    assert again.run_names() == toy.run_names()
    for name in again.run_names():
        key = f"path/{name}/coordinates"
        np.testing.assert_allclose(found.arrays[key], stored.arrays[key], atol=1e-9)
    assert sum("agrees with the path of" in note for note in said) == 2
    assert draw(again, "compare").data
    assert "sample size not known" in str(draw(again, "compare").layout.title)


def test_the_same_files_as_one_archive(toy):
    stored = choose_surface(toy)
    with zipfile.ZipFile(io.BytesIO(take_surface(toy, stored, "li"))) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == li_files(toy, stored)
    assert take_surface(toy, stored, "li") == take_surface(toy, stored, "li")


def test_npz_comes_back_to_the_bit_with_the_roles_of_its_runs(toy, tmp_path):
    stored = choose_surface(toy)
    (tmp_path / "s.npz").write_bytes(take_surface(toy, stored, "npz"))
    again = import_runs(tmp_path / "x", [tmp_path / "s.npz"])
    found = choose_surface(again)
    assert found.header == stored.header
    assert found.arrays.keys() == stored.arrays.keys()
    for name, array in stored.arrays.items():
        assert (found.arrays[name].dtype, found.arrays[name].tobytes()) == (array.dtype, array.tobytes())
    assert [again.role_of(name) for name in stored.header["runs"]] == ["clean", "poisoned"]
    assert draw(again, "compare").data


def test_weights_of_a_point_come_back_and_have_the_loss_the_app_tells(toy, tmp_path):
    stored = choose_surface(toy)
    alpha, beta = (float(stored.arrays[name][2]) for name in ("alphas", "betas"))
    (tmp_path / "w.safetensors").write_bytes(weights_at(toy, stored, alpha, beta))
    import_checkpoints([tmp_path / "w.safetensors"], tmp_path / "w.h5")
    point = plane_of(stored).point(alpha, beta).astype(np.float32)
    assert open_run(tmp_path / "w.h5").vector(0).tobytes() == point.tobytes()
    model = network_of(toy, stored)
    model.load_state_dict(read_state(tmp_path / "w.safetensors").tensors)
    from experiments.materials import sample
    from landscape import evaluate_states

    measured_on = sample(toy, "clean", samples=int(stored.header["options"]["samples"]))
    loss = evaluate_states(model, [model.state_dict()], measured_on.batches).loss[0]
    assert loss == pytest.approx(float(stored.arrays["loss"][2, 2]), rel=1e-5)
    told = next(one for one in probe_point(toy, stored, alpha, beta).losses if one.kind == "clean")
    assert loss == pytest.approx(told.loss, rel=1e-5)


def test_the_origin_is_the_last_checkpoint_to_the_bit_with_buffers_and_ties(tmp_path):
    model = Small()
    with Recorder(tmp_path / "a.h5", model) as recorder:
        for step in range(3):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += torch.randn_like(parameter)
                model.norm.bias[0] = -0.0
            model.norm(torch.randn(8, 4))
            recorder.record(step)
    experiment = import_runs(tmp_path / "x", [tmp_path / "a.h5"])
    run = open_run(tmp_path / "a.h5")
    D = run.vector(0).size
    axes = np.random.default_rng(0).standard_normal((2, D)).astype(np.float32)
    stored = type("Stored", (), {"header": {"runs": ["a-s0"]}, "arrays": {"origin": run.vector(2), "axes": axes}})()
    data = weights_at(experiment, stored, 0.0, 0.0)
    assert "last.weight" not in load(data)
    (tmp_path / "o.safetensors").write_bytes(data)
    import_checkpoints([tmp_path / "o.safetensors"], tmp_path / "o.h5")
    again, there = open_run(tmp_path / "o.h5").state_dict(0), run.state_dict(2)
    assert again.keys() == there.keys()
    for name in there:
        assert again[name].numpy().tobytes() == there[name].numpy().tobytes(), name
    moved = load(weights_at(experiment, stored, 1.0, 0.5))
    assert torch.equal(moved["table"], there["table"])
    assert not torch.equal(moved["first.weight"], there["first.weight"])


def test_solids_and_grids_of_an_experiment(toy):
    stored = choose_surface(toy)
    assert trimesh.load(io.BytesIO(take_surface(toy, stored, "stl")), file_type="stl").is_watertight
    assert b'NumberOfLines="2"' in take_surface(toy, stored, "vtp")
    with pytest.raises(ExperimentError, match="not as 'obj'"):
        take_surface(toy, stored, "obj")


def test_a_folder_of_lis_models_with_its_surface(tmp_path):
    """The golden files, with checkpoints that their directions fit."""
    golden = Path(__file__).parents[1] / "landscape" / "golden" / "li2018"
    from landscape.formats import li2018

    shapes = [t.shape for t in li2018.read_directions(golden / "directions.h5").axes[0]]
    (tmp_path / "resnet").mkdir()
    for epoch in range(7):
        state = {f"p{k}": torch.full(shape, 0.1 * epoch) for k, shape in enumerate(shapes)}
        torch.save({"acc": 90.0, "epoch": epoch, "state_dict": state}, tmp_path / "resnet" / f"model_{epoch}.t7")
        torch.save({"optimizer": {}}, tmp_path / "resnet" / f"opt_state_{epoch}.t7")
    given = [tmp_path / "resnet", golden / "directions.h5", golden / "surface.h5", golden / "pca_projection.h5"]
    said: list[str] = []
    experiment = import_runs(tmp_path / "x", given, say=said.append)
    found = choose_surface(experiment)
    assert found.header["options"]["plane"] == "random"
    surface = li2018.read_surface(golden / "surface.h5")
    np.testing.assert_array_equal(found.arrays["loss"], surface.values["train_loss"])
    np.testing.assert_allclose(found.arrays["accuracy"] * 100, surface.values["train_acc"])
    assert open_run(experiment.run_path("resnet-s0")).epochs.tolist() == list(range(7))
    assert surface_picture(experiment, found).paths[0].name == "resnet-s0"
    assert any("origin is step 6" in note for note in said)
    assert any("differs from the path of resnet-s0" in note for note in said)


def test_surfaces_that_cannot_be_used_leave_nothing(toy, tmp_path):
    golden = Path(__file__).parents[1] / "landscape" / "golden" / "li2018"
    run = toy.run_path("clean-s0")
    (tmp_path / "s.npz").write_bytes(take_surface(toy, choose_surface(toy), "npz"))
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    from landscape.formats.npz import read_npz, write_npz

    header, arrays = read_npz(tmp_path / "s.npz")
    del arrays["path/clean-s0/residual"]
    (tmp_path / "less.npz").write_bytes(write_npz(header, arrays))
    wrong = {
        "needs the folder": [golden / "surface.h5", golden / "directions.h5"],
        "give that file as well": [run, golden / "surface.h5"],
        "another network": [run, golden / "surface.h5", golden / "directions.h5"],
        "without its surface": [run, golden / "pca_projection.h5"],
        "no header": [tmp_path / "other.npz"],
        "lacks what a surface needs": [tmp_path / "less.npz"],
    }
    before = sorted(tmp_path.iterdir())
    for words, places in wrong.items():
        with pytest.raises(ValueError, match=words) as caught:
            import_runs(tmp_path / "x", places)
        assert "\n" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before


def test_an_experiment_that_holds_its_surface_keeps_it(toy, tmp_path):
    (tmp_path / "s.npz").write_bytes(take_surface(toy, choose_surface(toy), "npz"))
    first = import_runs(tmp_path / "x", [toy.run_path(name) for name in toy.run_names()])
    assert not first.result_files("surfaces")
    again = import_runs(tmp_path / "x", [tmp_path / "s.npz"])
    assert len(Experiment.open(again.path).result_files("surfaces")) == 1
    assert read_result(again.result_files("surfaces")[0], kind="surface").header["runs"] == ["clean-s0", "ops-s0"]
    assert again.run_names() == first.run_names()
    assert json.loads(json.dumps(choose_surface(again).header)) == choose_surface(toy).header
