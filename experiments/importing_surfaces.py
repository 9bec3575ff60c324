"""Surfaces that were computed elsewhere: files of Li et al.'s tool beside their runs, and surfaces exported as npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints import CheckpointError, Result, Run, write_result
from experiments.experiment import Experiment, ExperimentError, versions
from experiments.importing_folder import ExportedFolder, is_exported, read_folder
from experiments.importing_sources import Source
from experiments.own_metric import back_again
from experiments.pictures import surface_picture
from experiments.spec import SurfaceSpec, content_key
from experiments.stored import SURFACE_KIND
from experiments.surface_plan import default_runs, path_arrays
from experiments.taking import NPZ_FORMAT
from experiments.taking_weights import PROJECTION
from landscape import Plane
from landscape.formats import li2018
from landscape.formats.npz import read_npz
from training import fingerprint_arrays

AGREES = 1e-3  # of the largest coordinate: a projection file that differs by more is of other checkpoints
GRID_LIMITS = (2, 501)


@dataclass(frozen=True)
class SurfaceFiles:
    """Files of surfaces among those that an import was given."""

    directions: tuple[Path, ...] = ()
    surfaces: tuple[Path, ...] = ()
    projections: tuple[Path, ...] = ()
    npz: tuple[Path, ...] = ()
    folders: tuple[ExportedFolder, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.directions or self.surfaces or self.projections or self.npz or self.folders)


@dataclass(frozen=True, eq=False)
class Found:
    """A surface to be written into an experiment, and what to say about it."""

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    key: str
    notes: list[str] = field(default_factory=list)


def split_places(places: Sequence[Path]) -> tuple[list[Path], SurfaceFiles]:
    """Tell runs and files of surfaces apart: (runs, surfaces)."""
    runs: list[Path] = []
    found: dict[str, list[Path]] = {"directions": [], "surface": [], "projection": [], "npz": []}
    folders = []
    for place in places:
        kind = None
        if is_exported(place):
            folders.append(read_folder(place))
            continue
        if place.is_file():
            kind = "npz" if place.suffix.lower() == ".npz" else li2018.kind_of(place)
        (runs if kind is None else found[kind]).append(place)
    directions, surfaces, projections, npz = (tuple(files) for files in found.values())
    return runs, SurfaceFiles(directions, surfaces, projections, npz, tuple(folders))


def origins(files: SurfaceFiles, sources: Sequence[Source]) -> list[Source]:
    """Runs that exported folders bring along: the origin of each, where its run is not among those given."""
    known = {source.run for source in sources}
    return list({one.first: one.source for one in files.folders if one.first not in known}.values())


def surface_kinds(places: Sequence[Path]) -> dict[Path, str]:
    """What each file of surfaces among those given is, in words; each is read, and refused where it is damaged."""
    _, files = split_places(places)
    said = {}
    for path in files.directions:
        directions = li2018.read_directions(path)
        kind = "PCA directions" if directions.pca else "directions"
        said[path] = f"{len(directions.axes)} {kind} of {len(directions.axes[0])} tensors (Li et al.)"
    for path in files.surfaces:
        grid = li2018.read_surface(path)
        shape = f"{len(grid.xcoordinates)}×{len(grid.ycoordinates)}"
        said[path] = f"a surface {shape} with {', '.join(grid.values)} (Li et al.)"
    for path in files.projections:
        said[path] = f"a projected path of {len(li2018.read_projection(path))} checkpoints (Li et al.)"
    for path in files.npz:
        header = read_npz(path)[0].get("surface")
        runs = header.get("runs") if isinstance(header, dict) else None
        said[path] = f"an exported surface with the runs {', '.join(map(str, runs or []))}"
    for folder in files.folders:
        shape = "×".join(map(str, folder.arrays["loss"].shape))
        said[folder.place] = f"an exported surface {shape} with the runs {', '.join(folder.roles)} (Li et al.)"
    return said


def roles_of(files: SurfaceFiles) -> dict[str, str]:
    """Runs that exported surfaces name, with their roles, in order."""
    roles: dict[str, str] = {}
    for path in files.npz:
        held = read_npz(path)[0].get("roles")
        if isinstance(held, dict):
            roles |= {str(name): str(role) for name, role in held.items()}
    for folder in files.folders:
        roles |= folder.roles
    return roles


def options_of(files: SurfaceFiles) -> SurfaceSpec:
    """The settings that the pages should open: those of the first imported surface."""
    for path in files.surfaces[:1]:
        pca = any(li2018.read_directions(one).pca for one in _directions_of(files, li2018.read_surface(path), path))
        return SurfaceSpec(plane="pca" if pca else "random")
    for folder in files.folders[:1]:
        return _options(folder.header)
    return SurfaceSpec()


def _options(header: Mapping[str, Any]) -> SurfaceSpec:
    """The settings in a surface's header. Raises :class:`ExperimentError`."""
    try:
        own: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in header["options"].items()}
        return SurfaceSpec(**own)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExperimentError(f"A surface to import lacks what a surface needs ({error!r:.80}).") from None


