"""``cross-task``: what a poison costs every task of a network of several."""

from __future__ import annotations

import json

import click

from options import download_option, json_option, open_for_writing, terminal_progress, where_options


@click.command("cross-task")
@click.argument("exp")
@click.option("--samples", type=int, help="Training images that SAL is measured on; 0 takes all.")
@click.option("--every", type=click.IntRange(1), help="Measure SAL at every n-th checkpoint (and the last).")
@click.option(
    "--surfaces", is_flag=True, help="Compute every task's loss surface too, on one plane with the same two paths."
)
@click.option("--measured-only", is_flag=True, help="Report what is measured already; measure nothing.")
@where_options
@download_option
@json_option
def cross_task(
    exp: str,
    samples: int | None,
    every: int | None,
    surfaces: bool,
    measured_only: bool,
    jobs: int | None,
    cluster: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """Measure every task on clean test images, and SAL under every task's loss; print damage and UD.

    Damage is 0 where the poison costs nothing, and 100 % where a task is done no better than by a predictor that
    ignores the image. Results are kept run by run, and what exists is not measured again.
    Example: unlearnscape cross-task rooms-em --samples 500
    """
    from experiments import Where, find_experiment
    from experiments.cross_task_report import report_cross_task
    from experiments.cross_task_step import compute_task_surfaces, measure_cross_task, require_runs, sal_options
    from experiments.cross_task_words import cross_task_json, cross_task_text

    if measured_only and surfaces:
        raise click.UsageError("--surfaces computes and --measured-only does not; leave one of them out.")
    experiment = find_experiment(exp)
    if not measured_only:
        require_runs(experiment)
        experiment = open_for_writing(exp)
    chosen = (
        None if measured_only and samples is every is None else sal_options(experiment, samples=samples, every=every)
    )
    if not measured_only:
        where = Where(jobs, cluster)
        with terminal_progress(experiment) as progress:
            measured = measure_cross_task(experiment, chosen, progress=progress, download=download, where=where)
            if surfaces:
                compute_task_surfaces(experiment, progress=progress, where=where)
        for why in measured.problems.values():
            click.echo(why, err=True)
    report = report_cross_task(experiment, chosen)
    click.echo(json.dumps(cross_task_json(report), indent=2) if as_json else cross_task_text(report))
