"""Parts that every page is made of: the experiment picker, cached files, job panels, explanations, downloads."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.pages_manager import PagesManager

from checkpoints import Result, read_result
from experiments import (
    Experiment,
    ExperimentError,
    SalSeries,
    SalSpec,
    Summary,
    UdReport,
    find_experiment,
    is_gallery,
    jobs,
    list_experiments,
    render,
    report_ud,
    summarise,
    writable,
)
from experiments import stored_sal as read_stored_sal
from experiments.classroom import without_paths
from experiments.own_notes import hindrance
from experiments.pictures import newest_report
from experiments.report import report_html
from experiments.ud_report import ArmUd
from landscape.style import PLOTLY_CONFIG, format_ud
from pages import own_jobs, there
from pages.printing import PRINT_CSS

DEMO = "toy-ops"
WITHOUT_EXPERIMENT = ("benchmark", "poison_lab", "live", "add_run", "lessons")  # pages that show something else
POLL = 0.7  # seconds between looks at a running job
CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 2.6rem; padding-bottom: 3rem; max-width: 1360px; }
[data-testid="stMetricValue"] { font-size: 1.55rem; }
[data-testid="stMetricLabel"] p { font-size: 0.85rem; }
[data-testid="stMetric"] [data-testid="stMetricLabel"] p { white-space: normal; }
[data-testid="stCaptionContainer"], [data-testid="stImageCaption"] { color: inherit !important; opacity: 0.82; }
[data-testid="stImage"] img { border-radius: 6px; }
.no-picture { display: grid; place-items: center; aspect-ratio: 9 / 5; padding: 1rem; border-radius: 6px;
  text-align: center; border: 1px dashed rgba(128, 128, 128, 0.6); background: rgba(128, 128, 128, 0.08); }
[class*="st-key-card-"] :is(a, button) em { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
.st-key-live-state { min-height: 3.5rem; }
.st-key-live-under { min-height: 5.2rem; }
a:focus-visible, button:focus-visible, summary:focus-visible { outline: 2px solid currentColor !important;
  outline-offset: 2px; }
[data-testid="stSidebarNavLink"]:focus-visible { outline-offset: -2px; }
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { animation-duration: 0.01ms !important; transition-duration: 0.01ms !important; }
}
@media (max-width: 640px) {
  .st-key-live-state { min-height: 5.2rem; }
  .st-key-live-under { min-height: 9rem; }
  [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; }
  h1 { font-size: 1.7rem !important; }
}
</style>
"""

# White on the dark theme's light blue cannot be read.
DARK_CSS = """
<style>
[data-testid="stMultiSelectTagsContainer"] [data-tag] :is(span, button) { color: #0E1117 !important; }
[data-testid^="stBaseButton-primary"]:not(:disabled) { color: #0E1117 !important; }
</style>
"""


def prepare() -> None:
    """Small corrections of spacing, once per run."""
    st.html(CSS + PRINT_CSS)
    if is_dark():
        st.html(DARK_CSS)


