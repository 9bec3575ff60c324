"""What an experiment is: the resolved specification, each entry checked when it is built."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from checkpoints.factories import LOSSES, OWN_PATTERN
from training.names import NORMS, TASKS, WEIGHTS

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
CLEAN_METHOD = "none"
IMPORTED_METHOD = "imported"
SURFACE_DATA = ("clean", "poisoned", "test")
PLANES = ("pca", "pca-single", "random", "three-point", "parameters", "hessian")
PRECISIONS = ("", "float32", "float64", "bfloat16")


class SpecError(ValueError):
    """A specification that cannot be run; the message is one sentence naming the entry and the remedy."""


@dataclass(frozen=True)
class DataSpec:
    """The data set: a registered name, the path of a file or folder, or a ``package.module:function``; its options."""

    name: str = "toy"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """The network: a registered name or a ``package.module:function``; empty where an imported run's is not known."""

    name: str = "linear"


@dataclass(frozen=True)
class TasksSpec:
    """The tasks of one network with a head for each; without this part an experiment has the scene's class alone.

    ``weights``: ``fixed`` divides each task's loss by that of its trivial predictor, ``learned`` trains them.
    ``legacy``: the losses of Mod-Squad. ``norm``: ``batch``, or ``group`` for GroupNorm in place of BatchNorm.
    """

    names: tuple[str, ...] = TASKS
    weights: str = "fixed"
    legacy: bool = False
    norm: str = "batch"

    def __post_init__(self) -> None:
        known = bool(self.names) and set(self.names) <= set(TASKS) and len(set(self.names)) == len(self.names)
        _require(known, "tasks.names", list(self.names), "one or more different names of " + ", ".join(TASKS))
        _require(self.weights in WEIGHTS, "tasks.weights", self.weights, "'fixed' or 'learned'")
        _require(self.norm in NORMS, "tasks.norm", self.norm, "'batch' or 'group'")
        object.__setattr__(self, "names", tuple(name for name in TASKS if name in self.names))


@dataclass(frozen=True)
class TrainingSpec:
    """SGD and its schedule. ``checkpoint_every`` counts steps; 0 records once per epoch."""

    epochs: int = 10
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    lr_milestones: tuple[int, ...] = ()
    lr_decay: float = 0.1
    checkpoint_every: int = 0
    augmentation: str = "none"

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "training.epochs", self.epochs, "at least 1")
        _require(self.batch_size >= 1, "training.batch_size", self.batch_size, "at least 1")
        _require(0 < self.lr < float("inf"), "training.lr", self.lr, "a positive number")
        _require(0 <= self.momentum < 1, "training.momentum", self.momentum, "in [0, 1)")
        finite_decay = 0 <= self.weight_decay < float("inf")
        _require(finite_decay, "training.weight_decay", self.weight_decay, "0 or more")
        _require(0 < self.lr_decay <= 1, "training.lr_decay", self.lr_decay, "in (0, 1]")
        _require(self.checkpoint_every >= 0, "training.checkpoint_every", self.checkpoint_every, "0 or more")


@dataclass(frozen=True)
class DefenceSpec:
    """A defence with its settings, which arms refer to by the name of its table."""

    method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ArmSpec:
    """One side of the comparison: how its training data are made. ``none`` is clean.

    ``ratio`` is the share of poisoned samples, ``strength`` the method's budget (None: the method's default).
    ``control`` marks an arm that is expected to change nothing, such as noise. ``defences`` are applied in their order:
    names of ``[defences.NAME]`` tables, or of registered defences with their default settings.
    """

    method: str = CLEAN_METHOD
    ratio: float = 1.0
    strength: float | None = None
    control: bool = False
    defences: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(0 <= self.ratio <= 1, "arm ratio", self.ratio, "between 0 and 1")

    @property
    def is_clean(self) -> bool:
        """Whether the arm trains on the data as they are."""
        return self.method == CLEAN_METHOD and not self.defences


