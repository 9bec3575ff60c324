"""The folder that ``export --format li`` writes, taken back as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints.importing import ending_of
from checkpoints.importing.fitting import layout_of
from checkpoints.importing.states import State, read_metadata, read_state
from checkpoints.layout import StateLayout
from experiments.experiment import ExperimentError
from experiments.importing_sources import Source
from experiments.spec import parse_run_name
from experiments.taking_weights import ABOUT, DIRECTIONS, ORIGIN, PROJECTION, SURFACE, folder_digest, li_name
from landscape.formats import li2018

AGAIN = "export it again with --format li, or give the runs and the .h5 files themselves"


@dataclass(frozen=True)
class ExportedFolder:
    """The folder, and what its weights say of the surface: its ``header``, ``roles``, ``parameters``, ``digest``."""

    place: Path
    about: Mapping[str, Any]

    @property
    def header(self) -> dict[str, Any]:
        """The surface's header, as the experiment had it that was exported."""
        return dict(self.about["surface"])

    @property
    def roles(self) -> dict[str, str]:
        """The runs on the surface, in its order, with their roles."""
        return {name: str(self.about["roles"].get(name, "poisoned")) for name in self.header["runs"]}

    @property
    def first(self) -> str:
        """The run that the plane's origin is a checkpoint of."""
        return next(iter(self.roles))

    @cached_property
    def state(self) -> State:
        """The network's state at the plane's origin."""
        return read_state(self.place / ORIGIN, wanted=tuple(self.about["parameters"]))

    @property
    def source(self) -> Source:
        """The origin, as the one checkpoint of the first run."""
        arm, seed = parse_run_name(self.first) or (self.first, 0)
        return Source(arm, (self.place / ORIGIN,), recorded=False, seed=seed)

    @cached_property
    def layout(self) -> StateLayout:
        """What of it is trainable, in the order of the directions."""
        names = tuple(map(str, self.about["parameters"]))
        if set(names) - self.state.tensors.keys() or len(set(names)) < len(names):
            raise ExperimentError(f"{self.place / ORIGIN} does not hold the weights that it lists; {AGAIN}.")
        return layout_of(self.state, names)

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Plane, grid, loss, accuracy and metric, and the paths of all runs, as a surface file holds them.

        Raises:
            ExperimentError, checkpoints.CheckpointError: A file is damaged, or of another surface than the others.
        """
        tensors = (self.state.tensors[name] for name in self.layout.parameters.names)
        origin = np.concatenate([tensor.reshape(-1).float().numpy() for tensor in tensors])
        directions = li2018.read_directions(self.place / DIRECTIONS)
        axes = directions.flat(self.layout.parameters.shapes, str(self.place / DIRECTIONS)).astype(np.float32)
        names = {part: li_name(part, self.header.get("metric_name")) for part in ("train", "test")}
        grid = li2018.read_surface(self.place / SURFACE, also=tuple(names.values()))
        part = "test" if "test_loss" in grid.values else "train"
        arrays = {"origin": origin, "axes": axes, "alphas": grid.xcoordinates, "betas": grid.ycoordinates}
        arrays["loss"] = grid.values[f"{part}_loss"]
        if f"{part}_acc" in grid.values:
            arrays["accuracy"] = li2018.from_percent(grid.values[f"{part}_acc"])
        if names[part] in grid.values:
            arrays["metric"] = grid.values[names[part]]
        if folder_digest(arrays) != self.about["digest"]:
            raise ExperimentError(f"The files in {self.place} are not of one surface; {AGAIN}.")
        for name in self.roles:
            path = self.place / f"{name}{PROJECTION}"
            coordinates, more = li2018.read_projection(path), li2018.read_path(path)
            if any(len(more.get(key, ())) != len(coordinates) for key in ("steps", "epochs", "residual")):
                raise ExperimentError(f"{path} does not say of which checkpoints its path is; {AGAIN}.")
            arrays |= {f"path/{name}/{key}": array for key, array in ({"coordinates": coordinates} | more).items()}
        return arrays


def is_exported(place: Path) -> bool:
    """Whether a folder is what ``export --format li`` wrote, whole or in part, and not one of checkpoints."""
    if not place.is_dir():
        return False
    try:
        files = [file for file in place.iterdir() if file.is_file()]
    except OSError:
        return False
    if any(ending_of(file.name) and file.name != ORIGIN for file in files):
        return False
    ours = {DIRECTIONS, SURFACE}
    marks = [file for file in files if file.name in ours or file.name.endswith(PROJECTION)]
    return any(li2018.kind_of(file) is not None for file in marks) or (place / ORIGIN) in files


def read_folder(place: Path) -> ExportedFolder:
    """What a folder of :func:`is_exported` is about.

    Raises:
        ExperimentError, checkpoints.CheckpointError: It is not whole, or was not written by ``export``.
    """
    lacks = [name for name in (DIRECTIONS, SURFACE, ORIGIN) if not (place / name).is_file()]
    about: Any = None
    if ORIGIN not in lacks:
        try:
            about = json.loads(read_metadata(place / ORIGIN).get(ABOUT, "null"))
            folder = ExportedFolder(place, about)
            runs, strings = folder.roles, (about["digest"], *about["parameters"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ExperimentError(
                f"{place / ORIGIN} does not say which surface it is the origin of; {AGAIN}."
            ) from None
        if not runs or not all(isinstance(one, str) for one in (*runs, *strings)):
            raise ExperimentError(f"{place / ORIGIN} says of its surface what cannot be; {AGAIN}.")
        lacks += [f"{name}{PROJECTION}" for name in runs if not (place / f"{name}{PROJECTION}").is_file()]
    if lacks:
        raise ExperimentError(f"The folder {place} lacks {', '.join(lacks)}; {AGAIN}.")
    return ExportedFolder(place, about)
