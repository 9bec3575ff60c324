"""A benchmark's results as text, JSON, and tables in its folder."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

from checkpoints import write_bytes
from experiments.bench_run import Bench
from experiments.bench_table import (
    BenchLine,
    Floor,
    bench_correlation,
    bench_floors,
    bench_lines,
    bench_rows,
    line_values,
    lines_csv,
    rows_csv,
)

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
            name = line.method if line.defence == "none" else f"{line.method} + {line.defence}"
            out.append(
                f"  {name:28}{_ud(line):>14}{_accuracy(line):>20}{_percent(line.best_accuracy):>8}  {line.verdict}"
            )
        if floor_or_none is not None:
            f = floor_or_none
            out.append(f"  clean against clean of another seed: UD {f.low:.2f} to {f.high:.2f} ({len(f.values)} pairs)")
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
        "clean_against_clean": [asdict(floor) for floor in bench_floors(bench)],
        "spearman": correlations,
    }
    return json.dumps(table, indent=2)


def write_bench_results(bench: Bench) -> list[Path]:
    """Write ``runs.csv``, ``summary.csv``, and Parquet of both into the benchmark's ``results`` folder."""
    rows = bench_rows(bench)
    if not rows:
        return []
    lines = bench_lines(rows)
    folder = bench.path / RESULTS
    folder.mkdir(exist_ok=True)
    files = {"runs.csv": rows_csv(rows).encode(), "summary.csv": lines_csv(lines).encode()}
    files |= {name.replace(".csv", ".parquet"): _parquet(text) for name, text in files.items()}
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


def _groups(bench: Bench, lines: list[BenchLine]) -> list[tuple[Floor | None, list[BenchLine]]]:
    floors = {(floor.experiment, floor.sal): floor for floor in bench_floors(bench)}
    groups: dict[tuple[str, str], list[BenchLine]] = {}
    for line in lines:
        groups.setdefault((line.experiment, line.sal), []).append(line)
    return [(floors.get(key), _sorted(group)) for key, group in groups.items()]


def _sorted(lines: list[BenchLine]) -> list[BenchLine]:
    """Clean first, then by UD."""
    return sorted(lines, key=lambda line: (line.ud is not None, line.ud.mean if line.ud else 0.0))


def _ud(line: BenchLine) -> str:
    if line.ud is None:
        return "–"
    return f"{line.ud.mean:.2f}" + ("" if line.ud.std is None else f" ± {line.ud.std:.2f}")


def _accuracy(line: BenchLine) -> str:
    if line.accuracy is None:
        return "–"
    spread = "" if line.accuracy.std is None else f" ± {100 * line.accuracy.std:.1f}"
    return f"{100 * line.accuracy.mean:.1f}{spread} %"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
