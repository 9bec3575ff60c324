"""The Live page's controls: what to train, the transport, and the queue of jobs."""

from __future__ import annotations

import dataclasses
import time

import streamlit as st

from experiments import (
    Control,
    Experiment,
    ExperimentSpec,
    classroom,
    home,
    jobs,
    load_preset_or_file,
    preset_names,
    read_control,
    write_control,
)
from experiments.live_settings import MOST, LiveSettings, begin, go_on, racers
from experiments.pictures import newest_report
from landscape.style import format_ud
from pages import own_jobs, parts

NEEDS_DOWNLOAD = ("mnist", "fashion-mnist")
SPEEDS = {"1": 1.0, "2": 2.0, "5": 5.0, "10": 10.0, "20": 20.0, "full": 0.0}
MINE = "live-mine"  # the experiment that this session started
ASKED = "live-asked"  # a job, settings, and whether the one trains the other
AGAIN = "live-again"  # when a control was changed whose change restarts
PRESSED = "live-pressed"  # set by the start button
SETTLED = 0.6  # seconds without a change of a control, after which the training starts anew
TWICE = 1.5  # seconds in which a second press of Start is the same press, delivered twice
# A press is acted on, or noted, in the button's own callback: a page that draws itself twice a second may be drawn anew
# before it comes to the button, and the press would be lost.


def choose_what() -> tuple[str, ExperimentSpec, tuple[str, ...]]:
    """Preset and racing poisons, in one row with the start button."""
    names = list(_allowed().presets)
    preset_column, poison_column, button = st.columns([2, 2.4, 1], vertical_alignment="bottom")
    preset = preset_column.selectbox(
        "Preset", names, index=names.index("toy-ops"), key="preset", bind="query-params", on_change=_restart
    )
    spec = load_preset_or_file(preset)
    poisons = poison_column.multiselect(
        "Poisons that race against clean",
        racers(preset),
        default=list(spec.poisoned_arms)[:MOST],
        max_selections=MOST,
        key=f"race-{preset}",
        bind="query-params",
        on_change=_restart,
        help="Each poison trains a run of its own; all start from the same weights and take the same batches.",
    )
    button.button("Start", type="primary", icon=":material/play_arrow:", width="stretch", key="start", on_click=_press)
    return preset, spec, tuple(poisons)


def choose_how(preset: str, spec: ExperimentSpec, poisons: tuple[str, ...]) -> LiveSettings:
    """The sliders beside the picture. Once this session trains, a change starts anew in the same place."""
    ratio = st.slider(
        "Poisoned share of the data (%)", 0, 100, 100, 5, key="share", bind="query-params", on_change=_restart
    )
    strength = st.slider(
        "Poison strength (% of the method's own)",
        10,
        100,
        100,
        5,
        key="force",
        bind="query-params",
        on_change=_restart,
    )
    left, right = st.columns(2)
    lr = left.number_input(
        "Learning rate",
        1e-5,
        _allowed().lr,
        spec.training.lr,
        format="%g",
        step=spec.training.lr / 2,
        key=f"lr-{preset}",
        bind="query-params",
        on_change=_restart,
    )
    seed = right.number_input(
        "Seed", 0, 9999, spec.seeds[0], key=f"seed-{preset}", bind="query-params", on_change=_restart
    )
    epochs = left.number_input(
        "Epochs",
        1,
        _allowed().epochs,
        spec.training.epochs,
        key=f"epochs-{preset}",
        bind="query-params",
        on_change=_restart,
    )
    download = False
    if spec.data.name in NEEDS_DOWNLOAD:
        download = st.checkbox(
            "Download the data once", key="download", value=False, help=f"{spec.data.name}, about 12 to 30 MB."
        )
    return LiveSettings(preset, poisons, ratio / 100, strength / 100, int(epochs), float(lr), int(seed), download)


def _allowed() -> classroom.Limits:
    """What may be trained here: the limits of a class, or all presets."""
    return classroom.limits() or classroom.Limits(presets=tuple(preset_names()), epochs=200, lr=10.0)