def enter() -> None:
    """Make sure that a page runs inside ``app.py``.

    Until ``st.navigation`` has been called once, Streamlit takes a folder called ``pages`` for its older kind of
    multipage app and runs the file behind a deep link alone, without navigation. Then: once more, from the front door.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


def is_dark() -> bool:
    """Whether the viewer sees the dark theme."""
    return st.context.theme.type == "dark"


# Experiments ----------------------------------------------------------------------------------------------


def experiment_picker(page: str) -> None:
    """The sidebar: which experiment all pages show. Its name is in the address.

    A link to another page (its path is ``page``) wins over what was chosen before, which Streamlit would keep.
    """
    names = [experiment.name for experiment in list_experiments()]
    if not names:
        return
    asked = st.query_params.get("exp")
    if st.session_state.get("last-page", page) != page and asked in names:
        st.session_state["exp"] = asked
    st.session_state["last-page"] = page
    there.follow(names)
    with st.sidebar:
        shown = st.selectbox(
            "Experiment",
            names,
            index=names.index(DEMO) if DEMO in names else 0,
            key="exp",
            bind="query-params",
            disabled=page in WITHOUT_EXPERIMENT,
            help="This page has a choice of its own; the others show the experiment chosen here."
            if page in WITHOUT_EXPERIMENT
            else "A folder with the runs of one network. Start a new one on the Live page, or from the command line.",
        )
    there.tell(shown, aloud=bool(page) and page not in WITHOUT_EXPERIMENT)


def current() -> Experiment:
    """The chosen experiment; the page ends with a sentence when there is none or it cannot be read."""
    name = st.session_state.get("exp")
    try:
        if name is None:
            raise ExperimentError("There is no experiment yet; start one on the Live page.")
        return find_experiment(str(name))
    except ValueError as error:
        st.error(without_paths(str(error)))
        st.stop()


@st.cache_resource(max_entries=48, show_spinner=False)
def _read(path: str, modified: int, kind: str) -> Result:
    return read_result(Path(path), kind=kind)


def read(path: Path, kind: str) -> Result:
    """Read a result file, from memory when it has not changed. Callers must not write into its arrays."""
    return _read(str(path), path.stat().st_mtime_ns, kind)


@st.cache_data(max_entries=64, show_spinner=False)
def _summary(path: str, stamp: tuple[int, ...]) -> Summary:
    return summarise(Experiment.open(path))


def summary(experiment: Experiment) -> Summary:
    """What the experiment holds, looked up again only when a file of it changed."""
    return _summary(str(experiment.path), stamp(experiment))


def tell_not_finite(experiment: Experiment) -> None:
    """Say of which runs some checkpoints are left out, as their weights are NaN or infinite."""
    for run in summary(experiment).runs:
        if run.not_finite:
            st.caption(f":material/warning: {run.name}: {run.not_finite}; they are left out.")


def stamp(experiment: Experiment) -> tuple[int, ...]:
    """Changes whenever a file of the experiment does."""
    files = [p for p in experiment.path.rglob("*") if p.is_file() and "live" not in p.parts]
    times = sorted(file.stat().st_mtime_ns for file in files)
    return (len(files), *times[-4:])


# Jobs -----------------------------------------------------------------------------------------------------


def command_of(arguments: Sequence[str]) -> str:
    """The command that does the same in a terminal; in a class, without the server's folders."""
    return "python cli.py " + shlex.join(map(without_paths, arguments))


def working(experiment: Experiment, command: str) -> bool:
    """Whether a job of this command runs for the experiment."""
    return any(job.running and job.arguments[:1] == (command,) for job in jobs.list_jobs(experiment.name))


def offer(what: str, experiment: Experiment, arguments: Sequence[str], *, key: str, small: bool = False) -> None:
    """Offer to compute something that is missing, and show the equivalent command.

    ``arguments`` hold ``EXP`` where the experiment's folder goes, because one of the gallery is copied first. ``small``
    takes no more room than the progress that replaces it, for where something can be seen already.
    """
    running = [job for job in jobs.list_jobs(experiment.name) if job.running]
    if running:
        job_panel(experiment.name)
        return
    if why_not := hindrance(experiment):
        st.info(f"{what} {why_not}", icon=":material/help:")
        return
    if small:
        words, place = st.columns([4.2, 1.4], vertical_alignment="center")
        words.markdown(what)
    else:
        st.info(what, icon=":material/hourglass_empty:")
        place = st.container()
    if place.button("Compute it now", key=f"offer-{key}", type="primary", icon=":material/play_arrow:"):
        try:
            target = writable(experiment)
            given = [str(target.path) if a == "EXP" else a for a in arguments]
            own_jobs.started(jobs.start(given, experiment=experiment.name))
        except (ValueError, OSError) as error:
            st.error(without_paths(str(error)))
        else:
            st.rerun()
    if not small:
        equivalent(experiment, arguments)
    last = next(iter(jobs.list_jobs(experiment.name)), None)
    if last is not None and last.state in ("failed", "lost"):
        st.error(without_paths(last.message))


