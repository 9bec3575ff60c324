"""Add a run: files of your own training, or a folder, checked step by step and made into an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from checkpoints.importing.report import size
from experiments import Experiment, ExperimentError, classroom, home, lab
from experiments.progress import Stopped
from experiments.uploads import (
    ACCEPTED,
    OWN_FOLDER,
    Choices,
    Content,
    Given,
    Limits,
    add,
    arrange,
    examine,
    from_paths,
    make,
    receivers,
)
from landscape.loss_words import loss_label
from pages import add_run_wait, parts
from training import DATASETS
from training.data import DOWNLOADED
from training.models import MODELS

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FILES, FOLDER, HERE = "Files", "A folder", "A folder on this machine"
NEW = "a new experiment"
UNKNOWN, NPZ = "not known", "an .npz file on this machine"
MOST_BYTES = 512 << 20  # of one upload
CHECK, MAKE = "add-check", "add-make"  # set by the buttons
CHECKING, MAKING = "add-checking", "add-making"  # what goes on
REPORT, MADE = "add-report", "add-made"
WHY_NOT = (
    "A stored loss is often that of one batch or a running average, or was measured with augmentation, dropout or "
    "BatchNorm in training mode; a poisoned run's own training data differ from these, too."
)


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Add a run")
    st.markdown(
        "Bring checkpoints of your own training. Two or more runs of one network become an experiment: optimisers, "
        "seeds or data sets compare on every page as clean and poisoned do."
    )
    allowed = classroom.limits()
    if allowed is not None and not allowed.uploads:
        st.info("Nothing can be uploaded in a class; look at the experiments that are here.", icon=":material/block:")
        st.page_link("pages/compare.py", label="Compare paths", icon=":material/landscape:")
        return
    runs, local = _given()
    chosen = _choices(bool(runs))
    limits = OWN_FOLDER if local else Limits()
    report = _report(runs, chosen, limits)
    if report is None or "problem" in report:
        add_run_wait.stop(MAKING)  # what it is made of is no longer chosen
    if report is not None and "problem" in report:
        _refusal(report)
    elif report is not None:
        _understood(report)
        _checked(report, chosen)
        _finish(runs, chosen, limits)
    _explain()


# What is given --------------------------------------------------------------------------------------------


def _given() -> tuple[list[Given], bool]:
    """The runs, and whether they lie on this machine."""
    st.subheader("1 · Choose the runs", anchor=False)
    ways = [FILES, FOLDER, *([HERE] if _is_loopback() else [])]
    way = st.segmented_control("From", ways, default=FILES, required=True, key="add-from")
    try:
        if way == HERE:
            text = st.text_area(
                "Full paths, one on each line",
                key="add-paths",
                placeholder="/home/me/runs/sgd\n/home/me/runs/adam",
                help="A folder with the checkpoints of a run, a folder with several such folders, or a recorded .h5.",
            )
            lines = [line for line in text.splitlines() if line.strip()]
            return (from_paths(lines) if lines else []), True
        files = st.file_uploader(
            "Recorded runs (.h5), or checkpoints of one run" if way == FILES else "A folder with a folder for each run",
            type=[ending[1:] for ending in ACCEPTED],
            accept_multiple_files="directory" if way == FOLDER else True,
            key=f"add-{way}",
            help="Checkpoints are state dicts (.pt, .pth, .ckpt, .safetensors) with a number in each name; a "
            ".csv beside them holds their metrics. Nothing in a file is executed.",
        )
        given: list[tuple[str, Content]] = [(file.name, file.getbuffer()) for file in files or []]
        if sum(len(content) for _, content in given if not hasattr(content, "stat")) > MOST_BYTES:
            raise ExperimentError(
                f"These files are larger than {size(MOST_BYTES)} together; import them by: python cli.py import"
            )
        return (arrange(given) if given else []), False
    except ValueError as error:
        parts.fail_softly(error)
        return [], False


def _is_loopback() -> bool:
    """Whether only this machine can reach the server: only then may a path be named."""
    return st.get_option("server.address") in LOOPBACK


def _choices(ready: bool) -> Choices:
    """Network and data, from lists: nobody's code is loaded from here."""
    st.subheader("2 · Check them", anchor=False)
    left, middle, button = st.columns([1.5, 1.5, 1], vertical_alignment="bottom")
    model = left.selectbox(
        "Network",
        [UNKNOWN, *MODELS],
        key="add-network",
        help="Without it the paths can be shown; losses, surfaces and sharpness need the network.",
    )
    known = [*lab.EMBEDDED, *(name for name in DOWNLOADED if name in DATASETS), *(p.name for p in lab.data_files())]
    data = middle.selectbox(
        "Data",
        [UNKNOWN, *known, *([NPZ] if _is_loopback() else [])],
        key="add-data",
        help="What losses are measured on.",
    )
    if data == NPZ:
        path = middle.text_input("Path of the .npz file", key="add-npz", placeholder="/home/me/data.npz").strip()
        data = path if path.endswith(".npz") else UNKNOWN
    button.button(
        "Check",
        key="add-check-button",
        type="primary",
        icon=":material/fact_check:",
        width="stretch",
        disabled=not ready,
        on_click=_press,
        args=(CHECK,),
    )
    return Choices("" if model == UNKNOWN else model, "" if data == UNKNOWN else data)


