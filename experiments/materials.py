"""What an experiment's steps work on: its data set, the training data of each arm, its network, batches."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from checkpoints import Run
from experiments.experiment import Experiment, ExperimentError
from experiments.own import (
    check_fit,
    is_plain,
    loss_name,
    loss_of,
    metric_of,
    own_dataset,
    own_network,
    require_classes,
)
from experiments.own_notes import offer
from experiments.poisons import poison_key, poisoned_inputs
from experiments.progress import Progress
from experiments.spec import CLEAN_METHOD, IMPORTED_METHOD, ArmSpec, DataSpec, ExperimentSpec, content_key, is_own
from experiments.tasks import multi_task_network, require_task
from landscape.scoring import Metric
from training import Dataset, Defence, build_defence, build_model, fingerprint_arrays, load_dataset
from training.models import MultiTaskNet
from training.own_losses import Loss

LISTED = 4  # parameters by name in a sentence
MEASURE_BATCH = 2000  # samples per forward pass when only a mean is wanted


@dataclass(frozen=True)
class Sample:
    """Data a quantity is measured on, in fixed order, and what to call it."""

    batches: list[tuple[Tensor, Tensor]]
    label: str  # for subtitles, such as "clean training data"
    samples: int
    available: int
    fingerprint: str
    loss: Loss | None = None  # None is cross-entropy
    loss_name: str = ""  # of one that the spec chose, or that is not cross-entropy
    metric: Metric | None = None  # of the user's own, beside the loss
    metric_name: str = ""

    @property
    def counts_classes(self) -> bool:
        """Whether targets are class indices [N], so that accuracy is known."""
        return all(not t.is_floating_point() and t.dim() == 1 for _, t in self.batches)

    def key(self) -> dict[str, str]:
        """What of the data and loss determines a result."""
        return {"data": self.fingerprint} | ({"loss": self.loss_name} if self.loss_name else {})


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What one arm trains on, and is measured on as its own training data.

    Attributes:
        inputs: [N, …] float32, poisoned and prepared by the arm's defences.
        targets: [N] int64, the data's own labels but for label noise.
        description: How they were made, in words.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]
    description: str


def dataset_of(spec: ExperimentSpec, *, download: bool = False) -> Dataset:
    """Load the data set of a spec; the last two are kept in memory."""
    if not spec.data.name:
        raise ExperimentError(
            f"The data set of {spec.name} is not known; {_or_else(spec)}import its runs again with --data NAME, "
            "FILE.npz or a function of yours, package.module:function."
        )
    if is_own(spec.data.name):
        return own_dataset(spec)
    return _load(spec.data.name, _frozen(spec.data), download)


def _or_else(spec: ExperimentSpec) -> str:
    """What helps at once where the runs name what is not known."""
    clause = offer(spec)
    return f"{clause}; or " if clause else ""


def arm_inputs(
    experiment: Experiment, dataset: Dataset, arm: str, seed: int, *, progress: Progress | None = None
) -> TrainingData:
    """Training data of an arm: poisoned, then prepared by each of its defences. The last few are kept in memory."""
    spec = experiment.spec
    entry = spec.arms.get(arm)
    if entry is None or entry.is_clean or entry.method == IMPORTED_METHOD:
        return TrainingData(dataset.x_train, dataset.y_train, "the data as they are")
    require_classes(spec, dataset, arm)
    defences = build_defences(spec, arm)
    key = content_key({"poison": poison_key(dataset, entry, seed), "defences": [repr(defence) for defence in defences]})
    found = _prepared.get(key)
    if found is None:
        found = _prepare(experiment, dataset, entry, seed, defences, progress)
        _prepared.put(key, found)
    return found


def build_defences(spec: ExperimentSpec, arm: str) -> list[Defence]:
    """The defences of an arm, in order: tables of the spec by name, else registered ones with their defaults."""
    entries = [spec.defence(name) for name in spec.arms[arm].defences]
    return [build_defence(entry.method, **dict(entry.options)) for entry in entries]


def _prepare(
    experiment: Experiment,
    dataset: Dataset,
    arm: ArmSpec,
    seed: int,
    defences: Sequence[Defence],
    progress: Progress | None,
) -> TrainingData:
    inputs, targets, how = dataset.x_train, dataset.y_train, "the data as they are"
    if arm.method != CLEAN_METHOD:
        made = poisoned_inputs(experiment, dataset, arm, seed, progress=progress)
        inputs, targets, how = made.x_train, made.y_train, made.description
    for defence in defences:
        inputs = defence.prepare(inputs, targets, seed=seed)
        how += f"; then {defence.description}"
    return TrainingData(inputs, targets, how)


class _Recent:
    """The training data of the last few arms, by content, within a limit of memory."""

    LARGEST = 2 << 30  # bytes
    MOST = 6

    def __init__(self) -> None:
        self._kept: OrderedDict[str, TrainingData] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> TrainingData | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, data: TrainingData) -> None:
        with self._lock:
            self._kept[key] = data
            while len(self._kept) > self.MOST or sum(d.inputs.nbytes for d in self._kept.values()) > self.LARGEST:
                self._kept.popitem(last=False)


_prepared = _Recent()


def network(spec: ExperimentSpec, dataset: Dataset, seed: int) -> nn.Module:
    """A new network with the initial weights of a seed, shared by all arms of that seed."""
    if not spec.model.name:
        raise ExperimentError(
            f"The network of {spec.name} is not known; {_or_else(spec)}import its runs again with --model NAME or a "
            "function of yours, package.module:function."
        )
    if spec.tasks is not None:
        return multi_task_network(spec, dataset, seed)
    if is_own(spec.model.name):
        return own_network(spec, dataset, seed)
    return build_model(spec.model.name, dataset.input_shape, dataset.n_classes, seed=seed)


def network_for_run(spec: ExperimentSpec, dataset: Dataset, run: Run, name: str, *, task: str = "scene") -> nn.Module:
    """The network of a recorded run, checked against the parameters the run stores.

    One of several tasks gives the outputs of ``task`` alone.
    """
    model = network(spec, dataset, seed=0)
    if isinstance(model, MultiTaskNet):
        require_task(spec, task)
        model.task = task
    here = [(n, tuple(p.shape)) for n, p in model.named_parameters() if p.requires_grad]
    there = list(zip(run.parameters.names, map(tuple, run.parameters.shapes), strict=True))
    if here != there:
        raise ExperimentError(
            f"The run {name} holds another network than {spec.model.name}: "
            f"{_layout_difference(here, there)}; say which network it is when importing."
        )
    if not is_plain(spec):
        check_fit(spec, dataset, model)
    return model


def measured_network(spec: ExperimentSpec, dataset: Dataset, run: Run, name: str) -> nn.Module:
    """The network of a run for what is measured weight by weight: heads of tasks that are not measured are frozen."""
    model = network_for_run(spec, dataset, run, name)
    if isinstance(model, MultiTaskNet):
        model.freeze_other_heads()
    return model


def sample(
    experiment: Experiment,
    on: str,
    *,
    seed: int = 0,
    samples: int = 0,
    batch_size: int = MEASURE_BATCH,
    download: bool = False,
) -> Sample:
    """Data to measure on: ``clean`` (training), ``test``, ``poisoned`` (first poisoned arm) or an arm's name.

    ``samples`` 0 takes all; fewer are drawn once, class by class, by the data set's own rule, so that every arm
    and every run is measured on the same samples. ``batch_size`` 0 makes one full batch.
    """
    picked = pick(experiment, on, seed=seed, samples=samples, download=download)
    found = as_sample(picked, torch.from_numpy(picked.targets), batch_size)
    if is_plain(experiment.spec):
        return found
    dataset = dataset_of(experiment.spec)
    loss = loss_of(experiment.spec, dataset)
    named = "" if loss is None else loss_name(experiment.spec, dataset)
    metric, metric_name = metric_of(experiment.spec), experiment.spec.metric or ""
    return replace(found, loss=loss, loss_name=named, metric=metric, metric_name=metric_name)


@dataclass(frozen=True, eq=False)
class Picked:
    """Samples to measure on, before they are cut into batches.

    Attributes:
        inputs, targets: [n, …] and [n] class indices.
        chosen: [n] their numbers among ``available`` ones of the test data if ``test``, else of the training data.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]
    chosen: NDArray[np.int64]
    test: bool
    label: str
    available: int


