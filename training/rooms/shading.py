"""From hits to colours: textures, a lamp, light from everywhere."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training.rooms.camera import FIELD_OF_VIEW, Camera
from training.rooms.materials import CLOUDS, STRIPES, TILES
from training.rooms.raycast import ROOM_FACES, Hits
from training.rooms.room import Room

FALL_OFF = 0.08  # of the lamp, per square metre of distance
SKY = np.array([0.82, 1.0])  # of the light from everywhere: on faces that look down, and up
SIDES = np.array([0.88, 0.96])  # on walls along x, and along y


def shade(room: Room, camera: Camera, hits: Hits) -> NDArray[np.uint8]:
    """Colours [S, S, 3] in 8 bits."""
    materials = room.materials()
    colours = np.array([m.colour for m in materials])
    texture, scale, contrast, emission = np.array(
        [(m.texture, m.scale, m.contrast, m.emission) for m in materials], np.float64
    ).T
    surface = hits.surface
    axis, high = surface % 6 // 2, surface % 2 == 1
    facing = np.where(high == (surface >= ROOM_FACES), 1.0, -1.0)  # the room's faces look inwards
    points = hits.rays * hits.distance + np.asarray(camera.position)[:, None, None]
    to_lamp = np.asarray(room.lamp)[:, None, None] - points
    square = (to_lamp**2).sum(0)
    towards = np.take_along_axis(to_lamp, axis[None], 0)[0] * facing / np.sqrt(square)
    lamp = np.maximum(towards, 0.0) / (1 + FALL_OFF * square)
    around = np.where(axis == 2, np.where(facing > 0, SKY[1], SKY[0]), np.where(axis == 0, SIDES[0], SIDES[1]))
    light = lamp[..., None] * room.light + around[..., None] * room.ambient
    u, v = np.where(axis == 0, points[1], points[0]), np.where(axis == 2, points[1], points[2])
    footprint = hits.distance * (2 * math.tan(FIELD_OF_VIEW / 2) / surface.shape[0])
    pattern = _texture(texture[surface], u, v, scale[surface], footprint) * contrast[surface]
    own = emission[surface][..., None]
    bright = colours[surface] * (1 + pattern)[..., None] * (light * (1 - own) + own)
    levels: NDArray[np.uint8] = np.floor(np.clip(bright, 0, 1) * 255 + 0.5).astype(np.uint8)
    return levels


def grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of an 8-bit image [..., 3], rounded to 8 bits (ITU-R BT.601)."""
    levels: NDArray[np.uint8] = ((rgb.astype(np.int32) @ np.array([299, 587, 114]) + 500) // 1000).astype(np.uint8)
    return levels


def _texture(
    kind: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    scale: NDArray[np.float64],
    footprint: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Change of brightness in [−1, 1]; a texture finer than two pixels fades, as it would in a photograph."""
    across, along = u / scale, v / scale
    column, row = np.floor(across), np.floor(along)
    joint = (across - column < 0.12) | (along - row < 0.12)
    pattern = np.zeros_like(u)
    np.copyto(pattern, _noise(column, 0 * row), where=kind == STRIPES)
    np.copyto(pattern, np.where(joint, -1.0, 0.35 * _noise(column, row)), where=kind == TILES)
    waves = np.sin(math.pi * across + np.sin(2.3 * along)) * np.sin(math.pi * along + np.sin(1.7 * across))
    np.copyto(pattern, waves, where=kind == CLOUDS)
    visible: NDArray[np.float64] = pattern * np.clip(scale / (2 * footprint) - 0.5, 0.0, 1.0)
    return visible


def _noise(column: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """A fixed number in [−1, 1] for every cell."""
    mixed = column.astype(np.int64) * 374761393 + row.astype(np.int64) * 668265263
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    value: NDArray[np.float64] = ((mixed ^ (mixed >> 16)) & 0xFFFF) / 32767.5 - 1
    return value
