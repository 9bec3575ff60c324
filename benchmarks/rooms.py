"""Is the generated data set quick to make, and neither trivial nor impossible? ``python -m benchmarks.rooms``.

Prints one line of JSON: milliseconds an image on one core; how much of depth is missing and how many key points are
clipped; test accuracy of a linear classifier of colour histograms, which should stay below 60 %; training and test
accuracy of a small ResNet, which should reach 80 to 95 % with a gap below 15 points.

``--networks`` chooses what is trained: ``scene``, that ResNet; ``tasks``, a small ResNet of all tasks at once, whose
key points should correlate with the true ones (at least 0.7) and whose segments should be right (adjusted Rand index
of at least 0.5); ``depth``, a network that sees the whole image, as the small ResNet does not, whose depth should be
nearer than the mean of each pixel by at least 40 % (mean absolute error).
"""

from __future__ import annotations

import argparse
import itertools
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

from training.data.dataset import Dataset
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
    parser.add_argument("--epochs", type=int, default=10, help="of each network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", nargs="*", choices=["scene", "tasks", "depth"], default=["scene"])
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
    if "scene" in given.networks:
        accuracies = network(x, y, given.epochs)
        found |= {f"resnet_small_{part}": value for part, value in accuracies.items()}
    if set(given.networks) - {"scene"}:
        data = load_rooms(n_train=given.train, n_test=given.test, seed=given.seed)
        if "tasks" in given.networks:
            found |= all_tasks(data, given.epochs)
        if "depth" in given.networks:
            found["depth_nearer_than_mean"] = depth(data, given.epochs)
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


def all_tasks(data: Dataset, epochs: int) -> dict[str, float]:
    """What a small ResNet learns of all tasks at once, on test images."""
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
    points, true_points = said["keypoints2d"], data.dense_test.keypoints2d
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(points, true_points, strict=True)]
    indices = image_metrics(model, few, tasks, size=size, n_classes=data.n_classes)["segment_unsup2d"]["ari"]
    return {
        "all_tasks_scene_accuracy": float((said["scene"].argmax(1) == data.y_test).mean()),
        "all_tasks_depth_nearer_than_mean": nearer_than_mean(said["depth_euclidean"], data),
        "all_tasks_keypoints_correlation": float(np.nanmean(correlations)),
        "all_tasks_segments_ari": float(indices.mean()),
    }


def depth(data: Dataset, epochs: int) -> float:
    """How much nearer than each pixel's mean is the depth that an encoder and decoder learn."""
    assert data.dense_train is not None
    images, metres = torch.from_numpy(data.x_train), torch.from_numpy(data.dense_train.depth_euclidean)
    model, random = DepthNet(), torch.Generator().manual_seed(0)

    def loss(chosen: Tensor) -> Tensor:
        x, z = images[chosen], metres[chosen]
        if torch.rand((), generator=random) < 0.5:
            x, z = x.flip(3), z.flip(2)
        return (model(x) - z)[~z.isnan()].abs().mean()

    train(model, loss, len(images), epochs, lr=0.05)
    with torch.no_grad():
        said = torch.cat([model(some) for some in torch.from_numpy(data.x_test).split(250)])
    return nearer_than_mean(said.numpy(), data)


def nearer_than_mean(said: NDArray[np.float32], data: Dataset) -> float:
    """1 − mean absolute error / that of the mean of each pixel over the training images."""
    assert data.dense_train is not None
    assert data.dense_test is not None
    truth, mean = data.dense_test.depth_euclidean, np.nanmean(data.dense_train.depth_euclidean, 0)
    return float(1 - np.nanmean(np.abs(said - truth)) / np.nanmean(np.abs(mean - truth)))


class DepthNet(nn.Module):
    """A small U-Net (Ronneberger, Fischer and Brox, MICCAI 2015), down to 2×2 of 64×64 pixels."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64, 96, 128)) -> None:
        super().__init__()
        torch.manual_seed(0)
        pairs = list(itertools.pairwise(widths))
        down = [nn.Sequential(convolution(a, b, 2), convolution(b, b)) for a, b in pairs]
        self.down = nn.ModuleList([convolution(3, widths[0]), *down])
        self.up = nn.ModuleList([convolution(a + b, a) for a, b in pairs])
        self.out = nn.Conv2d(widths[0], 1, 3, 1, 1)
        nn.init.constant_(self.out.bias, 2.7)  # metres, about the mean

    def forward(self, inputs: Tensor) -> Tensor:
        """Metres [N, H, W] of images [N, 3, H, W]."""
        maps = [inputs]
        for part in self.down:
            maps.append(part(maps[-1]))
        x = maps[-1]
        for part, finer in zip(reversed(self.up), maps[-2:0:-1], strict=True):
            x = part(torch.cat([functional.interpolate(x, scale_factor=2), finer], 1))
        metres: Tensor = self.out(x)[:, 0]
        return metres


def convolution(before: int, width: int, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution with BatchNorm."""
    layer = nn.Conv2d(before, width, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU())


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
