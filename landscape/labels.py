"""Direct labels beside points, placed so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from landscape.style import faint, ink

SIZE = 12  # of the font, in pixels
LETTER = 0.58  # mean width of a letter, in font sizes
NEAR = 24.0  # pixels; a label further away gets a line to its point
RINGS = (14.0, 26.0, 40.0, 56.0, 76.0, 100.0)
ANGLES = np.deg2rad([0, 180, 90, 270, 35, 145, 325, 215, 65, 115, 295, 245])  # beside before above, above before below

Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels


def place_labels(
    points: ArrayLike,
    texts: Sequence[str],
    *,
    size: tuple[float, float],
    bars: ArrayLike | None = None,
    level: float | None = None,
) -> NDArray[np.float64]:
    """Offsets of label centres from their points, pixels [n, 2] (right and up).

    Labels are placed one after the other, those with the nearest neighbours first, on rings around their point; of all
    places the one that covers least wins, then the nearest.

    Args:
        points: [n, 2] in pixels from the lower left corner of the plot. texts: [n] labels.
        size: Width and height of the plot in pixels. bars: [n, 2] half lengths of error bars in pixels, to keep clear
            of.
    """
    places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if len(texts) != len(places):
        raise ValueError(f"Every point needs one label, but there are {len(places)} points and {len(texts)} labels.")
    halves = np.zeros_like(places) if bars is None else np.asarray(bars, dtype=np.float64)
    taken = [box for point, half in zip(places, halves, strict=True) for box in _obstacles(point, half)]
    if level is not None:
        taken.append((0.0, level - 1.5, size[0], level + 1.5))
    offsets = np.zeros_like(places)
    for i in _crowded_first(places):
        width, height = LETTER * SIZE * len(texts[i]) + 4, SIZE + 3.0
        best = min(
            (_cost(places[i] + offset, width, height, taken, size, ring), n, tuple(offset))
            for n, (offset, ring) in enumerate(_candidates(width, height))
        )
        offsets[i] = best[2]
        taken.append(_box(places[i] + offsets[i], width, height))
    return offsets


def label_points(
    figure: go.Figure,
    x: ArrayLike,
    y: ArrayLike,
    texts: Sequence[str],
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    bars: ArrayLike | None = None,
    level: float | None = None,
    size: tuple[float, float] = (600.0, 320.0),
    dark: bool = False,
) -> None:
    """Write labels beside points of a figure whose axes have these fixed, linear ranges.

    Args:
        x, y: [n] data coordinates. bars: [n, 2] half lengths of error bars, level: height of a line across,
            in data units.
        size: The plot's expected size in pixels; on a wider screen the labels only get further apart.
    """
    spans = np.array([x_range[1] - x_range[0], y_range[1] - y_range[0]])
    scale = np.array(size) / spans
    points = (np.stack([np.ravel(x), np.ravel(y)], axis=1) - [x_range[0], y_range[0]]) * scale
    halves = None if bars is None else np.asarray(bars, dtype=np.float64) * scale
    height = None if level is None else float((level - y_range[0]) * scale[1])
    offsets = place_labels(points, texts, size=size, bars=halves, level=height)
    for a, b, text, (right, up) in zip(np.ravel(x), np.ravel(y), texts, offsets, strict=True):
        figure.add_annotation(
            x=float(a),
            y=float(b),
            text=text,
            ax=float(right),
            ay=-float(up),
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=faint(dark=dark) if np.hypot(right, up) > NEAR else "rgba(0,0,0,0)",
            standoff=5,
            borderpad=0,
            font={"size": SIZE, "color": ink(dark=dark)},
        )


def _candidates(width: float, height: float) -> list[tuple[NDArray[np.float64], float]]:
    """Label centres around a point, so that the nearest edge of the label is about a ring's radius away."""
    found = []
    for ring in RINGS:
        for angle in ANGLES:
            right, up = np.cos(angle), np.sin(angle)
            found.append((np.array([right * (ring + width / 2 - 4), up * (ring + height / 2 - 4)]), ring))
    return found


def _obstacles(point: NDArray[np.float64], half: NDArray[np.float64]) -> list[Box]:
    x, y = point
    return [
        (x - 6, y - 6, x + 6, y + 6),
        (x - half[0], y - 1.5, x + half[0], y + 1.5),
        (x - 1.5, y - half[1], x + 1.5, y + half[1]),
    ]


def _crowded_first(points: NDArray[np.float64]) -> list[int]:
    if len(points) < 2:
        return list(range(len(points)))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(len(points), np.inf))
    return [int(i) for i in np.argsort(apart.min(axis=1), kind="stable")]


def _box(centre: NDArray[np.float64], width: float, height: float) -> Box:
    x, y = (float(v) for v in centre)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _cost(
    centre: NDArray[np.float64], width: float, height: float, taken: list[Box], size: tuple[float, float], ring: float
) -> float:
    """Pixels covered or outside the plot, weighed far above distance."""
    left, bottom, right, top = _box(centre, width, height)
    covered = 0.0
    for a, b, c, d in taken:
        covered += max(0.0, min(right, c) - max(left, a)) * max(0.0, min(top, d) - max(bottom, b))
    inside = max(0.0, min(right, size[0]) - max(left, 0)) * max(0.0, min(top, size[1]) - max(bottom, 0))
    return 1e3 * (covered + 3 * (width * height - inside)) + ring
