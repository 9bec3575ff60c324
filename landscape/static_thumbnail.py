"""Small pictures of results for galleries: contours with paths, or bars, drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from landscape.figure_data import PathData, SurfaceData
from landscape.heights import choose_heights
from landscape.static_draw import COLOURMAP, MARKER
from landscape.static_marks import DASH
from landscape.style import DASHES, MARKERS, colours, ink

SIZE = (3.6, 2.0)  # inches
DPI = 160  # 576 × 320 pixels


def surface_thumbnail(surface: SurfaceData, paths: Sequence[PathData], *, dark: bool = False) -> bytes:
    """Contours of a surface with the paths on it, as a PNG of 576 × 320 pixels; the same bytes for the same data."""
    canvas, axes = _canvas(dark)
    heights = choose_heights([surface.loss], "loss", "auto")
    z = heights.place(surface.loss).T
    levels = np.linspace(heights.low, heights.high, 15)
    axes.contourf(surface.alphas, surface.betas, np.ma.masked_invalid(z), levels=levels, cmap=COLOURMAP, extend="both")
    for path, tint in zip(paths, colours([p.role for p in paths], dark=dark), strict=True):
        x, y = path.coordinates.T
        axes.plot(x, y, color="white", linewidth=3.4, solid_capstyle="round")
        axes.plot(x, y, color=tint, linewidth=2.0, linestyle=DASH[DASHES[path.role]])
        axes.plot(x[-1:], y[-1:], "*", color=tint, markersize=11, markeredgecolor="white", markeredgewidth=0.9)
        axes.plot(x[:1], y[:1], "o", color="none", markersize=8, markeredgecolor="white", markeredgewidth=1.6)
    axes.set_xlim(surface.alphas[0], surface.alphas[-1])
    axes.set_ylim(surface.betas[0], surface.betas[-1])
    axes.set_axis_off()
    axes.set_position((0, 0, 1, 1))
    return _png(canvas)


def bars_thumbnail(values: Sequence[float], roles: Sequence[str], *, reference: float, dark: bool = False) -> bytes:
    """One lying bar for each value and an upright line at ``reference``, as a PNG. Raises ValueError for no values."""
    if not values:
        raise ValueError("There is nothing to draw; give at least one value.")
    canvas, axes = _canvas(dark)
    tints = colours(list(roles), dark=dark)
    axes.barh(range(len(values)), np.nan_to_num(np.asarray(values, float)), color=tints, height=0.62)
    axes.axvline(reference, color=ink(dark=dark), linewidth=1.4)
    axes.set_xlim(0, 1.15 * max(reference, *(float(np.nan_to_num(v)) for v in values)))
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_axis_off()
    axes.set_position((0.06, 0.1, 0.88, 0.8))
    return _png(canvas)


def points_thumbnail(
    x: Sequence[float], y: Sequence[float], roles: Sequence[str], *, reference: float, dark: bool = False
) -> bytes:
    """One point for each pair of values and an upright line at ``reference``, as a PNG. Raises ValueError for none."""
    if not x:
        raise ValueError("There is nothing to draw; give at least one point.")
    canvas, axes = _canvas(dark)
    for a, b, role in zip(x, y, roles, strict=True):
        (tint,) = colours([role], dark=dark)
        axes.plot([a], [b], MARKER[MARKERS[role]], color=tint, markersize=8)
    axes.axvline(reference, color=ink(dark=dark), linewidth=1.4)
    axes.margins(0.15)
    axes.set_axis_off()
    axes.set_position((0.06, 0.08, 0.88, 0.84))
    return _png(canvas)


def _canvas(dark: bool) -> tuple[Canvas, Any]:
    canvas = Canvas(figsize=SIZE, dpi=DPI, facecolor="#1A1F29" if dark else "#F3F5F8")
    FigureCanvasAgg(canvas)
    return canvas, canvas.add_subplot()


def _png(canvas: Canvas) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format="png", dpi=DPI, facecolor=canvas.get_facecolor(), metadata={"Software": None})
    return out.getvalue()
