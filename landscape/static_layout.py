"""Where things lie on a matplotlib canvas: panels, their margins and gaps, titles, the legend, and how tall it all is.

Lengths are in inches, of text at its usual size times :func:`zoom`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from matplotlib import rcParams
from matplotlib.figure import Figure as Canvas

from landscape.static_marks import plain
from landscape.style import ink

BASE = 9.5  # points of the text that all sizes here are meant for; another font size scales them
LETTER = 0.56  # mean width of a letter, in font sizes
SAMPLE, LONG_SAMPLE = 2.2, 4.6  # length of a legend's line, in font sizes: usual, and where dashes are long
AROUND_SAMPLE = 1.4  # the gaps around it
TALL, NARROW = 0.64, 5.0  # height over width; figures narrower than so many inches are drawn taller
TALL_NARROW = 0.85
SCENE, MAP, PLOT, ROW = 0.6, 0.62, 0.5, 0.2  # height over width of one panel: 3-D, map, alone, one of a stack
LEAST, LEAST_ALONE = 0.62, 1.15  # inches: no panel is lower, in a stack and otherwise
NAME, BAR = 0.155, 0.3  # inches of a named row of a heat map and of a bar
LEAST_BESIDE = {"surface": 3.4, "contour": 2.2}  # inches of one beside others
MOST_NAMES = 16  # rows of heat maps side by side; of more rows not all are named


@dataclass(frozen=True)
class Panels:
    """The panels of a figure, and where each stands in a grid of rows and columns."""

    keys: list[str]
    titles: list[str]  # one of each, or none
    rows: int
    columns: int
    cells: list[tuple[int, int]]

    @property
    def three(self) -> bool:
        """Whether the panels are scenes in three dimensions."""
        return self.keys[0].startswith("scene")


def zoom() -> float:
    """How much larger than usual text is drawn: sizes in points and inches here are multiplied by it."""
    return float(rcParams["font.size"]) / BASE


def panels_of(figure: go.Figure) -> Panels:
    """Find the panels of a figure that has traces, from where they lie in it."""
    keys = list(dict.fromkeys(panel_of(trace) for trace in figure.data))
    heads = [a.text for a in figure.layout.annotations if a.font is None or a.font.size in (None, 16)]
    titles = heads if len(heads) == len(keys) > 1 else []
    if keys[0].startswith("scene"):
        upright = len({figure.layout[key].domain.x for key in keys}) == 1
        cells = [(number, 0) if upright else (0, number) for number in range(len(keys))]
        return Panels(keys, titles, len(keys) if upright else 1, 1 if upright else len(keys), cells)
    corners = []
    for key in keys:
        x, y = key.split()
        left = (figure.layout[axis_name(x, "x")].domain or (0, 1))[0]
        top = (figure.layout[axis_name(y, "y")].domain or (0, 1))[1]
        corners.append((-round(top, 6), round(left, 6)))
    tops, lefts = sorted({top for top, _ in corners}), sorted({left for _, left in corners})
    cells = [(tops.index(top), lefts.index(left)) for top, left in corners]
    return Panels(keys, titles, len(tops), len(lefts), cells)


def stacked(figure: go.Figure, width: float) -> go.Figure:
    """A figure whose surfaces or contours stand above each other where they would be too narrow side by side."""
    if not figure.data or figure.data[0].type not in LEAST_BESIDE:
        return figure
    panels = panels_of(figure)
    if panels.rows > 1 or width / panels.columns >= LEAST_BESIDE[figure.data[0].type] * zoom():
        return figure
    figure, count = go.Figure(figure), len(panels.keys)
    for number, key in enumerate(panels.keys):
        rows = [1 - (number + 1) / count, 1 - number / count]
        if panels.three:
            figure.layout[key].domain = {"x": [0, 1], "y": rows}
            continue
        x, y = key.split()
        figure.layout[axis_name(x, "x")].domain = [0, 1]
        title = figure.layout[axis_name(panels.keys[0].split()[1], "y")].title.text
        figure.layout[axis_name(y, "y")].update(domain=rows, showticklabels=True, title={"text": title})
    return figure


def panel_of(trace: Any) -> str:
    """What panel a trace lies in: a scene, or a pair of axes."""
    if trace.type in ("surface", "scatter3d"):
        return str(trace.scene or "scene")
    return f"{trace.xaxis or 'x'} {trace.yaxis or 'y'}"


def axis_name(reference: str, letter: str) -> str:
    """The layout's name of an axis that traces call ``x2``."""
    return f"{letter}axis{reference[1:]}"


