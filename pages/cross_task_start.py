"""The way to an experiment of several tasks that is measured: open one, train one, measure it."""

from __future__ import annotations

import streamlit as st

from experiments import Experiment, home, jobs, list_experiments, preset_names
from experiments.classroom import limits
from pages import own_jobs, parts

PRESET = "rooms-em"


def no_tasks(experiment: Experiment) -> None:
    """The chosen experiment has one task alone: offer others, or to train one."""
    st.info(
        f"The networks of {experiment.name} learn one task alone. To see what a poison costs other tasks, "
        "take an experiment whose networks learn several at once.",
        icon=":material/call_split:",
    )
    several = _with_tasks()
    if several:
        st.markdown("Experiments of several tasks:")
        for name in several:
            st.button(f"Open {name}", key=f"open-{name}", icon=":material/folder_open:", on_click=_open, args=(name,))
    elif limits() is not None:
        st.markdown("In class, look at one that was trained beforehand: it takes longer than a lesson.")
    else:
        _offer_preset()


def offer_next(experiment: Experiment, sentence: str) -> None:
    """Training or measuring, whichever comes next."""
    if experiment.finished_runs():
        parts.offer(
            "The tasks of this experiment are not measured yet: each run on the clean test images, and SAL under every "
            "task's loss.",
            experiment,
            ["cross-task", "EXP"],
            key="cross-task",
        )
        st.caption(sentence)
    else:
        parts.offer(f"{experiment.name} is not trained yet.", experiment, ["train", "EXP"], key="cross-task-train")


def _with_tasks() -> list[str]:
    found = []
    for one in list_experiments():
        try:
            if one.spec.tasks is not None:
                found.append(one.name)
        except ValueError:
            continue
    return found


def _open(name: str) -> None:
    st.session_state["exp"] = name


def _offer_preset() -> None:
    if any(job.running for job in jobs.list_jobs(PRESET)):
        parts.job_panel(PRESET)
        return
    st.markdown(
        f"The preset **{PRESET}** generates pictures of rooms and trains a network on four tasks, clean, poisoned and "
        "with controls. It takes half an hour or more, can be stopped, and goes on where it was."
    )
    arguments = ["train", PRESET, "--out", str(home() / PRESET)]
    if PRESET in preset_names() and st.button(
        "Train it", key="train-rooms", type="primary", icon=":material/play_arrow:"
    ):
        try:
            own_jobs.started(jobs.start(arguments, experiment=PRESET))
        except (ValueError, OSError) as error:
            parts.fail_softly(error)
        else:
            st.rerun()
    st.code(
        "\n".join(parts.command_of(one) for one in (["train", PRESET], ["cross-task", PRESET])),
        language=None,
    )