def describe(spec: ExperimentSpec, settings: LiveSettings) -> None:
    """What would be trained, in words and as a command."""
    try:
        arguments = settings.arguments(str(home() / settings.name))
    except ValueError as error:
        parts.fail_softly(error)
        return
    st.caption(f"**{spec.title}.** {spec.description}  \n`{parts.command_of(arguments)}`")


def start_if_asked(settings: LiveSettings, *, moving: bool) -> None:
    """Start on a press, or anew when a control changed while this session's training is shown.

    While that moves, a control that is still being moved is waited for: not every place of a slider is trained.
    """
    mine = st.session_state.get(MINE)
    changed = st.session_state.pop(AGAIN, None)
    again = changed is not None and mine is not None and mine == st.query_params.get("watch")
    if again and moving and time.monotonic() - changed < SETTLED:
        st.session_state[AGAIN] = changed  # the next look at the page comes soon
        return
    pressed = st.session_state.pop(PRESSED, False)
    if not (pressed or again):
        return
    if not again and _just_started(mine, settings):
        return
    try:
        job = own_jobs.started(begin(settings, mine=mine, speed=chosen_speed()))
    except (ValueError, OSError) as error:
        parts.fail_softly(error)
        return
    st.session_state[MINE] = job.experiment
    st.query_params["watch"] = job.experiment
    st.rerun()


def differs(job: jobs.Job | None, settings: LiveSettings) -> None:
    """Say so where the controls ask for another training than the one that is shown, as after a reload or a link."""
    if job is None or AGAIN in st.session_state:
        return
    known = st.session_state.get(ASKED)
    if known is None or known[:2] != (job.id, settings):
        st.session_state[ASKED] = known = (job.id, settings, _trains(job, settings))
    if known[2] is False:
        st.info(
            "The picture shows a training with other settings than these controls; press *Start* to train with these.",
            icon=":material/tune:",
        )


def _trains(job: jobs.Job, settings: LiveSettings) -> bool | None:
    """Whether a job trains what the controls ask for; None where that cannot be told."""
    try:
        spec = Experiment.open(home() / job.experiment).spec
        return dataclasses.replace(settings.spec(), name=spec.name, title=spec.title) == spec
    except (ValueError, OSError):
        return None


def _just_started(mine: str | None, settings: LiveSettings) -> bool:
    """Whether this session has only just started the very same training."""
    newest = next(iter(jobs.list_jobs(mine)), None) if mine is not None else None
    same = newest is not None and newest.arguments == tuple(settings.arguments(str(home() / newest.experiment)))
    return same and newest is not None and newest.running and 0 <= time.time() - newest.started < TWICE


def chosen_speed() -> float:
    """Checkpoints a second, as chosen; 0 is as fast as it goes."""
    return SPEEDS[st.session_state.get("speed") or "10"]


def transport(job: jobs.Job | None) -> None:
    """Pause, step, stop and speed of the job that is shown; the same buttons, greyed out, where none runs."""
    running = job is not None and job.state == "running"
    name = job.experiment if job is not None else ""
    control = read_control(home() / name) if running else Control()
    paused = control.paused
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # A press that comes while the page is being drawn may be delivered twice. So every state has a button of its
        # own, by its key: the second delivery finds no such button any more.
        st.button(
            "Play" if paused else "Pause",
            key="play" if paused else "pause",
            icon=":material/play_arrow:" if paused else ":material/pause:",
            disabled=not running,
            on_click=_wish,
            args=(name, not paused, control.steps),
        )
        st.button(
            "Step",
            key=f"step-{control.steps}",
            icon=":material/skip_next:",
            disabled=not running,
            on_click=_wish,
            args=(name, True, control.steps + 1),
            help="One checkpoint further for every run; pauses first.",
        )
        active = job is not None and job.running and own_jobs.may_stop(job)
        st.button("Stop", key="stop", icon=":material/stop:", disabled=not active, on_click=own_jobs.stop, args=(job,))
        st.segmented_control(
            "Speed (checkpoints of each run a second)",
            list(SPEEDS),
            default="10",
            required=True,
            key="speed",
            bind="query-params",
            on_change=_set_speed,
            args=(name,),
        )


