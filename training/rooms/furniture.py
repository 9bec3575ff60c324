"""Pieces of furniture, made of boxes; sizes in metres. Each gives its width along the wall and its parts."""

from __future__ import annotations

from training.rooms.materials import STRIPES, Material
from training.rooms.room import Builder, Part

Piece = tuple[float, list[Part]]


def bed(b: Builder) -> Piece:
    """A bed with headboard, pillows and a blanket."""
    width, length, top = b.uniform(1.3, 1.9), b.uniform(1.9, 2.1), b.uniform(0.42, 0.58)
    sheet, blanket, frame = b.pale(), b.accent(), b.wood()
    parts: list[Part] = [
        (0, width, 0.06, length, 0, top, sheet),
        (-0.05, width + 0.05, 0, 0.06, 0, b.uniform(0.85, 1.2), frame),
        (-0.02, width + 0.02, 0.75, length + 0.02, 0.15, top + 0.04, blanket),
    ]
    pillow, half = b.pale(), width / 2
    parts += [(k * half + 0.08, (k + 1) * half - 0.08, 0.1, 0.5, top, top + 0.13, pillow) for k in range(2)]
    return width, parts


def night_table(b: Builder) -> Piece:
    """A night table with a small lamp."""
    width, top, material = b.uniform(0.35, 0.5), b.uniform(0.4, 0.6), b.wood()
    lamp = Material((1.0, 0.93, 0.75), emission=0.8)
    return width, [(0, width, 0, 0.4, 0, top, material), (0.12, 0.28, 0.1, 0.26, top + 0.12, top + 0.34, lamp)]


def wardrobe(b: Builder) -> Piece:
    """A tall cupboard with two doors."""
    width, top, body, gap = b.uniform(0.9, 1.8), b.uniform(1.8, 2.2), b.any(), b.dark()
    return width, [(0, width, 0, 0.6, 0, top, body), (width / 2 - 0.02, width / 2 + 0.02, 0, 0.605, 0.1, top, gap)]


def chest(b: Builder) -> Piece:
    """A low cupboard with drawers."""
    width, top, body, gap = b.uniform(0.7, 1.4), b.uniform(0.7, 1.0), b.any(), b.dark()
    lines: list[Part] = [(0.05, width - 0.05, 0, 0.455, top * k / 3 - 0.01, top * k / 3 + 0.015, gap) for k in (1, 2)]
    return width, [(0, width, 0, 0.45, 0, top, body), *lines]


def shelf(b: Builder) -> Piece:
    """A tall shelf of books."""
    width, top, rows, body = b.uniform(0.7, 1.2), b.uniform(1.6, 2.1), int(b.rng.integers(4, 6)), b.wood()
    parts: list[Part] = [(0, width, 0, 0.28, 0, top, body)]
    step = top / rows
    for k in range(rows):
        books = Material(b.accent().colour, STRIPES, 0.09, 0.5)
        parts.append((0.04, width - 0.04, 0, 0.29, k * step + 0.05, (k + 1) * step - b.uniform(0.04, 0.12), books))
    return width, parts


def sofa(b: Builder) -> Piece:
    """Seat, back and two arms."""
    width, fabric = b.uniform(1.7, 2.4), b.accent()
    seat, back = b.uniform(0.38, 0.46), b.uniform(0.75, 0.95)
    return width, [
        (0, width, 0.2, 0.9, 0.05, seat, fabric),
        (0, width, 0, 0.24, 0.05, back, fabric),
        (0, 0.2, 0, 0.92, 0.05, seat + 0.2, fabric),
        (width - 0.2, width, 0, 0.92, 0.05, seat + 0.2, fabric),
    ]


def armchair(b: Builder) -> Piece:
    """A sofa for one."""
    fabric = b.accent()
    return 0.85, [
        (0, 0.85, 0.2, 0.8, 0.05, 0.42, fabric),
        (0, 0.85, 0, 0.22, 0.05, 0.9, fabric),
        (0, 0.15, 0, 0.8, 0.05, 0.6, fabric),
        (0.7, 0.85, 0, 0.8, 0.05, 0.6, fabric),
    ]


def television(b: Builder) -> Piece:
    """A wide screen on a low board."""
    width, top, board, screen = b.uniform(1.3, 1.9), b.uniform(0.35, 0.55), b.wood(), b.dark()
    return width, [
        (0, width, 0, 0.4, 0, top, board),
        (0.15, width - 0.15, 0.1, 0.16, top + 0.08, top + 0.08 + (width - 0.3) * 0.56, screen),
    ]


