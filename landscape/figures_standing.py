"""Charts that stay while their numbers change: what is costly about a figure is built once."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from landscape.style import ink

Values = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Numbers:
    """What changes in a chart whose lines stay.

    ``traces`` holds new attributes of every trace, in order; ``layout`` what is merged into the layout; ``shapes`` and
    ``annotations`` come on top of those that stay; ``alt`` is the chart in words.
    """

    traces: Sequence[Values]
    alt: str
    layout: Values = field(default_factory=dict)
    shapes: Sequence[Values] = ()
    annotations: Sequence[Values] = ()


def numbered(figure: go.Figure, numbers: Numbers) -> go.Figure:
    """Put numbers into a chart without any; returns the figure. Raises ValueError where there are other traces."""
    for trace, values in zip(figure.data, numbers.traces, strict=True):
        trace.update(values)
    for shape in numbers.shapes:
        figure.add_shape(shape)
    for note in numbers.annotations:
        figure.add_annotation(note)
    return figure.update_layout({**numbers.layout, "meta": {**figure.layout.meta, "alt": numbers.alt}})


class StandingChart:
    """A chart that is built once and given new numbers after that.

    Args:
        blank: The chart without numbers, as :func:`numbered` takes it.
    """

    def __init__(self, blank: go.Figure) -> None:
        self._blank = blank.to_dict()
        self._dark = bool(blank.layout.meta["dark"])
        self._panels = list(dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in blank.data))

    def drawn(self, numbers: Numbers, *, mark: float | None = None, step: int | None = None) -> str:
        """The figure of :func:`numbered` as JSON; with ``mark`` a thin upright line stands there in every panel.

        ``step`` is noted in the layout's ``meta``.
        """
        if mark is not None:
            line = {"color": ink(dark=self._dark), "width": 1, "dash": "dash"}
            marks = [upright(mark, *panel, line=line) for panel in self._panels]
            numbers = replace(numbers, shapes=[*numbers.shapes, *marks])
        traces = zip(self._blank["data"], numbers.traces, strict=True)
        meta = {"alt": numbers.alt} if step is None else {"alt": numbers.alt, "step": step}
        layout = _merged(self._blank["layout"], {**numbers.layout, "meta": meta})
        for name, more in (("shapes", numbers.shapes), ("annotations", numbers.annotations)):
            if more:
                layout[name] = [*layout.get(name, ()), *more]
        figure = {
            "data": [_packed(_merged(trace, values)) for trace, values in traces],
            "layout": layout,
        }
        return str(to_json_plotly(figure))


def upright(at: float, xaxis: str, yaxis: str, *, line: Values) -> dict[str, Any]:
    """A line from the bottom to the top of a panel, as Plotly's own ``add_vline`` draws it."""
    across = {"x0": float(at), "x1": float(at), "xref": xaxis}
    return {"type": "line", **across, "y0": 0, "y1": 1, "yref": f"{yaxis} domain", "line": dict(line)}


def _merged(old: Values, new: Values) -> dict[str, Any]:
    both = dict(old)
    for name, value in new.items():
        deeper = isinstance(value, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = _merged(both[name], value) if deeper else value
    return both


def _packed(trace: dict[str, Any]) -> dict[str, Any]:
    """A trace whose floating-point arrays [N] travel as bytes."""
    for name, value in trace.items():
        if isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64):
            flat = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
            trace[name] = {"dtype": f"f{flat.itemsize}", "bdata": base64.b64encode(flat.tobytes()).decode()}
    return trace


__all__ = ["Numbers", "StandingChart", "numbered", "upright"]