def progress(job: jobs.Job) -> None:
    """How far the job is."""
    if job.waiting:
        at_most = _many(jobs.cap(), "job")
        st.progress(0.0, text=f"Waiting for its turn; at most {at_most} may work at a time.")
        return
    left = None if job.paused else job.seconds_left
    text = f"{job.label.capitalize()}: {job.done} of {job.total}" if job.total else "Starting…"
    text += ", paused" if job.paused else "" if left is None else f", about {parts.duration(left)} left"
    st.progress(job.fraction, text=text)


def ended(job: jobs.Job) -> None:
    """What became of a job that did not end by itself, and the way on."""
    if job.state == "done":
        return
    if job.state == "stopped":
        st.info("Stopped. Every checkpoint is kept, and training can go on from there.", icon=":material/pause:")
    else:
        why = classroom.without_paths(job.message) or "The training ended early."
        if "--download" in why:  # which is for the terminal
            why = "The data set is not on this machine. Tick *Download the data once* and press *Start*."
        st.error(why, icon=":material/error:")
        with st.expander("What it printed"):
            st.code(classroom.without_paths(jobs.log_tail(job)) or "Nothing.")
    if job.state in ("stopped", "lost", "failed"):
        st.button("Go on", key="resume", icon=":material/play_arrow:", on_click=_go_on, args=(job,))


def finished(experiment: Experiment) -> None:
    """What the training came to, measured in full, and where to see it."""
    try:
        arms = newest_report(experiment).arms
    except ValueError:
        arms = ()
    found = [format_ud(arm.summary.mean) + (f" for {arm.arm}" if len(arms) > 1 else "") for arm in arms]
    told = f"Finished: UD {', '.join(found)}, measured in full" if found else "Finished"
    st.page_link(
        "pages/compare.py",
        label=f"{told}. Open in Compare paths",
        icon=":material/landscape:",
        query_params={"exp": experiment.name},
    )


def queue(shown: str | None) -> None:
    """All jobs that work or wait, with a way to look at each, to read what it printed, and to cancel it."""
    active = [job for job in jobs.list_jobs() if job.running]
    works, waits = sum(not job.waiting for job in active), sum(job.waiting for job in active)
    title = f"Jobs: {works} running, {waits} waiting" if active else "Jobs: none running"
    with st.expander(title, icon=":material/list:", key="queue"):
        if not active:
            st.caption("What is started here or on another page is listed while it runs.")
        for job in reversed(active):
            words, log, cancel = st.columns([5, 1, 1], vertical_alignment="center")
            state = "waiting" if job.waiting else "paused" if job.paused else f"{job.label}, {100 * job.fraction:.0f} %"
            mark = " · shown here" if job.experiment == shown else ""
            words.markdown(f"**{job.experiment}** · {state}{mark}")
            with log.popover("Log", width="stretch"):
                st.code(classroom.without_paths(jobs.log_tail(job)) or "Nothing printed yet.")
            if own_jobs.may_stop(job):
                cancel.button("Cancel", key=f"cancel-{job.id}", width="stretch", on_click=own_jobs.stop, args=(job,))


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _press() -> None:
    st.session_state[PRESSED] = True


def _restart() -> None:
    st.session_state[AGAIN] = time.monotonic()


def _go_on(job: jobs.Job) -> None:
    try:
        own_jobs.started(go_on(job, speed=chosen_speed()))
    except (ValueError, OSError) as error:
        st.toast(classroom.without_paths(str(error)), icon=":material/error:")
    else:
        st.session_state[MINE] = job.experiment


def _wish(name: str, paused: bool, steps: int) -> None:
    folder = home() / name
    try:
        write_control(folder, dataclasses.replace(read_control(folder), paused=paused, steps=steps))
    except (ValueError, OSError) as error:
        st.toast(classroom.without_paths(str(error)), icon=":material/error:")


def _set_speed(name: str) -> None:
    folder = home() / name
    if not name or not folder.is_dir():
        return
    try:
        write_control(folder, dataclasses.replace(read_control(folder), speed=chosen_speed()))
    except (ValueError, OSError) as error:
        st.toast(classroom.without_paths(str(error)), icon=":material/error:")
