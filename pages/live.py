"""Live: start a preset and watch clean and poisoned training move while they train."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import streamlit as st

from analysis import figures as analysis_figures
from checkpoints import CheckpointError, Result
from experiments import (
    Experiment,
    ExperimentSpec,
    SpecError,
    classroom,
    home,
    jobs,
    learnable_counts,
    load_preset_or_file,
    override,
    preset_names,
    read_snapshot,
)
from experiments.catalogue import check_name
from experiments.spec import NAME_PATTERN
from landscape import figures, figures_lines
from landscape.figures import PathData, RunCurves, SurfaceData
from landscape.style import format_ud
from pages import links, parts
from pages.view3d import view3d

REFRESH = 0.5  # seconds between looks while a job runs
NEEDS_DOWNLOAD = ("mnist", "fashion-mnist")


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Live")
    st.markdown(
        "Both runs start from the same weights and take the same batches in the same order; only the data differ. "
        "Watch the paths part, and the poisoned blocks fall below β."
    )
    watched = _watched()
    job = _job_of(watched)
    if job is None or not job.running:
        _start_form(watched)
    if watched is not None:
        with st.container(key="live-panel"):
            if job is not None and job.running:
                st.fragment(_watch, run_every=REFRESH)(str(watched.path), job.id)
            else:
                _ended(job)
                _show(watched)
    parts.how_to_read(
        """
Everything here is a **preview**, made while training goes on: the plane is the joint PCA of the checkpoints that
exist so far (so it turns as new ones arrive), the surface is coarse and on a small sample, and SAL is the first-order
estimate on that sample. When training ends, the same job measures SAL and the surface in full; *Compare paths*,
*Sharpness* and *Unlearnable Distance* then show them.

Training runs in a process of its own: close this page, reload it, or open it twice, and it goes on.
*Stop* keeps every checkpoint; *Start* goes on from there, to the same bits.
"""
    )


def _watched() -> Experiment | None:
    """The experiment named in the address, else the one whose job runs."""
    name = st.query_params.get("watch")
    if name is None:
        running = [job for job in jobs.list_jobs() if job.running and "--live" in job.arguments]
        name = running[0].experiment if running else None
    folder = home() / name if name and NAME_PATTERN.match(name) else None
    if folder is None or not (folder / "experiment.toml").is_file():
        if name:
            links.refuse("watch", "No experiment of that name was started here.")
        return None
    try:
        return Experiment.open(folder)
    except ValueError as error:
        parts.fail_softly(error)
        return None


def _job_of(experiment: Experiment | None) -> jobs.Job | None:
    if experiment is None:
        return None
    return next((job for job in jobs.list_jobs(experiment.name) if "--live" in job.arguments), None)


def _start_form(watched: Experiment | None) -> None:
    allowed = classroom.limits() or classroom.Limits(presets=tuple(preset_names()), epochs=200, lr=10.0)
    names = list(allowed.presets)
    columns = st.columns([2, 1, 1, 1, 1], vertical_alignment="bottom")
    preset = columns[0].selectbox(
        "Preset",
        names,
        index=names.index("toy-ops"),
        key="preset",
        bind="query-params",
    )
    spec = load_preset_or_file(preset)
    epochs = columns[1].number_input(
        "Epochs", 1, allowed.epochs, spec.training.epochs, key=f"epochs-{preset}", bind="query-params"
    )
    lr = columns[2].number_input(
        "Learning rate",
        1e-5,
        allowed.lr,
        spec.training.lr,
        format="%g",
        step=spec.training.lr / 2,
        key=f"lr-{preset}",
        bind="query-params",
    )
    seed = columns[3].number_input("Seed", 0, 9999, spec.seeds[0], key=f"seed-{preset}", bind="query-params")
    changes = [] if epochs == spec.training.epochs else [f"training.epochs={int(epochs)}"]
    changes += [] if lr == spec.training.lr else [f"training.lr={lr!r}"]
    changes += [] if seed == spec.seeds[0] else [f"seeds=[{int(seed)}]"]
    download = False
    if spec.data.name in NEEDS_DOWNLOAD:
        download = st.checkbox(
            f"Allow the download of {spec.data.name} (about 12 to 30 MB, once)", key="download", value=False
        )
    name = _free_name(preset, changes)
    arguments = ["run", preset, "--out", str(home() / name), "--live"]
    arguments += [part for change in changes for part in ("--set", change)] + (["--download"] if download else [])
    pressed = columns[4].button("Start", type="primary", icon=":material/play_arrow:", width="stretch", key="start")
    st.caption(f"**{spec.title}.** {spec.description}  \n`{parts.command_of(arguments)}`")
    if pressed:
        _start(spec, name, changes, arguments)


def _free_name(preset: str, changes: list[str]) -> str:
    """The preset's own name, or one that tells what was changed."""
    tags = [change.split(".")[-1].replace("=", "").strip("[]").replace("[", "").replace("]", "") for change in changes]
    name = "-".join([preset, *tags])
    return name if classroom.limits() is None else classroom.free_name(name, home())


