"""One network saved in two ways is one network: compared before the import, and put in one order, which is said."""

import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from checkpoints import CheckpointError, open_run
from cli import main
from experiments import ExperimentError, import_runs
from experiments import importing as importing_module
from tests.checkpoints.importing.samples import save, states


@pytest.fixture
def two(tmp_path):
    """The same walk as files of torch.save, in the model's order, and of safetensors, which sorts names."""
    save(tmp_path / "pt", ["m_1.pt", "m_2.pt"])
    (tmp_path / "st").mkdir()
    for i, state in enumerate(states(2), start=1):
        kept = {name: tensor for name, tensor in state.items() if name != "last.weight"}
        save_file(kept, tmp_path / "st" / f"m_{i}.safetensors", metadata={"last.weight": "first.weight"})
    return tmp_path / "pt", tmp_path / "st"


@pytest.mark.parametrize("turned", [False, True])
def test_the_order_of_the_first_run_holds_for_all(two, tmp_path, turned):
    said: list[str] = []
    places = [*two][:: -1 if turned else 1]
    experiment = import_runs(tmp_path / "x", places, say=said.append)
    pt, st = experiment.open_run("pt-s0"), experiment.open_run("st-s0")
    assert pt.parameters == st.parameters
    assert list(pt.parameters.names).index("norm.weight") == (2 if turned else 1)
    for i, state in enumerate(states(2)):
        np.testing.assert_array_equal(pt.vector(i), st.vector(i))
        assert torch.equal(st.state_dict(i)["norm.weight"], state["norm.weight"])
        assert torch.equal(st.state_dict(i)["norm.running_var"], state["norm.running_var"])
    first, second = ("st", "pt") if turned else ("pt", "st")
    assert f"{second}-s0: its parameters are put in the order of {first}-s0, which has the same ones" in said


def test_the_dry_run_says_it_too_and_recordings_lead(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["import", "x", "pt", "st", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "3 tensors, put in the order of pt-s0" in result.output
    import_runs(tmp_path / "one", [two[1]])
    shutil.copyfile(tmp_path / "one" / "runs" / "st-s0.h5", tmp_path / "rec.h5")
    experiment = import_runs(tmp_path / "two", [two[0], tmp_path / "rec.h5"])
    np.testing.assert_array_equal(experiment.open_run("pt-s0").vector(1), open_run(tmp_path / "rec.h5").vector(1))
    import_runs(tmp_path / "three", [two[0]])
    shutil.copyfile(tmp_path / "three" / "runs" / "pt-s0.h5", tmp_path / "other.h5")
    with pytest.raises(ExperimentError, match="give one of them as its folder of checkpoints"):
        import_runs(tmp_path / "four", [tmp_path / "rec.h5", tmp_path / "other.h5"])


def test_another_network_is_told_before_anything_is_imported(two, tmp_path, monkeypatch):
    def import_checkpoints(*given, **options):
        raise AssertionError("imported")

    monkeypatch.setattr(importing_module, "import_checkpoints", import_checkpoints)
    (tmp_path / "wide").mkdir()
    torch.save({"w": torch.zeros(3)}, tmp_path / "wide" / "m_1.pt")
    with pytest.raises(ExperimentError, match="wide-s0 is another network than pt-s0"):
        import_runs(tmp_path / "x", [*two, tmp_path / "wide"])
    (tmp_path / "wide" / "m_1.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        import_runs(tmp_path / "x", [*two, tmp_path / "wide"])
    assert not (tmp_path / "x").exists()