def _press(which: str) -> None:
    st.session_state[which] = True


def _report(runs: Sequence[Given], chosen: Choices, limits: Limits) -> dict[str, Any] | None:
    """The report of what is chosen now, made when the button was pressed; None before that."""
    pressed = st.session_state.pop(CHECK, False)
    if not runs:
        st.caption("Nothing is chosen yet. Record a run with `checkpoints.Recorder`, or save `model.state_dict()`.")
        return None
    names = [(run.name, tuple((name, _length(content)) for name, content in run.files)) for run in runs]
    key = repr((names, chosen.model, chosen.data))
    if pressed:
        st.session_state.pop(MADE, None)
        st.session_state.pop(REPORT, None)
        add_run_wait.start(CHECKING, key, lambda stop: examine(runs, chosen, limits, stop))
    checked = add_run_wait.wait(CHECKING, key, "Reading every checkpoint in a process of its own …")
    if checked is not None:
        try:
            st.session_state[REPORT] = (key, checked.result())
        except (ValueError, OSError, Stopped) as error:
            st.session_state[REPORT] = (key, {"problem": str(error) or "The check was stopped; press Check again."})
    if add_run_wait.going_on(CHECKING):
        return None
    kept = st.session_state.get(REPORT)
    if kept is not None and kept[0] == key:
        return dict(kept[1])
    if add_run_wait.was_stopped(CHECKING, key):
        st.caption("Stopped; nothing was kept of it. Press Check to begin again.")
        return None
    count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {', '.join(run.name for run in runs[:6])}"
    st.caption(f"{count}{' …' if len(runs) > 6 else ''}. Press Check to see what is understood; nothing is made yet.")
    return None


def _length(content: Content) -> object:
    return len(content) if not hasattr(content, "stat") else str(content)


# What was understood --------------------------------------------------------------------------------------


def _refusal(report: dict[str, Any]) -> None:
    st.error(report["problem"], icon=":material/error:")
    if report.get("details"):
        with st.expander("What was read", icon=":material/list:"):
            st.code("\n\n".join(report["details"]), language=None, wrap_lines=True)


def _understood(report: dict[str, Any]) -> None:
    runs = report["runs"]
    columns = st.columns(4)
    columns[0].metric("Runs", len(runs))
    columns[1].metric("Checkpoints of all runs", sum(run["checkpoints"] for run in runs))
    columns[2].metric("Parameters", f"{runs[0]['parameters']:,}", help=f"Trainable, in {runs[0]['tensors']} tensors.")
    columns[3].metric("Size on disk", size(report["bytes"]))
    st.dataframe(
        {
            "Run": [run["name"] for run in runs],
            "Checkpoints": [run["checkpoints"] for run in runs],
            "Steps": [_span(run.get("steps")) for run in runs],
            "Epochs": [_span(run.get("epochs")) for run in runs],
            "Metrics": [", ".join(run["metrics"]) or "none" for run in runs],
            "Size": [size(run["bytes"]) for run in runs],
        },
        hide_index=True,
        width="stretch",
    )
    for warning in [warning for run in runs for warning in run["warnings"]][:6]:
        st.warning(f"{warning}.", icon=":material/warning:")
    details = [run["details"] for run in runs if run["details"]]
    if details:
        with st.expander("File by file", icon=":material/list:"):
            st.code("\n\n".join(details), language=None, wrap_lines=True)


def _span(ends: Sequence[float] | None) -> str:
    return "–" if not ends else f"{ends[0]:g} to {ends[1]:g}"


def _checked(report: dict[str, Any], chosen: Choices) -> None:
    """Three answers: does it load, do the losses agree, how long does a surface take."""
    if not report["checked"]:
        st.info(report["no_losses"], icon=":material/info:")
        return
    if report["loads"]:
        st.error(report["loads"], icon=":material/error:")
        return
    _yes(f"The network loads: {chosen.model} takes the weights of every run and evaluates {chosen.data}.")
    rows = report["losses"]
    apart = [row for row in rows if not row["agrees"]]
    if rows and not apart:
        _yes(f"Stored and recomputed loss agree to 0.0001 at the {len(rows)} places tried.")
    elif rows:
        text = f"Stored and recomputed loss differ by more than 0.0001 at {len(apart)} of {len(rows)} places. {WHY_NOT}"
        st.warning(text, icon=":material/warning:")
    else:
        st.info(report["no_losses"], icon=":material/info:")
    if report["losses_left"]:
        st.caption(
            f"{report['losses_left']} Once the experiment is made, `python cli.py check EXP` recomputes "
            "every checkpoint of every run."
        )
    if rows:
        with st.expander("Loss by loss", icon=":material/list:", expanded=bool(apart)):
            _losses(rows)
    surface = report["surface"]
    if surface is None:
        st.info(report["no_surface"], icon=":material/info:")
        return
    a, b = surface["points"]
    _yes(
        f"A loss surface of {a} × {b} points on {surface['samples']:,} samples takes about "
        f"{parts.duration(surface['seconds'])} on one core."
    )