def fitting_height(figure: go.Figure, width: float, *, title: bool) -> float:
    """The height in inches that suits a width: of the words around the panels, and of every row of panels."""
    usual = width * (TALL if width >= NARROW else TALL_NARROW)
    if not figure.data:
        return usual
    panels = panels_of(figure)
    around = _heading(figure, width) if title else 0.0
    around += _above(figure) * zoom() + _below(figure, width)
    left, right = margins(figure, width)
    gap = (panels.columns - 1) * column_gap(figure, panels)
    each = ((right - left) * width - gap) / panels.columns
    high = max(_panel_height(figure, panels, number, each) for number in range(len(panels.keys)))
    between = (panels.rows - 1) * max(row_gap(figure, panels), 0.3 * high)
    return max(usual, around + panels.rows * high + between)


def _panel_height(figure: go.Figure, panels: Panels, number: int, width: float) -> float:
    """Inches that one panel of a width needs to be read."""
    traces = [trace for trace in figure.data if panel_of(trace) == panels.keys[number]]
    if panels.three:
        return SCENE * width + 0.3 * zoom()
    first = traces[0]
    if first.type == "contour":
        share = MAP * width
    elif first.type == "heatmap":
        share = NAME * min(len(first.y), MOST_NAMES if panels.rows == 1 else len(first.y)) * zoom()
    elif first.type == "bar" and first.orientation == "h":
        share = BAR * len(first.y) * zoom()
    elif panels.rows > 1:
        share = ROW * width
    else:
        share = max(LEAST_ALONE * zoom(), PLOT * width)
    return max(LEAST * zoom(), share)


def column_gap(figure: go.Figure, panels: Panels) -> float:
    """Inches between panels that stand side by side: the numbers of the right one need room, if it has any."""
    inner = [key for key, (_, column) in zip(panels.keys, panels.cells, strict=True) if column > 0]
    if panels.three or not inner:
        return 0.0
    axes = [figure.layout[axis_name(key.split()[1], "y")] for key in inner]
    if all(axis.showticklabels is False for axis in axes):
        return 0.18 * zoom()
    titled = any(axis.title.text for axis in axes)
    return (0.5 + 0.2 * titled) * zoom()


def row_gap(figure: go.Figure, panels: Panels) -> float:
    """Inches between panels one above the other: a title of the lower one, numbers of the upper one."""
    upper = [key for key, (row, _) in zip(panels.keys, panels.cells, strict=True) if row < panels.rows - 1]
    if panels.three or not upper:
        return 0.0
    axes = [figure.layout[axis_name(key.split()[0], "x")] for key in upper]
    numbers = any(axis.showticklabels is not False for axis in axes)
    return (0.12 + 0.22 * bool(panels.titles) + 0.2 * numbers) * zoom()


def gaps(canvas: Canvas, figure: go.Figure, panels: Panels, box: tuple[float, float, float, float]) -> dict[str, float]:
    """Gaps between panels within a box (left, right, bottom, top, in shares), in the panels' own sizes."""
    left, right, bottom, top = box
    wide, high = (right - left) * canvas.get_figwidth(), (top - bottom) * canvas.get_figheight()
    across, along = column_gap(figure, panels), row_gap(figure, panels)
    width = max(0.3, (wide - (panels.columns - 1) * across) / panels.columns)
    height = max(0.2, (high - (panels.rows - 1) * along) / panels.rows)
    return {"wspace": max(0.22, across / width), "hspace": max(0.3, along / height)}


def _above(figure: go.Figure) -> float:
    """Inches above the panels under any title: room for panel titles and the name of a threshold."""
    named = any(note.text and note.showarrow is False for note in figure.layout.annotations)
    return 0.3 if named else 0.14


def sample_length(figure: go.Figure) -> float:
    """How long a legend's lines have to be for their dashes to be told apart, in font sizes."""
    lines = (trace.line.dash for trace in figure.data if trace.type.startswith("scatter") and trace.name)
    return LONG_SAMPLE if any(str(dash).startswith("longdash") for dash in lines) else SAMPLE


