"""Compare paths: clean and poisoned training on one loss surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st

from checkpoints import CheckpointError, Result
from experiments import Experiment, SurfaceSpec, find_experiment
from experiments.classroom import without_paths
from experiments.own_metric import metric_label
from experiments.own_notes import hindrance
from experiments.paths_alone import draw_paths_alone
from experiments.pictures import PLANE_NAMES, SurfacePicture, surface_picture
from experiments.preview import partial_surfaces, preview_surface
from experiments.stored import SURFACE_KIND
from experiments.surface_view import SurfaceView, arms_beside, data_of, only, panels
from landscape import figures
from landscape.style import format_loss
from pages import compare_controls, compare_numbers, compare_point, compare_which, parts, scrubber, standing, there
from pages.compare_controls import BESIDE
from pages.view3d import Drawn, Player, stage

ELSEWHERE = ("random", "parameters", "hessian")  # planes that know nothing of where training went
STALE = "compare-stale"  # the picture changed what the rest of the page shows


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Compare paths")
    experiment = parts.current()
    words = st.empty()
    parts.tell_not_finite(experiment)
    files = _surfaces(experiment)
    stored = list(files.values())
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    with control_column:
        above, below = st.container(), st.container()
        with below:  # first: side by side chooses the data
            view = compare_controls.view(metric_label(experiment.spec.metric), own=experiment.has_own_reference)
        with above:
            wanted, runs = compare_controls.plane(experiment, stored, beside=view["arrangement"] == BESIDE)
        words.markdown(_sentence(experiment, wanted.plane))
        with above:
            found = compare_which.choose({path: one for path, one in files.items() if _fits(one, wanted, runs)})
    # First look and finished surface are drawn in the same place, both by a fragment, which brings a container of its
    # own: so one view goes on from the other.
    with picture_column:
        notice, canvas = st.container(), st.container()
        if found is None:
            early = _early(experiment, wanted, runs) if experiment.finished_runs() else None
            with notice:
                _offer(experiment, wanted, runs, small=early is not None)
                if early is not None and view["arrangement"] == BESIDE:
                    st.caption("Two panels stand side by side once this surface is computed.")
            working = parts.working(experiment, "surface")
            if early is not None or working:
                with canvas:
                    every = 1.0 if working else None
                    there.fragment(_look, experiment.name, run_every=every)(experiment.name, wanted, runs, view)
                parts.equivalent(experiment, _arguments(wanted, runs))
            elif hindrance(experiment):
                _paths_alone(experiment, wanted, runs)
            return
        picture = surface_picture(experiment, found)
        with notice:
            second = _partner(experiment, stored, wanted, runs, view, picture)
            view = _possible(view, picture, second)
            if experiment.spec.metric and picture.surface.metric is None:
                what = f"This surface was computed without {metric_label(experiment.spec.metric)}."
                parts.offer(what, experiment, _arguments(wanted, runs), key="metric", small=True)
        player = scrubber.of(picture.paths)
        with canvas:
            there.fragment(_draw, experiment.name)(picture, second, view, player)
    standing.numbers(experiment, picture, player.step, f"At step {player.step}")
    compare_point.answer(experiment, found, picture)
    there.fragment(compare_numbers.details, experiment.name)(picture, player.step)
    taken = _taken(experiment, stored, wanted, picture, second, view, player)
    compare_numbers.explain(experiment, found, picture, second, taken, both=view["show"] == "Both")


def _sentence(experiment: Experiment, plane: str) -> str:
    """What one sees and what to look for."""
    if plane in ELSEWHERE:
        return (
            "Runs start at a ring and end at a star. This plane was not laid through the paths: what is drawn is their "
            "shadow, which may lie where the loss is quite another. Read *Off the plane* before you believe a height."
        )
    if not experiment.has_own_reference:
        return (
            "Runs start at the ring and end at a star. Watch where the dashed, poisoned path leaves the valley "
            "that the clean one follows."
        )
    if not experiment.spec.poisoned_arms:
        return "A run starts at a ring and ends at a star. Watch where its path bends, and where it leaves the plane."
    return (
        f"Runs start at a ring and end at a star; {experiment.reference_name} is drawn solid. Watch where the others "
        "leave its path."
    )


def _paths_alone(experiment: Experiment, wanted: SurfaceSpec, runs: tuple[str, ...]) -> None:
    """Where a surface cannot be computed: the paths."""
    try:
        figure = draw_paths_alone(experiment, wanted, runs, dark=parts.is_dark())
    except ValueError as error:
        parts.fail_softly(error)
        return
    if figure is not None:
        parts.plot(figure, key="paths-alone")


def _surfaces(experiment: Experiment) -> dict[Path, Result]:
    """The readable surfaces, newest first."""
    results = {}
    for path in reversed(experiment.result_files("surfaces")):
        try:
            results[path] = parts.read(path, SURFACE_KIND)
        except CheckpointError as error:
            st.warning(without_paths(str(error)))
    return results


def _possible(view: dict[str, str], picture: SurfacePicture, second: SurfacePicture | None = None) -> dict[str, str]:
    """The view, of the loss where a surface was computed without the user's own metric."""
    whole = all(one.surface.metric is not None for one in (picture, second) if one is not None)
    return view if whole or view["quantity"] != "metric" else view | {"quantity": "loss"}


def _fits(result: Result, wanted: SurfaceSpec, runs: tuple[str, ...]) -> bool:
    """Whether a surface is of this plane, data, block and runs; grid, margin and sample may be any."""
    options = result.header["options"]
    return (
        all(options[key] == getattr(wanted, key) for key in ("plane", "on", "block"))
        and (wanted.plane != "random" or options["seed"] == wanted.seed)
        and tuple(options["parameters"]) == wanted.parameters
        and set(result.header["runs"]) == set(runs)
    )


def _find(stored: list[Result], wanted: SurfaceSpec, runs: tuple[str, ...]) -> Result | None:
    """The newest surface that fits."""
    return next((result for result in stored if _fits(result, wanted, runs)), None)


def _offer(experiment: Experiment, wanted: SurfaceSpec, runs: tuple[str, ...], *, small: bool = False) -> None:
    if not experiment.finished_runs():
        if experiment.run_names() or not experiment.result_files("sal"):
            parts.offer(f"{experiment.name} is not trained yet.", experiment, ["run", "EXP", "--live"], key="train")
        else:
            st.info(
                f"{experiment.name} ships as results only, and this surface is not among them. Train it to see any "
                "surface; the Live page does it with one click."
            )
        return
    what = f"The surface on the {PLANE_NAMES[wanted.plane]} plane has not been computed on this data yet."
    if small:
        what = "This is a first look; the surface itself has not been computed yet."
    parts.offer(what, experiment, _arguments(wanted, runs), key="surface", small=small)


def _arguments(wanted: SurfaceSpec, runs: tuple[str, ...]) -> list[str]:
    """The command that computes a surface."""
    arguments = ["surface", "EXP", "--plane", wanted.plane, "--on", wanted.on, "--runs", ",".join(runs)]
    if wanted.block:
        arguments += ["--block", wanted.block]
    if wanted.parameters:
        arguments += ["--parameters", ",".join(map(str, wanted.parameters))]
    return arguments


def _look(name: str, wanted: SurfaceSpec, runs: tuple[str, ...], view: dict[str, str]) -> None:
    """The surface before it is computed, and meanwhile: a first look, then the finest grid that is complete."""
    experiment = find_experiment(name)
    found = _early(experiment, wanted, runs)
    if found is None:
        return
    picture = surface_picture(experiment, found)
    _draw(picture, None, _possible(view, picture), scrubber.of(picture.paths), finished=False)
    rows, columns = picture.surface.loss.shape
    total = int(found.header["available"])
    on = f"{picture.surface.samples} of {total} samples"
    if found.header["unfinished"] == "preview":
        error = picture.surface.standard_error
        spread = "" if error is None else f", standard error up to {format_loss(float(np.nanmax(error)))}"
        st.caption(f"First look: {rows} × {columns} points on {on}{spread}.")
    else:
        st.caption(f"So far: {rows} × {columns} points on {on}; it sharpens as more come in.")


def _early(experiment: Experiment, wanted: SurfaceSpec, runs: tuple[str, ...]) -> Result | None:
    """What can be shown of a surface that is not computed, if anything."""
    try:
        return _find(partial_surfaces(experiment), wanted, runs) or _preview(str(experiment.path), wanted, runs)
    except ValueError:  # computing it says what is wrong
        return None


