"""What a room is: a box that holds boxes, and how furniture is put against its walls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.rooms.materials import Building, Material, varied

WALLS = ("back", "left", "right")


@dataclass(frozen=True)
class Box:
    """An axis-parallel box: opposite corners in metres, its material, and whether a scanner finds no depth on it."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    material: Material
    missing: bool = False


@dataclass(frozen=True, eq=False)
class Room:
    """A room from (0, 0, 0) to ``size``: x to the right, y to the back, z up, in metres.

    Attributes:
        size: Width, length and height.
        boxes: What stands in it.
        walls: Materials of its six faces: low x, high x, low y, high y, floor, ceiling.
        lamp: Where its light hangs.
        light: Red, green and blue of the lamp. ambient: likewise, of the light from everywhere.
        scene: The kind of room, an index into ``SCENES``.
    """

    size: tuple[float, float, float]
    boxes: tuple[Box, ...]
    walls: tuple[Material, ...]
    lamp: tuple[float, float, float]
    light: tuple[float, float, float]
    ambient: tuple[float, float, float]
    scene: int

    def corners(self) -> NDArray[np.float64]:
        """Low and high corners of the boxes [B, 2, 3]."""
        return np.array([(box.low, box.high) for box in self.boxes], np.float64).reshape(-1, 2, 3)

    def materials(self) -> list[Material]:
        """Of the surfaces in order: six of the room, six of every box."""
        return [*self.walls, *(box.material for box in self.boxes for _ in range(6))]


Part = tuple[float, float, float, float, float, float, Material]
"""A box of a piece of furniture: from and to along its wall, away from the wall, and up; and the material."""


class Builder:
    """Furnishes a room; every choice comes from one generator.

    Pieces are described as seen from their wall: u runs along the wall, v away from it, z up.
    """

    def __init__(self, rng: np.random.Generator, building: Building, width: float, length: float) -> None:
        self.rng, self.building = rng, building
        self.width, self.length, self.height = width, length, building.height
        self.boxes: list[Box] = []

    def uniform(self, low: float, high: float) -> float:
        """A number between two."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Whether something happens."""
        return bool(self.rng.random() < probability)

    def wood(self) -> Material:
        """Mostly the building's wood, sometimes painted."""
        choices = (self.building.wood, self.building.wood, self.building.pale, self.building.dark)
        return varied(choices[int(self.rng.integers(4))], self.rng)

    def pale(self) -> Material:
        """Mostly something near white, sometimes coloured."""
        return varied(self.building.pale, self.rng) if self.chance(0.7) else self.accent()

    def dark(self) -> Material:
        """Something near black."""
        return varied(self.building.dark, self.rng)

    def accent(self) -> Material:
        """A colour."""
        return varied(self.building.accents[int(self.rng.integers(len(self.building.accents)))], self.rng)

    def any(self) -> Material:
        """Any of these."""
        return (self.wood, self.pale, self.accent, self.accent)[int(self.rng.integers(4))]()

    def wall_length(self, wall: str) -> float:
        """Metres along a wall."""
        return self.width if wall == "back" else self.length

    def put(self, wall: str, u: float, parts: Iterable[Part], *, missing: bool = False) -> None:
        """Put a piece against a wall, its left end at ``u``; what would leave the room is cut off."""
        for u0, u1, v0, v1, z0, z1, material in parts:
            a, b = u + u0, u + u1
            if wall == "back":
                low, high = (a, self.length - v1, z0), (b, self.length - v0, z1)
            elif wall == "left":
                low, high = (v0, a, z0), (v1, b, z1)
            else:
                low, high = (self.width - v1, a, z0), (self.width - v0, b, z1)
            self.add(low, high, material, missing=missing)

    def stand(self, x: float, y: float, parts: Iterable[Part]) -> None:
        """Put a piece in the open: u is x and v is y, from (x, y) on."""
        for u0, u1, v0, v1, z0, z1, material in parts:
            self.add((x + u0, y + v0, z0), (x + u1, y + v1, z1), material)

    def add(
        self,
        low: tuple[float, float, float],
        high: tuple[float, float, float],
        material: Material,
        *,
        missing: bool = False,
    ) -> None:
        """Add a box, cut to the room; one that is outside is left out."""
        limits = (self.width, self.length, self.height)
        lows = [min(max(value, 0.0), limit) for value, limit in zip(low, limits, strict=True)]
        highs = [min(max(value, 0.0), limit) for value, limit in zip(high, limits, strict=True)]
        if all(b - a > 1e-3 for a, b in zip(lows, highs, strict=True)):
            self.boxes.append(Box((lows[0], lows[1], lows[2]), (highs[0], highs[1], highs[2]), material, missing))