def _is_complete(name: str) -> bool:
    experiment = Experiment(home() / name)
    return set(experiment.planned_runs()) <= set(experiment.finished_runs())


def _start(spec: ExperimentSpec, name: str, changes: list[str], arguments: list[str]) -> None:
    try:
        check_name(name)
        resolved = dataclasses.replace(override(spec, changes), name=name)
        if (home() / name / "experiment.toml").is_file() and _is_complete(name):
            _again(name)
        Experiment.create(resolved, home() / name)
        jobs.start(arguments, experiment=name)
    except (ValueError, SpecError, OSError) as error:
        parts.fail_softly(error)
        return
    st.query_params["watch"] = name
    st.rerun()


def _again(name: str) -> None:
    """Set a finished experiment of the same settings aside, so that Start always shows a training."""
    number = 1
    while (home() / f"{name}.{number}").exists():
        number += 1
    (home() / name).rename(home() / f"{name}.{number}")


def _ended(job: jobs.Job | None) -> None:
    if job is None or job.state == "done":
        return
    if job.state == "stopped":
        st.info("Stopped. Every checkpoint is kept, and training can go on from there.", icon=":material/pause:")
    if job.state in ("stopped", "lost") and st.button("Go on", key="resume", icon=":material/play_arrow:"):
        try:
            jobs.start(job.arguments, experiment=job.experiment)
        except (ValueError, OSError) as error:
            parts.fail_softly(error)
        else:
            st.rerun()
    if job.state != "stopped":
        st.error(job.message or "The training ended early.", icon=":material/error:")
        with st.expander("What it printed"):
            st.code(jobs.log_tail(job))


def _watch(path: str, job_id: str) -> None:
    """One look at a running job; reruns the page when it ends."""
    experiment = Experiment(home() / path.rsplit("/", 1)[-1])
    job = next((job for job in jobs.list_jobs(experiment.name) if job.id == job_id), None)
    if job is None or not job.running:
        st.rerun()
    bar, button = st.columns([6, 1], vertical_alignment="center")
    left = job.seconds_left
    text = f"{job.label.capitalize()}: {job.done} of {job.total}" if job.total else "Starting…"
    bar.progress(job.fraction, text=text + ("" if left is None else f", about {parts.duration(left)} left"))
    if button.button("Stop", key="stop", icon=":material/stop:", width="stretch"):
        jobs.stop(job)
        st.rerun()
    _show(experiment)


def _show(experiment: Experiment) -> None:
    try:
        snapshot = read_snapshot(experiment)
    except CheckpointError:
        st.caption("The first checkpoints are on their way.")
        return
    dark = parts.is_dark()
    _numbers(experiment, snapshot)
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        if snapshot.header["plane"] is not None:
            surface, paths = _surface(experiment, snapshot)
            figure = figures.surface_3d([surface], [paths], dark=dark)
            view3d(figure, key="live3d", height=520, alt=parts.alternative(figure))
        else:
            st.caption("The plane needs three checkpoints.")
    with right:
        curves = [
            RunCurves(
                run["name"],
                run["role"],
                snapshot.arrays[f"run/{run['name']}/epochs"],
                {
                    key.rsplit("metric_", 1)[-1]: value
                    for key, value in snapshot.arrays.items()
                    if key.startswith(f"run/{run['name']}/metric_")
                },
            )
            for run in snapshot.header["runs"]
        ]
        parts.plot(figures_lines.training_curves(curves, dark=dark), key="live-curves", height=250)
        counts = learnable_counts(snapshot)
        if counts:
            roles = {run["name"]: run["role"] for run in snapshot.header["runs"]}
            series = {name: (snapshot.arrays[f"run/{name}/epochs"], value) for name, value in counts.items()}
            parts.plot(analysis_figures.learnable_blocks_over_time(series, roles, dark=dark), key="live-lp", height=250)
    _sal(snapshot, dark)
    if snapshot.header["finished"] and experiment.result_files("surfaces"):
        st.page_link(
            "pages/compare.py",
            label="Open in Compare paths",
            icon=":material/landscape:",
            query_params={"exp": experiment.name},
        )