@st.cache_resource(max_entries=8, show_spinner="Taking a first look …")
def _preview(path: str, wanted: SurfaceSpec, runs: tuple[str, ...]) -> Result | None:
    return preview_surface(Experiment.open(path), wanted, runs)


def _partner(
    experiment: Experiment,
    stored: list[Result],
    wanted: SurfaceSpec,
    runs: tuple[str, ...],
    view: dict[str, str],
    picture: SurfacePicture,
) -> SurfacePicture | None:
    """The second panel when side by side: the same plane and the runs of one arm, on the data that they train on."""
    if view["arrangement"] != BESIDE:
        return None
    if experiment.has_own_reference:
        return picture
    arms = arms_beside(experiment, runs)
    if not arms:
        st.caption("Two panels stand side by side once a poisoned run is among the *Runs*.")
        return None
    arm = arms[0]
    if len(arms) > 1:
        arm = st.selectbox("Right panel", arms, key="against", bind="query-params", help="The runs of this arm.")
    other = replace(wanted, on=data_of(experiment, arm))
    found = _find(stored, other, runs)
    if found is None:
        early = _early(experiment, other, runs)
        found = early if early is not None and _same_place(early, picture) else None
        if found is None:
            st.caption(f"The surface on the training data of {arm} is not there, so both paths share one.")
        _offer(experiment, other, runs, small=found is not None)
        if found is None:
            return None
    return only(surface_picture(experiment, found), experiment, arm)


def _taken(
    experiment: Experiment,
    stored: list[Result],
    wanted: SurfaceSpec,
    picture: SurfacePicture,
    second: SurfacePicture | None,
    view: dict[str, str],
    player: Player,
) -> SurfaceView:
    """What is shown, as it can be taken away."""
    runs = tuple(path.name for path in picture.paths)
    newest = next(one for one in stored if one.header["options"] == picture.header["options"])
    arms = arms_beside(experiment, runs)
    return SurfaceView(
        contours=view["show"] == "Contour",
        plane=wanted.plane,
        on=wanted.on,
        block=wanted.block,
        runs=() if set(newest.header["runs"]) == set(runs) else runs,
        quantity=picture.surface.metric_name or "metric" if view["quantity"] == "metric" else view["quantity"],
        scale=view["scale"],
        step=None if player.step == player.steps[-1] else player.step,
        at=compare_point.chosen(picture),
        beside=second is not None,
        arm=experiment.arm_of(second.paths[0].name) if second is not None and len(arms) > 1 else "",
    )


def _same_place(found: Result, picture: SurfacePicture) -> bool:
    """Whether a surface spans what another one does, so that the two can be compared panel by panel."""
    mine = (picture.surface.alphas, picture.surface.betas)
    pairs = zip((found.arrays["alphas"], found.arrays["betas"]), mine, strict=True)
    return all(np.allclose(one[[0, -1]], other[[0, -1]], rtol=0.05) for one, other in pairs)


def _moved(last: int) -> Callable[[int], None]:
    """The viewer let go of the scrubber: everything on the page follows."""

    def write(step: int) -> None:
        scrubber.moved(step, last)
        st.session_state[STALE] = True

    return write


def _chose(alpha: float, beta: float) -> None:
    """The viewer clicked a point of the plane."""
    compare_point.choose(alpha, beta)
    st.session_state[STALE] = True


def _draw(
    picture: SurfacePicture,
    second: SurfacePicture | None,
    view: dict[str, str],
    player: Player,
    *,
    finished: bool = True,
) -> None:
    if st.session_state.pop(STALE, False):
        st.rerun()
    surfaces, paths = panels(picture, second)
    # Drawn to the end; where the player stands is not part of the figure, so that moving it sends nothing anew.
    last = player.steps[-1]
    at = compare_point.chosen(picture) if finished else None
    options = {"quantity": view["quantity"], "scale": view["scale"], "step": last, "at": at, "dark": parts.is_dark()}
    builders = {"3-D": (figures.surface_3d,), "Contour": (figures.contour_2d,)}
    both = (figures.surface_3d, figures.contour_2d)
    stage(
        [Drawn.of(build(surfaces, paths, **options)) for build in builders.get(view["show"], both)],
        key="paths",
        height=560,
        player=player,
        on_step=_moved(last),
        on_pick=_chose if finished else None,
        addressed=True,
    )


main()