def pick(experiment: Experiment, on: str, *, seed: int, samples: int, download: bool = False) -> Picked:
    """The samples that :func:`sample` is made of."""
    spec = experiment.spec
    dataset = dataset_of(spec, download=download)
    arm = _arm_for(spec, on)
    test = arm is None and on == "test"
    if test:
        inputs, targets, label = dataset.x_test, dataset.y_test, "test data"
    elif arm is None:
        inputs, targets = dataset.x_train, dataset.y_train
        label = "training data" if experiment.has_own_reference else "clean training data"
    else:
        own = arm_inputs(experiment, dataset, arm, seed)
        inputs, targets, label = own.inputs, own.targets, f"training data of {arm}"
    labels = dataset.y_test if test else dataset.y_train  # whatever an arm's labels
    chosen = choose(labels, samples)
    x, y = np.ascontiguousarray(inputs[chosen]), np.ascontiguousarray(targets[chosen])
    return Picked(x, y, chosen, test, label, len(labels))


def as_sample(picked: Picked, targets: Tensor, batch_size: int) -> Sample:
    """Batches of picked inputs with targets [n, …]."""
    size, x = batch_size or len(targets), torch.from_numpy(picked.inputs)
    return Sample(
        [(x[i : i + size], targets[i : i + size]) for i in range(0, len(targets), size)],
        picked.label,
        len(targets),
        picked.available,
        fingerprint_arrays(picked.inputs, targets.numpy()),
    )