@dataclass(frozen=True)
class SalSpec:
    """How SAL is measured (Ye et al. 2025, Algorithm 1): block kind, radius, search, sample and batches.

    ``samples`` 0 takes all training samples; ``batch_size`` 0 one full batch; ``every`` counts checkpoints.
    """

    method: str = "gradient"
    blocks: str = "layer"
    epsilon: float = 0.05
    steps: int = 10
    lr: float = 0.1
    p: float = 2.0
    samples: int = 1000
    batch_size: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        known = ("search", "projected", "gradient")
        _require(self.method in known, "sal.method", self.method, "'search', 'projected' or 'gradient'")
        _require(
            self.blocks in ("layer", "unit", "parameter"),
            "sal.blocks",
            self.blocks,
            "'layer', 'unit' or 'parameter'",
        )
        _require(0 < self.epsilon < float("inf"), "sal.epsilon", self.epsilon, "a positive number")
        _require(self.steps >= 1, "sal.steps", self.steps, "at least 1")
        _require(0 < self.lr < float("inf"), "sal.lr", self.lr, "a positive number")
        _require(self.p in (1.0, 2.0, float("inf")), "sal.p", self.p, "1, 2 or inf")
        _require(self.samples >= 0, "sal.samples", self.samples, "0 (all) or more")
        _require(self.batch_size >= 0, "sal.batch_size", self.batch_size, "0 (one full batch) or more")
        _require(self.every >= 1, "sal.every", self.every, "at least 1")


@dataclass(frozen=True)
class SurfaceSpec:
    """Which plane and grid: ``pca`` is joint over the runs, ``pca-single`` of the first run alone.

    ``block`` restricts the plane to layers (``fc3,conv1``) or to the N most divergent parameters (``topN``);
    empty for all. ``parameters`` are the two flat indices of the ``parameters`` plane. ``samples`` 0 takes all.
    ``tolerance`` above 0 interpolates where that is as good, to this share of the loss's range. ``precision``:
    the floating type to compute in; empty for the model's own.
    """

    plane: str = "pca"
    grid: int = 51
    on: str = "clean"
    margin: float = 0.2
    samples: int = 1000
    block: str = ""
    seed: int = 0
    parameters: tuple[int, ...] = ()
    tolerance: float = 0.0
    precision: str = ""

    def __post_init__(self) -> None:
        _require(0 <= self.tolerance < 1, "surface.tolerance", self.tolerance, "a share of the loss's range below 1")
        _require(
            self.precision in PRECISIONS, "surface.precision", self.precision, "one of " + ", ".join(PRECISIONS[1:])
        )
        _require(self.plane in PLANES, "surface.plane", self.plane, "one of " + ", ".join(PLANES))
        _require(self.grid >= 2, "surface.grid", self.grid, "at least 2 points a side")
        _require(self.grid <= 501, "surface.grid", self.grid, "at most 501 points a side")
        _require(0 <= self.margin <= 10, "surface.margin", self.margin, "between 0 and 10")
        _require(self.samples >= 0, "surface.samples", self.samples, "0 (all) or more")
        _require(
            self.plane != "parameters" or len(set(self.parameters)) == 2,
            "surface.parameters",
            list(self.parameters),
            "two different parameter indices",
        )


@dataclass(frozen=True)
class Grant:
    """Whether the code that a spec names may run: the experiment's folder, and where from (None: it may not)."""

    folder: str = ""
    root: str | None = None


