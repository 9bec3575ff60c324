"""Figures of perturbations: clean, changed and poisoned samples, norms, and a map; arrays in, figures out."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image
from plotly.subplots import make_subplots

from landscape.style import CLEAN, CONTROL, DIVERGING_SCALE, FURTHER, LIGHTER, POISONED, arrange, ink

GREY = 0.5  # what no change is drawn as
STEPS = (0.5, 1, 2, 5, 10, 20, 50, 100)  # factors a perturbation is drawn with
GAP = 2  # transparent pixels between tiles
TILE = 92  # pixels of the screen that a tile may be wide
CSS = """
<style>
.strips img { width: 100%; display: block; image-rendering: pixelated; }
.strips .heads { display: grid; text-align: center; font-size: 0.85rem; }
.strips .heads span { min-width: 0; padding: 0 2px; overflow-wrap: anywhere; }
.strips .label { font-size: 0.85rem; margin: 0.35rem 0 0.1rem; }
</style>
"""
SYMBOLS = ("circle", "diamond", "square", "cross", "star", "x")
PALETTE = (CLEAN, POISONED, *FURTHER, "#E69F00", "#8C564B", "#B8A800", "#7F3C8D", CONTROL)
BINS = 40


def amplification(delta: NDArray[np.floating]) -> float:
    """The largest of ``STEPS`` that keeps a perturbation drawn around mid-grey within black and white.

    Args:
        delta: Of images with values in [0, 1], of any shape.
    """
    largest = float(np.abs(delta).max()) if delta.size else 0.0
    fitting = [step for step in STEPS if step * largest <= GREY + 1e-6]
    return fitting[-1] if fitting and largest > 0 else 1.0 if largest == 0 else STEPS[0]


def image_strips(
    rows: Sequence[tuple[str, NDArray[np.floating]]],
    columns: Sequence[str],
    *,
    each: str = "one image of each of the classes",
    tile: int = TILE,
) -> str:
    """Images in rows and columns as HTML that fits any width, every pixel a sharp square, each row with words for it.

    Args:
        rows: (label, images [K, C, H, W] with values in [0, 1]) from top to bottom; C is 1, 3 or 4.
        columns: K labels, of classes. each: What a row holds, in words before its columns.
        tile: Pixels of an image's width at most.

    Raises:
        ValueError: No row, or images that differ in shape or are not one to a column.
    """
    tiles = _checked([images for _, images in rows], len(columns))
    heads = "".join(f"<span>{escape(name)}</span>" for name in columns)
    classes = escape(", ".join(columns))
    strips = "".join(
        f'<div class="label">{escape(label)}</div>'
        f'<img src="{_address(compose([images]))}" alt="{escape(label)}: {escape(each)} {classes}">'
        for (label, _), images in zip(rows, tiles, strict=True)
    )
    style = f"max-width:{len(columns) * tile}px"
    grid = f"grid-template-columns:repeat({len(columns)},1fr)"
    return f'{CSS}<div class="strips" style="{style}"><div class="heads" style="{grid}">{heads}</div>{strips}</div>'


def compose(tiles: Sequence[NDArray[np.floating]]) -> NDArray[np.uint8]:
    """Rows of images [K, C, H, W] in [0, 1] as one RGBA picture [height, width, 4] with transparent gaps."""
    k, _, height, width = tiles[0].shape
    canvas = np.zeros((len(tiles) * (height + GAP) - GAP, k * (width + GAP) - GAP, 4), np.uint8)
    for row, images in enumerate(tiles):
        levels = np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
        for column, image in enumerate(levels):
            top, left = row * (height + GAP), column * (width + GAP)
            canvas[top : top + height, left : left + width, :3] = image[..., :3]  # one channel serves all three
            canvas[top : top + height, left : left + width, 3] = image[..., 3] if image.shape[-1] == 4 else 255
    return canvas


def png(canvas: NDArray[np.uint8], *, scale: int = 1) -> bytes:
    """A picture [height, width, 4] as a PNG file, every pixel a square of ``scale`` pixels."""
    out = io.BytesIO()
    Image.fromarray(canvas.repeat(scale, axis=0).repeat(scale, axis=1)).save(out, format="PNG")
    return out.getvalue()


def centred(delta: NDArray[np.floating], factor: float) -> NDArray[np.float64]:
    """A perturbation as an image: mid-grey where nothing changes, brighter where a value rises."""
    return np.asarray(np.clip(GREY + factor * delta.astype(np.float64), 0, 1))


def vector_panels(
    panels: Sequence[tuple[str, NDArray[np.floating]]],
    rows: Sequence[str],
    *,
    unit: str,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """Feature vectors of several classes as heat maps on one scale that is centred at 0.

    Args:
        panels: (title, values [K, features]).
        rows: K labels, of classes. unit: Of the values, for the colour bar.
    """
    if not panels or any(values.shape != (len(rows), panels[0][1].shape[1]) for _, values in panels):
        raise ValueError("Every panel needs one row of features for each class.")
    wide = min(2, len(panels))
    high = -(-len(panels) // wide)
    figure = make_subplots(
        rows=high,
        cols=wide,
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=[title for title, _ in panels],
        horizontal_spacing=0.04,
        vertical_spacing=0.2 / high,
    )
    limit = max(float(np.abs(values).max()) for _, values in panels) or 1.0
    for number, (title, values) in enumerate(panels):
        figure.add_trace(
            go.Heatmap(
                z=values.astype(np.float32),
                x=np.arange(values.shape[1]),
                y=[str(row) for row in rows],
                colorscale=DIVERGING_SCALE,
                zmin=-limit,
                zmax=limit,
                showscale=number == len(panels) - 1,
                colorbar={"title": {"text": unit, "side": "right"}, "thickness": 12, "outlinewidth": 0},
                hovertemplate=f"{title}, class %{{y}}, feature %{{x}}: %{{z:.3g}}<extra></extra>",
            ),
            row=number // wide + 1,
            col=number % wide + 1,
        )
    arrange(
        figure,
        title="What the method changes",
        subtitle=subtitle,
        alt=f"Heat maps of {len(rows)} classes over {panels[0][1].shape[1]} features: "
        + "; ".join(f"{title}, from {values.min():.2g} to {values.max():.2g}" for title, values in panels)
        + ".",
        dark=dark,
        height=150 + 250 * high,
    )
    figure.update_layout(margin={"t": 96})
    figure.update_xaxes(title_text="feature", row=high)
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(title_text="class", col=1)
    return figure.update_yaxes(type="category", autorange="reversed", showgrid=False, zeroline=False)


def norm_histogram(
    values: NDArray[np.floating], *, norm: str, unit: str, subtitle: str = "", dark: bool = False
) -> go.Figure:
    """How one norm of the perturbations is distributed over samples.

    Args:
        values: [N] norms. norm: Its name, such as ``"L∞"``. unit: Of the values.
    """
    if values.size == 0:
        raise ValueError("There is no perturbation whose norm could be drawn.")
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9 * max(1.0, abs(high)):  # one bar, and room beside it
        low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
    counts, edges = np.histogram(values, BINS, (low, high))
    tint = LIGHTER[POISONED] if dark else POISONED
    figure = go.Figure(
        go.Bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=np.diff(edges) * 0.94,
            marker={"color": tint, "line": {"width": 0}},
            hovertemplate="%{y} samples near %{x:.3g}<extra></extra>",
        )
    )
    mean = float(values.mean())
    figure.add_vline(x=mean, line={"color": ink(dark=dark), "width": 1.2, "dash": "dot"})
    figure.update_xaxes(title_text=f"{norm} ({unit})")
    figure.update_yaxes(title_text="samples")
    words = f"mean {mean:.3g}, {values.min():.3g} to {values.max():.3g}"
    return arrange(
        figure,
        title=f"{norm} of the perturbation",
        subtitle=" · ".join(part for part in (words, "dotted: mean", subtitle) if part),
        alt=f"Histogram of the {norm} norm over {len(values)} samples: {words} {unit}.",
        dark=dark,
        height=320,
    ).update_layout(showlegend=False)


def perturbation_map(
    points: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    method: str,
    explained: float | None = None,
    subtitle: str = "",
    dark: bool = False,
) -> go.Figure:
    """Perturbations in the plane, coloured by class; clumps of one colour are what a network can latch onto.

    Args:
        points: [M, 2]. labels: [M] classes. method: ``"pca"`` or ``"t-sne"``.
        explained: Share of the variance along both axes, of PCA.
    """
    if points.shape != (len(labels), 2):
        raise ValueError(f"{len(labels)} labels need as many points in the plane, not {list(points.shape)}.")
    figure = go.Figure()
    classes = np.unique(labels)
    for k, label in enumerate(classes):
        chosen = labels == label
        colour = PALETTE[k % len(PALETTE)]
        figure.add_trace(
            go.Scatter(
                x=points[chosen, 0].astype(np.float32),
                y=points[chosen, 1].astype(np.float32),
                mode="markers",
                marker={
                    "color": LIGHTER.get(colour, colour) if dark else colour,
                    "symbol": SYMBOLS[k % len(SYMBOLS)],
                    "size": 6,
                    "opacity": 0.75,
                },
                name=str(label),
                hovertemplate=f"class {label}<extra></extra>",
            )
        )
    name = {"pca": "PC", "t-sne": "t-SNE"}.get(method, method)
    figure.update_xaxes(title_text=f"{name} 1", zeroline=False)
    figure.update_yaxes(title_text=f"{name} 2", zeroline=False)
    words = "distances mean little" if method == "t-sne" else ""
    if explained is not None:
        words = f"axes hold {100 * explained:.0f} % of the variance"
    return arrange(
        figure,
        title="Map of the perturbations",
        subtitle=" · ".join(part for part in (f"{len(labels)} samples", words, subtitle) if part),
        alt=f"Scatter of {len(labels)} perturbations of {len(classes)} classes by {name}; {words or 'no variance'}.",
        dark=dark,
        height=440,
    ).update_layout(legend={"title": {"text": "class "}, "itemsizing": "constant"}, margin={"b": 96})


def _checked(rows: Sequence[NDArray[np.floating]], count: int) -> list[NDArray[np.floating]]:
    if not rows or not count:
        raise ValueError("A grid needs a row of images and a column for each.")
    sizes = [(count, channels) for channels in (1, 3, 4)]
    for images in rows:
        if images.ndim != 4 or images.shape != rows[0].shape or images.shape[:2] not in sizes:
            raise ValueError(f"Every row needs {count} images [1, 3 or 4 channels, height, width] of one size.")
    return list(rows)


def _address(canvas: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png(canvas)).decode()
