"""``bench``: methods × data × networks × defences × seeds, in one resumable go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from options import download_option, json_option, out_option, terminal_progress, where_options

if TYPE_CHECKING:
    from experiments.bench_run import Bench


@click.command()
@click.argument("source", metavar="PRESET|SPEC.toml|BENCH")
@out_option("Folder of the benchmark [default: by name].")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done and how long it takes, and stop.")
@click.option("--table", is_flag=True, help="Print what is finished so far, and stop.")
@where_options
@download_option
@json_option
def bench(
    source: str,
    out: Path | None,
    only_plan: bool,
    table: bool,
    jobs: int | None,
    cluster: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """Compare unlearnable methods by UD and accuracy, over seeds.

    Cells (one run each) are done in several processes; a stopped benchmark goes on where it was. Tables and figures
    are written into its folder. BENCH is such a folder, or its name in $UNLEARNSCAPE_HOME.

    \b
    Presets: toy digits
    Example: unlearnscape bench toy --plan
    """
    from experiments import Where
    from experiments.bench_plan import plan_bench
    from experiments.bench_report import bench_json, bench_text, write_bench_results
    from experiments.bench_run import run_bench

    made = _open(source, out)
    if not table:
        click.echo(plan_bench(made, jobs=jobs, download=download).as_text(), err=True)
    if only_plan:
        return
    if not table:
        with terminal_progress() as progress:
            run_bench(made, progress=progress, download=download, where=Where(jobs, cluster))
        for path in write_bench_results(made):
            click.echo(str(path), err=True)
    click.echo(bench_json(made) if as_json else bench_text(made))


def _open(source: str, out: Path | None) -> Bench:
    """The benchmark in a folder or of a name, or a new one from a preset or a spec's file."""
    from experiments.bench_run import Bench, find_bench, list_benches
    from experiments.bench_spec import BENCH_FILE, load_bench
    from experiments.catalogue import bench_preset_names, find_bench_spec, home

    named = source not in bench_preset_names() and source in {bench.name for bench in list_benches()}
    if (Path(source) / BENCH_FILE).is_file() or named:
        if out is not None:
            raise click.ClickException(f"{source} is a benchmark already; --out is for new ones.")
        return find_bench(source)
    spec = find_bench_spec(source)
    return Bench.create(spec, out or home() / load_bench(spec).name)
