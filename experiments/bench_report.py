"""A benchmark's results as text, JSON, and tables and figures in its folder."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import plotly.graph_objects as go

from analysis import Floor
from analysis import figures_bench as figures
from checkpoints import write_bytes
from experiments.bench_run import Bench
from experiments.bench_spec import UNDEFENDED
from experiments.bench_table import (
    MethodLine,
    RunRow,
    bench_correlation,
    bench_floors,
    bench_lines,
    bench_rows,
    line_values,
    lines_csv,
    rows_csv,
)
from experiments.pictures import render

RESULTS = "results"


def bench_text(bench: Bench) -> str:
    """The summary in a line per method, best told apart first, and what it says of UD and accuracy."""
    rows = bench_rows(bench)
    if not rows:
        return f"benchmark {bench.name}: no run is finished yet; start or continue it with: bench {bench.path}"
    lines = bench_lines(rows)
    out = []
    for floor_or_none, group in _groups(bench, lines):
        first = group[0]
        out.append(f"{first.experiment}, SAL by {first.sal}, {len(first.seeds)} seeds")
        out.append(f"  {'method':28}{'UD':>14}{'test accuracy':>20}{'best':>8}  ")
        for line in group:
            name = display_name(line.method, line.defence)
            out.append(
                f"  {name:28}{_ud(line):>14}{_accuracy(line):>20}{_percent(line.best_accuracy):>8}  {line.verdict}"
            )
        if floor_or_none is not None:
            f = floor_or_none
            span = f"UD {min(f.values):.2f} to {max(f.values):.2f}"
            out.append(f"  clean against clean of another seed: {span} ({len(f.values)} ordered pairs)")
        found = bench_correlation(rows, first.experiment, first.sal)
        if found is not None:
            span = "" if found.low is None else f", 95 % interval {found.low:.2f} to {found.high:.2f}"
            out.append(f"  Spearman of UD with test accuracy over methods: {found.value:.2f}{span}")
    return "\n".join(out)


def bench_json(bench: Bench) -> str:
    """Rows, lines, floors and correlations as one JSON object."""
    rows = bench_rows(bench)
    lines = bench_lines(rows)
    pairs = dict.fromkeys((line.experiment, line.sal) for line in lines)
    correlations = {f"{e}/{s}": asdict(c) for e, s in pairs if (c := bench_correlation(rows, e, s)) is not None}
    table = {
        "benchmark": bench.name,
        "rows": [asdict(row) for row in rows],
        "summary": [line_values(line) for line in lines],
        "clean_against_clean": {f"{e}/{s}": asdict(floor) for (e, s), floor in bench_floors(bench).items()},
        "spearman": correlations,
    }
    return json.dumps(table, indent=2)


def write_bench_results(bench: Bench) -> list[Path]:
    """Write ``runs.csv``, ``summary.csv``, Parquet of both, and figures into the benchmark's ``results`` folder."""
    rows = bench_rows(bench)
    if not rows:
        return []
    lines = bench_lines(rows)
    folder = bench.path / RESULTS
    folder.mkdir(exist_ok=True)
    files = {"runs.csv": rows_csv(rows).encode(), "summary.csv": lines_csv(lines).encode()}
    files |= {name.replace(".csv", ".parquet"): _parquet(text) for name, text in files.items()}
    for experiment, sal in dict.fromkeys((line.experiment, line.sal) for line in lines):
        for name, figure in bench_figures(bench, rows, experiment, sal).items():
            for kind in ("svg", "pdf"):
                files[f"{experiment}-{sal}-{name}.{kind}"] = render(figure, kind, width=1000, height=640)
    written = []
    for name, data in files.items():
        write_bytes(folder / name, data)
        written.append(folder / name)
    return written


def _parquet(csv: bytes) -> bytes:
    """A table as Parquet, with the types that its CSV shows."""
    import pandas

    out = io.BytesIO()
    pandas.read_csv(io.BytesIO(csv)).to_parquet(out, index=False)
    return out.getvalue()


def bench_figures(
    bench: Bench, rows: Sequence[RunRow], experiment: str, sal: str, *, dark: bool = False
) -> dict[str, go.Figure]:
    """UD against accuracy, and UD with its intervals, of one experiment and way of measuring, by name."""
    mine = [row for row in rows if (row.experiment, row.sal) == (experiment, sal) and row.ud is not None]
    if not mine:
        return {}
    floor = bench_floors(bench).get((experiment, sal))
    groups: dict[str, list[RunRow]] = {}
    for row in mine:
        groups.setdefault(display_name(row.method, row.defence), []).append(row)
    roles = {name: "control" if group[0].control else "poisoned" for name, group in groups.items()}
    options = bench.spec.sal[sal]
    samples = f"{options.samples} samples" if options.samples else "all samples"
    subtitle = f"{mine[0].data}, {mine[0].model}, SAL by {options.method} per {options.blocks} on {samples}"
    points = [
        figures.BenchRow(
            name,
            roles[name],
            tuple(row.ud for row in group if row.ud is not None and row.test_accuracy_last is not None),
            tuple(row.test_accuracy_last for row in group if row.ud is not None and row.test_accuracy_last is not None),
        )
        for name, group in groups.items()
    ]
    return {
        "ud-against-accuracy": figures.ud_against_accuracy(points, floor=floor, subtitle=subtitle, dark=dark),
        "ud": figures.ud_intervals(figures.summaries_of(points), roles, floor=floor, subtitle=subtitle, dark=dark),
    }


def display_name(method: str, defence: str) -> str:
    """A method under a defence, as people read it."""
    return method if defence == UNDEFENDED else f"{method} + {defence}"


def _groups(bench: Bench, lines: Sequence[MethodLine]) -> list[tuple[Floor | None, list[MethodLine]]]:
    floors = bench_floors(bench)
    groups: dict[tuple[str, str], list[MethodLine]] = {}
    for line in lines:
        groups.setdefault((line.experiment, line.sal), []).append(line)
    return [(floors.get(key), _sorted(group)) for key, group in groups.items()]


def _sorted(lines: list[MethodLine]) -> list[MethodLine]:
    """Clean first, then by UD."""
    return sorted(lines, key=lambda line: (line.ud is not None, line.ud.mean if line.ud else 0.0))


def _ud(line: MethodLine) -> str:
    if line.ud is None:
        return "–"
    return f"{line.ud.mean:.2f}" + ("" if line.ud.std is None else f" ± {line.ud.std:.2f}")


def _accuracy(line: MethodLine) -> str:
    if line.accuracy is None:
        return "–"
    spread = "" if line.accuracy.std is None else f" ± {100 * line.accuracy.std:.1f}"
    return f"{100 * line.accuracy.mean:.1f}{spread} %"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
