"""Runs that are added to an experiment that was imported: what it is stays, what is new comes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.experiment import SPEC_FILE, Experiment, ExperimentError
from experiments.importing_sources import Source
from experiments.spec import IMPORTED_METHOD, ArmSpec, ExperimentSpec, imported, own_names


def imported_there(path: Path) -> Experiment | None:
    """The experiment in a folder, if it is one that was made of imported runs; None where there is none such."""
    if not (path / SPEC_FILE).is_file():
        return None
    there = Experiment.open(path)
    return there if takes_runs(there) else None


def takes_runs(experiment: Experiment) -> bool:
    """Whether runs can be added: it was imported, and its runs are here."""
    spec = experiment.spec
    alone = len(spec.arms) == 1 and spec.title == title_of(tuple(spec.arms))  # one run, of which no arm says it
    fits = imported(spec) or alone
    return fits and spec.clean_arm is not None and spec.tasks is None and bool(experiment.finished_runs())


def title_of(arms: Sequence[str]) -> str:
    """What an imported experiment is called until somebody gives it another title."""
    return f"Imported: {', '.join(arms)}"


def placed(sources: Sequence[Source], there: Experiment) -> list[Source]:
    """The sources with arms and seeds that fit an experiment.

    A run ``adam-s3`` is a seed of ``adam`` where that is an arm already, or where the runs that are there have all
    seeds given for it; else it is an arm of its own. Runs without a seed get the first of the experiment, so that
    they compare with its runs.
    """
    spec = there.spec
    given: dict[str, set[int]] = {}
    for source in sources:
        given.setdefault(source.name, set()).add(source.seed)
    found = []
    for source in sources:
        name, seed = source.name, source.seed
        if source.run in spec.arms:
            name, seed = source.run, spec.seeds[0]
        elif name not in spec.arms and not given[name] <= set(spec.seeds):
            name, seed = source.run if given[name] != {0} else name, spec.seeds[0]
        found.append(replace(source, name=name, seed=seed))
    return found


def merged(there: Experiment, given: ExperimentSpec, clean: str | None) -> ExperimentSpec:
    """The spec of an experiment with the arms and seeds of others beside its own.

    Raises:
        ExperimentError: They name another network, data set, loss or reference than it has.
    """
    before = there.spec
    for what, option, here, known in (
        ("model.name", "--model", given.model.name, before.model.name),
        ("data.name", "--data", given.data.name, before.data.name),
        ("loss", "--loss", given.loss, before.loss),
        ("metric", "--metric", given.metric, before.metric),
        ("its reference", "--clean", clean, before.clean_arm),
    ):
        if here and known and here != known:
            raise ExperimentError(
                f"{there.path} already holds an experiment that differs in {what} ({known!r} there, {here!r} here); "
                f"leave {option} out to add runs to it, or choose another name."
            )
    new = {name: ArmSpec(method=IMPORTED_METHOD) for name in given.arms if name not in before.arms}
    arms = {**before.arms, **new}
    whole = replace(
        before,
        title=title_of(tuple(arms)) if before.title == title_of(tuple(before.arms)) else before.title,
        seeds=(*before.seeds, *(seed for seed in given.seeds if seed not in before.seeds)),
        arms=arms,
        data=before.data if before.data.name else given.data,
        model=before.model if before.model.name else given.model,
        loss=before.loss if before.loss is not None else given.loss,
        metric=before.metric if before.metric is not None else given.metric,
        grant=given.grant if own_names(given) else before.grant,
    )
    rest = [name for name in own_names(whole) if name not in own_names(given)]
    if own_names(given) and rest:  # what an experiment names is run only where the user names it, too
        raise ExperimentError(
            f"{there.path} already holds an experiment that differs in the code it names ({', '.join(rest)} there); "
            "name all of that with --model, --data, --loss and --metric, or none of it."
        )
    return whole


def lead_of(there: Experiment) -> Source:
    """A run that is there, which the others must have the network of."""
    name = there.finished_runs()[0]
    return Source(there.arm_of(name), (there.run_path(name),), recorded=True, seed=there.seed_of(name))


def new_names(there: Experiment, sources: Sequence[Source]) -> list[str]:
    """The runs that an experiment does not hold yet.

    Raises:
        ExperimentError: It holds runs of all these names, and others beside them, so that nothing would be done.
    """
    held = there.run_names()
    new = [source.run for source in sources if source.run not in held]
    if not new and len(sources) < len(held):
        names = ", ".join(source.run for source in sources)
        raise ExperimentError(
            f"{there.path} holds {names} already; to add another run, give its file or folder another name."
        )
    return new
