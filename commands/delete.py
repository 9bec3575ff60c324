"""``delete`` and ``restore``: tidy up, so that nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("names", nargs=-1, metavar="[EXP]...")
@click.option("--empty", is_flag=True, help="Delete all that was deleted before for good.")
@click.option("--yes", is_flag=True, help="With --empty: do not ask.")
def delete(names: tuple[str, ...], empty: bool, yes: bool) -> None:
    """Delete experiments or benchmarks: they move into a bin, from which restore brings them back.

    The bin is .deleted in the folder of experiments. What ships with the project cannot be deleted, nor what is being
    trained or measured.

    \b
    Examples: unlearnscape delete toy-ops-live optimisers
              unlearnscape delete --empty
    """
    from experiments import deleting

    if bool(names) == empty:
        raise click.UsageError("Name what to delete, or give --empty, and not both.")
    if empty:
        _empty(yes)
    for folder in [_folder(name) for name in names]:  # all are looked up before the first goes
        held = deleting.contents(folder)
        gone = deleting.delete(folder)
        click.echo(f"Deleted {gone.name} ({held.in_words()}). restore {gone.name} brings it back.")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def restore(names: tuple[str, ...]) -> None:
    """Bring back what was deleted; without a name, list it.

    Of several with one name it is the latest; the longer name in the list says which.
    Example: unlearnscape restore toy-ops-live
    """
    from experiments import deleting

    for found in [deleting.find_deleted(name) for name in names]:
        folder = deleting.restore(found)
        renamed = "" if folder.name == found.name else f" as {folder.name}, because its name was taken"
        click.echo(f"Restored {found.name}{renamed}: {folder}")
    if not names:
        listed = deleting.list_deleted()
        for one in listed:
            click.echo(f"{one.id}: {_told(one)}")
        if not listed:
            click.echo("Nothing is in the bin.")


def _told(one: Any) -> str:
    from experiments import deleting

    return f"{one.name}, deleted {one.when:%Y-%m-%d %H:%M}, {deleting.contents(one.folder).in_words()}"


def _empty(yes: bool) -> None:
    from experiments import deleting

    listed = deleting.list_deleted()
    for one in listed:
        click.echo(_told(one))
    if not listed:
        click.echo("Nothing is in the bin.")
    elif yes or click.confirm("Delete all of it for good?"):
        for one in listed:
            deleting.delete_for_good(one)
        click.echo(f"{len(listed)} deleted for good.")


def _folder(name: str) -> Path:
    """The folder of an experiment or benchmark, also of one whose spec cannot be read."""
    from experiments import SPEC_FILE, ExperimentError, list_experiments
    from experiments.bench_run import list_benches
    from experiments.bench_spec import BENCH_FILE
    from experiments.catalogue import GALLERY, nearest_first

    if any((Path(name) / file).is_file() for file in (SPEC_FILE, BENCH_FILE)):
        return Path(name)
    known = {one.name: one.path for one in list_experiments()} | {one.name: one.path for one in list_benches()}
    if name in known:
        return known[name]
    mine = [own for own, path in known.items() if GALLERY not in path.resolve().parents]
    listed = nearest_first(name, {"those that can be deleted": mine})
    hint = listed or "there is none that could be deleted"
    raise ExperimentError(f"There is no experiment or benchmark {name!r}; {hint}.")
