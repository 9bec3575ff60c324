"""``export``: take figures, numbers, surfaces and weights out of an experiment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from options import out_option

CROSS_TASK = ("damage", "net-damage", "task-ud", "task-similarity")
FIGURES = ("compare", "compare-3d", "sal", "sal-heatmap", "learnable-blocks", "ud", "curves", "animation", *CROSS_TASK)
SURFACES = ("vtp", "stl", "npz", "li")  # as in experiments.taking: the surface itself, whatever the figure
FORMATS = ("html", "png", "svg", "pdf", "csv", "parquet", "gif", *SURFACES)
SHOWN = ("compare", "compare-3d")  # figures of a surface, which can be shown in several ways:
VIEW = ("quantity", "block", "runs", "scale", "step", "at", "beside", "arm")
UNITS = {"in": 100.0, "cm": 100 / 2.54, "mm": 100 / 25.4, "pt": 100 / 72, "px": 1.0, "": 1.0}  # pixels at 100 per inch


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
@click.option("--figure", type=click.Choice(FIGURES), help="What to draw.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="[default: html]")
@click.option("--weights-at", metavar="A,B", help="Write the network at this point of the plane, as safetensors.")
@click.option("--plane", help="Which surface [default: the experiment's own plane].")
@click.option("--on", help="Data of the surface [default: the experiment's own].")
@click.option("--quantity", metavar="NAME", help="Of a surface: loss, accuracy, or your metric's name [default: loss].")
@click.option("--block", help="Of a surface: the layer, or top10 or top30, that its plane is restricted to.")
@click.option("--runs", help="Of a surface: its runs, separated by commas.")
@click.option("--scale", type=click.Choice(["auto", "log", "linear"]), help="Of heights and colours [default: auto].")
@click.option("--step", type=click.IntRange(min=0), help="Walk the paths up to the checkpoint nearest to this step.")
@click.option("--at", metavar="A,B", help="Mark this point of the plane.")
@click.option("--beside", is_flag=True, help="Two panels: each run on the data that it trained on.")
@click.option("--arm", help="With --beside: whose runs stand in the right panel [default: the first poisoned arm's].")
@out_option("File to write, or folder for li [default: EXP-FIGURE.FORMAT here].")
@click.option("--dark", is_flag=True, help="Draw for a dark background.")
@click.option("--width", type=Length(), help="As 3.3in, 84mm, or pixels at 100 per inch [default: 1000].")
@click.option("--height", type=Length(), help="The same [default: fits width and rows].")
@click.option("--font", default="", help='Installed font family, as "DejaVu Serif" [default: matplotlib\'s].')
@click.option("--font-size", type=float, default=9.5, show_default=True, help="Points.")
@click.option("--no-title", is_flag=True, help="Leave out title and subtitle, which a caption replaces.")
def export(
    exp: str,
    figure: str | None,
    kind: str | None,
    weights_at: str | None,
    plane: str | None,
    on: str | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Write a figure, or the numbers in it, to a file. Needs no browser; the same bytes every time.

    A surface itself can be written for ParaView (vtp), a 3-D printer (stl, millimetres), numpy (npz), or Li et al.'s
    tool (li: a folder of HDF5 files), and so can the weights of any point of its plane.

    \b
    Examples: unlearnscape export toy-ops --figure compare --format pdf --width 3.3in --font-size 7 --no-title
              unlearnscape export toy-ops --figure compare-3d --beside --step 160 --format svg
              unlearnscape export toy-ops --figure animation --format gif
              unlearnscape export toy-ops --format stl
              unlearnscape export toy-ops --weights-at 0.5,-1.2
    """
    from experiments import find_experiment, write_bytes

    if weights_at is not None and (kind or figure):
        raise click.BadParameter(
            "weights are written as safetensors, without --figure or --format", param_hint="--weights-at"
        )
    if kind in SURFACES and figure not in (None, *SHOWN):
        raise click.BadParameter(f"{kind} holds a surface; leave out --figure {figure}", param_hint="--format")
    view = {name: value for name in VIEW if (value := options.pop(name)) not in (None, False)}
    if view and figure not in SHOWN:
        raise click.BadParameter("only --figure compare and compare-3d have it", param_hint=f"--{next(iter(view))}")
    if "arm" in view and "beside" not in view:
        raise click.BadParameter("it names the right one of two panels; add --beside", param_hint="--arm")
    if figure is None and weights_at is None and kind not in SURFACES:
        raise click.UsageError(
            f"Say what to draw with --figure ({', '.join(FIGURES)}), or give --format {SURFACES[0]}."
        )
    experiment = find_experiment(exp)
    if weights_at is not None:
        data, name = _weights(experiment, weights_at, plane, on), f"{experiment.name}-weights.safetensors"
    elif kind == "li":
        click.echo(str(_li(experiment, plane, on, out or Path(f"{experiment.name}-li"))))
        return
    elif kind in SURFACES:
        from experiments.taking import choose_surface, take_surface

        data, name = take_surface(experiment, choose_surface(experiment, plane, on), kind), f"{experiment.name}.{kind}"
    else:
        kind = kind or "html"
        data = _figure(experiment, str(figure), kind, plane, on, view, **options)
        name = f"{experiment.name}-{figure}.{kind}"
    target = out or Path(name)
    write_bytes(target, data)
    click.echo(str(target))


def _figure(
    experiment: Any,
    figure: str,
    kind: str,
    plane: str | None,
    on: str | None,
    view: dict[str, Any],
    *,
    dark: bool,
    width: int | None,
    height: int | None,
    font: str,
    font_size: float,
    no_title: bool,
) -> bytes:
    from experiments import draw, render

    if figure == "animation":
        from experiments.animation import animate

        size = (width, height or round(0.56 * width)) if width else None
        return animate(experiment, kind, plane=plane, on=on, dark=dark, size=size)
    if kind == "gif":
        raise click.BadParameter("only --figure animation is written as gif", param_hint="--format")
    wide = width or 1000
    style: dict[str, Any] = {"font": font, "font_size": font_size, "title": not no_title}
    if figure in SHOWN:
        from experiments.surface_view import SurfaceView, draw_view

        view |= {"contours": figure == "compare", "runs": tuple(filter(None, view.get("runs", "").split(",")))}
        if "at" in view:
            view["at"] = _point(view["at"], "--at")
        drawn = draw_view(experiment, SurfaceView(plane=plane, on=on, **view), dark=dark)
    else:
        drawn = draw(experiment, figure, plane=plane, on=on, dark=dark)
    return render(drawn, kind, width=wide, height=height, **style)


def _weights(experiment: Any, at: str, plane: str | None, on: str | None) -> bytes:
    from experiments.taking import choose_surface
    from experiments.taking_weights import weights_at

    return weights_at(experiment, choose_surface(experiment, plane, on), *_point(at, "--weights-at"))


def _point(text: str, option: str) -> tuple[float, float]:
    try:
        alpha, beta = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no point such as 0.5,-1.2", param_hint=option) from None
    return alpha, beta


def _li(experiment: Any, plane: str | None, on: str | None, folder: Path) -> Path:
    from experiments import ExperimentError, write_bytes
    from experiments.taking import choose_surface
    from experiments.taking_weights import li_files

    files = li_files(experiment, choose_surface(experiment, plane, on))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"The folder {folder} cannot be written: {error.strerror or error}.") from None
    for name, data in files.items():
        write_bytes(folder / name, data)
    return folder
