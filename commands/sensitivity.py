"""``sensitivity``: how far UD and the order of methods depend on how they are measured."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from options import json_option, open_for_writing, sal_options, terminal_progress, where_options


@click.command()
@click.argument("exp")
@click.option(
    "--vary",
    multiple=True,
    metavar="SETTING=A,B,…",
    help="Values of one setting: epsilon, steps, lr, p, samples, batch_size, method, blocks or every (checkpoints). "
    "May be repeated [default: epsilon, p, samples, every].",
)
@click.option("--measured-only", is_flag=True, help="Report what is measured already; measure nothing.")
@sal_options
@where_options
@json_option
def sensitivity(
    exp: str,
    vary: tuple[str, ...],
    measured_only: bool,
    jobs: int | None,
    cluster: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Vary how SAL is measured, one setting at a time, and the threshold's rule; say how far the ranking holds.

    Example: unlearnscape sensitivity digits-random --vary epsilon=0.01,0.05,0.1 --vary every=1,2,5
    """
    from experiments import Where, find_experiment
    from experiments.sensitivity_step import compute_sensitivity

    experiment = find_experiment(exp)
    if not measured_only and experiment.finished_runs():
        experiment = open_for_writing(exp)
    options = dataclasses.replace(experiment.spec.sal, **{k: v for k, v in given.items() if v is not None})
    with terminal_progress(experiment) as progress:
        report = compute_sensitivity(
            experiment,
            options,
            dict(map(_values, vary)) if vary else None,
            progress=progress,
            where=Where(jobs, cluster),
            measure=not measured_only,
        )
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


def _values(text: str) -> tuple[str, tuple[Any, ...]]:
    setting, separator, values = text.partition("=")
    if not separator or not values.strip():
        raise click.BadParameter(f"{text!r} is not of the form epsilon=0.01,0.05", param_hint="--vary")
    name = setting.strip().replace("-", "_")
    kind = {"method": str, "blocks": str, "epsilon": float, "lr": float, "p": float}.get(name, int)
    try:
        return name, tuple(kind(value.strip()) for value in values.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} holds a value that is no number.", param_hint="--vary") from None
