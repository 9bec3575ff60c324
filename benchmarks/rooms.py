"""Is the generated data set quick to make, and neither trivial nor impossible? ``python -m benchmarks.rooms``.

Prints one line of JSON: milliseconds an image on one core; how much of depth is missing and how many key points are
clipped; test accuracy of a linear classifier of colour histograms, which should stay below 60 %; training and test
accuracy of a small ResNet, which should reach 80 to 95 % with a gap below 15 points. With ``--tasks``, a small ResNet
learns all tasks at once: by how much its depth is nearer than the mean of each pixel (mean absolute error; at least
40 %), how its key points correlate with the true ones (at least 0.7), and the adjusted Rand index of its segments (at
least 0.5).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from training.data.levels import from_levels
from training.data.rooms import load_rooms
from training.models import build_model
from training.rooms import SCENES, render_part
from training.rooms.targets import MISSING
from training.tasks import (
    TASKS,
    image_metrics,
    multi_task_loss,
    pack_targets,
    predictions,
    tasks_named,
    trivial_weights,
)

CLIP = 327.68


def main() -> None:
    """Make images of both parts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=4000, help="training images")
    parser.add_argument("--test", type=int, default=1000, help="test images")
    parser.add_argument("--epochs", type=int, default=10, help="of the network; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", action="store_true", help="train a network of all tasks too")
    given = parser.parse_args()
    start = time.process_time()
    parts = {
        part: render_part(part, count, size=64, seed=given.seed)
        for part, count in (("train", given.train), ("test", given.test))
    }
    seconds = time.process_time() - start
    every = [image for images in parts.values() for image in images]
    ids = [scene.places for scene in SCENES]
    x = {part: np.stack([image.rgb for image in images]) for part, images in parts.items()}
    y = {part: np.array([ids.index(int(i.class_scene.argmax())) for i in images]) for part, images in parts.items()}
    found = {
        "ms_per_image": 1000 * seconds / len(every),
        "depth_missing": float(np.mean([(image.depth == MISSING).mean() for image in every])),
        "keypoints_clipped": float(np.mean([(image.keypoints > CLIP).mean() for image in every])),
        "least_to_most_frequent_class": int(np.bincount(y["train"]).min()) / int(np.bincount(y["train"]).max()),
        "histogram_probe": histogram_probe(x, y),
    }
    if given.epochs:
        accuracies = network(x, y, given.epochs)
        found |= {f"resnet_small_{part}": value for part, value in accuracies.items()}
    if given.tasks:
        found |= all_tasks(given.train, given.test, given.seed, given.epochs)
    print(json.dumps({key: round(value, 4) for key, value in found.items()}))


def histogram_probe(x: dict[str, NDArray[np.uint8]], y: dict[str, NDArray[np.int64]], bins: int = 4) -> float:
    """Test accuracy of logistic regression on joint colour histograms (``bins`` a channel)."""

    def histograms(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        level = images.astype(np.int64) * bins // 256
        cell = (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]
        counts = [np.bincount(c.ravel(), minlength=bins**3) for c in cell]
        return np.sqrt(np.array(counts) / cell[0].size)

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(histograms(x["train"]), y["train"])
    return float(model.score(histograms(x["test"]), y["test"]))


def network(x: dict[str, NDArray[np.uint8]], y: dict[str, NDArray[np.int64]], epochs: int) -> dict[str, float]:
    """Accuracies of a small ResNet."""
    images = {part: torch.from_numpy(from_levels(x[part])).permute(0, 3, 1, 2).contiguous() for part in x}
    labels = {part: torch.from_numpy(y[part]) for part in y}
    model = build_model("resnet-small", (3, 64, 64), len(SCENES), seed=0)
    random = torch.Generator().manual_seed(0)

    def loss(chosen: Tensor) -> Tensor:
        flip = torch.rand(len(chosen), generator=random) < 0.5
        batch = torch.where(flip[:, None, None, None], images["train"][chosen].flip(3), images["train"][chosen])
        return functional.cross_entropy(model(batch), labels["train"][chosen])

    train(model, loss, len(labels["train"]), epochs, lr=0.1)
    with torch.no_grad():
        return {
            part: float(
                torch.cat([model(b).argmax(1) for b in images[part].split(250)]).eq(labels[part]).float().mean()
            )
            for part in images
        }


def all_tasks(n_train: int, n_test: int, seed: int, epochs: int) -> dict[str, float]:
    """What a small ResNet learns of all tasks at once, on test images."""
    data = load_rooms(n_train=n_train, n_test=n_test, seed=seed)
    assert data.dense_train is not None
    assert data.dense_test is not None
    tasks, size = tasks_named(), (64, 64)
    images, targets = torch.from_numpy(data.x_train), pack_targets(data.y_train, data.dense_train)
    criterion = multi_task_loss(size, data.n_classes, trivial_weights(tasks, targets, size))
    model = build_model("resnet-small", (3, 64, 64), data.n_classes, seed=0, tasks=TASKS)
    train(model, lambda chosen: criterion(model(images[chosen]), targets[chosen]), len(images), epochs, lr=0.05)
    test = torch.from_numpy(data.x_test), pack_targets(data.y_test, data.dense_test)
    said = predictions(model, test[0], tasks, size=size, n_classes=data.n_classes)
    few = [(test[0][:200], test[1][:200])]
    truth = data.dense_test.depth_euclidean
    mean = np.nanmean(data.dense_train.depth_euclidean, 0)
    error, plain = (np.nanmean(np.abs(guess - truth)) for guess in (said["depth_euclidean"], mean))
    points, true_points = said["keypoints2d"], data.dense_test.keypoints2d
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(points, true_points, strict=True)]
    indices = image_metrics(model, few, tasks, size=size, n_classes=data.n_classes)["segment_unsup2d"]["ari"]
    return {
        "all_tasks_scene_accuracy": float((said["scene"].argmax(1) == data.y_test).mean()),
        "depth_error_m": float(error),
        "depth_nearer_than_mean": float(1 - error / plain),
        "keypoints_correlation": float(np.nanmean(correlations)),
        "segments_ari": float(indices.mean()),
    }


def train(model: nn.Module, loss: Callable[[Tensor], Tensor], count: int, epochs: int, *, lr: float) -> None:
    """Momentum, and a learning rate that rises and falls to 0; ``loss`` is of the numbers of a batch's images."""
    torch.set_num_threads(1)
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=epochs * -(-count // 64))
    random = torch.Generator().manual_seed(1)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(count, generator=random).split(64):
            optimiser.zero_grad()
            loss(chosen).backward()
            optimiser.step()
            schedule.step()
    model.eval()


if __name__ == "__main__":
    main()