@st.fragment(run_every=POLL)
def job_panel(experiment: str) -> None:
    """Progress of the running job of an experiment, with a button that stops it; reruns the page at its end."""
    running = [job for job in jobs.list_jobs(experiment) if job.running]
    if not running:
        st.rerun()
    job = running[0]
    left = job.seconds_left
    remaining = "" if left is None else f", about {duration(left)} left"
    count = f" {job.done} of {job.total}" if job.total else ""
    bar, button = st.columns([6, 1], vertical_alignment="center")
    bar.progress(job.fraction, text=f"{job.label.capitalize()}:{count}{remaining}")
    if own_jobs.may_stop(job):
        # In a callback: the panel may be drawn anew before it comes to the button, and the press would be lost.
        button.button(
            "Stop", key=f"stop-{job.id}", icon=":material/stop:", width="stretch", on_click=own_jobs.stop, args=(job,)
        )


def equivalent(experiment: Experiment, arguments: Sequence[str]) -> None:
    """The command that an offer stands for."""
    st.code(command_of([experiment.name if a == "EXP" else a for a in arguments]), language=None)
    if is_gallery(experiment):
        st.caption("This experiment ships with the project; the result goes into your own copy of it.")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# Figures --------------------------------------------------------------------------------------------------


def plot(figure: go.Figure, *, key: str, height: int | None = None) -> None:
    """Draw a 2-D figure, with its text alternative for those who cannot see it."""
    if height is not None:
        figure.update_layout(height=height)
    st.plotly_chart(figure, key=key, width="stretch", theme=None, config=PLOTLY_CONFIG, alt=alternative(figure))


def alternative(figure: go.Figure) -> str:
    """The figure in words, for those who cannot see it."""
    return str((figure.layout.meta or {}).get("alt", "A figure without a description."))


def how_to_read(text: str) -> None:
    """A closed explanation under the picture."""
    with st.expander("How to read this", icon=":material/menu_book:"):
        st.markdown(text)


def take_with_you(
    make: Callable[[], go.Figure] | None,
    *,
    name: str,
    command: str,
    key: str,
    size: tuple[int, int] = (1000, 640),
    files: Mapping[str, tuple[str, Callable[[], str | bytes]]] | None = None,
    note: str = "",
) -> None:
    """Downloads of a figure and its numbers, made only when asked for, and the command that remakes them.

    ``files`` are further ones: {label: (file name, what makes it)}; ``note`` says what the buttons leave out.
    """
    with st.expander("Take it with you", icon=":material/download:"):
        if make is not None:
            columns = st.columns(6)
            for column, kind in zip(columns, ("png", "svg", "pdf", "html", "csv", "parquet"), strict=True):
                column.download_button(
                    kind.upper(),
                    data=lambda kind=kind: render(make(), kind, width=size[0], height=size[1]),
                    file_name=f"{name}.{kind}",
                    key=f"take-{key}-{kind}",
                    width="stretch",
                    on_click="ignore",
                )
        if files:
            for column, (label, (file_name, data)) in zip(st.columns(len(files)), files.items(), strict=True):
                column.download_button(
                    label, data=data, file_name=file_name, key=f"take-{file_name}", width="stretch", on_click="ignore"
                )
        if note:
            st.caption(note)
        st.code(command, language=None)


def report_button(experiment: Experiment, *, key: str) -> None:
    """A download of the experiment's report, made only when asked for."""
    st.download_button(
        "Report",
        data=lambda: report_html(experiment).encode(),
        file_name=f"{experiment.name}-report.html",
        mime="text/html",
        key=f"report-{key}",
        icon=":material/description:",
        on_click="ignore",
        help="Figures, tables, settings and commands of this experiment on one page that opens without a network.",
    )


def share_hint() -> None:
    """Say that the address bar is the state."""
    st.caption(":material/link: The address of this page reopens exactly this view.")


UD_HELP = (
    "Unlearnable Distance: mean learnable blocks of the poisoned run divided by those of the clean run. Near 1 the "
    "data are as learnable as clean ones, towards 0 they are unlearnable, above 1 the network learns, but wrongly."
)


def ud_help(experiment: Experiment) -> str:
    """What UD is, in the words of an experiment."""
    if not experiment.has_own_reference:
        return UD_HELP
    return (
        f"Mean learnable blocks of a run divided by those of {experiment.reference_name}: near 1 the two are alike, "
        "below it fewer blocks stay learnable, above it more. It does not say whether the data can be learned from."
    )


def main_ud(experiment: Experiment) -> tuple[str, str | None]:
    """UD of the first poisoned arm under the experiment's own settings, and its spread, as texts."""
    try:
        report = newest_report(experiment)
    except ValueError:
        return "–", None
    arm = next((a for a in report.arms if not a.control), report.arms[0])
    return format_ud(arm.summary.mean), spread_text(arm)


