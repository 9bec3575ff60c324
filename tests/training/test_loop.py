"""The training loop: the very steps of SGD, recorded, repeatable and resumable to the same bits."""

import itertools
import math
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from checkpoints import Recorder, open_run
from tests.training.samples import images, vectors
from training import Trainer, batches, build_model, mean_loss, poison


@dataclass
class Notes:
    """A recorder that keeps everything in memory."""

    model: nn.Module
    steps: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    metrics: list = field(default_factory=list)
    states: list = field(default_factory=list)

    def restore(self):
        return None

    def record(self, step, *, epoch=None, **metrics):
        self.steps.append(step)
        self.epochs.append(epoch)
        self.metrics.append(metrics)
        self.states.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})


def trainer(data, model, recorder, *, inputs=None, evaluation=None, **settings):
    settings = {"epochs": 2, "batch_size": 16, "lr": 0.1, "seed": 0} | settings
    x = torch.from_numpy(data.x_train if inputs is None else inputs)
    return Trainer(model, x, torch.from_numpy(data.y_train), recorder=recorder, evaluation=evaluation or {}, **settings)


def train(data, name="linear", *, inputs=None, **settings):
    model = build_model(name, data.input_shape, data.n_classes, seed=settings.get("seed", 0))
    notes = Notes(model)
    evaluation = {"train": batches(data.x_train, data.y_train, 64), "test": batches(data.x_test, data.y_test, 64)}
    list(trainer(data, model, notes, inputs=inputs, evaluation=evaluation, **settings).steps())
    return notes


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_steps_are_those_of_sgd_by_hand():
    data = vectors(n=50)
    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "lr_milestones": (1, 3), "lr_decay": 0.5}
    notes = train(data, epochs=4, batch_size=16, checkpoint_every=1, **settings)
    weight = notes.states[0]["fc.weight"].double().numpy()
    velocity, step = None, 0
    for epoch in range(4):
        lr = 0.05 * 0.5 ** sum(epoch >= m for m in (1, 3))
        order = np.random.default_rng([0, epoch]).permutation(50)
        for start in range(0, 50, 16):
            x = data.x_train[order[start : start + 16]].astype(np.float64)
            y = data.y_train[order[start : start + 16]]
            logits = x @ weight.T
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(len(y)), y] -= 1
            gradient = p.T @ x / len(y) + 0.01 * weight
            velocity = gradient if velocity is None else 0.9 * velocity + gradient
            weight = weight - lr * velocity
            step += 1
            assert np.abs(notes.states[step]["fc.weight"].numpy() - weight).max() < 1e-4
            assert notes.metrics[step]["learning_rate"] == pytest.approx(lr)
    assert step == len(notes.states) - 1 == 16


@pytest.mark.parametrize(
    ("every", "expected"),
    [(None, [0, 4, 8, 12]), (1, list(range(13))), (5, [0, 5, 10, 12]), (6, [0, 6, 12]), (100, [0, 12])],
)
def test_the_first_the_last_and_every_nth_step_are_recorded(every, expected):
    data = vectors(n=50)  # 4 batches, the last one of 2 samples
    model = build_model("linear", (12,), 5, seed=0)
    notes = Notes(model)
    run = trainer(data, model, notes, epochs=3, checkpoint_every=every)
    yielded = list(run.steps())
    assert yielded == notes.steps == expected
    assert (run.total_steps, run.total_checkpoints) == (12, len(expected))
    assert notes.epochs == [step / 4 for step in expected]
    assert same(notes.states[0], build_model("linear", (12,), 5, seed=0).state_dict())


