"""Measures of single images against closed forms and libraries; packing; segments from embeddings."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.training.tasks.samples import dense_images
from training import build_model
from training.tasks import (
    TASKS,
    image_metrics,
    pack_targets,
    predictions,
    tasks_named,
    unpack_outputs,
    unpack_targets,
)
from training.tasks.clustering import segments_of

SIZE = (16, 16)


def metrics(name, outputs, targets, **options):
    return tasks_named([name], **options)[0].metrics(outputs, targets)


def test_packing_is_exact():
    _, labels, dense = dense_images(n=5)
    packed = pack_targets(labels, dense)
    assert packed.shape == (5, 1 + 3 * 256)
    targets = unpack_targets(packed, SIZE)
    assert targets.scene.tolist() == labels.tolist()
    for name in TASKS[1:]:
        assert np.array_equal(targets.of(name).numpy(), getattr(dense, name), equal_nan=True)


def test_outputs_are_unpacked_in_the_heads_order_for_any_tasks():
    for names in (TASKS, TASKS[1:], ("scene", "segment_unsup2d"), ("depth_euclidean",)):
        model = build_model("resnet-small", (3, 16, 16), 3, seed=0, tasks=names).eval()
        x = torch.rand(2, 3, 16, 16)
        with torch.inference_mode():
            found = unpack_outputs(model(x), SIZE, 3, names)
            for name in names:
                model.task = name
                assert torch.equal(found[name], model(x))
                model.task = None


def test_scene():
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    found = metrics("scene", logits, torch.tensor([0, 0]))
    assert found["accuracy"].tolist() == [1, 0]
    assert found["cross_entropy"] == pytest.approx([math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))])


def test_key_points():
    draw = torch.Generator().manual_seed(0)
    truth, found = torch.rand(4, *SIZE, generator=draw), torch.rand(4, *SIZE, generator=draw)
    found[2] = 0.3  # a constant says nothing
    found[3] = 2 * truth[3]
    values = metrics("keypoints2d", found, truth)
    assert values["l1"] == pytest.approx((found - truth).abs().flatten(1).mean(1).numpy())
    by_scipy = [stats.pearsonr(a.flatten(), b.flatten())[0] for a, b in zip(found[:2], truth[:2], strict=True)]
    assert values["pearson"][:2] == pytest.approx(by_scipy, abs=1e-6)
    assert values["pearson"][2:] == pytest.approx([0, 1])
    assert values["top5_overlap"][3] == 1
    assert values["top5_overlap"][:2].max() < 0.5


def test_depth():
    truth = torch.full((3, *SIZE), 2.0)
    truth[1, :8] = math.nan
    truth[2] = math.nan
    found = torch.full((3, *SIZE), math.log(2.2))
    found[1, :8] = 50.0  # what is missing does not count
    values = metrics("depth_euclidean", found, truth)
    assert values["abs_rel"][:2] == pytest.approx([0.1, 0.1])
    assert values["rmse_m"][:2] == pytest.approx([0.2, 0.2])
    assert values["delta_1.25"][:2].tolist() == [1, 1]
    assert values["valid"].tolist() == [1, 0.5, 0]
    assert all(np.isnan(values[name][2]) for name in ("abs_rel", "rmse_m", "delta_1.25"))
    legacy = torch.log1p(torch.full((3, *SIZE), 512 * 2.2)) / math.log(2**16)
    assert metrics("depth_euclidean", legacy, truth, legacy=True)["abs_rel"][:2] == pytest.approx([0.1, 0.1], rel=1e-3)


def test_segments_are_measured_up_to_their_names():
    truth = torch.zeros(1, *SIZE, dtype=torch.int64)
    truth[:, :, 8:] = 200
    truth[:, 8:, 8:] = 90
    perfect = torch.nn.functional.one_hot(truth // 90).permute(0, 3, 1, 2) * 5.0
    assert metrics("segment_unsup2d", perfect, truth) == {"ari": [1.0], "matched_iou": [1.0]}
    constant = metrics("segment_unsup2d", torch.zeros(1, 4, *SIZE), truth)
    assert constant["ari"] == pytest.approx([0])
    assert constant["matched_iou"] == pytest.approx([0.5 / 3])  # the one segment matches the largest
    joined = perfect.clone()
    joined[:, :, 8:, 8:] = joined[:, :, :8, 8:]
    assert metrics("segment_unsup2d", joined, truth)["matched_iou"] == pytest.approx([(1 + 0.5 + 0) / 3])


def test_clusters_are_found_in_noise():
    rng = np.random.default_rng(0)
    truth = np.kron(rng.permutation(16).reshape(4, 4), np.ones((16, 16), int))
    places = 4 * rng.normal(size=(16, 16))
    embedding = (places[truth] + 0.1 * rng.normal(size=(64, 64, 16))).transpose(2, 0, 1).astype(np.float32)
    found = segments_of(embedding)
    assert len(np.unique(found)) == 16
    assert len(np.unique(found * 16 + truth)) == 16
    assert not segments_of(np.full((4, 8, 8), np.nan, np.float32)).any()


def test_measures_of_images_do_not_depend_on_the_batches_and_leave_the_model():
    images, labels, dense = dense_images(n=5)
    model = build_model("resnet-small", (3, 16, 16), 3, seed=0, tasks=TASKS)
    model.task = "scene"
    x, packed = torch.from_numpy(images), pack_targets(labels, dense)
    whole = image_metrics(model, [(x, packed)], tasks_named(), size=SIZE, n_classes=3)
    parts = image_metrics(model, [(x[:2], packed[:2]), (x[2:], packed[2:])], tasks_named(), size=SIZE, n_classes=3)
    assert model.training
    assert model.task == "scene"
    for name in TASKS:
        for metric, values in whole[name].items():
            assert values.shape == (5,)
            assert parts[name][metric] == pytest.approx(values, abs=1e-5)
    said = predictions(model, x, tasks_named(), size=SIZE, n_classes=3)
    assert said["scene"].sum(axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    assert (said["depth_euclidean"] > 0).all()
    assert said["segment_unsup2d"].dtype == np.int64
    right = (said["scene"].argmax(axis=1) == labels).astype(float)
    assert np.array_equal(whole["scene"]["accuracy"], right)
