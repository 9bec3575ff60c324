"""Settings of the Live page become experiments that can be started again and again without losing any."""

import pytest

from experiments import Experiment, ExperimentError, home, jobs, load_preset_or_file, override
from experiments.live_settings import LiveSettings, begin, own_strength, racers, set_aside
from experiments.spec import run_name


@pytest.fixture(autouse=True)
def started(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    calls = []
    monkeypatch.setattr(
        "experiments.jobs.launch", lambda arguments, log, environment: calls.append(list(arguments)) or 2**22
    )
    return calls


def settings(**changes):
    base = {"preset": "toy-ops", "arms": ("ops",), "ratio": 1.0, "strength": 1.0, "epochs": 10, "lr": 0.1, "seed": 0}
    return LiveSettings(**(base | changes))


def test_the_name_and_the_command_tell_the_settings():
    assert settings().name == "toy-ops-live", "what ships is not hidden by it"
    assert settings().spec().arms == load_preset_or_file("toy-ops").arms
    changed = settings(epochs=3, lr=0.05, seed=4, ratio=0.5, strength=0.4)
    assert changed.name == "toy-ops-ratio0.5-strength0.4-epochs3-lr0.05-seeds4"
    command = changed.arguments("f")
    assert command[:4] == ["run", "toy-ops", "--out", "f"]
    sets = [command[i + 1] for i, part in enumerate(command) if part == "--set"]
    again = override(load_preset_or_file("toy-ops"), [f"name={changed.name}", *sets])
    assert again == changed.spec(), "the command makes the very same experiment"


def test_up_to_three_poisons_race_and_strength_is_of_each_ones_own():
    assert racers("toy-ops")[:1] == ["ops"]
    assert "noise" in racers("toy-random")
    spec = settings(arms=("ops", "lsp", "uniform-noise"), strength=0.5).spec()
    assert list(spec.arms) == ["clean", "ops", "lsp", "uniform-noise"]
    assert spec.arms["uniform-noise"].control
    assert spec.arms["lsp"].strength == pytest.approx(0.5 * own_strength(spec.data, "lsp"), rel=1e-5)
    assert settings(arms=("lsp",)).arguments("f") == ["run", "f", "--live"]
    for wrong in ((), ("ops", "lsp", "class-random", "uniform-noise")):
        with pytest.raises(ExperimentError, match="1 to 3 poisons"):
            settings(arms=wrong).spec()


def test_earlier_results_are_set_aside_not_lost(started):
    job = begin(settings())
    assert started[-1][:2] == ["run", "toy-ops"]
    (home() / "toy-ops-live" / "runs").mkdir()
    (home() / "toy-ops-live" / "runs" / "clean-s0.h5").write_bytes(b"kept")
    assert not jobs.read_job(job.folder).running
    assert begin(settings()).experiment == "toy-ops-live"
    assert (home() / "toy-ops-live.1" / "runs" / "clean-s0.h5").read_bytes() == b"kept"
    assert Experiment.open(home() / "toy-ops-live").run_names() == []
    assert set_aside("toy-ops-live") is None


def test_another_viewer_s_training_goes_on(monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_JOBS", "1")
    monkeypatch.setattr("experiments.jobs.alive", lambda pid, born: True)
    first = begin(settings())
    second = begin(settings())
    assert (first.state, second.state, second.experiment) == ("running", "waiting", "toy-ops-live-2")
    assert second.label == "waiting for its turn"
    begin(settings(seed=1), mine="toy-ops-live-2")
    assert jobs.read_job(second.folder).state == "stopped"
    assert jobs.read_job(first.folder).state == "running"


def test_runs_of_a_training_have_their_names_and_roles_before_there_is_one():
    chosen = settings(arms=("ops", "uniform-noise"), seed=3)
    assert chosen.roles == {"clean-s3": "clean", "ops-s3": "poisoned", "uniform-noise-s3": "control"}
    arms = chosen.spec().arms
    assert [run_name(arm, 3) for arm in arms] == list(chosen.roles)
    assert [arms[name].control for name in arms] == [False, False, True]
