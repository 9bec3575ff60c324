"""``report``: an experiment on one page."""

from __future__ import annotations

from pathlib import Path

import click

from options import out_option


@click.command()
@click.argument("exp")
@out_option("File or folder to write to [default: EXP-report.html here].")
def report(exp: str, out: Path | None) -> None:
    """Write what an experiment says on one page of HTML: figures, tables, settings, versions, commands.

    The page needs no network and no other file, opens in any browser, prints well, and has the same bytes every time.
    Example: unlearnscape report toy-ops
    """
    from experiments import find_experiment, write_bytes
    from experiments.report import report_html

    experiment = find_experiment(exp)
    target = Path(f"{experiment.name}-report.html") if out is None else out
    if target.is_dir():
        target /= f"{experiment.name}-report.html"
    if not target.parent.is_dir():
        raise click.ClickException(f"There is no folder {target.parent} to write to; make it, or give another --out.")
    write_bytes(target, report_html(experiment).encode())
    click.echo(str(target))
