"""A frame of the Live page: numbers, scene and charts of one moment, which reach the browser in one message.

The browser shows them in one task (``view3d_together.js``). Their places are there from the start, so that nothing on
the page moves when the first frame comes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import streamlit as st

from pages import live_charts, live_view, parts, view3d
from pages.live_view import Moment, Tile
from pages.view3d import Drawn

SHOWN = "live-frame"  # the frame shown last, with what it was made of
SCENE, NUMBERS = "live3d", "live-numbers"
NO_PLANE = "The plane needs three checkpoints."
NO_SCENE = "The paths appear here once a training starts."


@dataclass(frozen=True)
class Frame:
    """Everything that moves, at one moment.

    ``step`` is None before there is a training; ``veil`` lies over a scene that is of another moment.
    """

    step: int | None
    scene: Drawn
    charts: Mapping[str, Drawn | None]
    tiles: tuple[Tile, ...]
    veil: str = ""

    @property
    def message(self) -> dict[str, Any]:
        """What travels beside the scene."""
        return {
            "id": self.id,
            "step": "" if self.step is None else self.step,
            "veil": self.veil,
            "charts": [
                {"place": f"live-{name}", "figure": one.json, "alt": one.alt, "height": self.heights[name]}
                for name, one in self.charts.items()
                if one is not None
            ],
            "tiles": {"place": NUMBERS, "tiles": [asdict(tile) for tile in self.tiles]},
        }

    @cached_property
    def id(self) -> str:
        """Names what is shown: the same for frames that look the same."""
        figures = [one and (one.json, one.alt) for one in (self.scene, *self.charts.values())]
        everything = json.dumps([self.step, figures, [asdict(tile) for tile in self.tiles], self.veil])
        return hashlib.blake2b(everything.encode(), digest_size=12).hexdigest()

    @property
    def heights(self) -> dict[str, int]:
        """Pixels of every chart."""
        return live_charts.heights(sum(tile.label.endswith("test accuracy") for tile in self.tiles))


def before(preset: str, roles: Mapping[str, str]) -> Frame:
    """What is shown before there is a training: a finished one of the preset, and charts without lines."""
    dark = parts.is_dark()
    finished = live_view.finished_before(preset)
    return Frame(
        None,
        finished or live_view.no_scene(dark=dark),
        _blank(tuple(roles.items()), dark),
        live_view.no_tiles(roles),
        "" if finished else NO_SCENE,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _blank(roles: tuple[tuple[str, str], ...], dark: bool) -> dict[str, Drawn | None]:
    return live_charts.blank(dict(roles), dark=dark)


def of(moment: Moment, preset: str) -> Frame:
    """The frame of a moment; the one that was made last is kept for when it is asked for again."""
    dark, header = parts.is_dark(), moment.snapshot.header
    made = (header.get("began", header["time"]), header["number"], moment.checkpoint, moment.newest, dark)
    known: tuple[tuple[Any, ...], Frame] | None = st.session_state.get(SHOWN)
    if known is not None and known[0] == made:
        return known[1]
    roles = {run["name"]: run["role"] for run in header["runs"]}
    scene = live_view.landscape(moment)
    charts = live_charts.drawn(moment, dark=dark)
    waiting = _blank(tuple(roles.items()), dark)
    frame = Frame(
        moment.step,
        scene or live_view.finished_before(preset) or live_view.no_scene(dark=dark),
        {name: one or waiting[name] for name, one in charts.items()},
        live_view.tiles(moment),
        "" if scene else NO_PLANE,
    )
    st.session_state[SHOWN] = (made, frame)
    return frame


def last(*, wanted: bool) -> Frame | None:
    """The frame of a training that this session saw last; it is forgotten where none is wanted."""
    if not wanted:
        st.session_state.pop(SHOWN, None)
    known: tuple[tuple[Any, ...], Frame] | None = st.session_state.get(SHOWN)
    return known[1] if known is not None and known[0][-1] == parts.is_dark() else None


def scene(frame: Frame) -> None:
    """The scene, which brings the rest of its frame along."""
    view3d.stage([frame.scene], key=SCENE, height=520, moving=True, frame=frame.message, addressed=True)


def places(frame: Frame) -> None:
    """Where numbers and charts of a frame are shown."""
    view3d.place(NUMBERS, height=95)
    left, right = st.columns(2, gap="medium")
    for column, name in ((left, "curves"), (right, "learnable"), (st.container(), "sal")):
        with column:
            view3d.place(f"live-{name}", height=frame.heights[name], label=live_charts.WAITING[name])