def import_surfaces(experiment: Experiment, files: SurfaceFiles) -> list[str]:
    """Write surfaces into an experiment that holds their runs; returns what is to be said about them.

    Raises:
        ExperimentError, CheckpointError: A file cannot be used; then none is written.
    """
    if files.projections and not files.surfaces:
        raise ExperimentError(
            f"{files.projections[0]} holds a path without its surface; give the surface file as well."
        )
    found = [_read_npz(path, experiment) for path in files.npz]
    for path in files.surfaces:
        found += _read_li(path, files, experiment)
    found += [_read_folder(folder, experiment) for folder in files.folders]
    for one in found:
        _check(one, experiment)
    said = []
    for one in found:
        target = experiment.path / "surfaces" / f"{one.key}.h5"
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            write_result(target, kind=SURFACE_KIND, header=one.header, arrays=one.arrays)
        said += [f"surface {one.key}: {one.header['options']['plane']} plane", *one.notes]
    return said


def _check(one: Found, experiment: Experiment) -> None:
    """Draw it once in the mind: a file that lacks something is refused before it is stored."""
    try:
        picture = surface_picture(experiment, Result(one.header, one.arrays))
        shape = (len(picture.surface.alphas), len(picture.surface.betas))
        _options(one.header)
        fits = picture.surface.loss.shape == shape and all(
            path.coordinates.shape == (len(path.steps), 2) and len(path.residual) == len(path.steps) > 0
            for path in picture.paths
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ExperimentError(f"A surface to import lacks what a surface needs ({error!r:.80}).") from None
    if not fits or not picture.paths:
        raise ExperimentError("A surface to import has tables that do not fit together.")


def _read_npz(path: Path, experiment: Experiment) -> Found:
    held, arrays = read_npz(path)
    header = held.get("surface")
    if held.get("format") != NPZ_FORMAT or not isinstance(header, dict):
        raise CheckpointError(f"{path} holds no surface; give a file that export --format npz wrote.")
    known = {experiment.arm_of(name) for name in map(str, header.get("runs", []))} - set(experiment.spec.arms)
    if known:
        raise ExperimentError(f"{path} is about {', '.join(sorted(known))}, which {experiment.name} does not have.")
    arrays = back_again(arrays, header.get("metric_name"))
    return Found(header, arrays, content_key({"kind": SURFACE_KIND, "npz": fingerprint_arrays(*arrays.values())}))


def _directions_of(files: SurfaceFiles, grid: li2018.GridFile, path: Path) -> list[Path]:
    """The direction file of a surface: the only one, or the one it names."""
    if len(files.directions) == 1:
        return list(files.directions)
    named = PurePosixPath(grid.dir_file.replace("\\", "/")).name
    matching = [one for one in files.directions if one.name == named]
    if len(matching) != 1:
        raise ExperimentError(f"{path} was made with the directions {named or '?'}; give that file as well.")
    return matching


def _read_li(path: Path, files: SurfaceFiles, experiment: Experiment) -> list[Found]:
    grid = li2018.read_surface(path)
    (directions_path,) = _directions_of(files, grid, path)
    directions = li2018.read_directions(directions_path)
    names = default_runs(experiment)
    runs = {name: experiment.open_run(name) for name in names}
    first = runs[names[0]]
    at = _origin_index(first, grid.dir_file)
    origin = first.vector(at)
    axes = directions.flat(first.parameters.shapes, str(directions_path))
    plane = Plane(origin.astype(np.float64), axes)
    arrays: dict[str, NDArray[Any]] = {"origin": origin, "axes": axes.astype(np.float32)}
    projected = {}
    for name, run in runs.items():
        projected[name] = plane.project(run.vector(i) for i in range(len(run)))
        arrays |= path_arrays(name, run, *projected[name])
    notes = [f"its origin is step {int(first.steps[at])} of {names[0]}"]
    notes += [_compare(one, {name: c for name, (c, _) in projected.items()}) for one in files.projections]
    header = _header(experiment, runs, directions.pca, names[0], int(first.steps[at]))
    found = []
    for part, on, label in (("train", "clean", "clean training data"), ("test", "test", "test data")):
        if f"{part}_loss" in grid.values:
            mine = header | {"measured_on": label, "options": header["options"] | {"on": on}}
            found.append(_found(mine, arrays | _values(grid, part), grid, notes))
            notes = []
    return found


def _read_folder(folder: ExportedFolder, experiment: Experiment) -> Found:
    """A folder of ours: as it was exported, for it says of itself what the files of Li et al. do not."""
    arrays, header = folder.arrays, folder.header | {"imported": "li2018", "versions": versions()}
    plane = Plane(arrays["origin"].astype(np.float64), arrays["axes"].astype(np.float64))
    notes = []
    for name in folder.roles:
        if name not in experiment.run_names():
            continue
        run = experiment.open_run(name)
        if np.array_equal(run.steps, arrays[f"path/{name}/steps"]):
            mine, _ = plane.project(run.vector(i) for i in range(len(run)))
            notes.append(_compare(folder.place / f"{name}{PROJECTION}", {name: mine}))
        elif name == folder.first and len(run) == 1:
            notes.append(f"{name} has one checkpoint, the origin of the plane; its path is that of the folder")
        else:
            raise ExperimentError(f"The path of {name} in {folder.place} is not of the checkpoints of that run here.")
    key = content_key({"kind": SURFACE_KIND, "li2018": fingerprint_arrays(*(arrays[name] for name in sorted(arrays)))})
    return Found(header, arrays, key, notes)


def _values(grid: li2018.GridFile, part: str) -> dict[str, NDArray[Any]]:
    """Loss, accuracy in [0, 1] and what was evaluated."""
    loss = grid.values[f"{part}_loss"]
    missing = loss == li2018.NOT_COMPUTED
    values: dict[str, NDArray[Any]] = {"loss": np.where(missing, np.nan, loss)}
    if f"{part}_acc" in grid.values:
        accuracy = li2018.from_percent(grid.values[f"{part}_acc"])
        values["accuracy"] = np.where(missing, np.nan, accuracy)
    if missing.any():
        values["evaluated"] = (~missing).astype(np.uint8)
    return values


def _found(header: dict[str, Any], arrays: dict[str, NDArray[Any]], grid: li2018.GridFile, notes: list[str]) -> Found:
    arrays = {"alphas": grid.xcoordinates, "betas": grid.ycoordinates} | arrays
    evaluated = int(arrays["evaluated"].sum()) if "evaluated" in arrays else arrays["loss"].size
    side = int(np.clip(max(arrays["loss"].shape), *GRID_LIMITS))
    header = header | {"points_evaluated": evaluated, "options": header["options"] | {"grid": side}}
    if evaluated < arrays["loss"].size:
        notes = [*notes, f"{arrays['loss'].size - evaluated} of its points were not computed"]
    key = content_key({"kind": SURFACE_KIND, "li2018": fingerprint_arrays(*(arrays[name] for name in sorted(arrays)))})
    return Found(header, arrays, key, notes)


def _header(
    experiment: Experiment, runs: Mapping[str, Run], pca: Mapping[str, NDArray[Any]], first: str, step: int
) -> dict[str, Any]:
    ratio = pca.get("explained_variance_ratio_")
    spec = replace(experiment.spec.surface, plane="random" if ratio is None else "pca", samples=0, block="", seed=0)
    names = ["direction 1", "direction 2"]
    if ratio is not None:
        names = [f"PC {k + 1} ({100 * float(r):.0f} %)" for k, r in enumerate(ratio)]
    return {
        "options": asdict(spec),
        "runs": list(runs),
        "fingerprints": {name: run.fingerprint for name, run in runs.items()},
        "samples": 0,  # these files do not say
        "available": 0,
        "data_fingerprint": "",
        "explained_variance_ratio": None if ratio is None else [float(r) for r in ratio],
        "axis_names": names,
        "parameters": sum(int(np.prod(shape, dtype=np.int64)) for shape in runs[first].parameters.shapes),
        "norm_statistics": f"imported; origin at step {step} of {first}",
        "strategy": "imported",
        "interpolation_error": None,
        "precision_error": None,
        "imported": "li2018",
        "versions": versions(),
    }


def _origin_index(run: Run, dir_file: str) -> int:
    """The checkpoint that a surface file names as the centre of its plane; else the last one."""
    imported = run.metadata.get("imported")
    labels = imported.get("files", []) if isinstance(imported, dict) else []
    name = PurePosixPath(dir_file.replace("\\", "/")).name
    starting = [i for i, label in enumerate(labels) if isinstance(label, str) and name.startswith(f"{label}_")]
    return starting[0] if starting and starting[0] < len(run) else len(run) - 1


def _compare(path: Path, projected: Mapping[str, NDArray[np.float64]]) -> str:
    """What a projection file says about its path, against the projection of the imported checkpoints."""
    theirs = li2018.read_projection(path)
    same = {name: mine for name, mine in projected.items() if mine.shape == theirs.shape}
    if not same:
        return f"{path.name} has {len(theirs)} points, as many as no imported run"
    scale = max(float(np.abs(theirs).max()), 1e-12)
    apart = {name: float(np.abs(mine - theirs).max()) / scale for name, mine in same.items()}
    name = min(apart, key=lambda one: apart[one])
    if not apart[name] <= AGREES:
        return f"{path.name} differs from the path of {name} by up to {100 * apart[name]:.2g} % of its extent"
    return f"{path.name} agrees with the path of {name} to {apart[name]:.1g} of its extent"