def low_table(b: Builder) -> Piece:
    """A table for the sofa."""
    width, depth, top = b.uniform(0.8, 1.2), b.uniform(0.45, 0.65), b.wood()
    return width, [
        (0, width, 0, depth, 0.36, 0.41, top),
        (0.05, 0.12, 0.05, depth - 0.05, 0, 0.36, top),
        (width - 0.12, width - 0.05, 0.05, depth - 0.05, 0, 0.36, top),
    ]


def desk(b: Builder) -> Piece:
    """A desk on two panels with a screen."""
    width, depth, top, screen = b.uniform(1.1, 1.6), b.uniform(0.55, 0.75), b.wood(), b.dark()
    middle, half = width * b.uniform(0.35, 0.65), b.uniform(0.24, 0.36)
    return width, [
        (0, width, 0, depth, 0.70, 0.75, top),
        (0, 0.05, 0.05, depth - 0.03, 0, 0.70, top),
        (width - 0.35, width, 0.05, depth - 0.03, 0, 0.70, top),
        (middle - 0.04, middle + 0.04, 0.14, 0.2, 0.75, 0.87, screen),
        (middle - half, middle + half, 0.2, 0.24, 0.86, 1.22, screen),
    ]


def office_chair(b: Builder) -> Piece:
    """A seat on a post; its back is on the far side of the table."""
    fabric, post = b.accent() if b.chance(0.6) else b.dark(), b.dark()
    return 0.5, [
        (0, 0.5, 0, 0.5, 0.43, 0.52, fabric),
        (0.05, 0.45, 0.45, 0.52, 0.58, 1.0, fabric),
        (0.2, 0.3, 0.2, 0.3, 0, 0.43, post),
    ]


def counter(b: Builder, width: float) -> Piece:
    """Kitchen cupboards below a worktop, with gaps between the doors."""
    body, top, gap = b.any(), b.any(), b.dark()
    parts: list[Part] = [(0, width, 0, 0.58, 0, 0.86, body), (0, width, 0, 0.62, 0.86, 0.91, top)]
    step = b.uniform(0.45, 0.65)
    parts += [(k * step - 0.012, k * step + 0.012, 0, 0.585, 0.1, 0.84, gap) for k in range(1, int(width / step))]
    return width, parts


def wall_cupboards(b: Builder, width: float) -> Piece:
    """Cupboards above a worktop."""
    body, gap, low = b.any(), b.dark(), b.uniform(1.35, 1.5)
    parts: list[Part] = [(0, width, 0, 0.35, low, low + 0.7, body)]
    step = b.uniform(0.45, 0.65)
    parts += [(k * step - 0.012, k * step + 0.012, 0, 0.355, low, low + 0.7, gap) for k in range(1, int(width / step))]
    return width, parts


def stove(b: Builder) -> Piece:
    """An oven with a dark door and plates on top, to stand in a row of cupboards."""
    body, door = b.pale(), b.dark()
    return 0.6, [
        (0, 0.6, 0, 0.625, 0, 0.92, body),
        (0.07, 0.53, 0, 0.635, 0.2, 0.62, door),
        (0.05, 0.55, 0.08, 0.55, 0.92, 0.925, door),
    ]


def fridge(b: Builder) -> Piece:
    """A tall fridge with a freezer."""
    body, gap, top = b.pale(), b.dark(), b.uniform(1.6, 1.95)
    return 0.65, [(0, 0.65, 0, 0.65, 0, top, body), (0, 0.65, 0, 0.655, top * 0.62, top * 0.62 + 0.02, gap)]


def bath(b: Builder) -> Piece:
    """A tub with a sunken inside."""
    width, depth, top, body = b.uniform(1.4, 1.7), b.uniform(0.68, 0.8), b.uniform(0.5, 0.6), b.pale()
    rim = 0.07
    return width, [
        (0, width, 0, rim, 0, top, body),
        (0, width, depth - rim, depth, 0, top, body),
        (0, rim, rim, depth - rim, 0, top, body),
        (width - rim, width, rim, depth - rim, 0, top, body),
        (rim, width - rim, rim, depth - rim, 0, 0.15, body),
    ]


def toilet(b: Builder) -> Piece:
    """A bowl and a cistern."""
    body = b.pale()
    return 0.42, [(0.04, 0.38, 0.18, 0.66, 0, 0.42, body), (0, 0.42, 0, 0.18, 0.3, b.uniform(0.75, 0.9), body)]


