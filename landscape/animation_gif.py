"""A film of a training as an animated GIF, drawn by matplotlib and the same bytes every time."""

from __future__ import annotations

import io
import itertools
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from landscape.animation import DPI, STYLE, Stage
from landscape.static_draw import MARKER
from landscape.static_marks import DASH
from landscape.style import DASHES, MARKERS, ink
from landscape.time_axis import moment_words

FRAME_MS, FIRST_MS, LAST_MS = 80, 700, 2500  # GIFs count in hundredths of a second
SAME = 255  # the see-through colour's place in the palette, behind 255 others


def animation_gif(stage: Stage) -> bytes:
    """Draw every moment of a stage; the film begins again by itself."""
    with mpl.rc_context(STYLE):
        pictures = _pictures(stage)
    palette = pictures[-1].quantize(SAME, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    frames = _changes([picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures])
    times = [FIRST_MS, *[FRAME_MS] * (len(frames) - 2), LAST_MS][-len(frames) :]
    out = io.BytesIO()
    frames[0].save(
        out,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=times,
        loop=0,
        disposal=1,
        optimize=False,
        transparency=SAME,
    )
    return out.getvalue()


def _changes(frames: list[Image.Image]) -> list[Image.Image]:
    """Frames in which what stays as it was is see-through, which makes the file several times smaller."""
    found = [frames[0]]
    for before, frame in itertools.pairwise(frames):
        new = np.asarray(frame)
        change = Image.fromarray(np.where(new == np.asarray(before), SAME, new).astype(np.uint8), mode="P")
        change.putpalette(frames[0].getpalette() or [])
        found.append(change)
    return found


def _pictures(stage: Stage) -> list[Image.Image]:
    canvas: Any = stage.canvas.canvas
    canvas.draw()
    ground = canvas.copy_from_bbox(stage.canvas.bbox)
    pictures = []
    for frame in range(len(stage.moments)):
        canvas.restore_region(ground)
        for artist in _artists(stage, frame):
            artist.set_figure(stage.canvas)
            artist.draw(canvas.get_renderer())
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy()))
    return pictures


def _artists(stage: Stage, frame: int) -> list[Any]:
    """Lines and marks of a moment, in pixels from the lower left corner, and its legend as text."""
    width, height = stage.size
    found: list[Any] = []
    for row, track in enumerate(stage.tracks):
        now = stage.reached(track, frame)
        marker = MARKER[MARKERS[track.role]]
        style: Any = {"color": track.colour, "linestyle": DASH[DASHES[track.role]], "linewidth": 2.4}
        for points, halo in ((track.path, True), (track.curve, False)):
            x, y = points[: now + 1, 0], height - points[: now + 1, 1]
            if halo:
                found.append(Line2D(x, y, color="#FFFFFF", linewidth=4.2, alpha=0.75))
                found.append(Line2D(x[:1], y[:1], marker="o", markersize=10, color="#FFFFFF", markerfacecolor="none"))
            found.append(Line2D(x, y, **style))
            head: Any = {"marker": marker, "markersize": 9, "markeredgecolor": "#FFFFFF", "color": track.colour}
            found.append(Line2D(x[-1:], y[-1:], **head))
        place = 14 + 17 * (len(stage.tracks) - 1 - row)
        found.append(Line2D([0.36 * width, 0.39 * width], [place, place], **style))
        found.append(Line2D([0.375 * width], [place], marker=marker, markersize=7, color=track.colour))
        found.append(_text(0.4 * width, place, f"{track.name}: {track.words[now]}", stage))
    said = moment_words(int(stage.moments[frame]), float(stage.epochs[frame]))
    found.append(_text(0.02 * width, 14, said, stage, weight="bold"))
    return found


def _text(x: float, y: float, words: str, stage: Stage, **style: Any) -> Any:
    return Text(x, y, words, color=ink(dark=stage.dark), va="center", fontsize=10 * DPI / 100, **style)
