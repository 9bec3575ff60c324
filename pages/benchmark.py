"""Benchmark: methods side by side, over seeds, and how far their UD can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from analysis import Estimate, Floor
from experiments import Experiment, find_experiment, home, jobs, render
from experiments.bench_report import bench_figures, display_name
from experiments.bench_run import Bench, list_benches, pending
from experiments.bench_spec import UNDEFENDED, load_bench
from experiments.bench_table import (
    MethodLine,
    RunRow,
    bench_correlation,
    bench_floors,
    bench_lines,
    bench_rows,
    lines_csv,
    rows_csv,
)
from experiments.catalogue import bench_preset_names, find_bench_spec
from experiments.classroom import without_paths
from experiments.spec import run_name
from pages import own_jobs, parts, trust

REFRESH = 2.0  # seconds between looks at a running benchmark
TITLES = {"ud-against-accuracy": "UD against accuracy", "ud": "UD with intervals"}


@dataclass(frozen=True, eq=False)
class Found:
    """What a benchmark holds so far."""

    rows: Sequence[RunRow]
    lines: Sequence[MethodLine]
    floors: dict[tuple[str, str], Floor]


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Benchmark")
    st.markdown(
        "Every method on the same network with the same seeds. Look for methods that cost much accuracy, and whether "
        "their UD leaves the band that clean data reach by themselves."
    )
    benches = {bench.name: bench for bench in list_benches()}
    if not benches:
        _nothing_yet()
        return
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    with control_column:
        bench = benches[_choose("Benchmark", list(benches), "bench", _usual_bench(benches))]
        try:
            spec = bench.spec
            found = _found(str(bench.path), _stamp(bench))
        except (ValueError, OSError) as error:
            with picture_column:
                parts.fail_softly(error)
            return
        part = _choose("Data and network", list(spec.experiments()), "part", st.session_state.get("exp"))
        sal = _choose("SAL measured by", list(spec.sal), "by", None, help_="The ways named in the benchmark's file.")
        chosen = _filters(found, part, sal)
    with picture_column:
        _progress(bench)
        figures = _figures(str(bench.path), _stamp(bench), part, sal, chosen, parts.is_dark())
        if not figures:
            _empty_picture(found, chosen)
        else:
            parts.plot(_leftmost(figures["ud-against-accuracy"]), key="scatter")
    if figures:
        parts.plot(_leftmost(figures["ud"]), key="intervals")
    lines = [line for line in found.lines if (line.experiment, line.sal) == (part, sal)]
    if lines:
        _numbers(bench, found, part, sal, chosen)
        _table([line for line in lines if line.arm in chosen or line.ud is None], bench, part)
        trust.panel(bench, part, sal)
    _explain(bench, found, part, sal, chosen)
    _more()


# Choices --------------------------------------------------------------------------------------------------


def _choose(label: str, options: list[str], key: str, usual: Any, *, help_: str | None = None) -> str:
    index = options.index(usual) if usual in options else 0
    return str(st.selectbox(label, options, index=index, key=key, bind="query-params", help=help_))


def _usual_bench(benches: dict[str, Bench]) -> str | None:
    """The benchmark that the experiment of the sidebar is part of, else one with results."""
    try:
        folder = find_experiment(str(st.session_state.get("exp"))).path.resolve().parent
    except ValueError:
        folder = None
    mine = (name for name, bench in benches.items() if bench.path.resolve() == folder)
    begun = (name for name, bench in benches.items() if any(bench.path.glob("cells/*.json")))
    return next(mine, next(begun, None))


def _filters(found: Found, part: str, sal: str) -> tuple[str, ...]:
    """Arms that are shown."""
    lines = [line for line in found.lines if (line.experiment, line.sal) == (part, sal) and line.ud is not None]
    methods = list(dict.fromkeys(line.method for line in lines if not line.control))
    if not lines:
        return ()
    with st.expander("Filter"):
        taken = st.multiselect("Methods", methods, key="methods", bind="query-params", placeholder="all")
        defences = taken_defences = list(dict.fromkeys(line.defence for line in lines))
        if len(defences) > 1:
            taken_defences = st.multiselect(
                "Defences", defences, key="defences", bind="query-params", placeholder="all"
            )
        controls = st.toggle(
            "Controls", True, key="controls", bind="query-params", help="Arms that should change nothing."
        )
    return tuple(
        line.arm
        for line in lines
        if (line.defence in (taken_defences or defences))
        and (controls if line.control else line.method in (taken or methods))
    )


# Reading --------------------------------------------------------------------------------------------------


def _stamp(bench: Bench) -> tuple[int, ...]:
    """Changes whenever a cell of the benchmark is finished."""
    files = [*bench.path.glob("cells/*.json"), bench.path / "bench.toml"]
    times = sorted(file.stat().st_mtime_ns for file in files if file.is_file())
    return (len(times), *times[-2:])


@st.cache_resource(max_entries=8, show_spinner="Reading the benchmark …")
def _found(path: str, stamp: tuple[int, ...]) -> Found:
    bench = Bench.open(path)
    rows = bench_rows(bench)
    return Found(rows, bench_lines(rows), bench_floors(bench))


@st.cache_data(max_entries=24, show_spinner=False)
def _figures(
    path: str, stamp: tuple[int, ...], part: str, sal: str, arms: tuple[str, ...], dark: bool
) -> dict[str, go.Figure]:
    rows = [row for row in _found(path, stamp).rows if row.arm in arms]
    return bench_figures(Bench.open(path), rows, part, sal, dark=dark)


@st.cache_data(max_entries=24, show_spinner=False)
def _correlation(path: str, stamp: tuple[int, ...], part: str, sal: str, arms: tuple[str, ...]) -> Estimate | None:
    return bench_correlation([row for row in _found(path, stamp).rows if row.arm in arms], part, sal)


# What one sees --------------------------------------------------------------------------------------------


def _leftmost(figure: go.Figure) -> go.Figure:
    """The title above the methods' names as well, so that more of it fits a narrow screen."""
    return figure.update_layout(title={"xref": "container", "x": 0.01})


