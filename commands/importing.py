"""``import``: bring runs in, recorded ones or folders of checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from options import LOSSES, json_option, terminal_progress

if TYPE_CHECKING:
    from experiments import Experiment


@click.command(name="import")
@click.argument("exp", type=click.Path(path_type=Path))
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what is understood; write nothing.")
@click.option("--clean", "clean", metavar="NAME", help="Which run is the clean one [default: the first].")
@click.option("--model", default="", help="Network the runs are of: lenet5, say, or package.module:function of yours.")
@click.option(
    "--data", default="", help="Data they are measured on: a registered name, FILE.npz, or a function of yours."
)
@click.option("--loss", help=f"{', '.join(LOSSES)}, or a function of yours [default: by the targets].")
@click.option("--metric", help="A function of yours, package.module:function, that surfaces show beside the loss.")
@click.option(
    "--order",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="List of checkpoints in order: a line each, name or name,step or name,step,epoch.",
)
@click.option(
    "--metrics",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Table of metrics with a column step or epoch; once for each folder of checkpoints.",
)
@json_option
def import_(
    exp: Path,
    recordings: tuple[Path, ...],
    dry_run: bool,
    clean: str | None,
    model: str,
    data: str,
    loss: str | None,
    metric: str | None,
    order: Path | None,
    metrics: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Make an experiment EXP from runs of one network; each becomes an arm. Into one that was imported, add runs.

    A run is what any PyTorch loop recorded with checkpoints.Recorder, or a folder of checkpoints (.pt, .pth, .pth.tar,
    .ckpt, .safetensors), one file for each step or epoch, in the order of the numbers in their names. No code in a
    file is ever executed. Beside runs, surfaces can be given: direction, surface and projection files of Li et al.'s
    tool, or what export wrote: a file with --format npz, a folder with --format li, which needs no runs beside it.

    A network, data, a loss or a metric of your own is a function, package.module:function or path/file.py:function,
    and imported from the present directory. That of the network takes nothing, or input_shape and n_classes by
    keyword. That of the data returns (train, test), each a pair (inputs, targets) of arrays or a torch Dataset of such
    pairs. Loss and metric take the outputs and targets of a batch, and return one number, the mean over it. Naming
    them here lets this experiment run them from now on.

    \b
    Examples: unlearnscape import mine clean.h5 poisoned.h5 --model mlp --data my.npz
              unlearnscape import optimisers sgd/ adam/ --dry-run
              unlearnscape import mine rec.h5 --model my_code:net --data my_code:data --loss mse
    """
    from experiments import examine_runs, home, import_runs
    from experiments.importing_adding import imported_there
    from experiments.importing_surfaces import surface_kinds
    from experiments.own import as_module
    from experiments.own_notes import offer
    from experiments.trust import at_terminal

    common: dict[str, Any] = {"model": as_module(model), "data": as_module(data)}
    common |= {"loss": loss and as_module(loss), "metric": metric and as_module(metric)}
    common |= {"order": order, "metrics": metrics}
    common["own_code"] = at_terminal()
    place = home() / exp if exp == Path(exp.name) else exp  # a name alone is one in the folder of experiments
    if dry_run:
        with terminal_progress() as progress:
            found = examine_runs(recordings, into=place, progress=progress, **common)
        surfaces = surface_kinds(recordings)
        _tell(found, surfaces, None if surfaces else imported_there(place), as_json)
        return
    with terminal_progress() as progress:
        notes: list[str] = []
        experiment = import_runs(place, recordings, clean=clean, progress=progress, say=notes.append, **common)
    if clause := offer(experiment.spec):
        notes.append(f"Its network or data are not known yet; {clause}")
    if as_json:
        click.echo(json.dumps({"experiment": str(experiment.path), "runs": experiment.run_names(), "notes": notes}))
    else:
        click.echo(f"{experiment.path}: {', '.join(experiment.run_names())}")
        for note in notes:
            click.echo(f"  {note}")


def _tell(found: list[Any], surfaces: dict[Path, str], there: Experiment | None, as_json: bool) -> None:
    """Print a dry run; it fails when something could not be imported.

    ``there``: the experiment that runs would be added to, one of which comes first in ``found``.
    """
    from checkpoints.importing import describe_recorded
    from experiments.importing_networks import different_networks

    apart = different_networks(found)
    held = there.run_names() if there else []
    if there:
        found = [(source, report) for source, report in found[1:] if source.run not in held]
    recorded = {source.run: describe_recorded(source.places[0]) for source, report in found if report is None}
    reports = [(source.run, report or recorded[source.run]) for source, report in found]
    if as_json:
        runs = [
            {"run": source.run, "report": report and report.as_json()}
            | ({"recorded": recorded[source.run].as_json()} if report is None else {})
            for source, report in found
        ]
        told: dict[str, Any] = {
            "runs": runs,
            "surfaces": {str(k): v for k, v in surfaces.items()},
            "different_networks": apart,
        }
        told |= {"added_to": {"experiment": str(there.path), "runs": held}} if there else {}
        click.echo(json.dumps(told, indent=2))
    else:
        if there:
            click.echo(f"{len(found)} of these would be added to {there.path}, which holds {', '.join(held)}")
        for path, kind in surfaces.items():
            click.echo(f"{path}: {kind}")
        for run, report in reports:
            click.echo(f"Run {run}")
            click.echo(report.as_text())
        for problem in apart:
            click.echo(f"CANNOT BE IMPORTED TOGETHER: {problem}")
    problems = [problem for _, report in reports for problem in report.problems]
    problems += apart
    if problems:
        raise click.ClickException(f"{problems[0]}" + (f" And {len(problems) - 1} more." if problems[1:] else ""))
    if not as_json:
        click.echo("Nothing was written; leave out --dry-run to import.")
