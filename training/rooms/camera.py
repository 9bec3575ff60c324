"""A pinhole camera: where it stands, the rays of its pixels, and where it sees a point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.rooms.room import Room

FIELD_OF_VIEW = math.radians(61.0)
HEIGHT = (1.2, 1.7)  # metres above the floor
PITCH = math.radians(15.0)  # at most, up or down
CLEARANCE = 0.2  # metres to the next thing


@dataclass(frozen=True)
class Camera:
    """A square image without roll.

    Attributes:
        position: x, y and z in metres.
        yaw: Radians from +y towards +x. pitch: radians upwards.
    """

    position: tuple[float, float, float]
    yaw: float
    pitch: float

    def axes(self) -> NDArray[np.float64]:
        """Unit vectors to the right, up and forward, as rows [3, 3]."""
        sine, cosine = math.sin(self.yaw), math.cos(self.yaw)
        up, level = math.sin(self.pitch), math.cos(self.pitch)
        return np.array([[cosine, -sine, 0.0], [-sine * up, -cosine * up, level], [sine * level, cosine * level, up]])

    def rays(self, size: int) -> NDArray[np.float64]:
        """Unit vectors through the centres of the pixels [3, size, size]."""
        right, up, forward = self.axes()
        across = (2 * (np.arange(size) + 0.5) / size - 1) * math.tan(FIELD_OF_VIEW / 2)
        rays = right[:, None, None] * across[None, None] - up[:, None, None] * across[None, :, None]
        rays += forward[:, None, None]
        unit: NDArray[np.float64] = rays / np.sqrt((rays**2).sum(0))
        return unit

    def project(self, points: NDArray[np.float64], size: int) -> tuple[NDArray[np.float64], ...]:
        """Column, row and forward distance of points [..., 3]; a pixel (row, column) spans row to row + 1."""
        seen = (points - np.asarray(self.position)) @ self.axes().T
        with np.errstate(divide="ignore", invalid="ignore"):
            across = seen[..., :2] / seen[..., 2:] / math.tan(FIELD_OF_VIEW / 2)
        return (1 + across[..., 0]) * size / 2, (1 - across[..., 1]) * size / 2, seen[..., 2]


def place_camera(rng: np.random.Generator, room: Room) -> Camera:
    """Stand near the front of the room, free of furniture where that is found, and look towards the back."""
    corners = room.corners()
    width, length, _ = room.size
    position = (0.0, 0.0, 0.0)
    for _ in range(12):
        x, y = width * rng.uniform(0.25, 0.75), rng.uniform(0.15, min(0.9, 0.3 * length))
        position = (float(x), float(y), float(rng.uniform(*HEIGHT)))
        if not _inside(corners, position, CLEARANCE).any():
            break
    aim_x, aim_y = width * rng.uniform(0.3, 0.7), length * 0.9
    yaw = math.atan2(aim_x - position[0], aim_y - position[1]) + math.radians(rng.normal(0, 5))
    pitch = float(np.clip(math.radians(rng.normal(-6, 5)), -PITCH, PITCH))
    return Camera(position, float(yaw), pitch)


def blocking(room: Room, camera: Camera) -> NDArray[np.bool_]:
    """Which boxes [B] the camera stands in."""
    return _inside(room.corners(), camera.position, 0.05)


def _inside(corners: NDArray[np.float64], position: tuple[float, float, float], margin: float) -> NDArray[np.bool_]:
    inside = (corners[:, 0] - margin < position) & (corners[:, 1] + margin > position)
    found: NDArray[np.bool_] = np.all(inside, axis=1)
    return found
