"""The film of an experiment's first runs, from its surface file."""

from __future__ import annotations

from experiments.experiment import Experiment, ExperimentError
from experiments.pictures import choose_surface, curves, surface_picture
from landscape.animation import animation_csv, build_stage
from landscape.animation_gif import animation_gif
from landscape.animation_html import animation_html

FILM_FORMATS = ("gif", "html", "csv")
SIZES = {"gif": (800, 460), "html": (960, 480)}  # pixels
NARROW = (400, 680)  # pixels, of a film on a phone


def animate(
    experiment: Experiment,
    kind: str,
    *,
    plane: str | None = None,
    on: str | None = None,
    dark: bool = False,
    size: tuple[int, int] | None = None,
) -> bytes:
    """The bytes of a film as gif, html (which follows the reader's light or dark scheme) or csv.

    Raises:
        ExperimentError: Another format, an unfit size, or no such surface yet.
    """
    if kind not in FILM_FORMATS:
        raise ExperimentError(f"An animation is written as {', '.join(FILM_FORMATS)}, not as {kind}.")
    stored = choose_surface(experiment, plane, on)
    picture, metrics = surface_picture(experiment, stored), curves(experiment, stored)
    if kind == "csv":
        return animation_csv(picture.paths, metrics).encode()
    size = size or SIZES[kind]
    if not (400 <= size[0] <= 2000 and 240 <= size[1] <= 2000):
        raise ExperimentError(f"A film of {size[0]}×{size[1]} pixels cannot be drawn; choose 400×240 to 2000×2000.")
    gif = kind == "gif"
    stage = build_stage(picture.surface, picture.paths, metrics, size=size, dark=dark and gif, title=gif)
    if gif:
        return animation_gif(stage)
    narrow = build_stage(picture.surface, picture.paths, metrics, size=NARROW, title=False, stacked=True)
    return animation_html(stage, narrow, experiment.name).encode()
