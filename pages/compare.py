"""Compare paths: clean and poisoned training on one loss surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from checkpoints import CheckpointError, Result
from experiments import Experiment, SurfaceSpec, find_experiment
from experiments.pictures import PLANE_NAMES, SurfacePicture, surface_picture
from experiments.preview import partial_surfaces, preview_surface
from experiments.surface_plan import KIND
from landscape import figures, figures_lines
from landscape.figures import PathData
from landscape.style import format_loss
from pages import links, parts
from pages.view3d import view3d

PLANES = {"Joint PCA": "pca", "PCA of the first run": "pca-single", "Random, filter-normalised": "random"}
PLANES |= {"Three points": "three-point", "Two parameters": "parameters", "Top Hessian eigenvectors": "hessian"}
DATA = {"clean training": "clean", "poisoned training": "poisoned", "test": "test"}
TOP_BLOCKS = {"10 most divergent parameters": "top10", "30 most divergent parameters": "top30"}


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Compare paths")
    st.markdown(
        "Both runs start at the ring and end at a star. Watch where the dashed, poisoned path leaves the valley "
        "that the clean one follows."
    )
    experiment = parts.current()
    stored = _surfaces(experiment)
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    with control_column:
        wanted, runs = _plane_controls(experiment, stored)
        view = _view_controls()
    found = _find(stored, wanted, runs)
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
            return
        picture = surface_picture(experiment, found)
        with notice:
            second = _partner(experiment, stored, wanted, runs, view, picture)
        step = _scrubber(picture)
        with canvas:
            st.fragment(_draw)(picture, second, view, step)
    _metrics(experiment, picture, step)
    _details(picture, step)
    _explain(experiment, picture, view, step)


def _surfaces(experiment: Experiment) -> list[Result]:
    results = []
    for path in reversed(experiment.result_files("surfaces")):
        try:
            results.append(parts.read(path, KIND))
        except CheckpointError as error:
            st.warning(str(error))
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
        bound = {"min_value": 0, "bind": "query-params"}
        first = int(st.number_input("First parameter (flat index)", value=0, key="theta1", **bound))
        return first, int(st.number_input("Second parameter", value=first + 1, key="theta2", **bound))
    names = ranking.header["divergence"]["names"]
    index = dict(zip(names, (int(i) for i in ranking.arrays["divergence/indices"]), strict=True))
    one = st.selectbox("First parameter", names, key="theta1", bind="query-params")
    two = st.selectbox("Second parameter", [n for n in names if n != one], key="theta2", bind="query-params")
    return index[one], index[two]


def _view_controls() -> dict[str, str]:
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
        help="Side by side: the clean path on the chosen data, each poisoned path on its own training data, with "
        "shared axes, colours and camera.",
    )
    view["quantity"] = st.segmented_control(
        "Height", ["loss", "accuracy"], default="loss", required=True, key="height", bind="query-params"
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


def _find(stored: list[Result], wanted: SurfaceSpec, runs: tuple[str, ...]) -> Result | None:
    """The newest surface of this plane, data, block and runs; grid, margin and sample may be any."""

    def same(result: Result) -> bool:
        options = result.header["options"]
        return (
            all(options[key] == getattr(wanted, key) for key in ("plane", "on", "block"))
            and (wanted.plane != "random" or options["seed"] == wanted.seed)
            and tuple(options["parameters"]) == wanted.parameters
            and set(result.header["runs"]) == set(runs)
        )

    return next((result for result in stored if same(result)), None)


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
    _draw(picture, None, view, int(max(path.steps[-1] for path in picture.paths)))
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
    other = replace(wanted, on="poisoned" if wanted.on != "poisoned" else "clean")
    found = _find(stored, other, runs)
    if found is None:
        with st.expander(f"The right panel can show the {other.on} training data, once computed"):
            _offer(experiment, other, runs)
        return picture
    return surface_picture(experiment, found)


def _scrubber(picture: SurfacePicture) -> int:
    """Choose a checkpoint by its step; one position serves all runs."""
    longest = max(picture.paths, key=lambda path: len(path.steps))
    steps = [int(step) for step in longest.steps]
    if len(steps) < 2:
        return steps[0]
    per_epoch = steps[-1] / float(longest.epochs[-1]) if longest.epochs[-1] > 0 else float("nan")
    label = "Step" if per_epoch != per_epoch else f"Step ({per_epoch:.0f} to an epoch)"
    links.nearest("step", steps)
    return int(st.select_slider(label, steps, value=steps[-1], key="step", bind="query-params"))


def _draw(picture: SurfacePicture, second: SurfacePicture | None, view: dict[str, str], step: int) -> None:
    dark = parts.is_dark()
    if second is None:
        surfaces, paths = [picture.surface], [picture.paths]
    else:
        clean = tuple(p for p in picture.paths if p.role == "clean")
        others = tuple(p for p in second.paths if p.role != "clean")
        surfaces, paths = [picture.surface, second.surface], [clean, others]
    options = {"quantity": view["quantity"], "scale": view["scale"], "step": step, "dark": dark}
    if view["show"] in ("3-D", "Both"):
        figure = figures.surface_3d(surfaces, paths, **options)
        view3d(figure, key="surface3d", height=560, alt=parts.alternative(figure))
    if view["show"] in ("Contour", "Both"):
        parts.plot(figures.contour_2d(surfaces, paths, **options), key="contour")


def _at(path: PathData, step: int) -> int:
    """Index of the checkpoint nearest to a step."""
    return int(np.argmin(np.abs(path.steps - step)))


def _metrics(experiment: Experiment, picture: SurfacePicture, step: int) -> None:
    """Accuracy of each run against clean, UD, and what the plane leaves out."""
    runs = parts.test_accuracies(picture, step)
    clean = next((value for path, value in runs if path.role == "clean"), None)
    columns = st.columns(len(runs) + 3)
    for column, (path, accuracy) in zip(columns, runs, strict=False):
        delta = None
        if path.role != "clean" and clean is not None and accuracy is not None:
            delta = f"{100 * (accuracy - clean):+.1f} points"
        column.metric(f"{path.name} test accuracy", parts.percent(accuracy), delta, help=f"At step {step}.")
    ud, spread = parts.main_ud(experiment)
    columns[-3].metric("UD", ud, spread, delta_color="off", delta_arrow="off", help=parts.UD_HELP)
    explained = picture.surface.explained
    columns[-2].metric(
        "Plane explains",
        "–" if explained is None else parts.percent(sum(explained)),
        help="Share of the variance of all checkpoints about their mean that lies in this plane. It says how well the "
        "plane holds the spread of the paths, not that the paths lie in it.",
    )
    columns[-1].metric(
        "Off the plane",
        " / ".join(f"{path.residual[_at(path, step)]:.2g}" for path in picture.paths),
        help="Distance of each run's checkpoint from the plane, in weight units, in the order "
        + ", ".join(path.name for path in picture.paths)
        + ".",
    )


def _details(picture: SurfacePicture, step: int) -> None:
    dark = parts.is_dark()
    with st.expander("True loss against in-plane loss along the path"):
        st.markdown(
            "Where the lines part, the picture shows weights that the run never had: its checkpoint lies off the plane."
        )
        parts.plot(figures_lines.loss_along_path(picture.paths, dark=dark), key="true-loss")
        parts.plot(figures_lines.residual_along_path(picture.paths, dark=dark), key="residual")
    with st.expander("Parameters whose paths differ most"):
        if picture.divergent is None:
            st.markdown("A ranking needs two runs on the surface.")
        else:
            names, distance = picture.divergent
            a, b = picture.header["divergence"]["between"]
            st.markdown(f"Root mean square distance between {a} and {b} over their checkpoints, in weight units.")
            parts.plot(figures_lines.divergence_bar(names[:20], distance[:20], dark=dark), key="divergence")
    with st.expander("Numbers at this checkpoint"):
        rows = []
        for path in picture.paths:
            i = _at(path, step)
            rows.append(
                {
                    "run": path.name,
                    "step": int(path.steps[i]),
                    "epoch": round(float(path.epochs[i]), 2),
                    "true loss": "–" if path.loss_true is None else format_loss(path.loss_true[i]),
                    "in-plane loss": "–" if path.loss_in_plane is None else format_loss(path.loss_in_plane[i]),
                    "off the plane": f"{path.residual[i]:.3g}",
                    "coordinates": f"({path.coordinates[i, 0]:.3g}, {path.coordinates[i, 1]:.3g})",
                }
            )
        st.dataframe(rows, hide_index=True)


def _explain(experiment: Experiment, picture: SurfacePicture, view: dict[str, str], step: int) -> None:
    parts.how_to_read(
        """
A network's weights are one point in a space of as many dimensions as it has parameters; training is a walk through
it. The surface is the loss over a **two-dimensional slice** of that space, and each path is the walk's shadow on it.

- **The slice can mislead.** A valley may be narrow in directions that are not drawn, and a path may leave the plane:
  its markers get smaller where the distance to the plane exceeds a fifth of the path's length. *Off the plane* gives
  the distance, *true loss against in-plane loss* what it does to the loss.
- **The data matter.** On clean data the poisoned run climbs or stalls; on its own poisoned data it walks downhill.
  Switch *Loss on* to see the same weights judged by the other data.
- **Colours** are one scale for both panels: dark is low, bright is high.
"""
    )
    figure = figures.contour_2d if view["show"] == "Contour" else figures.surface_3d
    options = {"quantity": view["quantity"], "scale": view["scale"], "step": step}
    parts.take_with_you(
        lambda: figure([picture.surface], [picture.paths], **options),
        name=f"{experiment.name}-paths",
        command=parts.command_of(["export", experiment.name, "--figure", "compare", "--format", "pdf"]),
        key="compare",
    )
    parts.share_hint()


main()
