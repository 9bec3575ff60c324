"""An experiment that goes while it is being looked at, deleted or moved elsewhere: said once, and no stack trace."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from experiments import list_experiments
from experiments.classroom import without_paths

SEEN = "exp-seen"  # the experiment that was shown last
GONE = "exp-gone"  # the one that went, and what was shown in its place
AGAIN = "exp-again"  # the one for whose sake a page ran anew


def follow(names: list[str]) -> None:
    """Before the choice of the experiment is made: note where the one shown went, and show it again once it is back."""
    state = st.session_state
    if state.get(AGAIN) in names:
        del state[AGAIN]
    gone = state.get(GONE)
    if gone is not None and (state.get("exp") != gone[1] or gone[0] in names):
        del state[GONE]
        if gone[0] in names and state.get("exp") == gone[1]:
            state["exp"] = gone[0]
    seen = state.get(SEEN)
    if seen is not None and seen not in names and state.get("exp") in (seen, None):
        state[GONE] = (seen, "")
        state.pop("exp", None)


def tell(shown: str, *, aloud: bool) -> None:
    """After the choice: say what went and what is shown in its place, on pages that show an experiment."""
    state = st.session_state
    state[SEEN] = shown
    if GONE not in state:
        return
    name = state[GONE][0]
    state[GONE] = (name, shown)
    if aloud:
        st.info(
            f"The experiment “{name}” is not there any more: it was deleted or moved. This is {shown}; "
            f"put {name} back to see it again.",
            icon=":material/folder_off:",
        )


@contextmanager
def while_there(name: str | None) -> Iterator[None]:
    """Run a page, or a part of it, anew where it fails because an experiment went meanwhile; a lost file is named."""
    try:
        yield
    except Exception as error:
        gone = name is not None and all(one.name != name for one in list_experiments())
        if gone and st.session_state.get(AGAIN) != name:  # once: it may fail for another reason
            st.session_state[AGAIN] = name
            st.rerun()
        if not isinstance(error, FileNotFoundError):
            raise
        what = without_paths(str(error.filename or "A file"))
        st.error(f"{what} went while it was read; put it back, or reload this page.", icon=":material/error:")


def fragment(part: Callable[..., None], name: str | None, *, run_every: float | None = None) -> Callable[..., None]:
    """A part of a page that runs by itself, as ``st.fragment`` makes it, of an experiment that may go."""

    @functools.wraps(part)
    def guarded(*arguments: Any) -> None:
        with while_there(name):
            part(*arguments)

    return st.fragment(guarded, run_every=run_every)
