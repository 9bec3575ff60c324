"""Compare paths: any point of the plane answers with its losses, the checkpoints near it, and slices through it."""

from __future__ import annotations

import math

import streamlit as st

from checkpoints import Result
from experiments import Experiment, ExperimentError
from experiments.pictures import SurfacePicture
from experiments.probe import PointAnswer, probe_point
from experiments.surface_view import check_point
from landscape.figures_point import SliceData, slice_through_point
from landscape.loss_words import in_unit, loss_word
from landscape.style import format_accuracy, format_with_error
from landscape.time_axis import moment_words
from pages import parts

KEY = "at"


def choose(alpha: float, beta: float) -> None:
    """Put a point into the box that names it, and so into the address."""
    st.session_state[KEY] = f"{alpha:.4g},{beta:.4g}"


def chosen(picture: SurfacePicture) -> tuple[float, float] | None:
    """The chosen point where it lies on the surface, else None."""
    point = _parse(st.session_state.get(KEY, st.query_params.get(KEY)))
    if point is None:
        return None
    surface = picture.surface
    inside = surface.alphas[0] <= point[0] <= surface.alphas[-1] and surface.betas[0] <= point[1] <= surface.betas[-1]
    return point if inside else None


def answer(experiment: Experiment, found: Result, picture: SurfacePicture) -> None:
    """Ask for a point, and show what is known of it."""
    st.subheader("Any point of the plane", divider="gray")
    first, second = picture.surface.axis_names
    text = st.text_input(
        f"Point: {first}, {second}",
        key=KEY,
        bind="query-params",
        placeholder="click the picture, or type two numbers such as 0.12, -0.5",
        max_chars=40,
        help="The network gets the weights of this point and is measured on every data set of the experiment.",
    )
    if not text:
        st.markdown(
            "Click a point of the surface or of the contours to see its loss and accuracy on every data set, the "
            "checkpoints nearest to it, and the loss along lines through it."
        )
        return
    point = _parse(text)
    try:
        if point is None:
            raise ExperimentError(f"“{text}” is no point; type two numbers with a comma, such as 0.12, -0.5.")
        check_point(found, *point)
        stamp = str(found.header.get("data_fingerprint")) + str(found.header["options"]) + str(found.header["runs"])
        known = _probe(str(experiment.path), stamp, point, found)
    except ValueError as error:
        parts.fail_softly(error)
        return
    _losses(known)
    _near(known)
    _slices(known)
    for note in known.notes:
        st.caption(note)


@st.cache_data(max_entries=64, show_spinner="Putting the network at this point and measuring it on every data set …")
def _probe(path: str, stamp: str, point: tuple[float, float], _found: Result) -> PointAnswer:
    return probe_point(Experiment.open(path), _found, *point)


def _losses(known: PointAnswer) -> None:
    if not known.losses:
        return
    for column, one in zip(st.columns(len(known.losses)), known.losses, strict=True):
        accuracy = "" if math.isnan(one.accuracy) else f"accuracy {format_accuracy(one.accuracy)}"
        accuracy += "" if math.isnan(one.accuracy_error) else f" ± {100 * one.accuracy_error:.1f}"
        known = [accuracy, f"{one.metric_name} {one.metric:.4g}" if one.metric_name else "", f"{one.samples} samples"]
        column.metric(
            f"{_capital(loss_word(one.loss_name))} on {one.label}",
            in_unit(format_with_error(one.loss, one.loss_error), one.loss_name),
            " · ".join(filter(None, known)),
            delta_color="off",
            delta_arrow="off",
            help="Mean over the samples ± its standard error.",
        )


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _near(known: PointAnswer) -> None:
    lines = [
        f"- **{one.run}**: {moment_words(one.step, one.epoch)}, is {one.distance:.3g} away within the plane and "
        f"itself {one.off_plane:.3g} off it (weight units)"
        for one in known.near
    ]
    st.markdown("Nearest checkpoint of each run:\n" + "\n".join(lines))


def _slices(known: PointAnswer) -> None:
    """One figure for every direction through the point."""
    directions = list(dict.fromkeys(one.direction for one in known.slices))
    for number, (column, direction) in enumerate(zip(st.columns(len(directions)), directions, strict=True)):
        mine = [SliceData(**vars(one)) for one in known.slices if one.direction == direction]
        unit = "share of the way to the checkpoint" if direction.startswith("towards") else "weight units"
        with column:
            parts.plot(slice_through_point(mine, unit=unit, dark=parts.is_dark()), key=f"slice-{number}")


def _parse(text: object) -> tuple[float, float] | None:
    """Two finite numbers with a comma or a semicolon between them."""
    pieces = str(text or "").replace(";", ",").replace("−", "-").split(",")
    try:
        alpha, beta = (float(piece) for piece in pieces)
    except ValueError:
        return None
    return (alpha, beta) if math.isfinite(alpha) and math.isfinite(beta) else None
