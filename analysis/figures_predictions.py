"""What networks say of test images, task by task: maps as colour images, and a grid of them as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.figures_poison import image_strips

MISSING = (0.55, 0.55, 0.55)  # grey where nothing is known
# Tol's light colours and some of Okabe and Ito: told apart beside each other
SEGMENT_COLOURS = np.array(
    [
        [0.47, 0.67, 0.87],
        [0.93, 0.53, 0.40],
        [0.93, 0.87, 0.53],
        [1.00, 0.67, 0.73],
        [0.60, 0.87, 1.00],
        [0.27, 0.73, 0.60],
        [0.73, 0.80, 0.20],
        [0.67, 0.67, 0.00],
        [0.80, 0.47, 0.65],
        [0.34, 0.34, 0.55],
        [0.84, 0.37, 0.00],
        [0.87, 0.87, 0.87],
    ]
)
TILE = 150  # pixels of a map's width, so that a class and its share stand above it
Map = NDArray[np.floating]


def depth_images(maps: Sequence[Map], truth: Map) -> NDArray[np.float64]:
    """Depth maps [H, W] in metres as images [K, 3, H, W] on the truth's scale; near is dark, grey is not known."""
    import plotly.colors  # what follows is the surfaces' own colour scale

    known = truth[np.isfinite(truth)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    scale = np.array([plotly.colors.unlabel_rgb(_rgb(colour)) for colour in plotly.colors.sequential.Cividis]) / 255
    images = []
    for one in maps:
        place = np.clip((np.nan_to_num(one, nan=low) - low) / max(high - low, 1e-9), 0, 1) * (len(scale) - 1)
        below = np.minimum(place.astype(int), len(scale) - 2)
        share = (place - below)[..., None]
        colours = (1 - share) * scale[below] + share * scale[below + 1]
        images.append(np.where(np.isfinite(one)[..., None], colours, MISSING).transpose(2, 0, 1))
    return np.stack(images)


def keypoint_images(maps: Sequence[Map]) -> NDArray[np.float64]:
    """Maps of key points [H, W] in [0, 1] as grey images [K, 3, H, W]: the brighter, the more corner-like."""
    return np.stack([np.repeat(np.clip(one, 0, 1)[None].astype(np.float64), 3, axis=0) for one in maps])


def segment_images(maps: Sequence[NDArray[np.integer]], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """Maps of ids [H, W] as images [K, 3, H, W]; a segment has the colour of the true one it overlaps most.

    True segments are coloured by size, the largest first. Predicted ones are matched one to one by overlap (Hungarian
    method); those left over are grey.
    """
    names, inverse, counts = np.unique(truth, return_inverse=True, return_counts=True)
    rank = np.empty(len(names), dtype=int)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    colours = SEGMENT_COLOURS[rank % len(SEGMENT_COLOURS)]
    return np.stack([_segments(one, inverse.reshape(truth.shape), colours) for one in maps])


def prediction_grid(
    rows: Mapping[str, NDArray[np.floating]], columns: Sequence[str], heads: Mapping[str, str] | None = None
) -> str:
    """A grid of maps as HTML: a task in each row, truth and every network's prediction in the columns.

    Args:
        rows: {label: images [K, 3, H, W]}. columns: K names, such as truth, clean, em.
        heads: {column: a further line under its name}, such as the scene that is predicted.
    """
    further = heads or {}
    names = [f"{name}: {further[name]}" if name in further else name for name in columns]
    return image_strips(list(rows.items()), names, each="truth and predictions of", tile=TILE)


def scene_words(probabilities: NDArray[np.floating], names: Sequence[str]) -> str:
    """The most likely class and its share of the probability."""
    best = int(np.argmax(probabilities))
    label = names[best] if best < len(names) else f"class {best}"
    return f"{label}, {100 * float(np.clip(probabilities[best], 0, 1)):.0f} %"


def _segments(found: NDArray[np.integer], truth: NDArray[np.int64], colours: Map) -> NDArray[np.float64]:
    from scipy.optimize import linear_sum_assignment  # takes half a second to import

    names, ids = np.unique(found, return_inverse=True)
    ids = ids.reshape(found.shape)
    overlap = np.zeros((len(names), len(colours)))
    np.add.at(overlap, (ids.ravel(), truth.ravel()), 1)
    mine = np.tile(np.asarray(MISSING), (len(names), 1))
    for row, column in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
        if overlap[row, column] > 0:
            mine[row] = colours[column]
    return np.asarray(mine[ids].transpose(2, 0, 1), dtype=np.float64)


def _rgb(colour: str) -> str:
    import plotly.colors

    return colour if colour.startswith("rgb") else plotly.colors.label_rgb(plotly.colors.hex_to_rgb(colour))


__all__ = [
    "depth_images",
    "keypoint_images",
    "prediction_grid",
    "scene_words",
    "segment_images",
]