def _progress(bench: Bench) -> None:
    """Progress of a running benchmark, or the offer to go on with one that was stopped."""
    if any(job.running for job in jobs.list_jobs(bench.name)):
        parts.job_panel(bench.name)
        st.fragment(_watch, run_every=REFRESH)(str(bench.path), _stamp(bench))
        return
    left, done = pending(bench)
    if not left:
        return
    words, place = st.columns([4.2, 1.4], vertical_alignment="center")
    words.markdown(f"{done} of {done + len(left)} runs are finished; what is shown is what there is so far.")
    if place.button("Go on", key="continue", type="primary", icon=":material/play_arrow:"):
        _start(["bench", str(bench.path)], bench.name)
    last = next(iter(jobs.list_jobs(bench.name)), None)
    if last is not None and last.state in ("failed", "lost"):
        st.error(without_paths(last.message), icon=":material/error:")


def _watch(path: str, stamp: tuple[int, ...]) -> None:
    """Show further results as runs are finished."""
    if _stamp(Bench(Path(path))) != stamp:
        st.rerun()


def _empty_picture(found: Found, chosen: tuple[str, ...]) -> None:
    if not found.rows:
        st.info(
            "The first results come with the first clean and the first poisoned run.", icon=":material/hourglass_empty:"
        )
    elif not chosen:
        st.info(
            "Nothing to show yet for this choice; widen the filter or wait for more runs.", icon=":material/filter_alt:"
        )


def _numbers(bench: Bench, found: Found, part: str, sal: str, chosen: tuple[str, ...]) -> None:
    lines = [line for line in found.lines if (line.experiment, line.sal) == (part, sal)]
    clean = next((line for line in lines if line.ud is None and line.accuracy is not None), None)
    shown = [line for line in lines if line.arm in chosen]
    columns = st.columns(4)
    if clean is not None and clean.accuracy is not None:
        spread = None if clean.accuracy.std is None else f"± {100 * clean.accuracy.std:.1f} ({clean.accuracy.n} seeds)"
        columns[0].metric(
            "Clean test accuracy", parts.percent(clean.accuracy.mean), spread, delta_color="off", delta_arrow="off"
        )
    apart = sum(not line.verdict.startswith("not told apart") for line in shown if len(line.seeds) > 1)
    columns[1].metric("Told from clean by UD", f"{apart} of {len(shown)}", help="Methods whose interval excludes 1.")
    floor = found.floors.get((part, sal))
    if floor is not None:
        columns[2].metric(
            "Clean against clean",
            f"{min(floor.values):.2f} to {max(floor.values):.2f}",
            help="UD of clean runs against clean runs of other seeds.",
        )
    rho = _correlation(str(bench.path), _stamp(bench), part, sal, chosen)
    if rho is not None and rho.value == rho.value:
        columns[3].metric(
            "Spearman, UD with accuracy",
            f"{rho.value:.2f}".replace("-", "−"),
            None if rho.low is None or rho.high is None else f"95 % {rho.low:.2f} to {rho.high:.2f}".replace("-", "−"),
            delta_color="off",
            delta_arrow="off",
            help="Rank correlation over methods; the interval resamples methods and seeds.",
        )
    st.markdown(_floor_words(floor))


