"""The scrubber over the checkpoints of a picture: the address says where it stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from landscape.figures import PathData
from pages import links
from pages.view3d import Player


def of(paths: Sequence[PathData], key: str = "step") -> Player:
    """The checkpoints to walk along, one position for all runs; ``key`` is what the address calls it."""
    longest = max(paths, key=lambda path: len(path.steps))
    steps = tuple(int(step) for step in longest.steps)
    epochs = tuple(float(epoch) if np.isfinite(epoch) else None for epoch in longest.epochs)
    try:
        asked = float(st.query_params[key])
    except (KeyError, ValueError):
        asked = float("nan")
    step = min(steps, key=lambda one: abs(one - asked)) if np.isfinite(asked) else steps[-1]
    st.session_state[key] = step
    if key in st.query_params:
        _write(key, step, steps[-1])  # what is not there becomes the nearest, in the address as well
    return Player(steps, epochs, step)


def moved(step: int, last: int, key: str = "step") -> None:
    """The viewer let go of the scrubber."""
    links.keep_up()
    _write(key, step, last)


def _write(key: str, step: int, last: int) -> None:
    if step == last:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = str(step)