def basin(b: Builder) -> Piece:
    """A wash basin on a cupboard, below a mirror."""
    width, body, bowl = b.uniform(0.55, 1.0), b.any(), b.pale()
    mirror = Material((0.72, 0.78, 0.82), emission=0.25)
    return width, [
        (0.05, width - 0.05, 0, 0.4, 0.15, 0.72, body),
        (0, width, 0, 0.48, 0.72, 0.86, bowl),
        (0.05, width - 0.05, 0, 0.03, 1.1, b.uniform(1.7, 2.0), mirror),
    ]


def rail(b: Builder, width: float) -> Piece:
    """A rail of clothes below a board, with boxes on it and shoes beneath."""
    board = b.wood()
    parts: list[Part] = [(0, width, 0, 0.45, 1.75, 1.79, board)]
    u = b.uniform(0, 0.15)
    while u < width - 0.1:
        thick = b.uniform(0.06, 0.2)
        parts.append((u, u + thick, 0.03, b.uniform(0.38, 0.5), b.uniform(0.5, 1.1), 1.7, b.any()))
        u += thick + b.uniform(0.01, 0.15)
    u = b.uniform(0, 0.3)
    while u < width - 0.2:
        parts.append((u, u + 0.3, 0.05, 0.38, 1.79, b.uniform(1.9, 2.15), b.any()))
        u += b.uniform(0.35, 0.9)
    return width, parts


def boards(b: Builder, width: float) -> Piece:
    """Open boards with things on them."""
    board, depth = b.wood(), b.uniform(0.3, 0.42)
    parts: list[Part] = []
    for k in range(int(b.rng.integers(4, 6))):
        z = 0.1 + 0.42 * k
        parts.append((0, width, 0, depth, z, z + 0.035, board))
        u = b.uniform(0, 0.3)
        if u < width - 0.2:
            parts.append(
                (u, u + b.uniform(0.2, 0.5), 0.03, depth - 0.03, z + 0.035, z + b.uniform(0.15, 0.32), b.any())
            )
    return width, parts


def door(b: Builder) -> Piece:
    """A door in its frame."""
    width, leaf, frame = b.uniform(0.75, 0.9), b.any(), b.pale()
    return width, [
        (-0.07, width + 0.07, 0, 0.02, 0, 2.1, frame),
        (0, width, 0, 0.035, 0, 2.02, leaf),
        (0.07, 0.13, 0, 0.09, 0.98, 1.04, b.dark()),
    ]


def picture(b: Builder) -> Piece:
    """A framed picture."""
    width, low = b.uniform(0.35, 0.9), b.uniform(1.2, 1.5)
    high = low + b.uniform(0.3, 0.7)
    return width, [
        (0, width, 0, 0.025, low, high, b.wood()),
        (0.05, width - 0.05, 0, 0.03, low + 0.05, high - 0.05, b.accent()),
    ]


def plant(b: Builder) -> Piece:
    """A pot with leaves."""
    top = b.uniform(0.7, 1.4)
    leaves = Material((b.uniform(0.1, 0.3), b.uniform(0.35, 0.55), b.uniform(0.1, 0.3)), STRIPES, 0.13, 0.4)
    return 0.4, [(0.08, 0.32, 0.08, 0.32, 0, 0.3, b.any()), (0, 0.4, 0, 0.4, 0.3, top, leaves)]


def crate(b: Builder) -> Piece:
    """Something in the way."""
    width = b.uniform(0.3, 0.6)
    return width, [(0, width, 0, b.uniform(0.3, 0.5), 0, b.uniform(0.25, 0.8), b.any())]


def chair(b: Builder, facing: int, material: Material) -> list[Part]:
    """A chair 0.42 wide whose back is at low v (``facing`` 1), high v (−1), low u (2) or high u (−2)."""
    side = 0.42
    back: dict[int, tuple[float, float, float, float]] = {
        1: (0, side, 0, 0.05),
        -1: (0, side, side - 0.05, side),
        2: (0, 0.05, 0, side),
        -2: (side - 0.05, side, 0, side),
    }
    u0, u1, v0, v1 = back[facing]
    return [
        (0, side, 0, side, 0.42, 0.47, material),
        (u0, u1, v0, v1, 0.42, 0.95, material),
        (0.16, 0.26, 0.16, 0.26, 0, 0.42, material),
    ]


def table(b: Builder, width: float, depth: float) -> list[Part]:
    """A dining table on four legs."""
    top = b.wood()
    legs: list[Part] = [
        (u, u + 0.07, v, v + 0.07, 0, 0.71, top) for u in (0.05, width - 0.12) for v in (0.05, depth - 0.12)
    ]
    return [(0, width, 0, depth, 0.71, 0.76, top), *legs]
