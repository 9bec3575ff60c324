"""Compare paths: clean and poisoned training on one loss surface."""

from __future__ import annotations

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
from experiments.surface_plan import KIND
from landscape import figures
from landscape.style import REFERENCES, format_loss
from pages import compare_numbers, compare_point, compare_which, links, parts
from pages.view3d import Drawn, Player, stage

PLANES = {"Joint PCA": "pca", "PCA of the first run": "pca-single", "Random, filter-normalised": "random"}
PLANES |= {"Three points": "three-point", "Two parameters": "parameters", "Top Hessian eigenvectors": "hessian"}
DATA = {"clean training": "clean", "poisoned training": "poisoned", "test": "test"}
STALE = "compare-stale"  # the picture changed what the rest of the page shows
TOP_BLOCKS = {"10 most divergent parameters": "top10", "30 most divergent parameters": "top30"}


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Compare paths")
    experiment = parts.current()
    st.markdown(_sentence(experiment))
    parts.tell_not_finite(experiment)
    files = _surfaces(experiment)
    stored = list(files.values())
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    with control_column:
        wanted, runs = _plane_controls(experiment, stored)
        found = compare_which.choose({path: one for path, one in files.items() if _fits(one, wanted, runs)})
        view = _view_controls(metric_label(experiment.spec.metric), own=experiment.has_own_reference)
    # First look and finished surface are drawn in the same place, both by a fragment, which brings a container of its
    # own: so one view goes on from the other.
    with picture_column:
        notice, canvas = st.container(), st.container()
        if found is None:
            early = _early(experiment, wanted, runs) if experiment.finished_runs() else None
            with notice:
                _offer(experiment, wanted, runs, small=early is not None)
            working = parts.working(experiment, "surface")
            if early is not None or working:
                with canvas:
                    st.fragment(_look, run_every=1.0 if working else None)(experiment.name, wanted, runs, view)
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
        player = _scrubber(picture)
        with canvas:
            st.fragment(_draw)(picture, second, view, player)
    compare_numbers.metrics(experiment, picture, player.step)
    compare_point.answer(experiment, found, picture)
    st.fragment(compare_numbers.details)(picture, player.step)
    compare_numbers.explain(experiment, found, picture, view, player.step)


