"""What surfaces look like: materials, and the palette that all rooms of one building share."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

PLAIN, STRIPES, TILES, CLOUDS = range(4)  # textures


@dataclass(frozen=True)
class Material:
    """Colour and texture of a surface.

    Attributes:
        colour: Red, green, blue in [0, 1].
        texture: ``PLAIN``, ``STRIPES``, ``TILES`` or ``CLOUDS``.
        scale: Metres from one repetition of the texture to the next.
        contrast: Largest change of brightness by the texture, as a fraction.
        emission: Light of its own, 0 for all but windows and lamps.
    """

    colour: tuple[float, float, float]
    texture: int = PLAIN
    scale: float = 0.5
    contrast: float = 0.0
    emission: float = 0.0


@dataclass(frozen=True)
class Building:
    """What the rooms of one building share: colours, textures, ceiling height and light.

    Attributes:
        walls, floors: Choices for a room.
        ceiling, wood, pale, dark: Materials of the ceiling, and of most furniture.
        accents: Colours of fabrics, doors and other things.
        height: Of the rooms, in metres.
        warmth: Tint of lamps, −1 (blue) to 1 (orange).
        ambient: Share of the light that comes from everywhere.
    """

    walls: tuple[Material, ...]
    floors: tuple[Material, ...]
    ceiling: Material
    wood: Material
    pale: Material
    dark: Material
    accents: tuple[Material, ...]
    height: float
    warmth: float
    ambient: float


def sample_building(rng: np.random.Generator) -> Building:
    """Draw a building."""
    wood_hue = rng.uniform(0.05, 0.11)
    wood = Material(_hsv(wood_hue, rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.8)), STRIPES, 0.12, 0.12)
    pale = Material(_hsv(rng.uniform(0, 1), rng.uniform(0, 0.08), rng.uniform(0.78, 0.95)))
    dark = Material(_hsv(rng.uniform(0, 1), rng.uniform(0, 0.3), rng.uniform(0.08, 0.25)))
    walls = tuple(
        Material(
            _hsv(rng.uniform(0, 1), rng.uniform(0.02, 0.3), rng.uniform(0.6, 0.92)),
            int(rng.choice([PLAIN, PLAIN, STRIPES, TILES, CLOUDS])),
            rng.uniform(0.25, 0.7),
            rng.uniform(0.04, 0.12),
        )
        for _ in range(4)
    )
    floors = tuple(
        Material(
            _hsv(rng.uniform(0.0, 0.16), rng.uniform(0.05, 0.55), rng.uniform(0.3, 0.8)),
            int(rng.choice([STRIPES, TILES, CLOUDS])),
            rng.uniform(0.15, 0.5),
            rng.uniform(0.08, 0.22),
        )
        for _ in range(3)
    )
    accents = tuple(
        Material(
            _hsv(rng.uniform(0, 1), rng.uniform(0.15, 0.75), rng.uniform(0.25, 0.85)),
            int(rng.choice([PLAIN, PLAIN, STRIPES, CLOUDS])),
            rng.uniform(0.1, 0.4),
            rng.uniform(0.05, 0.2),
        )
        for _ in range(6)
    )
    ceiling = Material(_hsv(rng.uniform(0, 1), rng.uniform(0, 0.05), rng.uniform(0.8, 0.95)))
    height = rng.uniform(2.35, 2.9)
    return Building(
        walls, floors, ceiling, wood, pale, dark, accents, height, rng.uniform(-0.5, 1.0), rng.uniform(0.35, 0.6)
    )


def varied(material: Material, rng: np.random.Generator, amount: float = 0.06) -> Material:
    """The same material with another brightness and tint, so that no two things are quite alike."""
    shift = rng.uniform(-amount, amount, 3) * 0.4 + rng.uniform(-amount, amount)
    red, green, blue = np.clip(np.asarray(material.colour) + shift, 0.02, 1.0).tolist()
    return replace(material, colour=(red, green, blue))


def _hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue, saturation, value)
