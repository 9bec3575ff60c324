"""Poisons made one at a time: what can be chosen, how one is made, looked at, saved, and trained on."""

from __future__ import annotations

import inspect
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bench_spec import data_stem
from experiments.catalogue import home, load_preset_or_file
from experiments.experiment import Experiment, ExperimentError
from experiments.spec import (
    ArmSpec,
    DataSpec,
    ExperimentSpec,
    ModelSpec,
    SalSpec,
    SurfaceSpec,
    TrainingSpec,
    content_key,
)
from training import MODELS, UNLEARNABLE, Dataset, load_dataset, poison
from training.data.npz import NAMES
from training.unlearnable import inspection, ops

DATA_VARIABLE = "UNLEARNSCAPE_DATA"
EMBEDDED = ("digits", "toy")
QUICK_VALUES = 15_000_000  # inputs that a method without a network perturbs in about a second
HIDDEN = ("dataset", "seed", "strength", "progress", "device", "tasks")
CHOICES: dict[str, tuple[str, ...]] = {
    "norm": ("2", "inf"),
    "score": ops.SCORES,
    "setting": ("reduced", "full"),
    "surrogate": tuple(MODELS),
}
SUFFIXES = {"npz": ".npz", "npz-delta": ".npz", "pt": ".pt", "pkl": ".pkl", "tuple": ".poison"}


@dataclass(frozen=True)
class Option:
    """A setting of a method: its name, default, kind (``int``, ``float``, ``bool`` or ``str``) and known values."""

    name: str
    default: Any
    kind: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What determines a poison. ``options`` and ``data_options`` are pairs of name and value."""

    data: str
    method: str
    seed: int = 0
    ratio: float = 1.0
    strength: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    data_options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """A name for files and jobs that no other recipe has."""
        return f"{data_stem(self.data)}-{self.method}-s{self.seed}-{content_key(asdict(self))[:8]}"

    @property
    def file(self) -> Path:
        """Where a poison that takes long is kept: the poisoned data set as ``.npz``."""
        return home() / "poisons" / f"{self.name}.npz"

    def command(self, out: Path, kind: str) -> list[str]:
        """Arguments of ``cli.py`` that write this poison to a file."""
        arguments = ["poison", "make", self.method, "--data", self.data, "--seed", str(self.seed)]
        arguments += [] if self.ratio == 1 else ["--ratio", f"{self.ratio:g}"]
        arguments += [] if self.strength is None else ["--strength", repr(self.strength)]
        for flag, pairs in (("--set", self.options), ("--data-set", self.data_options)):
            arguments += [part for key, value in pairs for part in (flag, f"{key}={_toml(value)}")]
        return [*arguments, "--format", kind, "--out", str(out)]

    def arm(self) -> ArmSpec:
        """The arm of an experiment that trains on this poison."""
        return ArmSpec(self.method, self.ratio, self.strength, options=dict(self.options))


@dataclass(frozen=True, eq=False)
class Made:
    """A poison at hand: x_train, perturbation [N, …] float32, y_train [N] int64, and what it is in words."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    perturbation: NDArray[np.float32]
    description: str


@dataclass(frozen=True, eq=False)
class Look:
    """What a perturbation looks like; ``separability`` and ``map`` are None where nothing is perturbed."""

    norms: inspection.Norms
    class_means: NDArray[np.float64]
    class_share: float
    separability: inspection.Separability | None
    relabelled: int


def data_files() -> list[Path]:
    """Data sets (``.npz`` with training and test data) in ``$UNLEARNSCAPE_DATA``, by name."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder or not Path(folder).is_dir():
        return []
    return [path for path in sorted(Path(folder).glob("*.npz")) if _holds_data(path)]


def method_options(method: str) -> list[Option]:
    """The settings that a method has of its own, in its order."""
    found = []
    for parameter in inspect.signature(UNLEARNABLE[method]).parameters.values():
        if parameter.name in HIDDEN:
            continue
        note = str(parameter.annotation)
        kind = next((kind for kind in ("bool", "int", "float") if note.startswith(kind)), "str")
        choices = CHOICES.get(parameter.name, ())
        found.append(Option(parameter.name, parameter.default, "str" if choices else kind, choices))
    return found


def works_long(method: str) -> bool:
    """Whether a method trains a network or searches long: those report their progress, as reading a file does."""
    return "progress" in inspect.signature(UNLEARNABLE[method]).parameters and method != "file"


def is_quick(method: str, dataset: Dataset) -> bool:
    """Whether a method takes about a second on a data set."""
    return not works_long(method) and dataset.x_train.size <= QUICK_VALUES


def make_now(recipe: Recipe, dataset: Dataset) -> Made:
    """Make a poison here. Raises ValueError with one sentence where the method refuses."""
    made = poison(
        recipe.method,
        dataset,
        seed=recipe.seed,
        ratio=recipe.ratio,
        strength=recipe.strength,
        **dict(recipe.options),
    )
    return Made(made.x_train, made.y_train, made.perturbation, made.description)


def read_made(recipe: Recipe, dataset: Dataset) -> Made:
    """The poison that a job left in the recipe's file. Raises ValueError when it is of other data."""
    found = load_dataset(str(recipe.file.resolve()))
    if found.x_train.shape != dataset.x_train.shape:
        raise ExperimentError(f"{recipe.file} does not hold a poison of this data set; delete it and make it again.")
    delta = found.x_train - dataset.x_train
    return Made(
        found.x_train, found.y_train, delta, f"{recipe.method}, L∞ {_levels(float(np.abs(delta).max()), dataset)}"
    )


