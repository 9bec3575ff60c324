"""Add a run: a check or an import that goes on in a process of its own, shown with a Stop until it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from experiments.upload_work import Work
from pages import parts

LOOK = 0.5  # seconds between looks


def start(what: str, key: str, do: Callable[[Callable[[], bool]], Any]) -> None:
    """Begin work under a name; earlier work of that name is stopped. ``key`` tells what it is about."""
    stop(what)
    st.session_state.pop(_stopped(what), None)
    st.session_state[what] = (key, Work(do))


def going_on(what: str) -> bool:
    """Whether there is work of a name that nobody has taken the result of."""
    return what in st.session_state


def was_stopped(what: str, key: str) -> bool:
    """Whether the last work of a name was about ``key``, and the viewer stopped it."""
    return bool(st.session_state.get(_stopped(what)) == key)


def stop(what: str) -> None:
    """Stop the work of a name, if there is any."""
    found = st.session_state.pop(what, None)
    if found is not None:
        st.session_state[_stopped(what)] = found[0]
        found[1].stop()


def wait(what: str, key: str, words: str) -> Work[Any] | None:
    """The work of a name once it has ended; until then it is shown with a Stop. Work about another key is stopped."""
    found = st.session_state.get(what)
    if found is None:
        return None
    if found[0] != key:
        stop(what)
        return None
    if found[1].done():
        del st.session_state[what]
        return found[1]
    st.fragment(_panel, run_every=LOOK)(what, words)
    return None


def _panel(what: str, words: str) -> None:
    found = st.session_state.get(what)
    if found is None or found[1].done():
        st.rerun()
    said, button = st.columns([6, 1], vertical_alignment="center")
    said.markdown(f":material/hourglass_top: {words} ({parts.duration(found[1].seconds)})")
    # In a callback, as in parts.job_panel: the panel may be drawn anew before it comes to the button.
    button.button("Stop", key=f"{what}-stop", icon=":material/stop:", width="stretch", on_click=stop, args=(what,))


def _stopped(what: str) -> str:
    return f"{what}-stopped"
