"""``show``: look at an experiment."""

from __future__ import annotations

import json
from pathlib import Path

import click

from options import json_option


@click.command()
@click.argument("exp")
@json_option
def show(exp: str, as_json: bool) -> None:
    """Tell what an experiment holds, and what is missing with the command that makes it."""
    from experiments import ExperimentError, find_experiment, summarise

    try:
        experiment = find_experiment(exp)
    except ExperimentError as error:
        from experiments.importing_sources import import_hint  # few need it

        if hint := import_hint(Path(exp)):
            raise click.ClickException(f"There is no experiment {exp!r}, but {hint}") from None
        raise click.ClickException(str(error)) from None
    summary = summarise(experiment)
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())
