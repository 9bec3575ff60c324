"""Is the generated data set quick to make, and neither trivial nor impossible? ``python -m benchmarks.rooms``.

Prints one line of JSON: milliseconds an image on one core; how much of depth is missing and how many key points are
clipped; test accuracy of a linear classifier of colour histograms, which should stay below 60 %; training and test
accuracy of a small ResNet, which should reach 80 to 95 % with a gap below 15 points.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from training.data.levels import from_levels
from training.models import build_model
from training.rooms import SCENES, render_part
from training.rooms.targets import MISSING

CLIP = 327.68


def main() -> None:
    """Make images of both parts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=4000, help="training images")
    parser.add_argument("--test", type=int, default=1000, help="test images")
    parser.add_argument("--epochs", type=int, default=10, help="of the network; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
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
    """Accuracies of a small ResNet, trained with momentum, mirrored images and a learning rate that falls to 0."""
    torch.set_num_threads(1)
    images = {part: torch.from_numpy(from_levels(x[part])).permute(0, 3, 1, 2).contiguous() for part in x}
    labels = {part: torch.from_numpy(y[part]) for part in y}
    model = build_model("resnet-small", (3, 64, 64), len(SCENES), seed=0)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = -(-len(labels["train"]) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=epochs * steps)
    random = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        model.train()
        for chosen in torch.randperm(len(labels["train"]), generator=random).split(64):
            batch = images["train"][chosen]
            flip = torch.rand(len(batch), generator=random) < 0.5
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
            optimiser.zero_grad()
            functional.cross_entropy(model(batch), labels["train"][chosen]).backward()
            optimiser.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return {
            part: float(
                torch.cat([model(b).argmax(1) for b in images[part].split(250)]).eq(labels[part]).float().mean()
            )
            for part in images
        }


if __name__ == "__main__":
    main()
