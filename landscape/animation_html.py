"""A film of a training as one page of HTML: SVG and a small player, no network, no other file."""

from __future__ import annotations

import io
import json
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from landscape.animation import STYLE, TITLE, Stage, Track
from landscape.static_inline import SCHEME, adapt_svg, scheme_css
from landscape.style import DASHES, MARKERS
from landscape.time_axis import moment_words

WIDE = 700  # pixels of a page from which the panels stand side by side
PLAYER = Path(__file__).with_name("animation_player.js")
DASHED = {"solid": "none", "dash": "9 5", "dot": "2 4", "dashdot": "9 4 2 4"}
DASHED |= {"longdash": "16 5", "longdashdot": "16 4 2 4"}
SHAPES = {
    "circle": "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0z",
    "diamond": "M0,-7.5L7.5,0L0,7.5L-7.5,0z",
    "square": "M-5.5,-5.5H5.5V5.5H-5.5z",
    "cross": "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2z",
    "x": "M0,-2.8L3.5,-6.3L6.3,-3.5L2.8,0L6.3,3.5L3.5,6.3L0,2.8L-3.5,6.3L-6.3,3.5L-2.8,0L-6.3,-3.5L-3.5,-6.3z",
}
NAMES = {light: f"var({name})" for name, (light, _) in SCHEME.items()}
CSS = """
:root { color-scheme: light dark; --ground: #ffffff; --soft: #f3f5f8; --line: #d5dae1; }
@media (prefers-color-scheme: dark) { :root { --ground: #0e1117; --soft: #191e27; --line: #343b47; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 1200px; background: var(--ground); color: var(--ink);
  font: 16px/1.45 "Helvetica Neue", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; }
p { margin: 0 0 .6rem; font-size: .9rem; }
.panels { display: grid; gap: .5rem; }
.panels svg { display: block; width: 100%; height: auto; }
.narrow { max-width: 500px; }
.store { position: absolute; width: 0; height: 0; }
svg text { font-family: "Helvetica Neue", Helvetica, Arial, sans-serif !important; }
.halo { fill: none; stroke: #fff; stroke-opacity: .75; stroke-width: 5; stroke-linejoin: round; }
.line { fill: none; stroke-width: 3; stroke-linejoin: round; }
.head { stroke: #fff; stroke-width: 1.5; }
.start { fill: none; stroke: #fff; stroke-width: 2; }
.controls { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: .8rem 0; }
.controls input { flex: 1 1 12rem; min-width: 0; height: 2rem; accent-color: var(--clean); }
button { font: inherit; min-width: 5.5rem; padding: .45rem .8rem; border: 1px solid var(--line); border-radius: 6px;
  background: var(--soft); color: inherit; cursor: pointer; }
output { min-width: 12rem; font-variant-numeric: tabular-nums; }
ul { list-style: none; margin: 0; padding: 0; }
li { display: flex; gap: .6rem; align-items: center; font-variant-numeric: tabular-nums; }
li svg { width: 44px; height: 18px; flex: none; }
"""


def animation_html(stage: Stage, narrow: Stage, name: str) -> str:
    """The page of a film; build its two stages light and without a title, the page has both.

    ``narrow`` is the same film, stacked, for screens on which the texts of the other would be too small to read.
    """
    width, height = stage.size
    split = round(stage.split)
    stages = "".join(
        f'<g id="{key}stage">{_ground(one, key)}{"".join(_track(t, f"{key}{n}") for n, t in enumerate(one.tracks))}</g>'
        for key, one in (("w", stage), ("n", narrow))
    )
    legend = "".join(_entry(track, n) for n, track in enumerate(stage.tracks))
    wide = f".panels {{ grid-template-columns: {split}fr {width - split}fr; }}"
    last = len(stage.moments) - 1
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}: {TITLE.lower()}</title>\n<style>\n{scheme_css()}{CSS}"
        f"@media (min-width: {WIDE}px) {{ {wide} .narrow {{ display: none; }} }}\n"
        f"@media (max-width: {WIDE - 0.02}px) {{ .wide {{ display: none; }} }}\n</style>\n</head>\n<body>\n"
        f"<h1>{escape(name)}: {TITLE.lower()}</h1>\n<p>{escape(stage.subtitle)}</p>\n"
        f'<svg class="store" aria-hidden="true"><defs>{stages}</defs></svg>\n'
        f'<div class="panels wide" role="img" aria-label="{escape(stage.alt)}">\n'
        f'<svg viewBox="0 0 {split} {height}"><use href="#wstage"/></svg>\n'
        f'<svg viewBox="{split} 0 {width - split} {height}"><use href="#wstage"/></svg>\n</div>\n'
        f'<div class="panels narrow" role="img" aria-label="{escape(stage.alt)}">\n'
        f'<svg viewBox="0 0 {narrow.size[0]} {narrow.size[1]}"><use href="#nstage"/></svg>\n</div>\n'
        '<div class="controls"><button id="play" type="button">Play</button>'
        f'<input id="frame" type="range" min="0" max="{last}" value="{last}" aria-label="Moment of the training">'
        f'<output id="moment" for="frame">{_moment(stage, last)}</output></div>\n<ul>{legend}</ul>\n'
        f'<script type="application/json" id="film">{_film(stage)}</script>\n'
        f"<script>\n{PLAYER.read_text(encoding='utf-8')}</script>\n</body>\n</html>\n"
    )


