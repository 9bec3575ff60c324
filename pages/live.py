"""Live: start a preset and watch clean and poisoned training move while they train."""

from __future__ import annotations

import secrets
import time

import streamlit as st

from checkpoints import Result
from experiments import SPEC_FILE, Experiment, home, jobs, read_control
from experiments.launch import stand_by
from experiments.live_settings import LiveSettings
from experiments.spec import NAME_PATTERN
from pages import links, live_controls, live_frame, live_view, parts, there
from pages.live_frame import Frame
from pages.pace import PACE

REFRESH = 0.4  # seconds between looks while a job runs, where few look
WAITING = 1.5  # seconds between looks while one waits for its turn
SESSION = "live-session"  # names the session among those that look


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    if not any(job.working for job in jobs.list_jobs()):  # importing would take time from those that train
        stand_by()
    st.title("Live")
    st.markdown(
        "All runs start from the same weights and take the same batches in the same order; only the data differ. "
        "Watch the paths part, and more of the poisoned blocks fall below β, the line between learnable and flat."
    )
    name = _watched()
    job = _job_of(name)
    pace = _pace(job)
    there.fragment(_panel, name, run_every=pace)(name, pace, parts.is_dark())
    parts.how_to_read(
        """
Everything here is a **preview**, made while training goes on: the plane is the joint PCA of the checkpoints that
exist so far (so it turns as new ones arrive), the surface is coarse and on a small sample, and SAL is measured on
small samples. When training ends, the same job measures SAL and the surface in full; *Compare paths*, *Sharpness* and
*Unlearnable Distance* then show them.

Numbers, charts and the scene are always of the same checkpoint. While you turn the picture all of them wait, and show
the newest checkpoint once you let go. Where no graphics card draws, the surface is interpolated less finely than on the
other pages. Where many watch at once, everything moves less often.

**UD so far** is what UD would be if training ended there: the line takes the first-order (gradient) estimate of SAL at
every checkpoint; the hollow markers take the search of the paper once an epoch, which is dearer, so that some epochs
come later than others. After training it goes on for half a minute at most; epochs that it did not come to have no
hollow marker.

Once you have started a training, every change of a slider starts it anew with the new settings; the earlier one keeps
its checkpoints, and a finished one of the same name is set aside with a number. Training runs in a process of its own:
close this page, reload it, or open it twice, and it goes on. *Stop* keeps every checkpoint; *Go on* continues to the
same bits. A paused training gives its turn to others that wait.
"""
    )


def _watched() -> str | None:
    """The experiment named in the address."""
    name = st.query_params.get("watch")
    if not name:
        return None
    valid = bool(NAME_PATTERN.match(name))
    if not valid:
        links.refuse("watch", "No experiment of that name was started here.")
    return name if valid else None


def _job_of(name: str | None) -> jobs.Job | None:
    if name is None:
        return None
    return next((job for job in jobs.list_jobs(name) if "--live" in job.arguments), None)


def _pace(job: jobs.Job | None, present: float | None = None) -> float | None:
    """Seconds between two looks at a job, given those up to now; None where nothing moves."""
    if job is None or not job.running:
        return None
    return PACE.seconds(WAITING if job.waiting else REFRESH, present)


def _panel(name: str | None, pace: float | None, dark: bool) -> None:
    """Everything that moves, and the controls that move it.

    Reruns the page when the job begins or ends, or the theme changes.
    """
    began = time.thread_time()
    links.keep_up()
    preset, spec, poisons = live_controls.choose_what()
    job = _job_of(name)
    left, right = st.columns([3, 1], gap="medium")
    with right:
        settings = live_controls.choose_how(preset, spec, poisons)
    below = st.container()
    with left:
        # Whatever is said above it, the picture stays where it is: a moved one would be built anew, which takes long.
        above, canvas, under = st.container(), st.container(), st.container(key="live-under")
    with above:
        live_controls.start_if_asked(settings, moving=pace is not None)
        live_controls.transport(job)
        with st.container(key="live-state"):
            _state(name, job)
        live_controls.differs(job, settings)
    experiment = Experiment(home() / name) if name and (home() / name / SPEC_FILE).is_file() else None
    snapshot = None if experiment is None else live_view.read(experiment)
    with under:
        frame = _frame(name, snapshot, job, settings)
    with canvas:
        live_frame.scene(frame)
    with below:
        live_frame.places(frame)
        live_controls.describe(spec, settings)
        live_controls.queue(name)
    if pace is not None:
        session = st.session_state.setdefault(SESSION, secrets.token_hex(8))
        PACE.looked(session, pace, time.thread_time() - began)
    now = _pace(job, pace)
    if now != pace or parts.is_dark() != dark:
        st.rerun()


def _state(name: str | None, job: jobs.Job | None) -> None:
    """In one line what is happening; its place is as high whatever it says."""
    if name is None:
        st.markdown("Press **Start**: the paths appear within seconds, and every slider then starts them anew.")
    elif not (home() / name / SPEC_FILE).is_file():
        st.info(f"There is no experiment “{name}” here; press Start to train one.", icon=":material/info:")
    elif job is not None and job.running:
        live_controls.progress(job)
    elif job is not None and job.state != "done":
        live_controls.ended(job)
    elif Experiment(home() / name).result_files("surfaces"):
        live_controls.finished(Experiment.open(home() / name))


def _frame(name: str | None, snapshot: Result | None, job: jobs.Job | None, settings: LiveSettings) -> Frame:
    """What is shown: a moment of the training, else what was shown last, else how it will look."""
    moves = job is not None and job.running and not read_control(home() / job.experiment).paused
    if snapshot is not None and (snapshot.header["plane"] is not None or not moves):
        return live_frame.of(live_view.scrub(snapshot), settings.preset)
    frame = live_frame.last(wanted=name is not None)
    if frame is not None:
        st.caption("The training before, until the first checkpoints of the next one arrive.")
        return frame
    frame = live_frame.before(settings.preset, settings.roles)
    if not frame.veil:
        st.caption(f"A finished training of {settings.preset}, as it will look.")
    return frame


main()
