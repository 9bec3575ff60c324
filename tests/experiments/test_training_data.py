"""What an arm trains on: poison, labels and defences; costly poisons are made once."""

import dataclasses

import numpy as np
import pytest
import torch

from checkpoints import read_result
from experiments import (
    Experiment,
    LiveObserver,
    Stopped,
    compute_sal,
    load_preset_or_file,
    override,
    poisons,
    train_experiment,
)
from experiments.materials import arm_inputs, build_defences, dataset_of, sample
from experiments.poisons import poison_key, poisoned_inputs
from experiments.spec import ArmSpec, DefenceSpec, SpecError
from experiments.spec_toml import load_spec, spec_from_table, spec_to_table
from training import build_defence, poison
from training.unlearnable import UNLEARNABLE, Perturbation

SMALL = ["data.name=digits", "data.size=12", "data.n_train=200", "model.name=linear", "training.epochs=1"]


def make(tmp_path, arms, defences=None, *assignments, name="e"):
    spec = load_preset_or_file("toy-ops")
    spec = dataclasses.replace(spec, data=dataclasses.replace(spec.data, options={}))
    table = spec_to_table(override(spec, [*SMALL, *assignments]))
    table |= {"arms": {"clean": {}, **arms}, "defences": defences or {}}
    return Experiment.create(spec_from_table(table), tmp_path / name)


def noisy(dataset, *, seed, strength=None):
    """A control that shifts every label and no pixel."""
    shifted = (dataset.y_train + 1) % dataset.n_classes
    return Perturbation(np.zeros(dataset.x_train.shape), "shifted labels", "all labels", 1.0, shifted)


class Slow:
    """A method that reports its steps and counts how often it is run."""

    def __init__(self):
        self.runs = 0

    def __call__(self, dataset, *, seed, strength=None, size=0.1, progress=None):
        self.runs += 1
        for done in (1, 2, 3):
            progress(done, 3)
        delta = np.random.default_rng(seed).uniform(-size, size, dataset.x_train.shape)
        return Perturbation(delta, "slow", "little", size)


@pytest.fixture
def slow(monkeypatch):
    method = Slow()
    monkeypatch.setitem(UNLEARNABLE, "slow", method)
    monkeypatch.setattr(poisons, "COSTLY", -1.0)
    return method


class Watch:
    def __init__(self):
        self.phases, self.units = [], 0

    def start(self, label, total, done=0):
        self.phases.append((label, total, done))

    def advance(self, units=1):
        self.units += units


def inputs_of(experiment, arm, seed=0, **options):
    return arm_inputs(experiment, dataset_of(experiment.spec), arm, seed, **options)


def test_an_arm_without_anything_trains_on_the_data_as_they_are(tmp_path):
    experiment = make(tmp_path, {"ops": {"method": "ops"}})
    data, own = dataset_of(experiment.spec), inputs_of(experiment, "clean")
    assert own.inputs is data.x_train
    assert own.targets is data.y_train
    assert own.description == "the data as they are"
    made = poison("ops", data, seed=0)
    assert np.array_equal(inputs_of(experiment, "ops").inputs, made.x_train)
    assert inputs_of(experiment, "ops").description == made.description


def test_defences_prepare_the_poisoned_inputs_in_order(tmp_path):
    arms = {"both": {"method": "class-random", "defences": ["soft", "bdr"]}, "only": {"defences": ["soft"]}}
    experiment = make(tmp_path, arms, {"soft": {"method": "gaussian-blur", "sigma": 0.7}})
    data, blur = dataset_of(experiment.spec), build_defence("gaussian-blur", sigma=0.7)
    assert build_defences(experiment.spec, "both") == [blur, build_defence("bdr")]
    made = poison("class-random", data, seed=0)
    expected = blur.prepare(made.x_train, data.y_train, seed=0)
    expected = build_defence("bdr").prepare(expected, data.y_train, seed=0)
    own = inputs_of(experiment, "both")
    assert np.array_equal(own.inputs, expected)
    assert own.description.endswith("; then Gaussian blur, 3×3, σ = 0.7; then bit depth reduced to 2 bits")
    only = inputs_of(experiment, "only")
    assert np.array_equal(only.inputs, blur.prepare(data.x_train, data.y_train, seed=0))
    assert experiment.spec.clean_arm == "clean"
    measured = sample(experiment, "both")
    assert np.array_equal(torch.cat([x for x, _ in measured.batches]).numpy(), expected)