def legend_columns(width: float, names: list[str], sample: float = SAMPLE) -> int:
    """Columns of a legend that fit a width in inches."""
    size = float(rcParams["legend.fontsize"] if isinstance(rcParams["legend.fontsize"], float) else BASE * zoom()) / 72
    widest = (max(map(len, names)) * LETTER + sample + AROUND_SAMPLE) * size
    return max(1, min(len(names), int(0.96 * width / widest)))


def margins(figure: go.Figure, width: float) -> tuple[float, float]:
    """Where panels begin, right of named ticks, and end, left of a colour bar's words: shares of the width."""
    scenes = {trace.scene for trace in figure.data if panel_of(trace).startswith("scene")}
    if scenes:
        return (0.02 if len(scenes) == 1 else 0.05), 0.93
    names = [plain(text) for axis in figure.select_yaxes() for text in axis.ticktext or ()]
    names += [str(name) for trace in figure.data if _named(trace) for name in trace.y]
    longest = max(map(len, names), default=0)
    least = 0.62 * zoom() / width  # numbers and the axis title
    left = max(0.09, least, min((0.35 + 0.066 * longest) * zoom() / width, 0.4))
    bar = any(trace.type in ("contour", "heatmap") and trace.showscale is not False for trace in figure.data)
    written = any(trace.type == "bar" and trace.text is not None for trace in figure.data)
    beside = 0.72 if bar else 0.32 if written else 0.0  # a colour bar's words; numbers at the ends of bars
    return left, min(0.95, 1 - beside * zoom() / width)


def bottom_margin(canvas: Canvas, figure: go.Figure) -> float:
    """Room at the bottom for axis titles and the legend's lines, as a share of the height."""
    return max(0.1, min(_below(figure, canvas.get_figwidth()) / canvas.get_figheight(), 0.5))


def _below(figure: go.Figure, width: float) -> float:
    """Inches under the panels: numbers, axis title, legend."""
    entries = [plain(trace.name) for trace in figure.data if trace.name and trace.showlegend is not False]
    unique = list(dict.fromkeys(entries))
    lines = -(-len(unique) // legend_columns(width, unique, sample_length(figure))) if unique else 0
    return (0.55 + 0.2 * lines) * zoom()


def _named(trace: Any) -> bool:
    """Whether the vertical axis of a trace holds names."""
    return bool(trace.type == "heatmap" or (trace.type == "bar" and trace.orientation == "h"))


def _headlines(figure: go.Figure, width: float) -> tuple[list[str], list[str]]:
    """The lines of title and subtitle on a canvas so many inches wide."""
    title = figure.layout.title
    room = 0.95 * width * 72  # points
    subtitle = plain((title.subtitle.text or "").replace("<br>", " · "))
    heads = wrapped(plain(title.text or ""), room / (12 * zoom()), " ")
    return heads, wrapped(subtitle, room / (8.5 * zoom()), " · ")


def _heading(figure: go.Figure, width: float) -> float:
    """Inches of title and subtitle."""
    heads, lines = _headlines(figure, width)
    return (0.13 + 0.21 * len(heads) + 0.16 * len(lines)) * zoom()


def draw_titles(canvas: Canvas, figure: go.Figure, *, dark: bool, title: bool) -> float:
    """Title and subtitle at the top left (if wanted), wrapped to the canvas; returns the share left for the panels."""
    tall, scale = canvas.get_figheight(), zoom()
    if not title:
        return 1 - _above(figure) * scale / tall
    heads, lines = _headlines(figure, canvas.get_figwidth())
    inch = tall / scale
    style: Any = {"va": "top", "color": ink(dark=dark)}
    for i, line in enumerate(heads):
        canvas.text(0.02, 1 - (0.1 + 0.21 * i) / inch, line, weight="bold", size=12 * scale, **style)
    under = 0.13 + 0.21 * len(heads)
    for i, line in enumerate(lines):
        canvas.text(0.02, 1 - (under + 0.16 * i) / inch, line, size=8.5 * scale, **style)
    return 1 - (_heading(figure, canvas.get_figwidth()) + _above(figure) * scale) / tall


def wrapped(text: str, width: float, separator: str) -> list[str]:
    """Break text at separators into lines of at most ``width`` font sizes, as far as its parts allow."""
    lines: list[str] = []
    for part in text.split(separator) if text else []:
        joined = f"{lines[-1]}{separator}{part}" if lines else part
        if lines and len(joined) * LETTER <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines
