"""``check``: stored against recomputed losses and metrics."""

from __future__ import annotations

import json

import click

from options import download_option, json_option, terminal_progress


@click.command()
@click.argument("exp")
@click.option("--runs", metavar="A,B", help="Runs to check [default: all].")
@download_option
@json_option
def check(exp: str, runs: str | None, download: bool, as_json: bool) -> None:
    """Compare the losses that runs store with those of their checkpoints, recomputed on all samples.

    Looks at train_loss and loss (training data), test_loss, eval_loss and val_loss (test data); where EXP has a metric
    of your own, my_code:f1 say, at train_f1, test_f1 and f1 too. They agree to 1e-4, or the likely reason is told:
    training mode with dropout or BatchNorm, a running average, a loss of other data. Ends with 1 where one disagrees.

    Example: unlearnscape check toy-ops
    """
    from experiments import find_experiment
    from experiments.check_names import LOOKED_AT
    from experiments.check_step import check_runs
    from experiments.own_metric import PARTS, metric_label

    names = [name.strip() for name in runs.split(",")] if runs else None
    experiment = find_experiment(exp)
    with terminal_progress() as progress:
        found = check_runs(experiment, runs=names, progress=progress, download=download)
    if as_json:
        click.echo(json.dumps([one.as_json() for one in found], indent=2))
    for one in found if not as_json else ():
        click.echo(one.as_text())
    label = metric_label(experiment.spec.metric)
    if not found and not as_json:
        looked = ", ".join([LOOKED_AT, *(f"{part}{label}" for part in PARTS if label)])
        click.echo(f"The runs store none of {looked}; there is nothing to compare.")
    elif label and not as_json and not any(one.function for one in found):
        click.echo(f"No run stores {label} ({experiment.spec.metric}); surfaces hold it, computed anew.")
    if not all(one.agrees for one in found):
        raise click.exceptions.Exit(1)
