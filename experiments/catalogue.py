"""Where experiments are: the user's folder, the gallery that ships with the project, and the presets."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

from checkpoints import CheckpointError, write_bytes
from experiments.bench_spec import BENCH_FILE
from experiments.experiment import SPEC_FILE, Experiment, ExperimentError
from experiments.spec import NAME_PATTERN, ExperimentSpec, SpecError
from experiments.spec_toml import load_spec

HOME_VARIABLE = "UNLEARNSCAPE_HOME"
PRESETS = Path(__file__).parent / "presets"
BENCH_PRESETS = PRESETS / "benches"
GALLERY = Path(__file__).parent / "gallery"
MOST_NAMED = 12  # in a sentence
LONGEST_TITLE = 120  # letters
ALIASES = {
    "toy-ops-random": "toy-random",
    "digits-ops-random": "digits-random",
    "mnist-ops-random": "mnist-random",
}


def home() -> Path:
    """The folder of the user's experiments: ``$UNLEARNSCAPE_HOME``, else ``experiments_data`` here."""
    return Path(os.environ.get(HOME_VARIABLE) or "experiments_data")


def preset_names() -> list[str]:
    """Names of the presets that ship with the project."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_preset_or_file(name: str) -> ExperimentSpec:
    """Load a preset by name, or a TOML file by path. Raises :class:`SpecError` naming what there is."""
    name = ALIASES.get(name, name)
    if name in preset_names():
        return load_spec(PRESETS / f"{name}.toml")
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return load_spec(path)
    raise SpecError(f"There is no preset, experiment or TOML file called {name!r}; {_known(name)}.")


def _known(name: str) -> str:
    """What may have been meant: presets and the user's experiments."""
    mine = [folder.name for folder in folders(home()) if (folder / SPEC_FILE).is_file()]
    return nearest_first(name, {"presets": preset_names(), "experiments of yours": mine})


def bench_preset_names() -> list[str]:
    """Names of the benchmarks' specs that ship with the project."""
    return sorted(path.stem for path in BENCH_PRESETS.glob("*.toml"))


def find_bench_spec(name: str) -> Path:
    """The file of a benchmark's spec: a preset by name, else a path. Raises :class:`SpecError` naming close matches."""
    if name in bench_preset_names():
        return BENCH_PRESETS / f"{name}.toml"
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return path
    close = difflib.get_close_matches(name, bench_preset_names(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"presets are {', '.join(bench_preset_names())}."
    raise SpecError(f"There is no benchmark, preset or TOML file called {name!r}; {hint}")


def list_experiments() -> list[Experiment]:
    """All experiments, also in benchmarks: the user's first, then those of the gallery that the user has no copy of."""
    found: dict[str, Experiment] = {}
    for root in (home(), GALLERY):
        for folder in folders(root):
            inside = folders(folder) if (folder / BENCH_FILE).is_file() else [folder]
            for one in inside:
                if (one / SPEC_FILE).is_file():
                    found.setdefault(one.name, Experiment(one))
    return list(found.values())


def folders(root: Path) -> list[Path]:
    """Folders in a folder, by name; none where it does not exist."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def find_experiment(name_or_path: str) -> Experiment:
    """Open an experiment by folder path, or by name in the user's folder and the gallery.

    Raises:
        ExperimentError: There is none; the nearest name and those that there are follow, or how to make it.
    """
    path = Path(name_or_path)
    if (path / SPEC_FILE).is_file():
        return Experiment.open(path)
    by_name = {experiment.name: experiment for experiment in list_experiments()}
    if name_or_path in by_name:
        return Experiment.open(by_name[name_or_path].path)
    if name_or_path in preset_names():
        hint = f"it is a preset, which this trains: train {name_or_path}"
    else:
        hint = f"{nearest_first(name_or_path, {'experiments': list(by_name)})}."
    raise ExperimentError(f"There is no experiment {name_or_path!r}; {hint}")


def nearest_first(name: str, kinds: Mapping[str, Sequence[str]]) -> str:
    """What may have been meant, for the end of a sentence: the nearest name, then all there are of each kind.

    Args:
        name: What was asked for. kinds: {kind, in the plural: names}; those without names are left out.
    """
    close = difflib.get_close_matches(name, [one for names in kinds.values() for one in names], n=1)
    parts = []
    for what, names in kinds.items():
        ranked = sorted(names, key=lambda one: -difflib.SequenceMatcher(None, name, one).ratio())
        more = f" and {len(ranked) - MOST_NAMED} more" if len(ranked) > MOST_NAMED else ""
        parts += [f"{what} are {', '.join(ranked[:MOST_NAMED])}{more}"] if ranked else []
    listed = "; ".join(parts)
    return f"did you mean {close[0]}? {listed[0].upper()}{listed[1:]}" if close else listed


def is_gallery(experiment: Experiment) -> bool:
    """Whether an experiment ships with the project and must not be changed."""
    return GALLERY in experiment.path.resolve().parents


def retitle(experiment: Experiment, title: str) -> None:
    """Give an experiment another title; its name, by which links and commands know it, stays.

    Raises:
        ExperimentError: It ships with the project, the title is none, or the folder cannot be written.
    """
    title = " ".join(title.split())
    if not title or len(title) > LONGEST_TITLE or not title.isprintable():
        raise ExperimentError(f"A title is one line of 1 to {LONGEST_TITLE} letters, digits and signs.")
    if is_gallery(experiment):
        raise ExperimentError(f"{experiment.name} ships with the project and keeps its title.")
    file = Experiment.open(experiment.path).path / SPEC_FILE  # which it is not where the spec cannot be read
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    try:
        write_bytes(file, tomli_w.dumps({**table, "title": title}).encode())
    except CheckpointError as error:
        raise ExperimentError(str(error)) from None


def writable(experiment: Experiment) -> Experiment:
    """The experiment itself, or, for one of the gallery, the user's own copy (made now if need be)."""
    if not is_gallery(experiment):
        return experiment
    target = home() / experiment.name
    if not (target / SPEC_FILE).is_file():
        home().mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{experiment.name}-", dir=home()))
        try:
            shutil.copytree(experiment.path, staging, dirs_exist_ok=True)
            os.replace(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Experiment.open(target)


def check_name(name: str) -> str:
    """Return a name that may become a folder of the user's; raise :class:`ExperimentError` otherwise."""
    if not NAME_PATTERN.match(name):
        raise ExperimentError(f"{name!r} cannot be a name; use 1 to 64 letters, digits, dots, dashes, underscores.")
    return name
