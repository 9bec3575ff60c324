"""Whose a job is: in a class everybody stops only what they started themselves."""

from __future__ import annotations

import streamlit as st

from experiments import classroom, jobs

KEY = "jobs-mine"  # identities of the jobs that this session started


def started(job: jobs.Job) -> jobs.Job:
    """Note that this session started a job; returns it."""
    st.session_state[KEY] = {*st.session_state.get(KEY, ()), job.id}
    return job


def may_stop(job: jobs.Job) -> bool:
    """Whether this session may stop a job: outside a class any, in a class one of its own."""
    return classroom.limits() is None or job.id in st.session_state.get(KEY, ())


def stop(job: jobs.Job) -> None:
    """Stop a job; a short message says why where that cannot be. For a button's callback."""
    if not may_stop(job):
        st.toast("In class only who started a job may stop it.", icon=":material/error:")
        return
    try:
        jobs.stop(job)
    except (ValueError, OSError) as error:
        st.toast(classroom.without_paths(str(error)), icon=":material/error:")


__all__ = ["may_stop", "started", "stop"]
