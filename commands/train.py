"""``train`` and ``run``: from a preset or spec to trained runs, or to everything."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from pathlib import Path
from typing import Any

import click

from commands.priority import BEHIND, step_back
from options import download_option, json_option, out_option, terminal_progress, where_options


@click.command()
@click.argument("source", metavar="PRESET|SPEC.toml|EXP")
@out_option("Folder of the experiment [default: by name].")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override, as training.lr=0.05.")
@click.option("--runs", "patterns", multiple=True, metavar="PATTERN", help="Only these runs, as 'clean-*'; repeatable.")
@click.option("--live", is_flag=True, help="Keep a snapshot for the Live page while training.")
@click.option("--own-code", is_flag=True, help="Let it run the functions that a TOML file of your own names.")
@download_option
def train(
    source: str,
    out: Path | None,
    assignments: tuple[str, ...],
    patterns: tuple[str, ...],
    live: bool,
    own_code: bool,
    download: bool,
) -> None:
    """Train all runs of a preset or spec, clean and poisoned side by side.

    \b
    Presets: toy-ops toy-random digits-ops digits-random digits-live
    mnist-ops mnist-random rooms-em
    Example: unlearnscape train toy-ops --out my-toy --set training.epochs=20 --set "seeds=[0,1,2]"
    Two processes can share the work: --runs 'clean-*' in one, --runs 'ops-*' in the other.
    """
    experiment = _create(source, out, assignments, own_code)
    only = _chosen(experiment, patterns)
    with terminal_progress(experiment) as progress:
        _train(experiment, progress, live, download, only)
    click.echo(f"{experiment.path}: {len(experiment.finished_runs())} runs are trained.")


@click.command()
@click.argument("source", metavar="PRESET|SPEC.toml|EXP")
@out_option("Folder of the experiment [default: by name].")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override, as training.lr=0.05.")
@click.option("--live", is_flag=True, help="Keep a snapshot for the Live page while training.")
@click.option("--own-code", is_flag=True, help="Let it run the functions that a TOML file of your own names.")
@where_options
@download_option
@json_option
def run(
    source: str,
    out: Path | None,
    assignments: tuple[str, ...],
    live: bool,
    own_code: bool,
    jobs: int | None,
    cluster: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """Everything from nothing: train, SAL, the loss surface, and UD."""
    from experiments import Where, compute_surface, compute_ud

    experiment, where = _create(source, out, assignments, own_code), Where(jobs, cluster)
    with terminal_progress(experiment) as progress:
        _train(experiment, progress, live, download)
        step_back(BEHIND)  # what follows is watched by nobody
        report = compute_ud(experiment, progress=progress, download=download, where=where)
        compute_surface(experiment, progress=progress, download=download, where=where)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


def _create(source: str, out: Path | None, assignments: tuple[str, ...], own_code: bool) -> Any:
    from experiments import Experiment, home, load_preset_or_file, override
    from experiments.spec import own_names
    from experiments.trust import at_terminal, grant, granted

    if (existing := _existing(source)) is not None:
        if out is not None or assignments:
            raise click.ClickException(f"{source} is an experiment already; --out and --set are for new ones.")
        return Experiment.open(existing)
    spec = load_preset_or_file(source)
    if out is not None:
        spec = dataclasses.replace(spec, name=out.name) if out.name else spec
    spec = override(spec, assignments)
    folder, names = out or home() / spec.name, own_names(spec)
    own_code = own_code and at_terminal()
    if names and not own_code and granted(spec, folder).grant.root is None:
        raise click.ClickException(
            f"{source} names code of its own ({', '.join(names)}); if the file and that code are yours, add --own-code."
        )
    experiment = Experiment.create(spec, folder)
    if names and own_code:
        grant(folder, spec)
        return Experiment.open(folder)
    return experiment


def _existing(source: str) -> Path | None:
    """The folder of an experiment given by path, or by its name among the user's where no preset has that name."""
    from experiments import SPEC_FILE, home
    from experiments.catalogue import ALIASES, preset_names

    folders = [Path(source)]
    if source not in ALIASES and source not in preset_names() and Path(source).name == source:
        folders.append(home() / source)
    return next((folder for folder in folders if (folder / SPEC_FILE).is_file()), None)


def _chosen(experiment: Any, patterns: tuple[str, ...]) -> list[str] | None:
    """Names of the runs that any of the patterns fits, as in a shell; None without patterns."""
    if not patterns:
        return None
    planned = experiment.planned_runs()
    for pattern in patterns:
        if not fnmatch.filter(planned, pattern):
            raise click.ClickException(f"--runs {pattern} fits none of the runs, which are {', '.join(planned)}.")
    return [name for name in planned if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def _train(experiment: Any, progress: Any, live: bool, download: bool, only: list[str] | None = None) -> None:
    from experiments import Gate, LiveObserver, train_experiment

    observer = LiveObserver(experiment) if live else None
    gate = Gate(experiment, observer.catch_up, observer.idle) if observer is not None else None
    train_experiment(experiment, progress=progress, download=download, observe=observer, gate=gate, only=only)
    if observer is not None:
        observer.finish(progress)
