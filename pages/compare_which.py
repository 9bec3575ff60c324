"""Compare paths: which surface, where several are of the same plane, data and runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from checkpoints import Result
from experiments.surface_names import facts_of, tell_apart


def choose(fitting: Mapping[Path, Result]) -> Result | None:
    """The newest surface, or another one that the viewer chooses where there are several.

    ``fitting``: those that may be shown, newest first.
    """
    if len(fitting) < 2:
        return next(iter(fitting.values()), None)
    names = [_name(result) for result in fitting.values()]
    apart = tell_apart(names, [facts_of(result.header, path) for path, result in fitting.items()])
    labels = [f"{name} · {words}" if words else name for name, words in zip(names, apart, strict=True)]
    chosen = st.selectbox(
        "Surface",
        labels,
        key="which",
        bind="query-params",
        help="Several surfaces of this plane, data and runs are stored, the newest first: with another grid or sample, "
        "or made before the data, the loss or the runs changed.",
    )
    return dict(zip(labels, fitting.values(), strict=True))[chosen]


def _name(result: Result) -> str:
    header = result.header
    samples = f"{header['samples']:,} samples" if header["samples"] else "unknown samples"
    return f"{header['options']['grid']} × {header['options']['grid']}, {samples}"