def same_data(measured_on: Sample, fingerprint: str) -> None:
    """Refuse to work on other data than whoever hands out the work has."""
    if measured_on.fingerprint != fingerprint:
        raise ExperimentError(
            f"A worker has other {measured_on.label} than this machine; its data files or the version of a library "
            "differ. Start the workers again, with the same files and versions."
        )


def _arm_for(spec: ExperimentSpec, on: str) -> str | None:
    if on == "poisoned":
        real = [a for a in spec.poisoned_arms if not spec.arms[a].control] or list(spec.poisoned_arms)
        if not real:
            raise ExperimentError(f"{spec.name} has no poisoned arm to measure on; choose clean or test.")
        return real[0]
    if on in ("clean", "test"):
        return None
    if on in spec.arms:
        return None if spec.arms[on].is_clean else on
    known = ", ".join(["clean", "poisoned", "test", *spec.poisoned_arms])
    raise ExperimentError(f"{on!r} is not data to measure on; choose one of {known}.")


def choose(targets: NDArray[np.integer], samples: int) -> NDArray[np.int64]:
    """Pick ``samples`` indices spread over the classes in proportion, in ascending order, without chance."""
    n = len(targets)
    if samples <= 0 or samples >= n:
        return np.arange(n)
    by_class = np.argsort(targets, kind="stable") if targets.ndim == 1 else np.arange(n)
    return np.sort(by_class[np.linspace(0, n - 1, samples).round().astype(np.int64)])


def _layout_difference(
    here: Sequence[tuple[str, tuple[int, ...]]], there: Sequence[tuple[str, tuple[int, ...]]]
) -> str:
    """What the stored parameters lack of the network's, have besides, or have in another shape; some of each."""
    ours, stored = dict(here), dict(there)
    parts = [
        ("it lacks", [name for name in ours if name not in stored]),
        ("it also has", [name for name in stored if name not in ours]),
        (
            "of another shape are",
            [
                f"{name} ({list(stored[name])}, expected {list(shape)})"
                for name, shape in ours.items()
                if stored.get(name, shape) != shape
            ],
        ),
    ]
    told = [f"{what} {_some(names)}" for what, names in parts if names]
    return "; ".join(told) or "its parameters come in another order"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _frozen(data: DataSpec) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in data.options.items()))


@lru_cache(maxsize=2)
def _load(name: str, options: tuple[tuple[str, Any], ...], download: bool) -> Dataset:
    return load_dataset(name, download=download, **dict(options))