def look(made: Made, dataset: Dataset, *, seed: int = 0) -> Look:
    """Norms, class means and linear separability of a perturbation, by the classes that training sees."""
    delta, labels = made.perturbation, dataset.y_train
    separability = None
    if delta.any():
        try:
            separability = inspection.linear_separability(delta, labels, seed=seed)
        except ValueError:  # too few samples of a class
            separability = None
    return Look(
        inspection.norms(delta),
        inspection.class_means(delta, labels, dataset.n_classes),
        inspection.class_share(delta, labels),
        separability,
        int((made.y_train != labels).sum()),
    )


def formats(dataset: Dataset) -> list[str]:
    """Formats that a poison of this data set can be saved in as one file, the fittest first."""
    if dataset.kind != "image":
        return ["npz"]
    return ["npz-delta", "npz", "pt", "pkl", "tuple"] if dataset.eight_bit else ["npz", "pt", "tuple"]


def saved_path(recipe: Recipe, kind: str) -> Path:
    """Where a poison is saved in a format."""
    return home() / "poisons" / f"{recipe.name}-{kind}{SUFFIXES[kind]}"


def lab_experiment(recipe: Recipe, dataset: Dataset, model: str, epochs: int) -> Experiment:
    """Create, or open, the experiment that trains a network on clean data and on this poison.

    Raises:
        ValueError: Settings that no experiment can have, or a folder of that name with others.
    """
    arm = recipe.arm()
    if recipe.file.is_file() and dataset.kind == "image":  # made at length already
        arm = ArmSpec("file", options={"path": str(recipe.file.resolve()), "format": "npz"})
    stem = f"lab-{recipe.name}-{model}"
    name = (stem if epochs == default_training(dataset).epochs else f"{stem}-e{epochs}")[-64:].lstrip("-._")
    training = default_training(dataset)
    blocks = "parameter" if dataset.kind == "features" else "unit"
    spec = ExperimentSpec(
        name=name,
        title=f"{data_stem(recipe.data)}, {model}: clean against {recipe.method}",
        description="Made in the poison lab.",
        seeds=(recipe.seed,),
        data=DataSpec(recipe.data, dict(recipe.data_options)),
        model=ModelSpec(model),
        training=TrainingSpec(**(asdict(training) | {"epochs": epochs})),
        arms={"clean": ArmSpec(), recipe.method: arm},
        sal=SalSpec(blocks=blocks, samples=500),
        surface=SurfaceSpec(grid=25, samples=500),
    )
    return Experiment.create(spec, home() / name)


def default_training(dataset: Dataset) -> TrainingSpec:
    """The schedule of the presets: the toy's for feature vectors, the digits' for images."""
    return load_preset_or_file("toy-ops" if dataset.kind == "features" else "digits-ops").training


def fitting_models(dataset: Dataset) -> list[str]:
    """Networks to train on a data set, the usual one first."""
    if dataset.kind == "features":
        return ["linear", "mlp"]
    first = "lenet5" if dataset.input_shape[0] == 1 else "resnet-small"
    return [first, *(name for name in MODELS if name != first)]


def _holds_data(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {f"{name}.npy" for name in NAMES} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _levels(value: float, dataset: Dataset) -> str:
    return f"{round(255 * value)}/255" if dataset.eight_bit else f"{value:.3g}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def option_values(values: Mapping[str, Any], options: list[Option]) -> tuple[tuple[str, Any], ...]:
    """The settings that differ from the method's own, as pairs for a recipe."""
    defaults = {option.name: option.default for option in options}
    return tuple((name, value) for name, value in values.items() if not _same(value, defaults[name]))


def _same(value: Any, default: Any) -> bool:
    return (
        value == default
        or (default is not None and str(value) == str(default))
        or (default is None and value in ("", None))
    )
