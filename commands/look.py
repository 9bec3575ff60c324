"""``show``: look at an experiment."""

from __future__ import annotations

import json

import click

from options import json_option


@click.command()
@click.argument("exp")
@json_option
def show(exp: str, as_json: bool) -> None:
    """Tell what an experiment holds, and what is missing with the command that makes it."""
    from experiments import find_experiment, summarise

    summary = summarise(find_experiment(exp))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())