def _numbers(experiment: Experiment, snapshot: Result) -> None:
    runs = snapshot.header["runs"]
    columns = st.columns(len(runs) + 2)
    clean = None
    for column, run in zip(columns, runs, strict=False):
        values = snapshot.arrays.get(f"run/{run['name']}/metric_test_accuracy")
        value = float(values[-1]) if values is not None and len(values) else None
        clean = value if run["role"] == "clean" else clean
        delta = None
        if run["role"] != "clean" and clean is not None and value is not None:
            delta = f"{100 * (value - clean):+.1f} points"
        column.metric(f"{run['name']} test accuracy", parts.percent(value), delta)
    arms: dict[str, Any] = snapshot.header["ud"].get("arms", {})
    text = " / ".join(format_ud(value) for value in arms.values()) or "–"
    columns[-2].metric(
        "UD so far", text, help="From the gradient estimate at every checkpoint so far. " + parts.UD_HELP
    )
    ratio = (snapshot.header["plane"] or {}).get("explained_variance_ratio")
    columns[-1].metric("Plane explains", "–" if ratio is None else parts.percent(sum(ratio)))


def _surface(experiment: Experiment, snapshot: Result) -> tuple[SurfaceData, tuple[PathData, ...]]:
    arrays, ratio = snapshot.arrays, snapshot.header["plane"]["explained_variance_ratio"]
    surface = SurfaceData(
        alphas=arrays["alphas"],
        betas=arrays["betas"],
        loss=arrays["loss"],
        accuracy=None,
        samples=int(arrays["surface_samples"][0]),
        axis_names=tuple(f"PC {k + 1} ({100 * r:.0f} %)" for k, r in enumerate(ratio)),
        evaluated_on="clean training data (preview)",
        plane_name="joint PCA so far",
        explained=(float(ratio[0]), float(ratio[1])),
        standard_error=None,
        seeds=(int(snapshot.header["seed"]),),
    )
    paths = tuple(
        PathData(
            name=run["name"],
            role=run["role"],
            coordinates=arrays[f"run/{run['name']}/coordinates"],
            steps=arrays[f"run/{run['name']}/steps"][: run["checkpoints"]],
            epochs=arrays[f"run/{run['name']}/epochs"][: run["checkpoints"]],
            residual=arrays[f"run/{run['name']}/residual"],
            loss_true=None,
            loss_in_plane=None,
        )
        for run in snapshot.header["runs"]
    )
    return surface, paths


def _sal(snapshot: Result, dark: bool) -> None:
    threshold = snapshot.header["ud"].get("threshold")
    runs = snapshot.header["runs"]
    clean = next((run for run in runs if run["role"] == "clean"), None)
    if threshold is None or clean is None or len(runs) < 2:
        return
    last = {run["name"]: snapshot.arrays[f"run/{run['name']}/sal"][-1] for run in runs}
    others = {name: values for name, values in last.items() if name != clean["name"]}
    figure = analysis_figures.sal_histogram(
        last[clean["name"]],
        others,
        float(np.asarray(threshold)),
        roles={run["name"]: run["role"] for run in runs},
        subtitle=f"newest checkpoint; gradient estimate on {snapshot.header['samples']} samples; one block per "
        f"{snapshot.header['blocks']}",
        dark=dark,
    )
    parts.plot(figure, key="live-sal", height=320)


main()
