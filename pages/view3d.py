"""Views that keep their camera: Plotly's own bundle behind a small component.

``st.plotly_chart`` puts the camera back at every rerun that changes the data; here ``Plotly.react`` with a constant
``uirevision`` keeps it, and all cameras move together. The same component plays a path in the browser, without the
server, and says which point of a plane was clicked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st

from landscape.style import PLOTLY_CONFIG

STATIC = Path(__file__).parent.parent / "static"
LEAST = 350  # pixels that a figure takes at least before it goes below its neighbour; twice that with two panels
HTML = """
<div class="stage">
  <div class="stage-panels"></div>
  <div class="stage-player" role="group" aria-label="Walk along the paths" hidden>
    <button type="button" data-do="first" aria-label="To the start" title="To the start">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 5h2.4v14H6zM19 5v14L9.5 12z"/></svg>
    </button>
    <button type="button" data-do="play" class="stage-play" aria-label="Play" title="Play or pause">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 4.5v15l12.5-7.5z"/></svg>
    </button>
    <button type="button" data-do="last" aria-label="To the end" title="To the end">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M15.6 5H18v14h-2.4zM5 5l9.5 7L5 19z"/></svg>
    </button>
    <input type="range" class="stage-range" min="0" max="1" step="1" value="0" aria-label="Checkpoint">
    <output class="stage-words"></output>
    <select class="stage-speed" aria-label="Speed" title="Speed">
      <option value="0.5">0.5×</option><option value="1" selected>1×</option>
      <option value="2">2×</option><option value="4">4×</option>
    </select>
  </div>
</div>
"""


@dataclass(frozen=True)
class Drawn:
    """A figure on its way to the browser: its JSON, its text alternative, and whether it is in 3-D."""

    json: str
    alt: str
    three: bool
    panels: int

    @classmethod
    def of(cls, figure: go.Figure, alt: str = "") -> Drawn:
        """Turn a figure into what travels."""
        scenes = len({trace.scene or "scene" for trace in figure.data if trace.type in ("surface", "scatter3d")})
        panels = scenes or len({trace.xaxis or "x" for trace in figure.data})
        words = alt or str((figure.layout.meta or {}).get("alt", ""))
        return cls(figure.to_json(), words, scenes > 0, panels)


@dataclass(frozen=True)
class Player:
    """A scrubber over checkpoints: all steps, their epochs (None where unknown), and the step shown."""

    steps: tuple[int, ...]
    epochs: tuple[float | None, ...]
    step: int


def stage(
    figures: Sequence[Drawn],
    *,
    key: str,
    height: int = 560,
    player: Player | None = None,
    on_step: Callable[[int], None] | None = None,
    on_pick: Callable[[float, float], None] | None = None,
    moving: bool = False,
    frame: Mapping[str, Any] | None = None,
    addressed: bool = False,
) -> None:
    """Draw figures beside each other, with one camera and one scrubber for all of them.

    Args:
        figures: What to draw; paths of figures made with a ``step`` grow with the player.
        key: Names the view; the same key on a rerun is the same view.
        height: Pixels of each figure; panels that stand above each other on a phone take more.
        player: The checkpoints to walk along; None for no scrubber.
        on_step: Called with the step that the viewer let go at.
        on_pick: Called with the coordinates of a point that the viewer clicked; None where clicks mean nothing.
        moving: Draw no finer than the screen's own pixels, as for pictures that change all the time: Plotly's smoothing
            takes four times as many.
        frame: Charts and numbers that are shown in one moment with the figure, which must be in 3-D, in their own
            places of the page (see :func:`place`): ``id``, ``step``, ``veil``, ``charts`` and ``tiles``.
        addressed: The page's own view: the address says where its camera stands (``cam``) and how fast its player goes
            (``rate``).
    """
    data = {
        "key": key,
        "figures": [{"figure": one.json, "alt": one.alt, "three": one.three} for one in figures],
        "config": PLOTLY_CONFIG,
        "bundle": f"app/static/{ensure_plotly_bundle().name}",
        "height": height,
        "least": LEAST * max((one.panels for one in figures), default=1),
        "player": None
        if player is None
        else {"steps": list(player.steps), "epochs": list(player.epochs), "step": player.step},
        "tells": on_step is not None,
        "pickable": on_pick is not None,
        "moving": moving,
        "frame": frame,
        "addressed": addressed,
    }

    def stepped() -> None:
        step = st.session_state[key].get("step")
        if on_step is not None and step is not None:
            on_step(int(step))

    def picked() -> None:
        point = st.session_state[key].get("picked")
        if on_pick is not None and point:
            on_pick(float(point[0]), float(point[1]))

    # A changed theme needs nothing but the run of the script that every message causes.
    _component()(
        data=data,
        key=key,
        height="content",
        on_step_change=stepped,
        on_picked_change=picked,
        on_themed_change=lambda: None,
    )


def place(name: str, *, height: int, label: str = "") -> None:
    """Reserve a place on the page for a chart or the numbers of a frame.

    Args:
        name: Of the place, which frames name.
        height: Pixels that are kept free.
        label: Words for who cannot see that there is no chart yet; without, the place is one for numbers.
    """
    component = _register(
        "unlearnscape_place",
        '<div class="stage-place"></div>',
        _source("view3d_place.js"),
        _source("view3d_place.css"),
    )
    component(data={"name": name, "height": height, "label": label}, key=name, height="content")


@cache
def ensure_plotly_bundle() -> Path:
    """Put plotly.min.js of the installed Plotly where the server serves it, unless it is there already."""
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    target = STATIC / f"plotly-{plotly.__version__}.min.js"
    if not target.is_file() or target.stat().st_size != source.stat().st_size:
        STATIC.mkdir(exist_ok=True)
        number, name = tempfile.mkstemp(dir=STATIC, suffix=".tmp")
        os.close(number)
        try:
            shutil.copyfile(source, name)
            os.chmod(name, 0o644)
            os.replace(name, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    return target


def _component() -> Any:
    scripts = (
        "view3d_pace.js",
        "view3d_address.js",
        "view3d_camera.js",
        "view3d_print.js",
        "view3d_together.js",
        "view3d.js",
    )
    return _register("unlearnscape_view3d", HTML, "\n".join(map(_source, scripts)), _source("view3d.css"))


def _source(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@st.cache_resource(show_spinner=False)
def _register(name: str, markup: str, script: str, style: str) -> Any:
    return st.components.v2.component(name, html=markup, css=style, js=script, isolate_styles=False)