def _sentence(experiment: Experiment) -> str:
    """What one sees and what to look for."""
    if not experiment.has_own_reference:
        return (
            "Both runs start at the ring and end at a star. Watch where the dashed, poisoned path leaves the valley "
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
            results[path] = parts.read(path, KIND)
        except CheckpointError as error:
            st.warning(without_paths(str(error)))
    return results


def _plane_controls(experiment: Experiment, stored: list[Result]) -> tuple[SurfaceSpec, tuple[str, ...]]:
    plane = PLANES[
        st.selectbox(
            "Plane",
            list(PLANES),
            key="plane",
            bind="query-params",
            help="The two directions the surface is cut along. Joint PCA holds as much of all runs' movement as two "
            "directions can.",
        )
    ]
    if experiment.has_own_reference:  # one data set for all runs
        data = {"training": "clean", "test": "test"}
    else:
        data = dict(DATA) | {f"training data of {a}": a for a in experiment.spec.poisoned_arms[1:]}
    on = data[
        st.selectbox(
            "Loss on",
            list(data),
            key="on",
            bind="query-params",
            help="The data the surface is evaluated on. The same weights have another loss on other data.",
        )
    ]
    blocks = {"all parameters": ""} | {name: name for name in _layers(experiment, stored)} | TOP_BLOCKS
    block = blocks[
        st.selectbox(
            "Parameters",
            list(blocks),
            key="block",
            bind="query-params",
            help="Restrict the plane to a layer, or to the parameters whose two paths differ most; the others stay "
            "where the first run ended.",
        )
    ]
    names = experiment.run_names() or sorted({name for result in stored for name in result.header["runs"]})
    default = _default_runs(experiment, names, stored)
    runs = st.multiselect(
        "Runs", names, default=default, key="runs", bind="query-params", help="Paths drawn on the surface."
    )
    ordered = tuple(name for name in names if name in runs) or tuple(default)
    options = replace(experiment.spec.surface, plane=plane, on=on, block=block, parameters=())
    if plane == "parameters":
        options = replace(options, parameters=_two_parameters(stored))
    return options, ordered


def _layers(experiment: Experiment, stored: list[Result]) -> list[str]:
    for name in experiment.finished_runs()[:1]:
        with experiment.open_run(name) as run:
            return list(dict.fromkeys(n.rsplit(".", 1)[0] for n in run.parameters.names))
    return sorted({b for result in stored if (b := result.header["options"]["block"]) and not b.startswith("top")})


def _default_runs(experiment: Experiment, names: list[str], stored: list[Result]) -> list[str]:
    if stored and set(stored[-1].header["runs"]) <= set(names):
        return list(stored[-1].header["runs"])
    seed = experiment.seed_of(names[0]) if names else 0
    return [name for name in names if experiment.seed_of(name) == seed]


def _two_parameters(stored: list[Result]) -> tuple[int, int]:
    """Pick two single parameters, from those whose paths diverge most where that is known."""
    ranking = next((r for r in stored if "divergence" in r.header), None)
    if ranking is None:
        first = int(st.number_input("First parameter (flat index)", min_value=0, value=0, key="theta1"))
        return first, int(st.number_input("Second parameter", min_value=0, value=first + 1, key="theta2"))
    names = ranking.header["divergence"]["names"]
    index = dict(zip(names, (int(i) for i in ranking.arrays["divergence/indices"]), strict=True))
    one = st.selectbox("First parameter", names, key="theta1", bind="query-params")
    two = st.selectbox("Second parameter", [n for n in names if n != one], key="theta2", bind="query-params")
    return index[one], index[two]


def _possible(view: dict[str, str], picture: SurfacePicture, second: SurfacePicture | None = None) -> dict[str, str]:
    """The view, of the loss where a surface was computed without the user's own metric."""
    whole = all(one.surface.metric is not None for one in (picture, second) if one is not None)
    return view if whole or view["quantity"] != "metric" else view | {"quantity": "loss"}


def _view_controls(metric: str, *, own: bool) -> dict[str, str]:
    view = {}
    view["show"] = st.segmented_control(
        "View", ["3-D", "Contour", "Both"], default="3-D", required=True, key="view", bind="query-params"
    )
    view["arrangement"] = st.segmented_control(
        "Arrangement",
        ["Overlaid", "Side by side"],
        default="Overlaid",
        required=True,
        key="arrange",
        bind="query-params",
        help="Side by side: the reference's path, and the others' on the same data, with shared axes, colours and "
        "camera."
        if own
        else "Side by side: the clean path on the chosen data, each poisoned path on its own training data, with "
        "shared axes, colours and camera.",
    )
    view["quantity"] = st.segmented_control(
        "Height",
        ["loss", "accuracy", *(["metric"] if metric else [])],
        format_func=lambda name: metric if name == "metric" else name,
        default="loss",
        required=True,
        key="height",
        bind="query-params",
    )
    view["scale"] = st.segmented_control(
        "Scale",
        ["auto", "log", "linear"],
        default="auto",
        required=True,
        key="scale",
        bind="query-params",
        help="Auto takes logarithms when the largest loss is more than 20 times the smallest.",
    )
    return view


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
    _draw(picture, None, _possible(view, picture), _scrubber(picture), finished=False)
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
    """The second panel when side by side: the same plane on the poisoned training data."""
    if view["arrangement"] != "Side by side":
        return None
    if experiment.has_own_reference:
        return picture
    other = replace(wanted, on="poisoned" if wanted.on != "poisoned" else "clean")
    found = _find(stored, other, runs)
    if found is None:
        with st.expander(f"The right panel can show the {other.on} training data, once computed"):
            _offer(experiment, other, runs)
        return picture
    return surface_picture(experiment, found)


def _scrubber(picture: SurfacePicture) -> Player:
    """The checkpoints to walk along, one position for all runs; the address says where it stands."""
    longest = max(picture.paths, key=lambda path: len(path.steps))
    steps = tuple(int(step) for step in longest.steps)
    epochs = tuple(float(epoch) if np.isfinite(epoch) else None for epoch in longest.epochs)
    try:
        asked = float(st.query_params["step"])
    except (KeyError, ValueError):
        asked = float("nan")
    step = min(steps, key=lambda one: abs(one - asked)) if np.isfinite(asked) else steps[-1]
    st.session_state["step"] = step
    if "step" in st.query_params:
        _write_step(step, steps[-1])  # what is not there becomes the nearest, in the address as well
    return Player(steps, epochs, step)


def _moved(step: int, last: int) -> None:
    """The viewer let go of the scrubber: everything on the page follows."""
    links.keep_up()
    _write_step(step, last)
    st.session_state[STALE] = True


def _write_step(step: int, last: int) -> None:
    if step == last:
        st.query_params.pop("step", None)
    else:
        st.query_params["step"] = str(step)


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
    if second is None:
        surfaces, paths = [picture.surface], [picture.paths]
    else:
        clean = tuple(p for p in picture.paths if p.role in REFERENCES)
        others = tuple(p for p in second.paths if p.role not in REFERENCES)
        surfaces, paths = [picture.surface, second.surface], [clean, others]
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
        on_step=lambda step: _moved(step, last),
        on_pick=_chose if finished else None,
    )


main()
