"""Compare paths, below the picture: the numbers at a checkpoint, what the plane hides, how to read it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from checkpoints import Result
from experiments import Experiment
from experiments.pictures import SurfacePicture
from experiments.surface_view import SurfaceView, drawn
from experiments.taking import holds_weights, take_surface
from experiments.taking_weights import weights_at
from landscape import figures_lines
from landscape.figure_data import nearest
from landscape.figures import PathData
from landscape.loss_words import loss_label
from landscape.style import format_loss
from pages import compare_point, parts


def details(picture: SurfacePicture, step: int) -> None:
    """Losses along the paths, diverging parameters, and the numbers of this checkpoint, each closed at first.

    What is closed is not drawn: most visits would draw it for nobody.
    """
    dark = parts.is_dark()
    losses = _closed("True loss against in-plane loss along the path", key="losses")
    if losses.open:
        losses.markdown(
            "Where the lines part, the picture shows weights that the run never had: its checkpoint lies off the plane."
        )
        with losses:
            parts.plot(figures_lines.loss_along_path(picture.paths, dark=dark), key="true-loss")
            parts.plot(figures_lines.residual_along_path(picture.paths, dark=dark), key="residual")
    differ = _closed("Parameters whose paths differ most", key="differ")
    if differ.open and picture.divergent is None:
        differ.markdown("A ranking needs two runs on the surface.")
    elif differ.open and picture.divergent is not None:
        names, distance = picture.divergent
        a, b = picture.header["divergence"]["between"]
        differ.markdown(f"Root mean square distance between {a} and {b} over their checkpoints, in weight units.")
        with differ:
            parts.plot(figures_lines.divergence_bar(names[:20], distance[:20], dark=dark), key="divergence")
    with st.expander("Numbers at this checkpoint"):
        rows = []
        for path in picture.paths:
            i = nearest(path, step)
            rows.append(
                {
                    "run": path.name,
                    "step": int(path.steps[i]),
                    "epoch": round(float(path.epochs[i]), 2),
                    loss_label(path.loss_name, "true loss"): (
                        "–" if path.loss_true is None else format_loss(path.loss_true[i])
                    ),
                    loss_label(path.loss_name, "in-plane loss"): (
                        "–" if path.loss_in_plane is None else format_loss(path.loss_in_plane[i])
                    ),
                    **_own(picture, path, i),
                    "off the plane (weight units)": f"{path.residual[i]:.3g}",
                    "coordinates": f"({path.coordinates[i, 0]:.3g}, {path.coordinates[i, 1]:.3g})",
                }
            )
        st.dataframe(rows, hide_index=True)


def _closed(label: str, *, key: str) -> ExpanderContainer:
    """An expander that knows whether it is open, also by the address."""
    return st.expander(label, key=key, on_change="rerun", bind="query-params")


def _own(picture: SurfacePicture, path: PathData, at: int) -> dict[str, str]:
    """The user's own metric at a checkpoint and at its shadow on the plane, where the surface holds it."""
    name = picture.surface.metric_name or "metric"
    known = ((f"true {name}", path.metric_true), (f"in-plane {name}", path.metric_in_plane))
    return {what: f"{values[at]:.4g}" for what, values in known if values is not None}


def explain(
    experiment: Experiment,
    stored: Result,
    picture: SurfacePicture,
    second: SurfacePicture | None,
    view: SurfaceView,
    *,
    both: bool,
) -> None:
    """How to read the page, and what can be taken from it: what is shown, of ``both`` kinds of picture the 3-D one."""
    data = (
        "The same weights have another loss on other data: switch *Loss on* to see them judged by the test data."
        if experiment.has_own_reference
        else "On clean data the poisoned run climbs or stalls; on its own poisoned data it walks downhill. Switch "
        "*Loss on* to see the same weights judged by the other data."
    )
    parts.how_to_read(
        f"""
A network's weights are one point in a space of as many dimensions as it has parameters; training is a walk through
it. The surface is the loss over a **two-dimensional slice** of that space, and each path is the walk's shadow on it.

- **The slice can mislead.** A valley may be narrow in directions that are not drawn, and a path may leave the plane:
  its markers get smaller where the distance to the plane exceeds a fifth of the path's length. *Off the plane* gives
  the distance, *true loss against in-plane loss* what it does to the loss.
- **The data matter.** {data}
- **Walk along the paths** with ▶ or the slider: the solid part is walked, the thin one lies ahead. Press Tab until the
  picture is framed: arrow keys turn it, + and − zoom, 0 puts it back.
- **Any point answers.** Click the surface or the contours, or type its coordinates: the network is put there and
  measured on every data set.
- **Colours** are one scale for both panels: dark is low, bright is high.
"""
    )
    kinds = [view, replace(view, contours=True)] if both else [view]
    parts.take_with_you(
        lambda: drawn(picture, second, view),
        name=f"{experiment.name}-paths",
        command="\n".join(
            parts.command_of(["export", experiment.name, *one.arguments(experiment), "--format", "pdf"])
            for one in kinds
        ),
        key="compare",
        files=_files(experiment, stored, picture),
        note="The buttons above give the 3-D view; choose *Contour* for the other, or its command." if both else "",
    )
    parts.report_button(experiment, key="compare")
    parts.share_hint()


def _files(
    experiment: Experiment, stored: Result, picture: SurfacePicture
) -> dict[str, tuple[str, Callable[[], str | bytes]]]:
    """The surface for other programs, and the network at the point that was chosen, or at the plane's origin."""
    name = f"{experiment.name}-surface"

    def surface(kind: str) -> Callable[[], bytes]:
        return lambda: take_surface(experiment, stored, kind)

    files: dict[str, tuple[str, Callable[[], str | bytes]]] = {
        "ParaView (VTP)": (f"{name}.vtp", surface("vtp")),
        "3-D print (STL)": (f"{name}.stl", surface("stl")),
        "NumPy (NPZ)": (f"{name}.npz", surface("npz")),
    }
    if holds_weights(experiment, stored):
        point = compare_point.chosen(picture)
        at = point or (0.0, 0.0)
        files["Li et al. (HDF5)"] = (f"{name}-li.zip", surface("li"))
        label = "Weights at the point" if point else "Weights at the origin"
        files[label] = (f"{experiment.name}-weights.safetensors", lambda: weights_at(experiment, stored, *at))
    return files