def test_training_uses_the_defences_and_says_so(tmp_path):
    arms = {"ops": {"method": "ops"}, "mixed": {"method": "ops", "defences": ["mixup"]}}
    experiment = make(tmp_path, arms)
    train_experiment(experiment)
    plain, mixed = experiment.open_run("ops-s0"), experiment.open_run("mixed-s0")
    assert plain.metadata["inputs_fingerprint"] == mixed.metadata["inputs_fingerprint"]
    assert mixed.metadata["poison"].endswith("; then MixUp, α = 1")
    assert not np.array_equal(plain.vector(-1), mixed.vector(-1))
    again = make(tmp_path, arms, name="again")
    with pytest.raises(Stopped):
        train_experiment(again, progress=StopAfter(4))
    train_experiment(again)
    assert again.open_run("mixed-s0").fingerprint == mixed.fingerprint


class StopAfter(Watch):
    def __init__(self, left):
        super().__init__()
        self.left = left

    def advance(self, units=1):
        self.left -= units
        if self.left <= 0:
            raise Stopped


def test_noisy_labels_are_trained_and_measured_on(tmp_path, monkeypatch):
    monkeypatch.setitem(UNLEARNABLE, "shift", noisy)
    experiment = make(tmp_path, {"shift": {"method": "shift", "control": True}}, None, "training.epochs=40")
    data = dataset_of(experiment.spec)
    shifted = (data.y_train + 1) % 10
    assert np.array_equal(inputs_of(experiment, "shift").targets, shifted)
    observer = LiveObserver(experiment)
    train_experiment(experiment, observe=observer)
    run = experiment.open_run("shift-s0")
    assert run.metrics["train_accuracy"][-1] > 0.9
    assert run.metrics["test_accuracy"][-1] < 0.2
    few, own = (sample(experiment, on, samples=50) for on in ("clean", "shift"))
    assert torch.equal(few.batches[0][0], own.batches[0][0])  # the same samples
    assert torch.equal((few.batches[0][1] + 1) % 10, own.batches[0][1])
    assert compute_sal(experiment, runs=["shift-s0"])


def test_a_costly_poison_is_made_once(tmp_path, slow):
    experiment = make(tmp_path, {"slow": {"method": "slow", "size": 0.2}})
    data, watch = dataset_of(experiment.spec), Watch()
    arm = experiment.spec.arms["slow"]
    made = poisoned_inputs(experiment, data, arm, 0, progress=watch)
    assert watch.phases == [("making the poison slow, seed 0", 3, 1)]
    assert watch.units == 2
    (file,) = (experiment.path / "poisons").glob("*.h5")
    assert file.stem == poison_key(data, arm, 0)
    stored = read_result(file, kind="poison")
    assert stored.arrays["inputs"].dtype == np.uint8
    assert stored.header["description"] == made.description
    assert stored.header["options"]["size"] == 0.2
    assert stored.header["versions"]["numpy"] == np.__version__
    again = poisoned_inputs(experiment, data, arm, 0)
    assert slow.runs == 1
    for entry in ("x_train", "y_train", "perturbation", "changed"):
        assert getattr(again, entry).tobytes() == getattr(made, entry).tobytes()
        assert getattr(again, entry).dtype == getattr(made, entry).dtype
    assert (again.method, again.budget, again.description) == (made.method, made.budget, made.description)
    assert again.options == made.options
    poisoned_inputs(experiment, data, arm, 1)
    assert slow.runs == 2


def test_a_permuted_arm_takes_the_poison_that_another_arm_has_made(tmp_path, slow, monkeypatch):
    monkeypatch.setattr(poisons, "COSTLY", -1.0)
    own = {"method": "slow", "size": 0.07}
    arms = {"slow": own, "control": own | {"permute": True, "control": True}}
    experiment = make(tmp_path, arms)
    data = dataset_of(experiment.spec)
    plain, control = (arm_inputs(experiment, data, arm, 0) for arm in arms)
    assert slow.runs == 1
    assert control.description == f"{plain.description}, permuted across samples"
    quietly = poison("slow", data, seed=0, size=0.07, permute=True, progress=lambda done, total: None)
    assert np.array_equal(control.inputs, quietly.x_train)
    wrong = make(tmp_path, {"c": {"method": "slow", "permute": "yes"}}, name="wrong")
    with pytest.raises(ValueError, match="true or false, not 'yes'"):
        arm_inputs(wrong, data, "c", 0)


def test_float_inputs_are_kept_exactly(tmp_path, slow):
    experiment = make(tmp_path, {"slow": {"method": "slow"}}, None, "data.name=toy")
    spec = dataclasses.replace(experiment.spec, data=dataclasses.replace(experiment.spec.data, options={}))
    data, arm = dataset_of(spec), spec.arms["slow"]
    made, again = (poisoned_inputs(experiment, data, arm, 0) for _ in range(2))
    assert slow.runs == 1
    assert np.array_equal(made.x_train, again.x_train)


