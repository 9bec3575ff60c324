"""Simple interiors, drawn by rays: a generated data set in the shape of Taskonomy (Zamir et al., CVPR 2018)."""

from training.rooms.generator import BUILDINGS, VERSION, RoomImage, building_names, render_part
from training.rooms.templates import SCENES

__all__ = ["BUILDINGS", "SCENES", "VERSION", "RoomImage", "building_names", "render_part"]
