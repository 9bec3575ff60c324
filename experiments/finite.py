"""Checkpoints whose weights are NaN or infinite: told wherever runs are shown, left out of what is computed."""

from __future__ import annotations

from checkpoints import Run
from experiments.experiment import Experiment, ExperimentError


def not_finite_words(run: Run) -> str:
    """Which checkpoints hold NaN or infinite weights, without a full stop; empty where none does."""
    found = run.not_finite
    if not found:
        return ""
    total = f"{len(run)} checkpoint{'' if len(run) == 1 else 's'}"
    return f"weights are not finite at {len(found)} of {total} (first: step {int(run.steps[found[0]])})"


def finite_run(experiment: Experiment, name: str) -> Run:
    """A run without the checkpoints of which nothing can be computed; the run itself where there is none.

    Raises:
        ExperimentError: No checkpoint holds finite weights.
    """
    run = experiment.open_run(name)
    lost = set(run.not_finite)
    if not lost:
        return run
    if len(lost) == len(run):
        raise ExperimentError(
            f"Nothing can be computed of {name}: its weights are NaN or infinite at every checkpoint; choose other "
            "runs with --runs."
        )
    return run.selected([i for i in range(len(run)) if i not in lost])


def left_out_words(experiment: Experiment, name: str) -> str:
    """A sentence on the checkpoints of a run that :func:`finite_run` leaves out; empty where there is none."""
    words = not_finite_words(experiment.open_run(name))
    return f"{name}: {words}; they are left out." if words else ""