def _ground(stage: Stage, prefix: str) -> str:
    """What stays, as an SVG element of the stage's size."""
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        stage.canvas.savefig(out, format="svg", metadata={"Date": None}, facecolor="white")
    drawn = adapt_svg(out.getvalue(), prefix=prefix, alt="")
    return drawn.replace("<svg ", f'<svg width="{stage.size[0]}" height="{stage.size[1]}" ', 1)


def _track(track: Track, n: str) -> str:
    colour = NAMES.get(track.colour, track.colour)
    shape = SHAPES[MARKERS[track.role]]
    dash = DASHED[DASHES[track.role]]
    x, y = track.path[0]
    path, curve = _points(track.path), _points(track.curve)
    line = f'class="line" style="stroke: {colour}; stroke-dasharray: {dash}"'
    return (
        f'<circle class="start" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        f'<polyline class="halo" id="h{n}" points="{" ".join(path)}"/>'
        f'<polyline {line} id="p{n}" points="{" ".join(path)}"/>'
        f'<polyline {line} id="c{n}" points="{" ".join(curve)}"/>'
        f'<path class="head" id="ph{n}" d="{shape}" style="fill: {colour}" transform="translate({path[-1]})"/>'
        f'<path class="head" id="ch{n}" d="{shape}" style="fill: {colour}" '
        f'transform="translate({curve[-1] if curve else "-99,-99"})"/>'
    )


def _entry(track: Track, n: int) -> str:
    colour = NAMES.get(track.colour, track.colour)
    mark = f'<path d="{SHAPES[MARKERS[track.role]]}" transform="translate(22 9)" style="fill: {colour}"/>'
    line = f'<line x1="0" x2="44" y1="9" y2="9" style="stroke: {colour}; stroke-width: 3; '
    line += f'stroke-dasharray: {DASHED[DASHES[track.role]]}"/>'
    words = f'<span>{escape(track.name)}: <span id="w{n}">{escape(track.words[-1])}</span></span>'
    return f'<li><svg viewBox="0 0 44 18" aria-hidden="true">{line}{mark}</svg>{words}</li>'


def _points(points: NDArray[np.float64]) -> list[str]:
    """Points as SVG writes them; those that are not known are left out."""
    return [f"{x:.1f},{y:.1f}" for x, y in points if np.isfinite(x) and np.isfinite(y)]


def _moment(stage: Stage, frame: int) -> str:
    return moment_words(int(stage.moments[frame]), float(stage.epochs[frame]))


def _film(stage: Stage) -> str:
    """What the player needs: at every frame, how far each run is, and the words for it."""
    runs = []
    for track in stage.tracks:
        reached = [stage.reached(track, frame) for frame in range(len(stage.moments))]
        known = np.cumsum(np.isfinite(track.curve).all(axis=1))
        runs.append(
            {
                "path": [i + 1 for i in reached],
                "curve": [int(known[i]) for i in reached],
                "words": [track.words[i] for i in reached],
            }
        )
    film = {"moments": [_moment(stage, frame) for frame in range(len(stage.moments))], "runs": runs}
    return json.dumps(film, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
