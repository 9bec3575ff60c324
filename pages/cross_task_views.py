"""Looks at single images and at the landscapes of an experiment of several tasks."""

from __future__ import annotations

import streamlit as st

from experiments import Experiment
from experiments.cross_task_pictures import (
    example_grid,
    example_images,
    example_picture,
    task_surface_figure,
    task_surfaces,
)
from experiments.cross_task_report import CrossTask
from experiments.spec import run_name
from pages import parts


def predictions(found: CrossTask, arm: str) -> None:
    """One clean test image, and what the networks say of it."""
    st.subheader("What the networks say of a clean test image")
    names = example_images(found)
    arms = [one for one in (found.clean_arm, arm, *found.controls) if one in found.seeds]
    arms = list(dict.fromkeys(arms))[:4]
    seeds = [seed for seed in found.seeds[found.clean_arm] if all(seed in found.seeds[one] for one in arms)]
    picture, grid = st.columns([1, 3.2], gap="medium")
    with picture:
        image = names.index(st.selectbox("Test image", names, key="image", bind="query-params"))
        seed = seeds[0] if seeds else None
        if len(seeds) > 1:
            seed = st.selectbox("Seed of the runs", seeds, key="run-seed", bind="query-params")
        st.image(example_picture(found, image), caption=f"Test image {names[image]}", width="stretch")
    with grid:
        if seed is None:
            st.info("No seed has all these runs measured yet.")
        elif all(run_name(one, seed) in found.shown for one in arms):
            st.html(example_grid(found, image, int(seed), arms))


def surfaces(experiment: Experiment, found: CrossTask) -> None:
    """The same two paths on the landscape of every task."""
    st.subheader("The same paths, one landscape per task")
    stored = task_surfaces(experiment)
    missing = [title.title for task, title in found.tasks.items() if task not in stored]
    if missing and experiment.finished_runs():
        what = f"The surface{'s' if len(missing) > 1 else ''} of {', '.join(missing)} "
        what += f"{'are' if len(missing) > 1 else 'is'} not computed yet."
        parts.offer(what, experiment, ["cross-task", "EXP", "--surfaces"], key="task-surfaces", small=bool(stored))
    if not stored:
        return
    st.markdown(
        "Every point of the plane is one network, with one loss for each task. Where the dashed path stays in the "
        "valley of a task, that task survives."
    )
    places = st.columns(2)
    shown = [task for task in found.tasks if task in stored]
    for number, task in enumerate(shown):
        figure = task_surface_figure(experiment, task, found.tasks[task].title, stored[task], dark=parts.is_dark())
        with places[number % 2]:
            parts.plot(figure, key=f"surface-{task}")