def spread_text(arm: ArmUd) -> str:
    """How far a UD may be trusted, in a few words."""
    if arm.summary.std is None:
        return "one run, no spread known"
    return f"± {arm.summary.std:.2f} ({len(arm.pairs)} seeds)"


def percent(value: float | None) -> str:
    """An accuracy for a metric."""
    return "–" if value is None or value != value else f"{100 * value:.1f} %"


def fail_softly(error: Exception) -> None:
    """One sentence instead of a stack trace."""
    st.error(without_paths(str(error)), icon=":material/error:")


# SAL ------------------------------------------------------------------------------------------------------


def stored_sal(experiment: Experiment) -> dict[SalSpec, dict[str, SalSeries]]:
    """SAL results of an experiment by settings, the experiment's own settings first."""
    files = experiment.result_files("sal")
    times = sorted(file.stat().st_mtime_ns for file in files)
    stored = _stored_sal(str(experiment.path), (len(files), *times))
    own = experiment.spec.sal
    return dict(sorted(stored.items(), key=lambda item: item[0] != own))


@st.cache_resource(max_entries=16, show_spinner=False)
def _stored_sal(path: str, stamp: tuple[int, ...]) -> dict[SalSpec, dict[str, SalSeries]]:
    return read_stored_sal(Experiment.open(path))


def sal_picker(experiment: Experiment, stored: dict[SalSpec, dict[str, SalSeries]]) -> SalSpec | None:
    """Choose among the ways SAL was measured; None when there is none."""
    if not stored:
        return None
    labels = {_sal_label(options, stored): options for options in stored}
    return labels[
        st.selectbox(
            "SAL measured by",
            list(labels),
            key="sal",
            bind="query-params",
            help="Search follows the paper: gradient steps up and down within the ball. Gradient is its first-order "
            "estimate. More ways can be measured with the command sal.",
        )
    ]


def _sal_label(options: SalSpec, stored: dict[SalSpec, dict[str, SalSeries]]) -> str:
    label = f"{options.method}, per {options.blocks}"
    if sum((o.method, o.blocks) == (options.method, options.blocks) for o in stored) > 1:
        label += f", ε {options.epsilon:g}, {options.samples or 'all'} samples, batch {options.batch_size or 'full'}"
        label += f", {options.steps} steps, p {options.p:g}"
    return label


@st.cache_data(max_entries=32, show_spinner=False)
def _report(path: str, options: SalSpec, stamp: tuple[str, ...]) -> UdReport:
    experiment = Experiment.open(path)
    return report_ud(experiment, options, read_stored_sal(experiment)[options])


def report(experiment: Experiment, options: SalSpec, stored: dict[SalSpec, dict[str, SalSeries]]) -> UdReport:
    """The UD report of one way of measuring. Raises ValueError with a sentence when a side is missing."""
    lengths = tuple(f"{name}:{len(series.steps)}" for name, series in sorted(stored[options].items()))
    return _report(str(experiment.path), options, lengths)


def choose_report(
    experiment: Experiment, picture: DeltaGenerator, control: DeltaGenerator
) -> tuple[SalSpec, UdReport, dict[str, SalSeries]] | None:
    """Let the viewer choose how SAL was measured; where nothing is measured, offer that in the picture's place."""
    stored = stored_sal(experiment)
    with control:
        options = sal_picker(experiment, stored)
    with picture:
        if options is None:
            offer_sal(experiment)
            return None
        try:
            return options, report(experiment, options, stored), stored[options]
        except ValueError as error:
            fail_softly(error)
            offer_sal(experiment, options)
            return None


def offer_sal(experiment: Experiment, options: SalSpec | None = None) -> None:
    """Offer to train or measure what UD needs."""
    if not experiment.finished_runs():
        offer(f"{experiment.name} is not trained yet.", experiment, ["run", "EXP", "--live"], key="sal-train")
        return
    arguments = ["ud", "EXP"]
    if options is not None:
        arguments += ["--method", options.method, "--blocks", options.blocks]
    offer("The sharpness of these runs has not been measured yet.", experiment, arguments, key="sal")
