"""Our figures as files: HTML, CSV, and, through matplotlib and without a browser, PNG, SVG and PDF."""

from __future__ import annotations

import csv
import difflib
import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import findfont, get_font_names
from numpy.typing import NDArray

from landscape.static_draw import draw_panels
from landscape.static_layout import BASE, fitting_height, stacked
from landscape.style import PLOTLY_CONFIG

FORMATS = ("png", "svg", "pdf")
DPI = 100  # figure sizes are in pixels of this density; PNGs have twice as many
COLUMNS = ("panel", "trace", "x", "y", "z", "value", "x_low", "x_high", "y_low", "y_high")  # of a figure's table


def save_static(
    figure: go.Figure,
    kind: str,
    *,
    width: int = 1000,
    height: int | None = None,
    font: str = "",
    font_size: float = BASE,
    title: bool = True,
) -> bytes:
    """Draw a figure with matplotlib; text stays text in SVG and PDF.

    Args:
        figure: One of our own figures (surface, contour, scatter, bar, heat map).
        kind: ``"png"``, ``"svg"`` or ``"pdf"``.
        width, height: Pixels at 100 per inch; PNGs are drawn at 200 per inch. Without a height, what the words and
            the rows of panels need at that width.
        font: A family installed here; empty takes matplotlib's own. font_size: Of plain text, in points.
        title: Whether title and subtitle are drawn; papers have captions instead.

    Returns:
        The file's bytes, the same for the same figure. Raises ValueError for another format, an unfit size, or a font
        that is not installed.
    """
    if kind not in FORMATS:
        raise ValueError(f"The format must be one of {', '.join(FORMATS)}, not {kind!r}.")
    if not (200 <= width <= 8000 and (height is None or 150 <= height <= 8000)):
        size = f"{width} pixels in width" if height is None else f"{width}×{height} pixels"
        raise ValueError(f"A figure of {size} cannot be drawn; choose 200 to 8000 a side.")
    if not 4 <= font_size <= 40:
        raise ValueError(f"A font size of {font_size:g} points cannot be read; choose 4 to 40.")
    dark = bool((figure.layout.meta or {}).get("dark"))
    settings: Any = {
        "font.size": font_size,
        "font.family": [check_font(font), "DejaVu Sans"] if font else ["sans-serif"],  # the second has every sign
        "svg.hashsalt": "unlearnscape",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):
        figure = stacked(figure, width / DPI)
        tall = min(fitting_height(figure, width / DPI, title=title), 80.0) if height is None else height / DPI
        canvas = Canvas(figsize=(width / DPI, tall), dpi=DPI)
        FigureCanvasAgg(canvas)
        draw_panels(canvas, figure, dark=dark, title=title)
        buffer = io.BytesIO()
        metadata: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[
            kind
        ]
        canvas.savefig(buffer, format=kind, dpi=2 * DPI, metadata=metadata, facecolor="#0E1117" if dark else "white")
    return buffer.getvalue()


def check_font(name: str) -> str:
    """Return the name of an installed font family, or a generic one; raise ValueError naming close matches."""
    if name in ("serif", "sans-serif", "monospace"):
        return name
    try:
        findfont(name, fallback_to_default=False)
    except ValueError:
        known = get_font_names()
        near = difflib.get_close_matches(name, known, n=3) or ["serif", "sans-serif", "monospace"]
        raise ValueError(f"The font {name!r} is not installed here; try {' or '.join(near)}.") from None
    return name


def figure_html(figure: go.Figure) -> str:
    """A page that draws the figure without any network access, and that cannot upload it."""
    dark = bool((figure.layout.meta or {}).get("dark"))
    copy = go.Figure(figure)
    copy.update_layout(paper_bgcolor="#0E1117" if dark else "white")
    page: str = copy.to_html(
        include_plotlyjs=True, full_html=True, config=PLOTLY_CONFIG, div_id="figure", default_height="95vh"
    )
    return page


def figure_csv(figure: go.Figure) -> str:
    """Every drawn number, one row each: panel, trace, its coordinates, and the ends of its error bars.

    The value of a surface at a point is called ``value``; where it is of a metric of the user's own, as that.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    value = str((figure.layout.meta or {}).get("metric", "value"))
    writer.writerow([value if name == "value" and value not in COLUMNS else name for name in COLUMNS])
    blank = [""] * 4
    for shape in figure.layout.shapes:
        if shape.type == "line":
            panel = str(shape.xref or "x").split(" ")[0]
            upright = shape.x0 == shape.x1
            writer.writerow(
                [panel, "reference line", shape.x0 if upright else "", "" if upright else shape.y0, "", "", *blank]
            )
    for trace in figure.data:
        panel = getattr(trace, "scene", None) or getattr(trace, "xaxis", None) or "x"
        writer.writerows(_rows(trace, panel, plain(trace.name or trace.type)))
    return out.getvalue()


def figure_parquet(figure: go.Figure) -> bytes:
    """The table of :func:`figure_csv` as Parquet; columns that hold numbers alone are float64, the others text."""
    import pandas as pd  # few exports need it

    table = pd.read_csv(io.StringIO(figure_csv(figure)), dtype=str, keep_default_na=False)
    for name in table.columns[2:]:
        try:
            table[name] = [float(cell) if cell else np.nan for cell in table[name]]
        except ValueError:
            continue  # categories, such as names of layers
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def plain(text: str) -> str:
    """Text without markup."""
    return re.sub(r"<[^>]+>", " ", str(text)).strip()


def _rows(trace: Any, panel: str, name: str) -> list[list[Any]]:
    blank = [""] * 4
    if trace.type in ("surface", "contour", "heatmap"):
        x, y, z = (np.asarray(v) for v in (trace.x, trace.y, trace.z))
        shown = z if trace.customdata is None else np.asarray(trace.customdata)
        cells = [(i, j) for i in range(z.shape[0]) for j in range(z.shape[1])]
        return [[panel, name, x[j], y[i], z[i, j], shown[i, j], *blank] for i, j in cells]
    x, y = np.asarray(trace.x), np.asarray(trace.y)
    if trace.type == "scatter3d":
        return [[panel, name, a, b, c, "", *blank] for a, b, c in zip(x, y, np.asarray(trace.z), strict=True)]
    across, along = (_ends(v, getattr(trace, bar, None)) for v, bar in ((x, "error_x"), (y, "error_y")))
    return [[panel, name, a, b, "", "", *e, *f] for a, b, e, f in zip(x, y, across, along, strict=True)]


def _ends(values: NDArray[Any], bar: Any) -> list[tuple[Any, Any]]:
    """Low and high end of each value's error bar, blank where there is none."""
    if bar is None or bar.array is None:
        return [("", "")] * len(values)
    up = np.asarray(bar.array, dtype=float)
    down = up if bar.arrayminus is None else np.asarray(bar.arrayminus, dtype=float)
    return list(zip(values.astype(float) - down, values.astype(float) + up, strict=True))