def _floor_words(floor: Floor | None) -> str:
    if floor is None:
        return (
            "How far clean data stray from UD = 1 by themselves is not known yet: that takes clean runs of two seeds."
        )
    low, high = min(floor.values), max(floor.values)
    return (
        f"Two runs of the **same clean data** with different seeds differ in UD already: from {low:.2f} to {high:.2f} "
        f"over {len(floor.values)} ordered pairs of {floor.n} seeds. A single run inside that range says nothing."
    )


def _table(lines: list[MethodLine], bench: Bench, part: str) -> None:
    st.subheader("Every method")
    rows = [_row(line) for line in sorted(lines, key=lambda one: -1.0 if one.ud is None else one.ud.mean)]
    number = st.column_config.NumberColumn
    if {row["defence"] for row in rows} == {"–"}:
        rows = [{key: value for key, value in row.items() if key != "defence"} for row in rows]
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="–",
        column_config={
            "UD": number(format="%.2f", help=parts.UD_HELP),
            "± UD": number(format="%.2f", help="Standard deviation over seeds."),
            "UD by parameters": number(format="%.2f", help="Each block counted by its parameters."),
            "test (%)": number(
                format="%.1f", help="Accuracy on clean test data at the last checkpoint, mean over seeds."
            ),
            "± test": number(format="%.1f", help="Standard deviation over seeds, in points."),
            "best test (%)": number(format="%.1f", help="At the best checkpoint; no honest stopping rule finds it."),
            "train (%)": number(format="%.1f", help="Accuracy on the run's own training data."),
            "seconds a run": number(format="%.1f", help="Making the poison, training and measuring SAL."),
        },
    )
    _links(lines, bench, part)


def _row(line: MethodLine) -> dict[str, Any]:
    ud, test, train = line.ud, line.accuracy, line.train_accuracy
    interval = "" if ud is None or ud.low is None or ud.high is None else f"{max(ud.low, 0):.2f} to {ud.high:.2f}"
    return {
        "method": line.method,
        "defence": "–" if line.defence == UNDEFENDED else line.defence,
        "UD": None if ud is None else ud.mean,
        "± UD": None if ud is None else ud.std,
        "95 % interval": interval,
        "what UD says": line.verdict,
        "UD by parameters": line.ud_by_parameters,
        "test (%)": None if test is None else 100 * test.mean,
        "± test": None if test is None or test.std is None else 100 * test.std,
        "best test (%)": None if line.best_accuracy is None else 100 * line.best_accuracy,
        "train (%)": None if train is None else 100 * train.mean,
        "seeds": len(line.seeds),
        "seconds a run": line.seconds,
    }


def _links(lines: list[MethodLine], bench: Bench, part: str) -> None:
    """From a row to the runs behind it."""
    behind = {display_name(line.method, line.defence): line for line in lines if line.ud is not None}
    if not behind:
        return
    left, compare, sharpness = st.columns([2, 1, 1], vertical_alignment="bottom")
    line = behind[left.selectbox("Open the runs behind", list(behind), key="row", bind="query-params")]
    seed = line.seeds[0]
    runs = [run_name("clean", seed), run_name(line.arm, seed)]
    experiment = Experiment.open(bench.path / part)
    if set(runs) <= set(experiment.run_names()):
        query = [("exp", part), *(("runs", run) for run in runs)]
        compare.page_link("pages/compare.py", label="Compare paths", icon=":material/landscape:", query_params=query)
    query = [("exp", part), ("poisoned", runs[1])]
    sharpness.page_link("pages/sharpness.py", label="Sharpness", icon=":material/show_chart:", query_params=query)


