"""What an experiment can compute without its network and data, and what its runs say of them; nothing is run."""

from __future__ import annotations

from checkpoints import CheckpointError
from experiments.experiment import Experiment
from experiments.own import refusal
from experiments.spec import is_own, own_names
from training.own_losses import LOSSES

HINTS = {"model_factory": "--model", "data_factory": "--data", "loss": "--loss"}  # by the key of a run's metadata
STORED = "paths, distances, metrics and stored surfaces can be shown; a new surface, SAL and UD need"


def own_notes(experiment: Experiment) -> list[str]:
    """Notes for whoever looks at an experiment, one sentence each."""
    spec = experiment.spec
    notes = []
    lacks = [what for what, name in (("network", spec.model.name), ("data set", spec.data.name)) if not name]
    if lacks:
        verb = "are" if lacks[1:] else "is"
        notes.append(
            f"The {' and the '.join(lacks)} {verb} not known: {STORED} both; import the runs again with --model and "
            "--data."
        )
    names = own_names(spec)
    if names and spec.grant.root is None:
        notes.append(f"{refusal(spec)}. Without it {STORED} it.")
    elif names:
        notes.append(f"It runs code of your own: {', '.join(names)}, imported from {spec.grant.root}.")
    hints = hinted(experiment)
    if lacks and hints:
        given = " ".join(f"{option} {value}" for option, value in hints.items())
        notes.append(f"Its runs say of themselves (nothing of it was run): {given}")
    return notes


def hinted(experiment: Experiment) -> dict[str, str]:
    """What the runs' metadata name as network, data and loss, by the option of ``import``; only names, never run."""
    found: dict[str, str] = {}
    for name in experiment.run_names():
        try:
            with experiment.open_run(name) as run:
                metadata = dict(run.metadata)
        except CheckpointError:
            continue
        for key, option in HINTS.items():
            value = metadata.get(key)
            if isinstance(value, str) and len(value) <= 200 and (is_own(value) or (key == "loss" and value in LOSSES)):
                found.setdefault(option, value)
    return found
