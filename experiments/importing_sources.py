"""What an import is given: recordings, folders of checkpoints, checkpoint files; and the arms they become."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from checkpoints import CheckpointError, open_run
from checkpoints.importing import ending_of, find_checkpoints
from checkpoints.manifest import MANIFEST, live_folder
from experiments.experiment import ExperimentError
from experiments.spec import NAME_PATTERN, parse_run_name, run_name

MOST_HINTED = 6  # runs in a command that is suggested


@dataclass(frozen=True)
class Source:
    """What becomes one run: a recording, a folder of checkpoints, or checkpoint files.

    ``name`` is that of its arm; several runs may be seeds of one arm.
    """

    name: str
    places: tuple[Path, ...]
    recorded: bool
    metrics: Path | None = None
    seed: int = 0

    @property
    def run(self) -> str:
        """The name of the run."""
        return run_name(self.name, self.seed)

    @property
    def given(self) -> Path | list[Path]:
        """As :func:`checkpoints.importing.import_checkpoints` takes it."""
        return self.places[0] if len(self.places) == 1 else list(self.places)


def find_sources(places: Sequence[Path], metrics: Sequence[Path] = ()) -> list[Source]:
    """Tell recordings, folders of checkpoints and checkpoint files apart, and name the arms after them.

    Where every name ends in a seed, as ``sgd-s0``, and each arm has the same seeds, they become seeds of one arm.
    """
    loose = [place for place in places if ending_of(place.name) and place.is_file()]
    sources: list[Source] = []
    for place in places:
        if place in loose:
            if place == loose[0]:
                name = (
                    place.name.removesuffix(ending_of(place.name)) if len(loose) == 1 else place.resolve().parent.name
                )
                sources.append(Source(arm_name(name), tuple(loose), recorded=False))
        elif place.is_dir() and not _is_recording(place):
            sources.append(Source(arm_name(place.resolve().name), (place,), recorded=False))
        else:
            name = place.name.removesuffix(".live").removesuffix(".h5")
            if not NAME_PATTERN.match(name):
                raise ExperimentError(
                    f"The recording's name {name!r} must be letters, digits, dots, dashes, underscores."
                )
            sources.append(Source(name, (place,), recorded=True))
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ExperimentError(f"Two recordings have one name among {', '.join(names)}; rename one of the files.")
    return _with_seeds(_with_metrics(sources, metrics))


def arm_name(name: str) -> str:
    """A folder's name as that of an arm: letters, digits, dots, dashes, underscores."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:64] or "run"


def _with_metrics(sources: list[Source], metrics: Sequence[Path]) -> list[Source]:
    mine = [source for source in sources if not source.recorded]
    if metrics and len(metrics) != len(mine):
        raise ExperimentError(
            f"{len(metrics)} tables of metrics were given for {len(mine)} runs of checkpoints; give one --metrics for "
            "each."
        )
    tables = {source.name: table for source, table in zip(mine, metrics, strict=False)}
    return [replace(source, metrics=tables.get(source.name)) for source in sources]


def _with_seeds(sources: list[Source]) -> list[Source]:
    parsed = [parse_run_name(source.name) for source in sources]
    seeds: dict[str, set[int]] = {}
    for one in parsed:
        if one is None:
            return sources
        seeds.setdefault(one[0], set()).add(one[1])
    same = len({frozenset(of_arm) for of_arm in seeds.values()}) == 1
    if not same or not all(NAME_PATTERN.match(name) for name in seeds):
        return sources
    return [replace(s, name=one[0], seed=one[1]) for s, one in zip(sources, parsed, strict=True) if one is not None]


def _is_recording(place: Path) -> bool:
    return (live_folder(place) / MANIFEST).is_file()


def import_hint(place: Path) -> str:
    """What lies at a path that is no experiment, with the command that imports it, as a clause; empty for nothing."""
    try:
        return _hint(place)
    except (OSError, ValueError):  # a name that no file can have is a ValueError
        return ""


def _hint(place: Path) -> str:
    name = shlex.quote(arm_name(place.name.removesuffix(".h5")))
    if place.is_file():
        try:
            with open_run(place):
                return f"{place} is a recorded run; make an experiment of it: import {name} {shlex.quote(str(place))}"
        except CheckpointError:
            return ""
    if not place.is_dir():
        return ""
    if _is_recording(place):
        return f"{place} is a recording; make an experiment of it: import {name} {shlex.quote(str(place))}"
    try:
        files = len(find_checkpoints(place).files)
    except CheckpointError as error:  # in no order that can be told, say; or there are none
        files = 0
        folders = [one for one in sorted(place.iterdir()) if one.is_dir() and _holds_checkpoints(one)]
        recorded = [one for one in sorted(place.glob("*.h5")) if one.is_file()]
        inside = [*folders, *recorded][:MOST_HINTED]
        if not inside:
            return "" if "holds no checkpoint" in str(error) else f"the folder {place} holds checkpoints: {error}"
        given = " ".join(shlex.quote(str(one)) for one in inside)
        more = " …" if len(folders) + len(recorded) > len(inside) else ""
        return f"the folder {place} holds runs; make an experiment of them: import {name}-all {given}{more}"
    count = f"{files} checkpoint{'' if files == 1 else 's'}"
    # The name of the folder itself would be that of the experiment's folder where experiments lie in this one.
    return f"the folder {place} holds {count}; make an experiment of them: import {name}-runs {shlex.quote(str(place))}"


def _holds_checkpoints(folder: Path) -> bool:
    try:
        return bool(find_checkpoints(folder).files)
    except CheckpointError:
        return False
