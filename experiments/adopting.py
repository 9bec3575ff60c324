"""An experiment takes what it lacks: network and data that its runs name, once the user named them too, or a metric."""

from __future__ import annotations

from dataclasses import replace

from checkpoints import write_bytes
from experiments.experiment import SPEC_FILE, Experiment, ExperimentError, versions
from experiments.materials import dataset_of, network, network_for_run
from experiments.own import check_fit
from experiments.own_grants import refusal
from experiments.own_notes import adopted, hindrance
from experiments.spec import ExperimentSpec, own_names
from experiments.spec_toml import spec_to_toml
from experiments.trust import at_terminal, for_now, grant


def adopt(experiment: Experiment) -> None:
    """Run what the runs name, see that it is theirs, note it in the spec, and grant it from now on.

    Only for what the user named at the terminal.

    Raises:
        ExperimentError: It cannot be imported, fails, or is another network; nothing is noted or granted.
    """
    _take(experiment, adopted(experiment))


def adopt_metric(experiment: Experiment, metric: str, *, download: bool = False) -> Experiment:
    """Note a metric that the user named at the terminal, if it is new, and grant it beside what was granted already.

    Returns:
        The experiment, which has the metric.

    Raises:
        ExperimentError: It has another one, lacks network, data or runs, names code that was not granted, or the metric
            fails; nothing is noted.
    """
    spec = experiment.spec
    if spec.metric == metric:
        return experiment
    if spec.metric is not None:
        raise ExperimentError(
            f"{spec.name} has the metric {spec.metric}, which its surfaces hold; for {metric} import its runs into an "
            "experiment of another name."
        )
    if own_names(spec) and spec.grant.root is None:
        raise ExperimentError(refusal(spec))
    if words := hindrance(experiment):
        raise ExperimentError(f"The metric {metric} is not taken yet. {words}")
    if not experiment.run_names():
        raise ExperimentError(f"{spec.name} has no run that {metric} could be tried on; train it first.")
    if not at_terminal():
        raise ExperimentError("Code of your own is granted at the terminal alone.")
    _take(experiment, replace(spec, metric=metric), download=download)
    return Experiment.open(experiment.path)


def _take(experiment: Experiment, known: ExperimentSpec, *, download: bool = False) -> None:
    spec = for_now(known)
    if spec.model.name and spec.data.name:
        dataset = dataset_of(spec, download=download)
        check_fit(spec, dataset, network(spec, dataset, seed=0))
        for name in experiment.run_names():
            network_for_run(spec, dataset, experiment.open_run(name), name)
    write_bytes(experiment.path / SPEC_FILE, spec_to_toml(spec, made_by=versions()).encode())
    grant(experiment.path, spec)
