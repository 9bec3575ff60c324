"""Defences in the training loop: on every training batch, never on what is measured, the same after a stop."""

import pytest
import torch
from torch.nn import functional

from checkpoints import open_run
from tests.training.samples import images
from tests.training.test_loop import Notes, record, same, trainer
from training import Defence, batches, build_defence, build_model


class Watch(Defence):
    """Notes what it is given and changes nothing."""

    description = "watch"

    def __init__(self):
        self.seen = []

    def batch(self, model, inputs, targets, *, generator, epoch=0):
        self.seen.append((model.training, inputs.clone(), generator.initial_seed(), epoch))
        return inputs, targets


def run(defences, recorder=None, **settings):
    data = images(n=40)
    model = build_model("resnet-small", data.input_shape, 4, seed=0)
    notes = recorder(model) if recorder else Notes(model)
    evaluation = {"train": batches(data.x_train, data.y_train, 16), "test": batches(data.x_test, data.y_test, 16)}
    settings = {"batch_size": 16, "checkpoint_every": 1, "momentum": 0.9} | settings
    list(trainer(data, model, notes, evaluation=evaluation, defences=defences, **settings).steps())
    return notes


def test_defences_see_every_training_batch_and_nothing_else():
    watch = Watch()
    notes = run([watch])
    assert len(watch.seen) == 6
    assert all(training for training, *_ in watch.seen)
    assert [epoch for *_, epoch in watch.seen] == [0, 0, 0, 1, 1, 1]
    assert len({seed for *_, seed, _ in watch.seen}) == 6
    plain = run([])
    assert all(same(a, b) for a, b in zip(notes.states, plain.states, strict=True))


def test_defences_act_in_order_after_augmentation():
    watch, later = Watch(), Watch()
    run([watch, build_defence("cutout", size=3), later], augmentation="crop-flip")
    plain = Watch()
    run([plain], augmentation="crop-flip")
    assert torch.equal(watch.seen[0][1], plain.seen[0][1])
    erased = later.seen[0][1] != watch.seen[0][1]
    assert 0 < erased[:, 0].float().mean() < 0.5


def test_soft_targets_are_learned_by_cross_entropy():
    data = images(n=16)
    model = build_model("linear", data.input_shape, 4, seed=0)
    reference = build_model("linear", data.input_shape, 4, seed=0)
    watch = Watch()
    list(trainer(data, model, Notes(model), defences=[watch, build_defence("mixup")], epochs=1).steps())
    generator = torch.Generator().manual_seed(watch.seen[0][2])
    order = [int((torch.from_numpy(data.x_train) == x).flatten(1).all(dim=1).nonzero()) for x in watch.seen[0][1]]
    x, y = build_defence("mixup").batch(
        reference, watch.seen[0][1], torch.from_numpy(data.y_train[order]), generator=generator
    )
    loss = -(y * functional.log_softmax(reference(x), dim=1)).sum(dim=1).mean()
    (gradient,) = torch.autograd.grad(loss, reference.fc.weight)
    assert torch.allclose(model.fc.weight, reference.fc.weight - 0.1 * gradient, atol=1e-6)


def test_stopped_training_with_defences_resumes_to_the_same_bits(tmp_path):
    data = images(n=40, shape=(1, 8, 8))
    settings = {"defences": [build_defence(name) for name in ("cutmix", "ueraser")], "batch_size": 16, "momentum": 0.9}
    record(tmp_path / "whole.h5", data, "resnet-small", checkpoint_every=1, **settings)
    for stop in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            record(tmp_path / "parts.h5", data, "resnet-small", checkpoint_every=1, stop_after=stop, **settings)
    record(tmp_path / "parts.h5", data, "resnet-small", checkpoint_every=1, **settings)
    with open_run(tmp_path / "whole.h5") as whole, open_run(tmp_path / "parts.h5") as parts:
        assert whole.fingerprint == parts.fingerprint


def test_adversarial_training_trains_on_adversarial_inputs():
    later = Watch()
    run([build_defence("adversarial-training", steps=2), later], epochs=1)
    first = Watch()
    run([first], epochs=1)
    moved = (later.seen[0][1] - first.seen[0][1]).abs().max()
    assert 0.01 < moved <= 8 / 255 + 1e-6
