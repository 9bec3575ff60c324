"""An experiment that lacks its network and data takes those that its runs name, once the user named them too."""

from __future__ import annotations

from checkpoints import write_bytes
from experiments.experiment import SPEC_FILE, Experiment, versions
from experiments.materials import dataset_of, network, network_for_run
from experiments.own import check_fit
from experiments.own_notes import adopted
from experiments.spec_toml import spec_to_toml
from experiments.trust import for_now, grant


def adopt(experiment: Experiment) -> None:
    """Run what the runs name, see that it is theirs, note it in the spec, and grant it from now on.

    Only for what the user named at the terminal.

    Raises:
        ExperimentError: It cannot be imported, fails, or is another network; nothing is noted or granted.
    """
    spec = for_now(adopted(experiment))
    if spec.model.name and spec.data.name:
        dataset = dataset_of(spec)
        check_fit(spec, dataset, network(spec, dataset, seed=0))
        for name in experiment.run_names():
            network_for_run(spec, dataset, experiment.open_run(name), name)
    write_bytes(experiment.path / SPEC_FILE, spec_to_toml(spec, made_by=versions()).encode())
    grant(experiment.path, spec)
