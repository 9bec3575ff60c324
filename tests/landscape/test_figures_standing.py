"""Charts that stay while their numbers change draw what a new figure would, trace by trace."""

import base64
import json

import numpy as np
import plotly.graph_objects as go
import pytest

from landscape.figures import RunCurves
from landscape.figures_lines import blank_curves, curve_numbers, training_curves
from landscape.figures_standing import Numbers, StandingChart, numbered
from landscape.style import arrange, ink


def same(drawn: str, new: go.Figure) -> None:
    """Compare a figure's JSON with a figure, trace by trace, however its numbers travel."""
    old, fresh = json.loads(drawn), json.loads(new.to_json())
    assert len(old["data"]) == len(fresh["data"])
    for here, there in zip(old["data"], fresh["data"], strict=True):
        assert here.keys() == there.keys()
        for name in here:
            assert plain(here[name]) == plain(there[name]), name
    assert old["layout"] == fresh["layout"]


def plain(value: object) -> object:
    """Numbers as a list, also where they are bytes."""
    if not isinstance(value, dict) or "bdata" not in value:
        return value
    return np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"]).tolist()


def runs(count: int, *, spread: float = 1.0) -> list[RunCurves]:
    random = np.random.default_rng(count)
    return [
        RunCurves(
            name,
            role,
            np.arange(count) * 5,
            np.arange(count) / 6,
            {
                f"{part}_{what}": random.lognormal(0, spread, count)
                for part in ("test", "train")
                for what in ("accuracy", "loss")
            },
        )
        for name, role in (("clean-s0", "clean"), ("ops-s0", "poisoned"))
    ]


@pytest.mark.parametrize("dark", [False, True])
def test_standing_training_curves_are_those_of_a_new_figure(dark):
    standing = StandingChart(blank_curves(runs(3), dark=dark))
    for count, spread in ((40, 1.0), (3, 1.0), (17, 6.0), (17, 0.01)):  # other numbers need other marks at their axis
        given = runs(count, spread=spread)
        same(standing.drawn(curve_numbers(given)), training_curves(given, dark=dark))


def test_a_mark_stands_in_every_panel_as_plotly_would_draw_it():
    given = runs(9)
    drawn = StandingChart(blank_curves(given)).drawn(curve_numbers(given), mark=0.75)
    line = {"color": ink(), "width": 1, "dash": "dash"}
    same(drawn, training_curves(given).add_vline(x=0.75, line=line, row="all", col="all"))
    assert len(json.loads(drawn)["layout"]["shapes"]) == 2


def test_numbers_of_another_chart_are_refused():
    blank = arrange(go.Figure(go.Scatter()), title="One line", alt="")
    for put in (lambda numbers: numbered(blank, numbers), StandingChart(blank).drawn):
        with pytest.raises(ValueError, match=r"shorter|longer"):
            put(Numbers([{"y": np.ones(2)}, {"y": np.ones(2)}], "Two lines."))