def test_each_epoch_sees_every_sample_once_in_an_order_of_its_own():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            seen.append(x[:, 0].detach().clone())
            return super().forward(x)

    x = torch.arange(50.0)[:, None] * torch.ones(1, 3)
    model = Spy(3, 2)
    list(
        Trainer(
            model,
            x,
            torch.arange(50) % 2,
            epochs=2,
            batch_size=16,
            lr=1e-9,
            seed=3,
            recorder=Notes(model),
            evaluation={},
        ).steps()
    )
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 2
    assert torch.equal(first.sort().values, torch.arange(50.0))
    assert torch.equal(second.sort().values, torch.arange(50.0))
    assert not torch.equal(first, second)
    assert first.tolist() == np.random.default_rng([3, 0]).permutation(50).tolist()


def test_clean_and_poisoned_runs_share_weights_and_batches():
    data = vectors(n=100)
    made = poison("ops", data, seed=0, ratio=0.5)
    clean, poisoned = train(data, checkpoint_every=1), train(data, inputs=made.x_train, checkpoint_every=1)
    assert same(clean.states[0], poisoned.states[0])
    assert not same(clean.states[1], poisoned.states[1])
    # With an order of samples that did not match, untouched data would not give the clean run again.
    assert same(clean.states[-1], train(data, inputs=data.x_train.copy(), checkpoint_every=1).states[-1])


@pytest.mark.parametrize("name", ["linear", "resnet-small"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name):
    data = images(n=40, shape=(1, 8, 8))
    settings = {"momentum": 0.9, "augmentation": "crop-flip"}
    first, again, other = (train(data, name, seed=s, **settings) for s in (0, 0, 1))
    assert all(same(a, b) for a, b in zip(first.states, again.states, strict=True))
    assert first.metrics == again.metrics
    assert not same(first.states[-1], other.states[-1])


def test_metrics_are_full_passes_in_evaluation_mode():
    data = images(n=70, shape=(1, 8, 8))
    notes = train(data, "resnet-small", epochs=1)
    model = build_model("resnet-small", data.input_shape, data.n_classes, seed=0)
    for state, metrics in zip(notes.states, notes.metrics, strict=True):
        model.load_state_dict(state)
        model.double().eval()
        for part, x, y in (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test)):
            logits = model(torch.from_numpy(x).double())
            expected = functional.cross_entropy(logits, torch.from_numpy(y))
            assert metrics[f"{part}_loss"] == pytest.approx(expected.item(), rel=1e-5)
            assert metrics[f"{part}_accuracy"] == float((logits.argmax(1).numpy() == y).mean())
        model.float()


def test_mean_loss_weighs_samples_not_batches_and_restores_the_mode():
    model = build_model("resnet-small", (1, 8, 8), 3, seed=0)
    x, y = torch.rand(10, 1, 8, 8), torch.arange(10) % 3
    whole = mean_loss(model, [(x, y)])
    assert mean_loss(model, batches(x, y, 7)) == pytest.approx(whole, rel=1e-6)
    assert model.training
    model.eval()
    mean_loss(model, [(x, y)])
    assert not model.training
    with pytest.raises(ValueError, match="no samples"):
        mean_loss(model, [])


class Dropped(nn.Module):
    """A network with chance of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 4)

    def forward(self, x):
        x = functional.dropout(functional.relu(self.norm(self.first(x.flatten(1)))), 0.5, self.training)
        return self.last(x)


def network(name):
    if name != "dropout":
        return build_model(name, (1, 8, 8), 4, seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Dropped()


def record(path, data, name, *, stop_after=None, **settings):
    """Train into a real recording; stop, as a crash would, after some checkpoints."""
    model = network(name)

    def resume_state():
        return run.state()

    with Recorder(path, model, resume_state=resume_state) as recorder:
        run = trainer(data, model, recorder, evaluation={"test": batches(data.x_test, data.y_test, 5)}, **settings)
        for count, _ in enumerate(run.steps(), start=1):
            if count == stop_after:
                raise KeyboardInterrupt


@pytest.mark.parametrize("stops", [(1,), (2,), (4,), (3, 1, 2), (8,)])
@pytest.mark.parametrize("name", ["linear", "resnet-small", "dropout"])
def test_a_stopped_recording_resumes_to_the_same_bits(tmp_path, name, stops):
    data = images(n=44, shape=(1, 8, 8))  # 5 batches an epoch, checkpoints every 2: most stops lie inside an epoch
    settings = {"batch_size": 9, "epochs": 3, "checkpoint_every": 2, "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
    settings |= {"augmentation": "crop-flip", "lr_milestones": (1, 2), "lr_decay": 0.3}
    record(tmp_path / "whole.h5", data, name, **settings)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            record(tmp_path / "stopped.h5", data, name, stop_after=stop, **settings)
        torch.rand(7)  # what others draw in between must not matter
    record(tmp_path / "stopped.h5", data, name, **settings)
    whole, stopped = open_run(tmp_path / "whole.h5"), open_run(tmp_path / "stopped.h5")
    assert whole.steps.tolist() == stopped.steps.tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 15]
    for i in range(len(whole)):
        first, second = whole.state_dict(i), stopped.state_dict(i)
        assert all(np.array_equal(np.asarray(first[key]), np.asarray(second[key])) for key in first)
    assert all(np.array_equal(whole.metrics[key], stopped.metrics[key]) for key in whole.metrics)


def test_runs_in_turn_are_the_runs_alone():
    data = images(n=44, shape=(1, 8, 8))
    alone, turns = [], []
    for together in (alone, turns):
        for name in ("dropout", "resnet-small"):
            model = network(name)
            notes = Notes(model)
            together.append((notes, trainer(data, model, notes, momentum=0.9, checkpoint_every=1).steps()))
    for _, steps in alone:
        list(steps)
    for _ in zip(*(steps for _, steps in turns), strict=True):
        pass
    for (first, _), (second, _) in zip(alone, turns, strict=True):
        assert all(same(a, b) for a, b in zip(first.states, second.states, strict=True))


def test_no_global_state_is_changed():
    data = images(n=44, shape=(1, 8, 8))
    model = network("dropout")
    before = random.getstate(), torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    list(trainer(data, model, Notes(model), augmentation="crop-flip").steps())
    after = random.getstate(), torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])
    assert before[2:] == after[2:]


@pytest.mark.parametrize(("channels", "pad"), [(1, 2), (3, 4)])
def test_crop_and_flip_shift_within_the_padding_and_mirror(channels, pad):
    data = images(n=200, shape=(channels, 9, 8), low=1)
    run = trainer(data, nn.Linear(1, 1), None, augmentation="crop-flip")
    x = torch.from_numpy(data.x_train)
    moved = run._augment(x, step=5)
    assert moved.shape == x.shape
    padded = functional.pad(x, (pad, pad, pad, pad))
    places = {}
    for before, after in zip(padded, moved, strict=True):
        found = []
        for row, column in itertools.product(range(2 * pad + 1), repeat=2):
            crop = before[:, row : row + 9, column : column + 8]
            found += [
                (row, column, flip) for flip in (False, True) if torch.equal(crop.flip(2) if flip else crop, after)
            ]
        assert len(found) == 1
        places[found[0]] = places.get(found[0], 0) + 1
    assert {row for row, _, _ in places} == {column for _, column, _ in places} == set(range(2 * pad + 1))
    flipped = sum(count for (_, _, flip), count in places.items() if flip)
    assert 70 < flipped < 130
    assert torch.equal(run._augment(x, step=5), moved)
    assert not torch.equal(run._augment(x, step=6), moved)


def test_losses_that_are_not_finite_are_recorded_like_others():
    data = vectors(n=50)
    notes = train(data, "mlp", lr=1e25, epochs=3)
    assert notes.steps == [0, 4, 8, 12]
    assert math.isfinite(notes.metrics[0]["train_loss"])
    assert not math.isfinite(notes.metrics[-1]["train_loss"])
    assert 0 <= notes.metrics[-1]["test_accuracy"] <= 1


def test_any_module_trains_and_learns():
    data = vectors(n=200, classes=3)
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 3))
    notes = Notes(model)
    evaluation = {"train": batches(data.x_train, data.y_train, 64)}
    list(trainer(data, model, notes, evaluation=evaluation, epochs=60, lr=0.1).steps())
    assert notes.metrics[-1]["train_loss"] < notes.metrics[0]["train_loss"] - 0.3
    assert set(notes.metrics[0]) == {"learning_rate", "train_loss", "train_accuracy"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"lr": 0.0}, "positive number"),
        ({"lr": float("nan")}, "positive number"),
        ({"checkpoint_every": -1}, "at least 1 step apart, not -1"),
        ({"augmentation": "mixup"}, "'none' or 'crop-flip', not 'mixup'"),
        ({"augmentation": "crop-flip"}, "crop-flip is for images"),
        ({"seed": -1}, "0 or more"),
        ({"inputs": np.zeros((3, 12), np.float32)}, "as many targets as inputs, not 80 for 3"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(settings, sentence):
    data = vectors()
    with pytest.raises(ValueError, match=sentence):
        trainer(data, nn.Linear(12, 5), None, **settings)


class Scaled(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, outputs, targets):
        return functional.cross_entropy(outputs, targets) / self.scale.square() + self.scale.square()


def test_any_loss_is_trained_on_and_cross_entropy_by_name_changes_no_bit():
    data = images()
    plain = train(data)
    model = build_model("linear", data.input_shape, data.n_classes, seed=0)
    notes = Notes(model)
    list(trainer(data, model, notes, loss=functional.cross_entropy).steps())
    assert all(same(a, b) for a, b in zip(plain.states, notes.states, strict=True))


def test_a_loss_with_parameters_is_trained_and_resumed_to_the_same_bits(tmp_path):
    data, made = images(), []

    def begin(path, loss):
        model = build_model("linear", data.input_shape, data.n_classes, seed=0)
        recorder = Recorder(path, model, resume_state=lambda: made[-1].state())  # noqa: PLW0108  (made later)
        also = {"loss": loss, "also": lambda: {"scale": float(loss.scale.detach())}, "momentum": 0.9}
        made.append(trainer(data, model, recorder, checkpoint_every=1, **also))
        return recorder, made[-1]

    recorder, run = begin(tmp_path / "whole.h5", Scaled())
    with recorder:
        list(run.steps())
    recorder, run = begin(tmp_path / "parts.h5", Scaled())
    list(itertools.islice(run.steps(), 4))
    recorder.close()
    recorder, run = begin(tmp_path / "parts.h5", Scaled())
    with recorder:
        list(run.steps())
    whole, parts = open_run(tmp_path / "whole.h5"), open_run(tmp_path / "parts.h5")
    assert np.array_equal(whole.vectors(), parts.vectors())
    assert np.array_equal(whole.metrics["scale"], parts.metrics["scale"])
    assert len(set(whole.metrics["scale"])) == len(whole)


def test_what_is_measured_is_recorded_under_the_name_of_the_part():
    data = images()
    model = build_model("linear", data.input_shape, data.n_classes, seed=0)
    notes = Notes(model)
    evaluation = {"test": batches(data.x_test, data.y_test, 4)}
    run = trainer(data, model, notes, evaluation=evaluation, measure=lambda m, b: {"batches": float(len(b))})
    list(run.steps())
    assert all(found == {"learning_rate": 0.1, "test_batches": 2.0} for found in notes.metrics)


def test_targets_of_pixels_are_not_moved_by_augmentation():
    data = images()
    model = build_model("linear", data.input_shape, data.n_classes, seed=0)
    x, maps = torch.from_numpy(data.x_train), torch.zeros(len(data.y_train), 30)
    with pytest.raises(ValueError, match="moves images, but not targets of their pixels"):
        Trainer(
            model,
            x,
            maps,
            epochs=1,
            batch_size=4,
            lr=0.1,
            seed=0,
            augmentation="crop-flip",
            recorder=Notes(model),
            evaluation={},
        )
