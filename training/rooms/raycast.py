"""Rays against a room and its boxes, by the slab test (Kay and Kajiya, SIGGRAPH 1986)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.rooms.camera import Camera
from training.rooms.room import Room

NEAR = 0.05  # metres before the camera; a box that reaches closer is tried at every pixel
ROOM_FACES = 6


@dataclass(frozen=True, eq=False)
class Hits:
    """What every pixel sees.

    Attributes:
        rays: Unit vectors [3, S, S].
        distance: Along the ray [S, S], in metres, float64.
        surface: Face number [S, S]: 2·axis + (1 for the high side), of the room from 0, of box i from 6 + 6i.
    """

    rays: NDArray[np.float64]
    distance: NDArray[np.float64]
    surface: NDArray[np.int64]


def cast(room: Room, camera: Camera, size: int) -> Hits:
    """The nearest face on the ray of every pixel; each box is tried only at the pixels that can see it."""
    rays = camera.rays(size)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / rays
    position = np.asarray(camera.position)[:, None, None]
    forwards = rays > 0
    ahead = np.where(forwards, np.asarray(room.size)[:, None, None], 0.0)
    with np.errstate(invalid="ignore"):
        leaving = (ahead - position) * inverse
    leaving[~np.isfinite(leaving)] = np.inf
    axis = leaving.argmin(0)
    distance = leaving.min(0)
    surface = 2 * axis + np.take_along_axis(forwards, axis[None], 0)[0]
    corners = room.corners()
    for number, (rows, columns) in _windows(corners, camera, size):
        where = (slice(rows[0], rows[1]), slice(columns[0], columns[1]))
        hit, face = _slab(corners[number], position, inverse[:, *where], forwards[:, *where], distance[where])
        np.copyto(distance[where], hit, where=face >= 0)
        np.copyto(surface[where], ROOM_FACES * (1 + number) + face, where=face >= 0)
    return Hits(rays, distance, surface)


def _windows(
    corners: NDArray[np.float64], camera: Camera, size: int
) -> list[tuple[int, tuple[tuple[int, int], tuple[int, int]]]]:
    """Of every box that may be seen: its number, and the rows and columns of pixels that hold it."""
    if not len(corners):
        return []
    pick = np.array([[i >> axis & 1 for axis in range(3)] for i in range(8)])
    column, row, forward = camera.project(corners[:, pick, np.arange(3)], size)  # [B, 8]
    found = []
    for number in np.flatnonzero((forward > NEAR).any(1)).tolist():
        if (forward[number] <= NEAR).any():
            found.append((number, ((0, size), (0, size))))
            continue
        spans = []
        for values in (row[number], column[number]):
            low, high = max(0, int(values.min() - 0.5)), min(size, int(np.ceil(values.max() + 0.5)))
            spans.append((low, high))
        if all(low < high for low, high in spans):
            found.append((number, (spans[0], spans[1])))
    return found


def _slab(
    box: NDArray[np.float64],
    position: NDArray[np.float64],
    inverse: NDArray[np.float64],
    forwards: NDArray[np.bool_],
    nearest: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to a box, and the face hit, −1 where it is missed or behind ``nearest``."""
    with np.errstate(invalid="ignore"):
        one, two = (box[:, :, None, None] - position) * inverse
    near, far = np.fmin(one, two), np.fmax(one, two)
    enter = near.max(0)
    axis = near.argmax(0)
    hit = (enter <= far.min(0)) & (enter > 0) & (enter < nearest)
    face = 2 * axis + ~np.take_along_axis(forwards, axis[None], 0)[0]
    return enter, np.where(hit, face, -1)
