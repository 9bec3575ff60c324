"""Error-minimising noise for networks of several tasks; methods by class on images of rooms' size."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.training.samples import images, levels
from tests.training.tasks.samples import dense_images
from training import Dataset, poison
from training.tasks import TASKS
from training.unlearnable import ar, surrogate
from training.unlearnable.goals import make_goal

QUICK = {"max_rounds": 1, "train_batches": 2, "steps": 2}


def data(n=24, size=16, classes=3):
    train, test = dense_images(n=n, size=size, classes=classes), dense_images(n=classes, size=size, classes=classes)
    dense = {"dense_train": train[2], "dense_test": test[2]}
    return Dataset("rectangles", train[0], train[1], test[0], test[1], classes, "image", True, **dense)


@pytest.mark.parametrize("tasks", ["scene", "depth_euclidean", "all"])
def test_budgets_labels_and_seeds(tasks):
    some = data()
    before = some.fingerprint
    made, again, other = (poison("em", some, seed=s, tasks=tasks, **QUICK) for s in (3, 3, 4))
    change = levels(made.x_train) - levels(some.x_train)
    assert np.abs(change).max() == 3  # two steps of 0.2 · 8 grey levels, rounded
    assert made.x_train.tobytes() == again.x_train.tobytes() != other.x_train.tobytes()
    assert np.array_equal(made.y_train, some.y_train)
    assert dataclasses.replace(some).fingerprint == before  # dense targets are those of the clean images
    assert "L∞ ≤ 8/255" in made.budget
    assert "for " in made.description


@pytest.mark.parametrize("tasks", ["", *TASKS, "all"])
def test_steps_make_the_goals_loss_smaller(tasks):
    some = data()
    task = surrogate.make_task(some, seed=0, strength=None, surrogate=None, device="cpu")
    goal = make_goal(some, task, tasks)
    model = goal.build(task)
    whole, delta = slice(0, 24), torch.zeros_like(task.inputs)
    with surrogate.frozen(model):
        loss = goal.at(task, model, whole, 0)
        moved = surrogate.descend(task, task.inputs, delta, loss, steps=5, step=0.2)
        assert float(loss(task.inputs + moved)) < float(loss(task.inputs))
        assert float(loss(task.inputs)) == float(loss(task.inputs))  # what it draws is fixed


def test_the_goals_differ_and_the_plain_one_is_as_ever():
    some = data()
    made = {tasks: poison("em", some, seed=0, tasks=tasks, **QUICK).x_train.tobytes() for tasks in ("", *TASKS, "all")}
    assert len(set(made.values())) == len(made)
    assert made[""] == poison("em", some, seed=0, **QUICK).x_train.tobytes()


def test_the_global_random_state_is_untouched():
    before = torch.get_rng_state()
    poison("em", data(), seed=0, tasks="all", **QUICK)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "dense", "sentence"),
    [
        ({"tasks": "depth"}, True, "'depth_euclidean', 'segment_unsup2d', 'all', not 'depth'"),
        ({"tasks": "all"}, False, "images has no per-pixel targets"),
        ({"tasks": "scene", "surrogate": "lenet5"}, True, "resnet-small, resnet18, resnet50, not 'lenet5'"),
    ],
)
def test_impossible_goals_are_refused(options, dense, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison("em", data() if dense else images(shape=(3, 8, 8)), seed=0, **options)


@pytest.fixture(scope="module")
def rooms():
    return data(n=64, size=64, classes=8)


@pytest.mark.parametrize("sparsity", [1, 4])
def test_ops_sets_one_or_four_pixels_of_each_class_at_64_pixels(rooms, sparsity):
    made = poison("ops", rooms, seed=0, sparsity=sparsity)
    changed = made.perturbation.any(axis=1).reshape(64, -1)
    assert changed.sum(axis=1).max() == sparsity
    found = set()
    for k in range(8):
        own = rooms.y_train == k
        places = np.flatnonzero(changed[own].any(axis=0))
        colours = made.x_train[own].reshape(own.sum(), 3, -1)[:, :, places]
        assert (colours == colours[0]).all()
        found.add((*places, *colours[0].ravel()))
    assert len(found) == 8


@pytest.mark.slow
def test_lsp_and_ar_keep_their_norms_and_name_the_class_at_64_pixels(rooms, monkeypatch):
    middle = dataclasses.replace(rooms, x_train=np.full_like(rooms.x_train, 0.5), eight_bit=False)
    windows, find = [], ar.find_windows

    def noted(*arguments):
        windows.append(find(*arguments))
        return windows[-1]

    monkeypatch.setattr(ar, "find_windows", noted)
    for name, norm in (("ar", 2.0), ("lsp", 6 / 255 * np.sqrt(3) * 64)):
        made = poison(name, middle, seed=0)
        found = np.linalg.norm(made.perturbation.reshape(64, -1), axis=1)
        assert found == pytest.approx(np.full(64, norm), rel=1e-4)
        if name == "ar":
            answers = ar.responses(made.perturbation.astype(np.float64), windows[0])
            assert np.array_equal(answers.argmin(axis=1), rooms.y_train)
