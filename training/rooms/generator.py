"""Images of rooms with everything that Taskonomy stores beside them; every image follows from its seed and number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.rooms.camera import FIELD_OF_VIEW, Camera, blocking, place_camera
from training.rooms.materials import Building, sample_building
from training.rooms.raycast import cast
from training.rooms.room import Room
from training.rooms.shading import grey, shade
from training.rooms.targets import MISSING, keypoints, segments, stored_depth
from training.rooms.templates import SCENES, sample_room

VERSION = 1  # of the generator; another version may give other images
BUILDINGS = {"train": 20, "val": 4, "test": 6}
PLACES = 365
CONFIDENCE = 0.9  # of the right class


@dataclass(frozen=True, eq=False)
class RoomImage:
    """One view of one room.

    Attributes:
        building, name: As in the names of files: ``house_03``, ``point_12_view_0``.
        rgb: [S, S, 3]. depth: Euclidean, in 1/512 m, 65535 where missing. keypoints, segments: [S, S].
        class_scene: Probabilities of the 365 classes of Places.
        point_info: The camera.
    """

    building: str
    name: str
    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    keypoints: NDArray[np.uint16]
    segments: NDArray[np.uint8]
    class_scene: NDArray[np.float32]
    point_info: dict[str, Any]

    @property
    def mask_valid(self) -> NDArray[np.uint8]:
        """255 where depth is known, else 0 [S, S]."""
        return np.where(self.depth == MISSING, 0, 255).astype(np.uint8)


def building_names(part: str) -> list[str]:
    """The buildings of ``train``, ``val`` or ``test``; no part shares one."""
    first = 0
    for name, count in BUILDINGS.items():
        if name == part:
            return [f"house_{first + k:02d}" for k in range(count)]
        first += count
    raise KeyError(part)


def render_part(
    part: str, count: int, *, size: int, seed: int, progress: Callable[[int], None] | None = None
) -> list[RoomImage]:
    """The first ``count`` images of a part, in order; ``progress`` is told the number done.

    The kinds of rooms take turns, and so do the buildings, one further after every round of both, so that every kind is
    as frequent as any other and comes in every building.
    """
    names = building_names(part)
    number, kinds, turns = list(BUILDINGS).index(part), len(SCENES), [0] * len(names)
    houses = [sample_building(np.random.default_rng([seed, number, k])) for k in range(len(names))]
    images = []
    for k in range(count):
        house = (k + k // math.lcm(kinds, len(names))) % len(names)
        rng = np.random.default_rng([seed, number, house, turns[house], 1])
        room, camera = view(rng, houses[house], k % kinds)
        name = f"point_{turns[house]}_view_0"
        turns[house] += 1
        images.append(render(room, camera, rng, size=size, building=names[house], name=name))
        if progress is not None:
            progress(k + 1)
    return images


def view(rng: np.random.Generator, building: Building, scene: int) -> tuple[Room, Camera]:
    """Draw a room and a camera in it; furniture that the camera would stand in is taken away."""
    room = sample_room(rng, building, scene)
    camera = place_camera(rng, room)
    blocked = blocking(room, camera)
    if blocked.any():
        room = replace(room, boxes=tuple(box for box, bad in zip(room.boxes, blocked, strict=True) if not bad))
    return room, camera


def render(room: Room, camera: Camera, rng: np.random.Generator, *, size: int, building: str, name: str) -> RoomImage:
    """Everything about one view of a room."""
    hits = cast(room, camera, size)
    rgb = shade(room, camera, hits)
    missing = np.array([False] * 6 + [box.missing for box in room.boxes for _ in range(6)])[hits.surface]
    probabilities = np.zeros(PLACES, np.float32)
    probabilities[[kind.places for kind in SCENES]] = (1 - CONFIDENCE) / (len(SCENES) - 1)
    probabilities[SCENES[room.scene].places] = CONFIDENCE
    info = {
        "building": building,
        "point": name,
        "camera_location": list(camera.position),
        "camera_yaw_rads": camera.yaw,
        "camera_pitch_rads": camera.pitch,
        "camera_roll_rads": 0.0,
        "field_of_view_rads": FIELD_OF_VIEW,
        "resolution": size,
        "room_size": list(room.size),
    }
    depth = stored_depth(hits.distance, missing)
    return RoomImage(building, name, rgb, depth, keypoints(grey(rgb)), segments(hits.surface, rng), probabilities, info)
