"""``surface``, ``sal``, ``curvature`` and ``ud``: measure what was trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from options import (
    download_option,
    json_option,
    open_for_writing,
    rule_option,
    sal_options,
    task_option,
    terminal_progress,
    where_options,
)

if TYPE_CHECKING:
    from experiments import Experiment


@click.command()
@click.argument("exp")
@click.option("--plane", type=click.Choice(["pca", "pca-single", "random", "three-point", "parameters", "hessian"]))
@click.option("--grid", type=int, help="Points a side [default: 51].")
@click.option("--on", metavar="clean|poisoned|test|ARM", help="Data the loss is evaluated on.")
@click.option("--runs", metavar="A,B", help="Runs whose paths are drawn [default: all of the first seed].")
@click.option("--margin", type=float, help="Room around the paths [default: 0.2].")
@click.option("--samples", type=int, help="Samples evaluated on; 0 takes all.")
@click.option("--block", help="Restrict the plane to a layer, as fc3; the others stay at the origin.")
@click.option("--seed", type=int, help="Seed of the random plane.")
@click.option("--parameters", metavar="I,J", help="Flat indices of the two parameters of the parameters plane.")
@click.option("--tolerance", type=float, help="Interpolate where that is as good, to this share of the loss's range.")
@click.option("--precision", type=click.Choice(["float32", "float64", "bfloat16"]), help="Compute in this type.")
@click.option(
    "--metric", help="A function of yours, package.module:function; EXP keeps it, and shows it beside the loss."
)
@task_option
@where_options
@download_option
@json_option
def surface(
    exp: str,
    runs: str | None,
    metric: str | None,
    parameters: str | None,
    task: str | None,
    jobs: int | None,
    cluster: str | None,
    download: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Evaluate loss and accuracy on a plane, with the runs' paths projected onto it.

    Points come coarse to fine, and the fastest way to evaluate this model on this machine is found by trying. A metric
    of your own takes the outputs and targets of a batch, and returns one number, the mean over it; it is imported from
    the present directory.

    \b
    Examples: unlearnscape surface toy-ops --plane pca --grid 51 --on poisoned
              unlearnscape surface mine --metric my_code:margin
    """
    from checkpoints import read_result
    from experiments import Where, compute_surface, describe_surface
    from experiments.adopting import adopt_metric
    from experiments.own import as_module
    from experiments.stored import SURFACE_KIND

    experiment = open_for_writing(exp)
    if metric is not None:
        experiment = adopt_metric(experiment, as_module(metric), download=download)
    if parameters is not None:
        given["parameters"] = _indices(parameters)
        given["plane"] = given.get("plane") or "parameters"
    options = _replace(experiment.spec.surface, given)
    names, where = _names(runs), Where(jobs, cluster)
    with terminal_progress(experiment) as progress:
        path = compute_surface(
            experiment, options, runs=names, progress=progress, download=download, where=where, task=task or ""
        )
    click.echo(json.dumps(describe_surface(path), indent=2) if as_json else str(path))
    _tell_left_out(experiment, read_result(path, kind=SURFACE_KIND).header["runs"])


@click.command()
@click.argument("exp")
@sal_options
@click.option("--runs", metavar="A,B", help="Runs to measure [default: all].")
@task_option
@where_options
@download_option
def sal(
    exp: str,
    runs: str | None,
    task: str | None,
    jobs: int | None,
    cluster: str | None,
    download: bool,
    **given: Any,
) -> None:
    """Measure Sharpness-Aware Learnability of every block at every checkpoint.

    Each run is measured on its own training data, as in the paper.
    Example: unlearnscape sal digits-ops --method search --blocks layer
    """
    from experiments import Where, compute_sal, read_sal

    experiment = open_for_writing(exp)
    names = _names(runs)
    with terminal_progress(experiment) as progress:
        paths = compute_sal(
            experiment,
            _replace(experiment.spec.sal, given),
            runs=names,
            progress=progress,
            download=download,
            where=Where(jobs, cluster),
            task=task or "",
        )
    for path in paths:
        click.echo(str(path))
    for words in dict.fromkeys(read_sal(path).uncounted_words for path in paths):
        if words:
            click.echo(words, err=True)
    _tell_left_out(experiment, names or experiment.finished_runs())


@click.command()
@click.argument("exp")
@click.option("--runs", metavar="A,B", help="Runs to measure [default: all].")
@click.option("--top", type=int, default=2, show_default=True, help="Number of eigenvalues.")
@click.option("--probes", type=int, default=30, show_default=True, help="Random vectors behind the trace.")
@click.option("--samples", type=int, default=1000, show_default=True, help="Samples measured on; 0 takes all.")
@click.option("--every", type=int, default=0, help="Measure every n-th checkpoint [default: the last alone].")
@download_option
@json_option
def curvature(exp: str, runs: str | None, download: bool, as_json: bool, **given: int) -> None:
    """Measure the Hessian's largest eigenvalues and its trace, with residuals and standard error.

    Each run is measured on its own training data.
    Example: unlearnscape curvature toy-ops --top 3
    """
    from experiments import CurvatureOptions, compute_curvature, curvature_text, describe_curvature

    experiment = open_for_writing(exp)
    names = _names(runs)
    with terminal_progress(experiment) as progress:
        paths = compute_curvature(
            experiment, CurvatureOptions(**given), runs=names, progress=progress, download=download
        )
    if as_json:
        click.echo(json.dumps([describe_curvature(path) for path in paths], indent=2))
    for path in paths if not as_json else ():
        click.echo(curvature_text(path))
    _tell_left_out(experiment, names or experiment.finished_runs())


@click.command()
@click.argument("exp")
@sal_options
@rule_option
@where_options
@download_option
@json_option
def ud(exp: str, rule: str, jobs: int | None, cluster: str | None, download: bool, as_json: bool, **given: Any) -> None:
    """Print the Unlearnable Distance beside test accuracy, with its spread over seeds.

    SAL that is missing is measured first. UD near 1: as learnable as clean; towards 0: unlearnable; above 1:
    it learns, but wrongly.
    """
    from experiments import Where, compute_ud, find_experiment

    experiment = find_experiment(exp)
    if experiment.finished_runs():
        experiment = open_for_writing(exp)
    with terminal_progress(experiment) as progress:
        report = compute_ud(
            experiment,
            _replace(experiment.spec.sal, given),
            rule=rule,
            progress=progress,
            download=download,
            where=Where(jobs, cluster),
        )
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())
    _tell_left_out(experiment, experiment.finished_runs())


def _replace(options: Any, given: dict[str, Any]) -> Any:
    return dataclasses.replace(options, **{key: value for key, value in given.items() if value is not None})


def _names(runs: str | None) -> list[str] | None:
    """The runs that were named, or None for all."""
    return [name.strip() for name in runs.split(",")] if runs else None


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not two whole numbers such as 3,17", param_hint="--parameters") from None


def _tell_left_out(experiment: Experiment, runs: Sequence[str]) -> None:
    """Say which checkpoints nothing could be computed of."""
    from experiments.finite import left_out_words

    for name in runs:
        if words := left_out_words(experiment, name):
            click.echo(words, err=True)