@dataclass(frozen=True)
class ExperimentSpec:
    """Everything that determines an experiment. Equal specs on one machine give equal bits.

    ``loss`` is one of ``training.own_losses.LOSSES`` or a ``package.module:function``; None is what the data ask for,
    cross-entropy for classes. ``metric`` is a ``package.module:function`` that surfaces, their paths and
    points are measured by beside the loss. ``grant`` is never read from a file or written to one.
    """

    name: str
    title: str = ""
    description: str = ""
    seeds: tuple[int, ...] = (0,)
    data: DataSpec = field(default_factory=DataSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    arms: Mapping[str, ArmSpec] = field(default_factory=dict)
    defences: Mapping[str, DefenceSpec] = field(default_factory=dict)
    sal: SalSpec = field(default_factory=SalSpec)
    surface: SurfaceSpec = field(default_factory=SurfaceSpec)
    tasks: TasksSpec | None = None
    loss: str | None = None
    metric: str | None = None
    grant: Grant = field(default=Grant(), compare=False, repr=False, metadata={"stored": False})

    def __post_init__(self) -> None:
        _check_name(self.name, "name")
        known = self.loss is None or self.loss in LOSSES or is_own(self.loss)
        _require(known, "loss", self.loss, f"one of {', '.join(LOSSES)}, or package.module:function")
        _require(self.metric is None or is_own(self.metric), "metric", self.metric, "a package.module:function")
        if self.tasks is not None:
            _require(self.metric is None, "metric", self.metric, "left out where there are tasks, which have their own")
            _require(self.loss is None, "loss", self.loss, "left out where there are tasks, which have their own")
            _require(
                not is_own(self.model.name), "model.name", self.model.name, "a registered name where there are tasks"
            )
        _require(len(self.seeds) > 0, "seeds", list(self.seeds), "a list with at least one seed")
        _require(len(set(self.seeds)) == len(self.seeds), "seeds", list(self.seeds), "different numbers")
        _require(all(s >= 0 for s in self.seeds), "seeds", list(self.seeds), "0 or more")
        _require(bool(self.arms), "arms", {}, "at least one table such as [arms.clean]")
        for arm in self.arms:
            _check_name(arm, "arm")
        self._check_defences()
        if self.tasks is not None:
            wanted = "'none' where there are tasks: crop-flip moves images, but not the targets of their pixels"
            _require(self.training.augmentation == "none", "training.augmentation", self.training.augmentation, wanted)

    def defence(self, name: str) -> DefenceSpec:
        """What an arm's defence means: the table of that name, else a registered defence with its defaults."""
        return self.defences.get(name, DefenceSpec(method=name))

    def _check_defences(self) -> None:
        """Build every defence once, so that names and settings are refused before any work."""
        named = {name: f"arm {arm}" for arm, entry in self.arms.items() for name in entry.defences}
        named |= {name: f"defences.{name}" for name in self.defences}
        if not named:
            return
        from training.defences import DEFENCES, Defence, build_defence  # few specs need it

        for name, where in named.items():
            entry = self.defence(name)
            _require(bool(entry.method), f"{where}: method", entry.method, "the name of a defence, such as 'jpeg'")
            if name not in self.defences and name not in DEFENCES:
                close = difflib.get_close_matches(name, [*self.defences, *DEFENCES], n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join([*self.defences, *DEFENCES])}."
                raise SpecError(f"{where}: there is no defence called {name!r}; {hint}")
            try:
                built = build_defence(entry.method, **dict(entry.options))
            except ValueError as error:
                raise SpecError(f"{where}: {error}") from None
            if self.tasks is not None and type(built).batch is not Defence.batch:
                raise SpecError(
                    f"{where}: {entry.method} changes batches with class labels, not the targets of several tasks; "
                    "take a defence of the whole training set, such as 'jpeg'."
                )

    @property
    def clean_arm(self) -> str | None:
        """The name of the first arm that trains on unchanged data."""
        return next((name for name, arm in self.arms.items() if arm.is_clean), None)

    @property
    def poisoned_arms(self) -> tuple[str, ...]:
        """Names of all other arms, controls included, in the order of the file."""
        return tuple(name for name in self.arms if name != self.clean_arm)


def is_own(name: str | None) -> bool:
    """Whether a name stands for code of the user's own: ``package.module:function``."""
    return bool(name) and OWN_PATTERN.match(str(name)) is not None


def own_names(spec: ExperimentSpec) -> tuple[str, ...]:
    """Code of the user's own that a spec names, each once."""
    named = (spec.model.name, spec.data.name, spec.loss, spec.metric)
    return tuple(dict.fromkeys(name for name in named if name is not None and is_own(name)))


def imported(spec: ExperimentSpec) -> bool:
    """Whether all arms but the reference are runs that were imported."""
    methods = [arm.method for arm in spec.arms.values()]
    return IMPORTED_METHOD in methods and set(methods) <= {CLEAN_METHOD, IMPORTED_METHOD}


def run_name(arm: str, seed: int) -> str:
    """Name a run's file stem, as ``clean-s0``."""
    return f"{arm}-s{seed}"


def parse_run_name(name: str) -> tuple[str, int] | None:
    """Split ``clean-s0`` into its arm and seed; None when the name is not of that form."""
    match = re.fullmatch(r"(.+)-s(\d+)", name)
    return (match[1], int(match[2])) if match else None


def content_key(content: Mapping[str, Any]) -> str:
    """Hash everything that determines a result into 12 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _check_name(name: str, what: str) -> None:
    if not isinstance(name, str) or not NAME_PATTERN.match(name):
        raise SpecError(f"{what} {name!r} must be 1 to 64 letters, digits, dots, dashes or underscores.")


def _require(condition: bool, entry: str, value: Any, wanted: str) -> None:
    if not condition:
        raise SpecError(f"{entry} is {value!r}; it must be {wanted}.")
