"""Compare paths: the controls, of which plane, data, runs and view."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from checkpoints import Result
from experiments import Experiment, SurfaceSpec

PLANES = {"Joint PCA": "pca", "PCA of the first run": "pca-single", "Random, filter-normalised": "random"}
PLANES |= {"Three points": "three-point", "Two parameters": "parameters", "Top Hessian eigenvectors": "hessian"}
DATA = {"clean training": "clean", "poisoned training": "poisoned", "test": "test"}
BESIDE = "Side by side"
TOP_BLOCKS = {"10 most divergent parameters": "top10", "30 most divergent parameters": "top30"}


def plane(experiment: Experiment, stored: list[Result], *, beside: bool) -> tuple[SurfaceSpec, tuple[str, ...]]:
    """Which plane, data and parameters to show the surface of, and with which runs; ``beside`` in two panels."""
    kind = PLANES[
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
    own = beside and not experiment.has_own_reference
    on = data[
        st.selectbox(
            "Loss on",
            list(data),
            key="on",
            bind="query-params",
            disabled=own,
            help="The data the surface is evaluated on. The same weights have another loss on other data. "
            "Side by side, each run has its own training data.",
        )
    ]
    if own:
        st.caption("Side by side, each run is judged by its own training data.")
        on = "clean"
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
    options = replace(experiment.spec.surface, plane=kind, on=on, block=block, parameters=())
    if kind == "parameters":
        options = replace(options, parameters=_two_parameters(stored))
    return options, ordered


def view(metric: str, *, own: bool) -> dict[str, str]:
    """How to show it: ``show``, ``arrangement``, ``quantity`` and ``scale``; ``own`` where runs share their data."""
    chosen = {}
    chosen["show"] = st.segmented_control(
        "View", ["3-D", "Contour", "Both"], default="3-D", required=True, key="view", bind="query-params"
    )
    chosen["arrangement"] = st.segmented_control(
        "Arrangement",
        ["Overlaid", BESIDE],
        default="Overlaid",
        required=True,
        key="arrange",
        bind="query-params",
        help="Side by side: the reference's path, and the others' on the same data, with shared axes, colours and "
        "camera."
        if own
        else "Side by side: the clean path on clean training data, the poisoned one on its own, with shared axes, "
        "colours and camera.",
    )
    chosen["quantity"] = st.segmented_control(
        "Height",
        ["loss", "accuracy", *(["metric"] if metric else [])],
        format_func=lambda name: metric if name == "metric" else name,
        default="loss",
        required=True,
        key="height",
        bind="query-params",
    )
    chosen["scale"] = st.segmented_control(
        "Scale",
        ["auto", "log", "linear"],
        default="auto",
        required=True,
        key="scale",
        bind="query-params",
        help="Auto takes logarithms when the largest loss is more than 20 times the smallest.",
    )
    return chosen


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
