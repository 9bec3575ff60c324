"""What an experiment can compute without its network and data, and what its runs say of them; nothing is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from checkpoints import CheckpointError
from checkpoints.factories import factories_of
from experiments.experiment import Experiment
from experiments.own_grants import granting, quoted, refusal
from experiments.spec import DataSpec, ExperimentSpec, Grant, ModelSpec, own_names

HINTS = {  # by the key of a run's metadata
    "model_factory": "--model",
    "data_factory": "--data",
    "loss": "--loss",
    "metric": "--metric",
}
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
        notes.append(f"Its runs say of themselves (nothing of it was run): {given}{_then(offer(spec))}")
    elif "--metric" in hints and spec.metric is None:
        name = hints["--metric"]
        notes.append(
            f"Its runs name a metric, {name} (nothing of it was run); if you know it: surface "
            f"{quoted(spec.grant.folder or str(experiment.path))} --metric {name}"
        )
    return notes


def hindrance(experiment: Experiment) -> str:
    """Why nothing new can be measured on an experiment, and what to do about it; empty where it can."""
    spec = experiment.spec
    known = spec.model.name and spec.data.name
    if known and (not own_names(spec) or spec.grant.root is not None):
        return ""
    return " ".join(own_notes(experiment))


def adopted(experiment: Experiment) -> ExperimentSpec:
    """The spec, with what the runs name in place of a network, data set, loss and metric that it lacks; not granted."""
    spec, hints = experiment.spec, hinted(experiment)
    if spec.model.name and spec.data.name:
        return spec
    return replace(
        spec,
        model=spec.model if spec.model.name else ModelSpec(hints.get("--model", "")),
        data=spec.data if spec.data.name else DataSpec(hints.get("--data", "")),
        loss=spec.loss if spec.loss is not None else hints.get("--loss"),
        metric=spec.metric if spec.metric is not None else hints.get("--metric"),
        grant=Grant(str(experiment.path)),
    )


def offer(spec: ExperimentSpec) -> str:
    """How to let an experiment run what its runs name where it lacks that, as a clause; empty where they name nothing.

    Once granted, the network and the data set are both known.
    """
    if not spec.grant.folder or (spec.model.name and spec.data.name):
        return ""
    whole = adopted(Experiment(Path(spec.grant.folder)))
    names = own_names(whole)
    if not (names and whole.model.name and whole.data.name):
        return ""
    return f"if you know the code that its runs name: {granting(whole)}"


def _then(clause: str) -> str:
    return f"; {clause}" if clause else ""


def hinted(experiment: Experiment) -> dict[str, str]:
    """What the runs' metadata name as network, data, loss and metric, by the option of ``import``; never run."""
    found: dict[str, str] = {}
    for name in experiment.run_names():
        try:
            with experiment.open_run(name) as run:
                named = factories_of(run.metadata)
        except CheckpointError:
            continue
        for key, value in named.items():
            found.setdefault(HINTS[key], value)
    return found
