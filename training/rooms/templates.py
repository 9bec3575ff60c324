"""Eight kinds of rooms: their proportions and what stands in them.

Each kind has things that make it what it is, any of which may be missing, and things that others have too, so that
neither one piece nor a colour gives the kind away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.rooms import furniture
from training.rooms.furniture import Piece
from training.rooms.materials import Building, Material, varied
from training.rooms.room import WALLS, Builder, Part, Room

MISSING = 0.06  # of a piece that belongs to a kind of room


def _bathroom(b: Builder) -> None:
    _some(b, furniture.bath, WALLS)
    _some(b, furniture.toilet, WALLS)
    _some(b, furniture.basin, WALLS)


def _bedroom(b: Builder) -> None:
    u = _some(b, furniture.bed, ("back", "back", "left", "right"), missing=MISSING / 2)
    if u is not None and b.chance(0.8):
        wall, start, width = u
        _place(b, wall, start - 0.55, furniture.night_table(b))
        _place(b, wall, start + width + 0.1, furniture.night_table(b))
    if b.chance(0.45):
        _some(b, furniture.wardrobe, ("left", "right"))
    if b.chance(0.3):
        _some(b, (furniture.chest, furniture.desk, furniture.shelf)[int(b.rng.integers(3))], WALLS)


def _closet(b: Builder) -> None:
    for wall in WALLS:
        if b.chance(0.8):
            length = b.wall_length(wall)
            make = furniture.rail if b.chance(0.6) else furniture.boards
            start = 0.0 if wall == "back" else length * b.uniform(0.25, 0.4)
            b.put(wall, start, make(b, length - start)[1])
    if b.chance(0.3):
        _some(b, furniture.chest, WALLS)


def _corridor(b: Builder) -> None:
    for wall in ("left", "right"):
        u = b.uniform(1.2, 2.2)
        while u < b.length - 1.0:
            if b.chance(0.75):
                b.put(wall, u, furniture.door(b)[1])
            u += b.uniform(1.3, 2.4)
    if b.chance(0.6):
        b.put("back", b.width / 2 - 0.4, furniture.door(b)[1])
    if b.chance(0.5):
        b.add((b.width * 0.25, 0.5, 0), (b.width * 0.75, b.length - 0.6, 0.012), b.accent())


def _dining(b: Builder) -> None:
    width, depth = b.uniform(0.9, 1.6), b.uniform(0.85, 1.5)
    x, y = (b.width - width) / 2 + b.uniform(-0.3, 0.3), max(1.6, b.length - depth - b.uniform(0.9, 1.5))
    if not b.chance(MISSING / 2):
        b.stand(x, y, furniture.table(b, width, depth))
    seat, pairs = b.any(), 2 if width > 1.1 else 1
    chairs = [(x - 0.4, y + depth / 2 - 0.21, 2), (x + width - 0.02, y + depth / 2 - 0.21, -2)]
    for k in range(pairs):
        u = x + width * (k + 0.5) / pairs - 0.21
        chairs += [(u, y - 0.38, 1), (u, y + depth - 0.04, -1)]
    for u, v, facing in chairs:
        if not b.chance(2 * MISSING):
            b.stand(u, v, furniture.chair(b, facing, seat))
    if b.chance(0.5):
        shade = Material(b.accent().colour, emission=0.5)
        b.stand(x + width / 2 - 0.2, y + depth / 2 - 0.2, [(0, 0.4, 0, 0.4, 1.55, 1.8, shade)])
    if b.chance(0.5):
        _some(b, (furniture.chest, furniture.shelf)[int(b.rng.integers(2))], WALLS)


def _office(b: Builder) -> None:
    found = _some(b, furniture.desk, ("back", "back", "left", "right"), missing=MISSING / 2)
    if found is not None and not b.chance(MISSING):
        wall, start, width = found
        b.put(wall, start + width / 2 - 0.25, [_away(part, 0.5) for part in furniture.office_chair(b)[1]])
    _some(b, furniture.shelf, WALLS, missing=0.25)
    if b.chance(0.4):
        _some(b, furniture.shelf if b.chance(0.6) else furniture.chest, WALLS)


def _kitchen(b: Builder) -> None:
    for wall in ("back", "left" if b.chance(0.5) else "right"):
        if b.chance(MISSING):
            continue
        length = b.wall_length(wall)
        start = 0.0 if wall == "back" else length * b.uniform(0.3, 0.45)
        b.put(wall, start, furniture.counter(b, length - start)[1])
        if not b.chance(0.2):
            gap = b.uniform(0, 0.6)
            b.put(wall, start + gap, furniture.wall_cupboards(b, length - start - gap)[1])
        if not b.chance(0.3):
            b.put(wall, start + b.uniform(0.1, max(0.2, length - start - 0.8)), furniture.stove(b)[1])
    if not b.chance(0.3):
        _some(b, furniture.fridge, ("left", "right"))
    if b.chance(0.15):
        b.stand(b.width / 2 - 0.4, b.length * 0.55, furniture.table(b, 0.8, 0.7))


def _living(b: Builder) -> None:
    found = _some(b, furniture.sofa, ("back", "back", "left", "right"), missing=MISSING / 2)
    if found is not None and not b.chance(0.25):
        wall, start, width = found
        b.put(wall, start + width / 2 - 0.5, [_away(part, 1.25) for part in furniture.low_table(b)[1]])
    _some(b, furniture.television, WALLS, missing=0.15)
    if b.chance(0.4):
        _some(b, furniture.armchair, WALLS)
    if b.chance(0.4):
        _some(b, (furniture.shelf, furniture.chest)[int(b.rng.integers(2))], WALLS)
    if b.chance(0.5):
        b.add((b.width * 0.2, b.length * 0.35, 0), (b.width * 0.8, b.length * 0.8, 0.012), b.accent())


@dataclass(frozen=True)
class Scene:
    """A kind of room: its name and index in Places-365, ranges of its width and length in metres, and its furniture."""

    name: str
    places: int
    width: tuple[float, float]
    length: tuple[float, float]
    furnish: Callable[[Builder], None]


SCENES = (
    Scene("bathroom", 45, (1.8, 2.9), (2.3, 3.5), _bathroom),
    Scene("bedroom", 52, (2.8, 4.4), (3.2, 4.6), _bedroom),
    Scene("closet", 95, (1.5, 2.4), (1.9, 3.2), _closet),
    Scene("corridor", 106, (1.3, 2.0), (4.5, 8.5), _corridor),
    Scene("dining_room", 121, (2.8, 4.4), (3.6, 5.0), _dining),
    Scene("home_office", 176, (2.3, 3.6), (2.6, 4.0), _office),
    Scene("kitchen", 203, (2.2, 3.8), (2.7, 4.4), _kitchen),
    Scene("living_room", 215, (3.6, 5.6), (3.8, 5.8), _living),
)


def sample_room(rng: np.random.Generator, building: Building, scene: int) -> Room:
    """Draw a room of a kind in a building."""
    kind = SCENES[scene]
    builder = Builder(rng, building, rng.uniform(*kind.width), rng.uniform(*kind.length))
    kind.furnish(builder)
    _extras(builder)
    wall = varied(building.walls[int(rng.integers(len(building.walls)))], rng)
    floor = varied(building.floors[int(rng.integers(len(building.floors)))], rng)
    size = (builder.width, builder.length, builder.height)
    lamp = (size[0] * rng.uniform(0.3, 0.7), size[1] * rng.uniform(0.3, 0.8), size[2] - 0.3)
    exposure, warmth = rng.uniform(0.75, 1.25), building.warmth + rng.uniform(-0.3, 0.3)
    tint = np.array([1 + 0.1 * warmth, 1.0, 1 - 0.12 * warmth]) * exposure
    light, ambient = tint * (1.15 - building.ambient), np.array([1.0, 1.0, 1.0]) * exposure * building.ambient
    faces = (wall, wall, wall, wall, floor, varied(building.ceiling, rng))
    return Room(size, tuple(builder.boxes), faces, lamp, _three(light), _three(ambient), scene)


def _extras(b: Builder) -> None:
    """What any room may have: windows, pictures, plants, doors and things in the way."""
    for wall, probability in (("back", 0.45), ("left", 0.25), ("right", 0.25)):
        if b.chance(probability):
            _window(b, wall)
    for make, probability in (
        (furniture.picture, 0.5),
        (furniture.picture, 0.3),
        (furniture.plant, 0.25),
        (furniture.door, 0.3),
        (furniture.crate, 0.35),
        (furniture.crate, 0.2),
        (furniture.chest, 0.12),
        (furniture.wardrobe, 0.08),
    ):
        if b.chance(probability):
            _some(b, make, WALLS, missing=0.0)


def _window(b: Builder, wall: str) -> None:
    """A window, where a scanner finds no depth, in its frame."""
    width, low = min(b.uniform(0.7, 1.7), b.wall_length(wall) - 0.3), b.uniform(0.8, 1.1)
    high, start = min(low + b.uniform(0.8, 1.3), b.height - 0.15), b.uniform(0.1, b.wall_length(wall) - 0.1)
    start = min(start, b.wall_length(wall) - width - 0.1)
    day = b.uniform(0.35, 1.0)
    glass = Material((0.78 * day, 0.88 * day, min(1.0, 0.95 * day + 0.05)), emission=1.0)
    frame = b.pale()
    b.put(wall, start, [(-0.06, width + 0.06, 0, 0.03, low - 0.06, high + 0.06, frame)])
    b.put(wall, start, [(0, width, 0, 0.035, low, high, glass)], missing=True)
    if b.chance(0.5):
        b.put(wall, start + width / 2, [(-0.02, 0.02, 0, 0.05, low, high, frame)])


def _some(
    b: Builder, make: Callable[[Builder], Piece], walls: tuple[str, ...], missing: float = MISSING
) -> tuple[str, float, float] | None:
    """Put a piece somewhere along one of the walls, where it meets others least; gives wall, start and width."""
    if b.chance(missing):
        return None
    width, parts = make(b)
    best: tuple[float, str, float] | None = None
    for _ in range(4):
        wall = walls[int(b.rng.integers(len(walls)))]
        first = 0.05 if wall == "back" else max(b.length * 0.3, b.width * 0.45)
        start = b.uniform(first, max(first + 0.01, b.wall_length(wall) - width - 0.05))
        trial = Builder(b.rng, b.building, b.width, b.length)
        trial.put(wall, start, parts)
        overlap = _overlap(b, trial)
        if best is None or overlap < best[0]:
            best = (overlap, wall, start)
        if overlap == 0:
            break
    assert best is not None
    b.put(best[1], best[2], parts)
    return best[1], best[2], width


def _overlap(b: Builder, trial: Builder) -> float:
    """Cubic metres that the bounding box of some boxes shares with what stands there."""
    if not trial.boxes:
        return 0.0
    lows = [min(box.low[axis] for box in trial.boxes) for axis in range(3)]
    highs = [max(box.high[axis] for box in trial.boxes) for axis in range(3)]
    return sum(
        max(0.0, min(highs[0], box.high[0]) - max(lows[0], box.low[0]))
        * max(0.0, min(highs[1], box.high[1]) - max(lows[1], box.low[1]))
        * max(0.0, min(highs[2], box.high[2]) - max(lows[2], box.low[2]))
        for box in b.boxes
    )


def _place(b: Builder, wall: str, start: float, piece: Piece) -> None:
    if start >= 0 and start + piece[0] <= b.wall_length(wall):
        b.put(wall, start, piece[1])


def _away(part: Part, metres: float) -> Part:
    u0, u1, v0, v1, z0, z1, material = part
    return (u0, u1, v0 + metres, v1 + metres, z0, z1, material)


def _three(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue
