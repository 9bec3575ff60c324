"""``show`` and ``export``: look at an experiment, take figures out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from options import json_option

FIGURES = ("compare", "compare-3d", "sal", "sal-heatmap", "learnable-blocks", "ud", "curves", "animation")
FORMATS = ("html", "png", "svg", "pdf", "csv", "gif")
UNITS = {"in": 100.0, "cm": 100 / 2.54, "mm": 100 / 25.4, "pt": 100 / 72, "px": 1.0, "": 1.0}  # pixels at 100 per inch
TALL, NARROW = 0.64, 500  # height over width; figures narrower than so many pixels are drawn taller


class Length(click.ParamType[int]):
    """A length on paper or in pixels, as pixels at 100 per inch."""

    name = "length"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Read 3.3in, 84mm, 8.4cm, 240pt or 1000."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(in|cm|mm|pt|px|)\s*", str(value))
        if not found:
            self.fail(f"{value!r} is no length such as 3.3in, 84mm or 1000 (pixels)", parameter, context)
        return round(float(found[1]) * UNITS[found[2]])


@click.command()
@click.argument("exp")
@json_option
def show(exp: str, as_json: bool) -> None:
    """Tell what an experiment holds, and what is missing with the command that makes it."""
    from experiments import find_experiment, summarise

    summary = summarise(find_experiment(exp))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())


@click.command()
@click.argument("exp")
@click.option("--figure", type=click.Choice(FIGURES), required=True, help="What to draw.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option("--plane", help="Which surface [default: the experiment's own plane].")
@click.option("--on", help="Data of the surface [default: the experiment's own].")
@click.option("--output", type=click.Path(path_type=Path), help="File [default: EXP-FIGURE.FORMAT here].")
@click.option("--dark", is_flag=True, help="Draw for a dark background.")
@click.option("--width", type=Length(), help="As 3.3in, 84mm, or pixels at 100 per inch [default: 1000].")
@click.option("--height", type=Length(), help="The same [default: fits the width].")
@click.option("--font", default="", help='Installed font family, as "DejaVu Serif" [default: matplotlib\'s].')
@click.option("--font-size", type=float, default=9.5, show_default=True, help="Points.")
@click.option("--no-title", is_flag=True, help="Leave out title and subtitle, which a caption replaces.")
def export(
    exp: str,
    figure: str,
    kind: str,
    plane: str | None,
    on: str | None,
    output: Path | None,
    dark: bool,
    width: int | None,
    height: int | None,
    font: str,
    font_size: float,
    no_title: bool,
) -> None:
    """Write a figure, or the numbers in it, to a file. Needs no browser; the same bytes every time.

    \b
    Examples: unlearnscape export toy-ops --figure compare --format pdf --width 3.3in --font-size 7 --no-title
              unlearnscape export toy-ops --figure animation --format gif
    """
    from experiments import draw, find_experiment, render, write_bytes

    experiment = find_experiment(exp)
    if figure == "animation":
        from experiments.animation import animate

        size = (width, height or round(0.56 * width)) if width else None
        data = animate(experiment, kind, plane=plane, on=on, dark=dark, size=size)
    else:
        if kind == "gif":
            raise click.BadParameter("only --figure animation is written as gif", param_hint="--format")
        wide = width or 1000
        tall = height or round(wide * (TALL if wide >= NARROW else 0.85))
        style: dict[str, Any] = {"font": font, "font_size": font_size, "title": not no_title}
        drawn = draw(experiment, figure, plane=plane, on=on, dark=dark)
        data = render(drawn, kind, width=wide, height=tall, **style)
    target = output or Path(f"{experiment.name}-{figure}.{kind}")
    write_bytes(target, data)
    click.echo(str(target))