# Starting -------------------------------------------------------------------------------------------------


def _nothing_yet() -> None:
    st.info(
        "There is no benchmark yet. A benchmark trains one network on clean data and on every method's poison, for "
        "several seeds, and measures accuracy and UD of each run. It is described in a small TOML file.",
        icon=":material/leaderboard:",
    )
    _offers()
    st.markdown("For a benchmark of your own, copy one of the files in `experiments/presets/benches` and run")
    st.code(parts.command_of(["bench", "mine.toml"]), language=None)


def _more() -> None:
    known = {bench.name for bench in list_benches()}
    if any(load_bench(find_bench_spec(name)).name not in known for name in bench_preset_names()):
        with st.expander("Start another benchmark", icon=":material/add:"):
            _offers(known)


def _offers(known: set[str] | None = None) -> None:
    """The benchmarks that ship with the project and are not there yet, each with a button."""
    for preset in sorted(bench_preset_names(), reverse=True):  # the toy first
        spec = load_bench(find_bench_spec(preset))
        if spec.name in (known or ()):
            continue
        arguments = ["bench", preset, "--out", str(home() / spec.name)]
        words, place = st.columns([4, 1.4], vertical_alignment="center")
        runs = len(spec.seeds) * sum(len(one.arms) for one in spec.experiments().values())
        words.markdown(f"**{spec.title}**, {runs} runs  \n{spec.description}")
        if place.button("Start it", key=f"start-{preset}", type="primary", icon=":material/play_arrow:"):
            _start(arguments, spec.name, create=preset)
        st.code(parts.command_of(["bench", preset]), language=None)


def _start(arguments: list[str], name: str, *, create: str | None = None) -> None:
    try:
        if create is not None:
            Bench.create(find_bench_spec(create), home() / name)
        own_jobs.started(jobs.start(arguments, experiment=name))
    except (ValueError, OSError) as error:
        parts.fail_softly(error)
        return
    st.rerun()


def _explain(bench: Bench, found: Found, part: str, sal: str, chosen: tuple[str, ...]) -> None:
    parts.how_to_read(
        """
Each point is a **method**, the mean over its seeds; bars are one standard deviation. To the left: the network does
badly on clean test data. Below 1: the landscape offers less to learn than with clean data.

- **The band** is the floor: UD of clean runs against clean runs of other seeds. Inside it a single run tells nothing.
- **Controls** (grey squares) should change nothing. A control whose UD leaves the band shows that UD reacts to
  something else than unlearnability.
- **What UD says** goes by the 95 % interval over seeds (Student's t): *not told apart from clean* unless it
  excludes 1.
- **Spearman** asks whether the methods' order by UD is their order by accuracy. With few methods its interval is wide.
- **Best test** accuracy is over all checkpoints; a poison that is only learned late looks harmless by it.
"""
    )
    if not found.rows:
        return
    mine = [row for row in found.rows if (row.experiment, row.sal) == (part, sal)]
    lines = [line for line in found.lines if (line.experiment, line.sal) == (part, sal)]

    def drawn(name: str) -> go.Figure:
        return _figures(str(bench.path), _stamp(bench), part, sal, chosen, False)[name]

    files = {
        "Runs (CSV)": (f"{part}-{sal}-runs.csv", lambda: rows_csv(mine)),
        "Summary (CSV)": (f"{part}-{sal}-summary.csv", lambda: lines_csv(lines)),
    }
    if chosen:
        files["Intervals (SVG)"] = (f"{part}-{sal}-ud.svg", lambda: render(drawn("ud"), "svg"))
        files["Intervals (PDF)"] = (f"{part}-{sal}-ud.pdf", lambda: render(drawn("ud"), "pdf"))
    parts.take_with_you(
        (lambda: drawn("ud-against-accuracy")) if chosen else None,
        name=f"{part}-{sal}-ud-against-accuracy",
        command=parts.command_of(["bench", bench.name, "--table"]),
        key="bench",
        files=files,
    )
    parts.share_hint()


main()