def _yes(text: str) -> None:
    st.markdown(f":material/check_circle: {text}")


def _losses(rows: Sequence[dict[str, Any]]) -> None:
    def shown(value: float | None) -> str:
        return "not finite" if value is None else f"{value:.5f}"

    named = str(rows[0]["loss_name"])
    st.dataframe(
        {
            "Run": [row["run"] for row in rows],
            "Step": [row["step"] for row in rows],
            "Metric": [row["metric"] for row in rows],
            "Measured on": [row["on"] for row in rows],
            loss_label(named, "Stored loss"): [shown(row["stored"]) for row in rows],
            loss_label(named, "Recomputed loss"): [shown(row["recomputed"]) for row in rows],
            "Agrees": ["yes" if row["agrees"] else "no" for row in rows],
        },
        hide_index=True,
        width="stretch",
    )


# Making ---------------------------------------------------------------------------------------------------


def _finish(runs: Sequence[Given], chosen: Choices, limits: Limits) -> None:
    """Names, and the experiment."""
    st.subheader("3 · Name them", anchor=False)
    there = receivers()
    into = NEW
    if there:
        into = st.selectbox(
            "Put them into",
            [NEW, *there],
            key="add-into",
            help="An experiment of imported runs takes more of the same network; its surfaces stay.",
        )
    left, right = st.columns(2)
    name = into
    if into == NEW:
        name = left.text_input("Experiment", classroom.free_name("my-runs", home()), max_chars=64, key="add-experiment")
    names = {}
    with st.expander("Names of the runs", icon=":material/edit:"):
        for column, run in zip(st.columns(2) * len(runs), runs, strict=False):
            names[run.name] = column.text_input(run.name, run.name, max_chars=64, key=f"add-name-{run.name}").strip()
    clean = ""
    if into == NEW:
        clean = right.selectbox(
            "Reference run",
            [run.name for run in runs],
            key="add-clean",
            help="The one that others are compared with; it is drawn solid. A run whose name says clean or "
            "poisoned is drawn as such.",
        )
    st.button(
        "Make an experiment" if into == NEW else "Add to the experiment",
        key="add-make-button",
        type="primary",
        icon=":material/add_circle:",
        on_click=_press,
        args=(MAKE,),
    )
    if st.session_state.pop(MAKE, False):
        named = Choices(chosen.model, chosen.data, clean, names)
        do = make if into == NEW else add
        add_run_wait.start(MAKING, MAKING, lambda stop: do(runs, name.strip(), named, limits, stop))
    made = add_run_wait.wait(MAKING, MAKING, "Importing in a process of its own …")
    if made is not None:
        try:
            st.session_state[MADE] = made.result().name
        except (ValueError, OSError) as error:
            parts.fail_softly(error)
        except Stopped:
            st.info("The import was stopped; nothing was made.", icon=":material/info:")
    if add_run_wait.going_on(MAKING):
        return
    if add_run_wait.was_stopped(MAKING, MAKING):
        st.caption("Stopped; nothing was made.")
    _made(st.session_state.get(MADE))


def _made(name: str | None) -> None:
    """The ways on from an experiment that was made."""
    if name is None or not (home() / name).is_dir():
        return
    experiment = Experiment(home() / name)
    st.success(f"{name} is made of {', '.join(experiment.run_names())}.", icon=":material/check:")
    query = {"exp": name}
    with st.container(horizontal=True):
        st.page_link("pages/compare.py", label="Compare paths", icon=":material/landscape:", query_params=query)
        st.page_link("pages/sharpness.py", label="Sharpness", icon=":material/show_chart:", query_params=query)
        st.page_link(
            "pages/distance.py", label="Unlearnable Distance", icon=":material/straighten:", query_params=query
        )


def _explain() -> None:
    parts.how_to_read(
        """
- **What can be added**: a run recorded by `checkpoints.Recorder` (`.h5`), or state dicts (`.pt`, `.pth`, `.ckpt`,
  `.safetensors`), one for each step or epoch, with its number in the name. Several runs of checkpoints come as a folder
  with a folder for each.
- **Network and data** are chosen from those that are registered. Code of your own is only taken by the command line:
  `python cli.py import --help`.
- **Is it safe?** Files are read in a process of its own with limits on memory and time, in a temporary folder that is
  removed afterwards. Only tensors are read; a file that asks for code is refused.
- **Does the stored loss agree?** If it does, network, data and weights belong together. """
        + WHY_NOT
    )


main()