def test_cheap_poisons_leave_no_file(tmp_path):
    experiment = make(tmp_path, {"ops": {"method": "ops"}})
    inputs_of(experiment, "ops")
    assert not (experiment.path / "poisons").exists()


def test_experiments_of_a_bench_share_their_poisons(tmp_path, slow):
    (tmp_path / "bench.toml").write_text("")
    arms = {"slow": {"method": "slow"}}
    first, second = make(tmp_path, arms, name="a"), make(tmp_path, arms, name="b")
    data = dataset_of(first.spec)
    for experiment in (first, second):
        poisoned_inputs(experiment, data, experiment.spec.arms["slow"], 0)
    assert slow.runs == 1
    assert len(list((tmp_path / "poisons").glob("*.h5"))) == 1
    assert not (first.path / "poisons").exists()


def test_a_damaged_poison_is_made_again(tmp_path, slow):
    experiment = make(tmp_path, {"slow": {"method": "slow"}})
    data, arm = dataset_of(experiment.spec), experiment.spec.arms["slow"]
    made = poisoned_inputs(experiment, data, arm, 0)
    (file,) = (experiment.path / "poisons").glob("*.h5")
    file.write_bytes(file.read_bytes()[:5000])
    assert np.array_equal(poisoned_inputs(experiment, data, arm, 0).x_train, made.x_train)
    assert slow.runs == 2
    assert read_result(file, kind="poison")


def test_a_poison_can_be_stopped(tmp_path, slow):
    experiment = make(tmp_path, {"slow": {"method": "slow"}})
    with pytest.raises(Stopped):
        train_experiment(experiment, progress=StopAfter(1))
    assert not (experiment.path / "poisons").exists()
    train_experiment(experiment)
    assert slow.runs == 2


def test_keys_follow_everything_that_determines_a_poison(tmp_path, slow):
    data = dataset_of(make(tmp_path, {"ops": {"method": "ops"}}).spec)
    base = ArmSpec("slow")
    same = poison_key(data, base, 0)
    assert same == poison_key(data, dataclasses.replace(base, options={"size": 0.1}, control=True), 0)
    assert same == poison_key(data, dataclasses.replace(base, ratio=1), 0)
    others = [
        poison_key(data, base, 1),
        poison_key(data.subset(100, 0), base, 0),
        *(
            poison_key(data, dataclasses.replace(base, **change), 0)
            for change in ({"ratio": 0.5}, {"strength": 0.3}, {"options": {"size": 0.2}}, {"method": "ops"})
        ),
    ]
    assert len({same, *others}) == 7


def test_prepared_arms_are_kept_in_memory(tmp_path, slow, monkeypatch):
    monkeypatch.setattr(poisons, "COSTLY", 1e9)
    experiment = make(tmp_path, {"slow": {"method": "slow", "size": 0.123}})
    assert inputs_of(experiment, "slow") is inputs_of(experiment, "slow")
    assert slow.runs == 1
    assert inputs_of(experiment, "slow", 1) is not inputs_of(experiment, "slow", 0)
    assert slow.runs == 2


@pytest.mark.parametrize(
    ("arm", "defences", "sentence"),
    [
        (["jpg"], {}, "arm x: there is no defence called 'jpg'; did you mean jpeg"),
        (["sofd"], {"soft": {"method": "jpeg"}}, "did you mean soft"),
        (["zzzz"], {}, "known are jpeg, grayscale"),
        ([], {"soft": {"method": "jpg"}}, r"defences\.soft: There is no defence called 'jpg'; did you mean jpeg"),
        ([], {"soft": {"method": "jpeg", "qualty": 3}}, "no option 'qualty'; did you mean quality"),
        ([], {"soft": {"method": "gaussian-blur", "sigma": 0.1}}, "does not blur"),
        ([], {"soft": {"quality": 3}}, r"defences\.soft: method is ''; it must be the name of a defence"),
    ],
)
def test_unknown_defences_are_refused_when_a_spec_is_loaded(arm, defences, sentence):
    table = {"name": "x", "arms": {"x": {"defences": arm}}, "defences": defences}
    with pytest.raises(SpecError, match=sentence) as caught:
        spec_from_table(table)
    assert "\n" not in str(caught.value)


def test_defences_survive_toml(tmp_path):
    experiment = make(tmp_path, {"a": {"defences": ["soft", "jpeg"]}}, {"soft": {"method": "mixup", "alpha": 0.4}})
    read = load_spec(experiment.path / "experiment.toml")
    assert read.arms["a"].defences == ("soft", "jpeg")
    assert read.defence("soft") == DefenceSpec("mixup", {"alpha": 0.4})
    assert read.defence("jpeg") == DefenceSpec("jpeg")
