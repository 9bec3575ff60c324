"""How stored surfaces are shown: one description for the page that shows them and the command that writes the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from checkpoints import Result
from experiments.experiment import Experiment, ExperimentError
from experiments.pictures import SurfacePicture, choose_surface, quantity_of, surface_picture
from landscape import figures
from landscape.figures import PathData, SurfaceData
from landscape.style import REFERENCES


@dataclass(frozen=True)
class SurfaceView:
    """Which surface is shown, and how.

    Attributes:
        contours: Seen from above; else in 3-D.
        plane, on, block, runs: Of the surface; None, "" and () take what :func:`choose_surface` takes.
        quantity, scale, step, at: As :func:`landscape.figures.surface_3d` has them; a metric by its own name, too.
        beside: Two panels, the reference in one, others in the other, each on the data it trains on.
        arm: Whose runs stand in the second panel; empty for the first arm that is there.
    """

    contours: bool = True
    plane: str | None = None
    on: str | None = None
    block: str = ""
    runs: tuple[str, ...] = ()
    quantity: str = "loss"
    scale: str = "auto"
    step: int | None = None
    at: tuple[float, float] | None = None
    beside: bool = False
    arm: str = ""

    def arguments(self, experiment: Experiment) -> list[str]:
        """The arguments of ``export`` that draw this, without what is the default."""
        own = experiment.spec.surface
        options = {
            "--plane": self.plane if self.plane != own.plane else "",
            "--on": self.on if self.on != own.on and (not self.beside or experiment.has_own_reference) else "",
            "--block": self.block,
            "--runs": ",".join(self.runs),
            "--quantity": self.quantity if self.quantity != "loss" else "",
            "--scale": self.scale if self.scale != "auto" else "",
            "--step": "" if self.step is None else str(self.step),
            "--at": "" if self.at is None else f"{self.at[0]:.6g},{self.at[1]:.6g}",
            "--arm": self.arm,
        }
        found = ["--figure", "compare" if self.contours else "compare-3d", *(["--beside"] if self.beside else [])]
        for name, value in options.items():
            # A value that begins with a minus would be taken for an option of its own.
            found += [f"{name}={value}"] if value and value.startswith("-") else [name, value] if value else []
        return found


def draw_view(experiment: Experiment, view: SurfaceView, *, dark: bool = False) -> go.Figure:
    """Draw a view of stored surfaces.

    Raises:
        ExperimentError: There is no such surface, arm, quantity or point.
    """
    apart = view.beside and not experiment.has_own_reference
    on = "clean" if apart else view.on
    first = choose_surface(experiment, view.plane, on, block=view.block, runs=view.runs)
    if view.at is not None:
        check_point(first, *view.at)
    picture, second = surface_picture(experiment, first), None
    if apart:
        runs = tuple(first.header["runs"])
        arm = view.arm or next(iter(arms_beside(experiment, runs)), "")
        if arm not in arms_beside(experiment, runs):
            known = ", ".join(arms_beside(experiment, runs)) or "none but the reference"
            raise ExperimentError(f"No run of {view.arm or 'another arm'!r} is on this surface; arms there: {known}.")
        plane = first.header["options"]["plane"]
        other = choose_surface(experiment, plane, data_of(experiment, arm), block=view.block, runs=runs)
        second = only(surface_picture(experiment, other), experiment, arm)
    elif view.beside:
        second = picture
    return drawn(picture, second, view, dark=dark)


def drawn(
    picture: SurfacePicture, second: SurfacePicture | None, view: SurfaceView, *, dark: bool = False
) -> go.Figure:
    """Draw one surface with all its paths, or two: the reference on the first, the others on the second."""
    surfaces, paths = panels(picture, second)
    return (figures.contour_2d if view.contours else figures.surface_3d)(
        surfaces,
        paths,
        quantity=quantity_of(picture.surface, view.quantity),
        scale=view.scale,
        step=view.step,
        at=view.at,
        dark=dark,
    )


def panels(
    picture: SurfacePicture, second: SurfacePicture | None
) -> tuple[list[SurfaceData], list[tuple[PathData, ...]]]:
    """The surface of each panel and its paths: all on one, or the reference on the first, others on the second."""
    if second is None:
        return [picture.surface], [picture.paths]
    reference = tuple(path for path in picture.paths if path.role in REFERENCES)
    others = tuple(path for path in second.paths if path.role not in REFERENCES)
    return [picture.surface, second.surface], [reference, others]


def arms_beside(experiment: Experiment, runs: Sequence[str]) -> list[str]:
    """The poisoned arms that some of these runs belong to."""
    present = {experiment.arm_of(run) for run in runs}
    return [arm for arm in experiment.spec.poisoned_arms if arm in present]


def data_of(experiment: Experiment, arm: str) -> str:
    """What surfaces call the training data of a poisoned arm."""
    return "poisoned" if arm == experiment.spec.poisoned_arms[0] else arm


def only(picture: SurfacePicture, experiment: Experiment, arm: str) -> SurfacePicture:
    """A picture with the paths of one arm."""
    return replace(picture, paths=tuple(path for path in picture.paths if experiment.arm_of(path.name) == arm))


def check_point(stored: Result, alpha: float, beta: float) -> None:
    """Raise :class:`ExperimentError` for a point that is no point of the surface."""
    alphas, betas = stored.arrays["alphas"], stored.arrays["betas"]
    if not (math.isfinite(alpha) and math.isfinite(beta)):
        raise ExperimentError("A point needs two finite numbers, such as 0.12, -0.5.")
    if not (alphas[0] <= alpha <= alphas[-1] and betas[0] <= beta <= betas[-1]):
        raise ExperimentError(
            f"The point ({alpha:.3g}, {beta:.3g}) lies outside this surface, which spans {alphas[0]:.3g} to "
            f"{alphas[-1]:.3g} and {betas[0]:.3g} to {betas[-1]:.3g}; choose one inside."
        )
