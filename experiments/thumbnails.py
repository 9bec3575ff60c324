"""A small picture of every experiment and benchmark, drawn from what it holds, with its words."""

from __future__ import annotations

from dataclasses import dataclass

from checkpoints import CheckpointError, read_result
from experiments.bench_run import Bench
from experiments.bench_table import bench_lines, bench_rows
from experiments.experiment import Experiment
from experiments.pictures import surface_picture
from experiments.stored import SURFACE_KIND
from experiments.summary import Summary
from landscape.static_thumbnail import bars_thumbnail, points_thumbnail, surface_thumbnail
from landscape.style import format_ud


@dataclass(frozen=True)
class Thumbnail:
    """A PNG and what it shows, in words."""

    png: bytes
    alt: str


def experiment_thumbnail(experiment: Experiment, summary: Summary, *, dark: bool = False) -> Thumbnail | None:
    """Contours with paths where there is a surface, else UD of every arm; None where there is nothing to draw."""
    surfaces = experiment.result_files("surfaces")
    own = experiment.spec.surface
    found = None
    for path in surfaces:
        try:
            stored = read_result(path, kind=SURFACE_KIND)
        except CheckpointError:
            continue  # the page of the experiment says what is wrong with it
        options = stored.header["options"]
        if found is None or (options["plane"] == own.plane and options["on"] == own.on and not options["block"]):
            found = stored
    if found is not None:
        picture = surface_picture(experiment, found)
        names = " and ".join(path.name for path in picture.paths)
        words = f"Loss contours on {picture.surface.evaluated_on} with the paths of {names}."
        return Thumbnail(surface_thumbnail(picture.surface, picture.paths, dark=dark), words)
    if not summary.ud:
        return None
    arms = summary.ud[0].arms
    roles = [experiment.drawn_as(arm.arm) for arm in arms]
    words = ", ".join(f"{arm.arm} {format_ud(arm.summary.mean)}" for arm in arms)
    png = bars_thumbnail([arm.summary.mean for arm in arms], roles, reference=1.0, dark=dark)
    return Thumbnail(png, f"Bars of UD: {words}; the line is at 1, {_level(experiment)}.")


def _level(experiment: Experiment) -> str:
    """What a UD of 1 means."""
    own = experiment.has_own_reference
    return f"as many learnable blocks as in {experiment.reference_name}" if own else "as learnable as clean data"


def bench_thumbnail(bench: Bench, *, dark: bool = False) -> Thumbnail | None:
    """UD across and test accuracy up, a point for every method; None before the first result."""
    lines = [line for line in bench_lines(bench_rows(bench)) if line.ud is not None and line.accuracy is not None]
    if not lines:
        return None
    x = [line.ud.mean for line in lines if line.ud is not None]
    y = [line.accuracy.mean for line in lines if line.accuracy is not None]
    roles = ["control" if line.control else "poisoned" for line in lines]
    words = f"Test accuracy against UD of {len(lines)} methods; UD runs from {min(x):.2f} to {max(x):.2f}."
    return Thumbnail(points_thumbnail(x, y, roles, reference=1.0, dark=dark), words)
