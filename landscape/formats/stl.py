"""Solids for 3-D printers (binary ``.stl``): the surface on a block with walls and a flat base, closed everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landscape.figure_data import SurfaceData, values_of
from landscape.heights import choose_heights

WIDTH, HEIGHT, BASE = 100.0, 40.0, 4.0  # millimetres: longer side, relief, what is below the lowest point
NARROWEST = 1 / 3  # shorter side over longer one
HEADER = b"Unlearnscape loss surface, millimetres".ljust(80)


def write_stl(
    surface: SurfaceData,
    *,
    quantity: str = "loss",
    scale: str = "auto",
    width: float = WIDTH,
    height: float = HEIGHT,
    base: float = BASE,
) -> bytes:
    """A printable solid: α to the right, β to the back, loss upwards, on the scale of the figures.

    Args:
        surface: Values that are clipped or infinite stand at the top; those that are no number at the bottom.
        quantity: ``"loss"`` or ``"accuracy"``. scale: ``"auto"``, ``"log"`` or ``"linear"``.
        width, height, base: Millimetres: of the longer side, of the relief, and of the block below it.

    Raises:
        ValueError: A measure is not positive.
    """
    if not all(np.isfinite(v) and v > 0 for v in (width, height, base)):
        raise ValueError(f"A solid of {width:g} × {height:g} mm on {base:g} mm cannot be made; give positive lengths.")
    values = values_of(surface, quantity)
    heights = choose_heights([values], quantity, scale)
    placed = heights.place(values)
    relief = (np.where(np.isnan(placed), heights.low, placed) - heights.low) / (heights.high - heights.low)
    x, y = _sides(surface.alphas, surface.betas, width)
    return _binary(solid(x, y, base + height * relief))


def solid(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float32]:
    """Triangles [N, 3, 3] of the block below the points (x_i, y_j, z_ij), z > 0: top, base at 0, and four walls.

    Neighbours share their corners exactly and all normals point outwards.
    """
    a, b = z.shape
    gx, gy = np.meshgrid(x, y, indexing="ij")
    top = np.stack([gx, gy, z], axis=-1)
    floor = np.stack([gx, gy, np.zeros_like(z)], axis=-1)
    parts = [_sheet(top), _sheet(floor)[:, ::-1]]
    around = [(top[:, 0], floor[:, 0]), (top[a - 1], floor[a - 1])]  # front, right
    around += [(top[::-1, b - 1], floor[::-1, b - 1]), (top[0, ::-1], floor[0, ::-1])]  # back, left
    parts += [_wall(upper, lower) for upper, lower in around]
    return np.concatenate(parts).astype(np.float32)


def _sides(
    alphas: NDArray[np.float64], betas: NDArray[np.float64], width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both axes from 0, in millimetres and in their proportion, unless that is too narrow to print."""
    spans = np.array([alphas[-1] - alphas[0], betas[-1] - betas[0]])
    sides = width * np.maximum(spans / spans.max(), NARROWEST)
    return (alphas - alphas[0]) / spans[0] * sides[0], (betas - betas[0]) / spans[1] * sides[1]


def _sheet(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two triangles for each cell of a grid of points [A, B, 3], facing up."""
    p, q, r, s = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    cells = np.stack([np.stack([p, q, r], axis=-2), np.stack([p, r, s], axis=-2)], axis=2)
    return np.asarray(cells.reshape(-1, 3, 3))


def _wall(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """A wall between two edges [N, 3] that go around the block anticlockwise, facing outwards."""
    u, v, w, t = upper[:-1], upper[1:], lower[:-1], lower[1:]
    return np.concatenate([np.stack([w, t, v], axis=1), np.stack([w, v, u], axis=1)])


def _binary(triangles: NDArray[np.float32]) -> bytes:
    corners = triangles.astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])
    table = np.zeros(len(triangles), record)
    table["normal"], table["corners"] = normals, triangles
    return HEADER + np.uint32(len(table)).tobytes() + table.tobytes()
