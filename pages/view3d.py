"""A 3-D view that keeps its camera: Plotly's own bundle behind a small component.

``st.plotly_chart`` puts the camera back at every rerun that changes the data; here ``Plotly.react`` with a constant
``uirevision`` keeps it, and the cameras of all scenes of a figure move together.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st

from landscape.style import PLOTLY_CONFIG

STATIC = Path(__file__).parent.parent / "static"
HTML = '<div class="view3d"><p class="view3d-words">Drawing…</p></div>'
CSS = """
.view3d { width: 100%; min-height: 200px; }
.view3d-words { padding: 2rem 1rem; opacity: 0.65; }
"""


def view3d(figure: go.Figure, *, key: str, height: int = 560, alt: str = "") -> None:
    """Draw a figure with 3-D scenes.

    Args:
        figure: Any Plotly figure; ``layout.uirevision`` stays constant so that the camera is kept.
        key: Names the view; the same key on a rerun is the same view.
        height: Pixels.
        alt: The figure in words.
    """
    data = {
        "figure": figure.to_json(),
        "config": PLOTLY_CONFIG,
        "bundle": f"app/static/{ensure_plotly_bundle().name}",
        "alt": alt,
        "height": height,
    }
    _component()(data=data, key=key, height="content")


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
    script = (Path(__file__).parent / "view3d.js").read_text(encoding="utf-8")
    return _register(script)


@st.cache_resource(show_spinner=False)
def _register(script: str) -> Any:
    return st.components.v2.component("unlearnscape_view3d", html=HTML, css=CSS, js=script, isolate_styles=False)
