"""``show``, ``export`` and ``import``: look at an experiment, take figures out, bring runs in."""

from __future__ import annotations

import json
from pathlib import Path

import click

from options import json_option

FIGURES = ("compare", "compare-3d", "sal", "sal-heatmap", "learnable-blocks", "ud", "curves")
FORMATS = ("html", "png", "svg", "pdf", "csv")


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
@click.option("--width", type=int, default=1000, show_default=True, help="Pixels.")
@click.option("--height", type=int, default=640, show_default=True, help="Pixels.")
def export(
    exp: str,
    figure: str,
    kind: str,
    plane: str | None,
    on: str | None,
    output: Path | None,
    dark: bool,
    width: int,
    height: int,
) -> None:
    """Write a figure, or the numbers in it, to a file. Needs no browser.

    Example: unlearnscape export toy-ops --figure compare --format pdf
    """
    from experiments import draw, find_experiment, render, write_bytes

    experiment = find_experiment(exp)
    data = render(draw(experiment, figure, plane=plane, on=on, dark=dark), kind, width=width, height=height)
    target = output or Path(f"{experiment.name}-{figure}.{kind}")
    write_bytes(target, data)
    click.echo(str(target))


@click.command(name="import")
@click.argument("exp", type=click.Path(path_type=Path))
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--clean", "clean", metavar="NAME", help="Which recording is the clean one [default: the first].")
@click.option("--model", default="", help="Registered network the runs are of, as lenet5.")
@click.option("--data", default="", help="Data set they are measured on: a registered name or FILE.npz.")
def import_(exp: Path, recordings: tuple[Path, ...], clean: str | None, model: str, data: str) -> None:
    """Make an experiment EXP from runs that any PyTorch loop recorded with checkpoints.Recorder.

    Example: unlearnscape import mine clean.h5 poisoned.h5 --model mlp --data my.npz
    """
    from experiments import import_runs

    experiment = import_runs(exp, recordings, clean=clean, model=model, data=data)
    click.echo(f"{experiment.path}: {', '.join(experiment.run_names())}")
