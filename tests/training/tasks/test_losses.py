"""Each task's loss against its formula, what missing pixels do, and the predictors that look at no image."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.training.tasks.samples import dense_images
from training.tasks import TASKS, multi_task_loss, pack_targets, task_loss, tasks_named, trivial_weights, unpack_targets
from training.tasks.segment_unsup2d import PIXELS, pair_losses

SIZE = (16, 16)


def one(name, **options):
    return tasks_named([name], **options)[0]


def outputs(targets, width=4):
    """Outputs of every head in float64, of the right shape."""
    shape, draw = targets.depth_euclidean.shape, torch.Generator().manual_seed(1)
    return {
        "scene": torch.randn(shape[0], 3, generator=draw, dtype=torch.float64),
        "keypoints2d": torch.rand(shape, generator=draw, dtype=torch.float64),
        "depth_euclidean": torch.randn(shape, generator=draw, dtype=torch.float64),
        "segment_unsup2d": torch.randn(shape[0], width, *shape[1:], generator=draw, dtype=torch.float64),
    }


def targets_of(**options):
    _, labels, dense = dense_images(**options)
    return unpack_targets(pack_targets(labels, dense), SIZE)


def test_depth_is_the_error_of_the_logarithm_over_valid_pixels():
    targets = targets_of(n=5).depth_euclidean
    found = outputs(targets_of(n=5))["depth_euclidean"]
    by_hand = []
    for image, truth in zip(found.numpy(), targets.double().numpy(), strict=True):
        known = ~np.isnan(truth)
        by_hand.append(np.abs(image[known] - np.log(truth[known])).mean())
    assert float(one("depth_euclidean").loss(found, targets)) == pytest.approx(np.mean(by_hand), rel=1e-6)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_batch_without_valid_depth_adds_nothing_and_no_nan(legacy):
    found = torch.randn(3, *SIZE, requires_grad=True)
    loss = one("depth_euclidean", legacy=legacy).loss(found, torch.full((3, *SIZE), math.nan))
    (gradient,) = torch.autograd.grad(loss, found)
    assert torch.isfinite(gradient).all()
    if not legacy:
        assert float(loss.detach()) == 0
        assert not gradient.any()


def test_no_gradient_reaches_missing_pixels():
    targets = targets_of(n=2, missing=0.4).depth_euclidean
    found = torch.randn(2, *SIZE, requires_grad=True)
    (gradient,) = torch.autograd.grad(one("depth_euclidean").loss(found, targets), found)
    assert torch.equal(gradient != 0, ~targets.isnan())


def test_segments_follow_the_published_formula():
    draw = torch.Generator().manual_seed(0)
    embedded = 3 * torch.randn(3, 20, 4, generator=draw, dtype=torch.float64)
    embedded[0, 1] = embedded[0, 0]
    ids = torch.randint(3, (3, 20), generator=draw)
    ids[0, :2] = torch.tensor([0, 1])  # different ids at one place: ln(1 − s) is clipped
    for image, own in zip(embedded, ids, strict=True):
        terms = []
        for i in range(20):
            for j in range(20):
                d = min(float((image[i] - image[j]).square().sum()), 80.0)
                s = 2 / (1 + math.exp(d))
                terms.append(-math.log(max(1e-7, s if own[i] == own[j] else 1 - s)))
        assert float(pair_losses(image[None], own[None])) == pytest.approx(np.mean(terms), rel=1e-9)


def test_far_apart_pixels_neither_overflow_nor_lose_the_gradient_of_others():
    embedded = torch.tensor([[[0.0], [1e3], [1.0]]], requires_grad=True)
    loss = pair_losses(embedded, torch.tensor([[0, 0, 0]])).sum()
    (gradient,) = torch.autograd.grad(loss, embedded)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert gradient[0, 0, 0] != 0


def test_pieces_of_a_batch_have_the_bits_of_the_whole_and_average_to_it():
    targets = targets_of(n=7)
    found = outputs(targets)["segment_unsup2d"].float()
    fixed = one("segment_unsup2d", seed=0)
    each = [float(fixed.loss(found[i : i + 1], targets.segment_unsup2d[i : i + 1])) for i in range(7)]
    assert float(fixed.loss(found, targets.segment_unsup2d)) == pytest.approx(np.mean(each), rel=1e-6)
    ids = targets.segment_unsup2d.flatten(1)[:, :50]
    embedded = found.flatten(2)[:, :, :50].mT
    alone = torch.cat([pair_losses(embedded[i : i + 1], ids[i : i + 1]) for i in range(7)])
    assert torch.equal(pair_losses(embedded, ids), alone)


def test_pixels_are_drawn_anew_unless_a_seed_fixes_them():
    targets = targets_of(n=3)
    found = outputs(targets)["segment_unsup2d"]
    free, fixed = one("segment_unsup2d"), one("segment_unsup2d", seed=3)
    assert len({float(free.loss(found, targets.segment_unsup2d)) for _ in range(3)}) == 3
    assert len({float(fixed.loss(found, targets.segment_unsup2d)) for _ in range(3)}) == 1
    assert free._pixels(3, 256).shape == (3, PIXELS)


def test_legacy_losses_are_mod_squads():
    targets = targets_of(n=4)
    found = outputs(targets)

    def legacy(name):
        return float(one(name, legacy=True).loss(found[name], targets.of(name)))

    one_hot = functional.one_hot(targets.scene, 3).double()
    assert legacy("scene") == pytest.approx(float((found["scene"] - one_hot).square().mean()))
    wanted = 2 * targets.keypoints2d - 1
    assert legacy("keypoints2d") == pytest.approx(float((found["keypoints2d"] - wanted).abs().mean()))
    stored = (512 * targets.depth_euclidean).nan_to_num(65535.0)
    error = (found["depth_euclidean"] - torch.log1p(stored) / math.log(2**16)).abs().mean()
    assert legacy("depth_euclidean") == pytest.approx(float(error), rel=1e-6)
    ids = targets.segment_unsup2d / 255 * 2 - 1
    error = (found["segment_unsup2d"][:, 0] - ids).abs().mean()
    assert legacy("segment_unsup2d") == pytest.approx(float(error))


def test_fixed_weights_bring_the_trivial_predictor_to_one():
    _, labels, dense = dense_images(n=30)
    packed = pack_targets(labels, dense)
    tasks = tasks_named()
    weights = trivial_weights(tasks, packed, SIZE)
    assert weights["scene"] == pytest.approx(1 / math.log(3), rel=1e-5)  # three classes, equally frequent
    median = np.nanmedian(np.log(dense.depth_euclidean), axis=0)
    by_hand = np.mean(
        [np.nanmean(np.abs(np.log(image) - median)) for image in dense.depth_euclidean.astype(np.float64)]
    )
    assert 1 / weights["depth_euclidean"] == pytest.approx(by_hand, rel=0.02)  # torch takes the lower median
    loss = multi_task_loss(SIZE, 3, weights)
    parts = {task.name: torch.tensor(1 / weights[task.name]) for task in tasks}
    assert float(loss.total(parts)) == pytest.approx(1)
    assert loss.weights() == {name: weight / 4 for name, weight in weights.items()}


def test_learned_weights_start_at_a_half_and_are_trained():
    loss = multi_task_loss(SIZE, 3, None)
    parts = {name: torch.tensor(value) for name, value in zip(TASKS, (2.0, 1.0, 0.5, 0.1), strict=True)}
    assert float(loss.total(parts).detach()) == pytest.approx(0.5 * 3.6 + 4 * math.log(2))
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.05)
    for _ in range(500):
        optimiser.zero_grad()
        torch.autograd.backward(loss.total(parts))
        optimiser.step()
    # the minimum over q = p² of L/(2q) + ln(1 + q): 2q² − Lq − L = 0
    for name, weight in loss.weights().items():
        value = float(parts[name])
        assert weight == pytest.approx(0.5 / ((value + math.sqrt(value**2 + 8 * value)) / 4), rel=1e-3)


def test_the_total_loss_is_that_of_the_packed_tensors():
    _, labels, dense = dense_images(n=4)
    packed = pack_targets(labels, dense)
    targets = unpack_targets(packed, SIZE)
    found = outputs(targets)
    loss = multi_task_loss(SIZE, 3, dict.fromkeys(TASKS, 2.0), seed=0)
    flat = torch.cat([found[name].flatten(1) for name in TASKS], dim=1)
    parts = [float(task_loss(name, SIZE)(found[name], packed)) for name in TASKS]
    assert float(loss(flat, packed)) == pytest.approx(2 * np.mean(parts), rel=1e-6)
    assert float(task_loss("scene", SIZE)(found["scene"], targets.scene)) == pytest.approx(parts[0])


@pytest.mark.parametrize("legacy", [False, True])
def test_trivial_predictors_do_what_their_names_say(legacy):
    train, test = targets_of(n=20, seed=0), targets_of(n=6, seed=1)

    def trivial(name):
        return one(name, legacy=legacy).trivial(train.of(name), test.of(name))

    most = int(torch.bincount(train.scene).argmax())
    assert np.array_equal(trivial("scene")["accuracy"], (test.scene == most).double().numpy())
    median = train.keypoints2d.median(dim=0).values
    l1 = (test.keypoints2d - median).abs().flatten(1).mean(dim=1)
    assert trivial("keypoints2d")["l1"] == pytest.approx(l1.numpy(), abs=1e-6)
    assert np.nanmean(trivial("depth_euclidean")["abs_rel"]) > 0.1
    if not legacy:  # one segment
        assert np.abs(trivial("segment_unsup2d")["ari"]).max() < 1e-12


@pytest.mark.parametrize(
    ("names", "sentence"),
    [([], "one or more"), (["scene", "scene"], "different names"), (["depth"], "no task called 'depth'; known are")],
)
def test_names_that_make_no_tasks_are_refused(names, sentence):
    with pytest.raises(ValueError, match=sentence):
        tasks_named(names)


def test_a_task_without_anything_to_learn_is_refused():
    _, labels, dense = dense_images(n=4)
    packed = pack_targets(labels, dense)
    packed[:, 1:257] = 0.5
    with pytest.raises(ValueError, match="keypoints2d is the same for all"):
        trivial_weights(tasks_named(), packed, SIZE)
    packed[:, 513:] = 7
    with pytest.raises(ValueError, match="single segment"):
        trivial_weights(tasks_named(["segment_unsup2d"]), packed, SIZE)
    packed[:, 257:513] = math.nan
    with pytest.raises(ValueError, match="no valid pixel"):
        trivial_weights(tasks_named(["depth_euclidean"]), packed, SIZE)
