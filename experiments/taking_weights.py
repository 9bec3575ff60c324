"""The weights of any point of a surface's plane, and the files of Li et al.'s tool, which hold the directions of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from checkpoints import Result
from experiments.experiment import Experiment, ExperimentError
from experiments.finite import finite_run
from experiments.materials import dataset_of, network
from experiments.own_metric import metric_label
from experiments.probe import network_of, plane_of
from landscape import ParameterLayout
from landscape.formats import li2018
from training import fingerprint_arrays

DIRECTIONS, SURFACE, ORIGIN = "directions.h5", "surface.h5", "origin.safetensors"
PROJECTION = "_proj_cos.h5"
ABOUT = "unlearnscape"  # in the metadata of the origin: what the other files do not say
NOT_IN_LI = ("divergence", "imported", "versions")  # of a surface's header: about what they lack


def li_files(experiment: Experiment, stored: Result) -> dict[str, bytes]:
    """The files of Li et al.'s tool: directions, surface, and the projected path of each run.

    Beside them the weights at the plane's origin, where they are known. Raises :class:`ExperimentError`.
    """
    arrays, header = stored.arrays, stored.header
    plane_of(stored)  # says what is missing
    shapes = _layout(experiment, stored).shapes
    tensors = [
        tuple(part.reshape(shape) for part, shape in zip(_split(axis, shapes), shapes, strict=True))
        for axis in arrays["axes"]
    ]
    ratio = header["explained_variance_ratio"]
    pca = {} if ratio is None else {"explained_variance_ratio_": np.asarray(ratio, np.float64)}
    part = "test" if str(header["measured_on"]).startswith("test") else "train"
    values = {f"{part}_loss": arrays["loss"]}
    if "accuracy" in arrays:
        values[f"{part}_acc"] = li2018.to_percent(arrays["accuracy"])
    if "metric" in arrays:
        values[li_name(part, header.get("metric_name"))] = arrays["metric"]
    grid = li2018.GridFile(arrays["alphas"], arrays["betas"], values, DIRECTIONS)
    files = {
        DIRECTIONS: li2018.write_directions(li2018.Directions(tuple(tensors), pca)),
        SURFACE: li2018.write_surface(grid),
    }
    for name in header["runs"]:
        start = f"path/{name}/"
        path = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
        files[f"{name}{PROJECTION}"] = li2018.write_projection(path.pop("coordinates"), path)
    try:
        return files | {ORIGIN: _weights(experiment, stored, 0.0, 0.0, _about(experiment, stored))}
    except ExperimentError:  # an experiment that ships without its runs
        return files


def weights_at(experiment: Experiment, stored: Result, alpha: float, beta: float) -> bytes:
    """The network's state at a point of a surface's plane, as safetensors; buffers are those of the plane's origin.

    Tied weights are stored once, the other names are in the metadata, as are the point and what it is a point of.
    Raises :class:`ExperimentError` where the plane or the network is not known.
    """
    return _weights(experiment, stored, alpha, beta, {})


def _weights(experiment: Experiment, stored: Result, alpha: float, beta: float, more: Mapping[str, str]) -> bytes:
    from safetensors.torch import save

    if not (isfinite(alpha) and isfinite(beta)):
        raise ExperimentError("A point needs two finite numbers, such as 0.12,-0.5.")
    plane = plane_of(stored)
    point = plane.point(alpha, beta) if alpha or beta else plane.origin  # to the bit, signs of zeros included
    layout = _layout(experiment, stored)
    kept, tied = _without_ties(_origin_state(experiment, stored), layout.names)
    for name, shape, part in zip(layout.names, layout.shapes, _split(point, layout.shapes), strict=True):
        kept[name] = torch.from_numpy(part.reshape(shape)).to(kept[name].dtype)
    about = {"experiment": experiment.name, "runs": stored.header["runs"], "alpha": alpha, "beta": beta}
    return _repeatable(save(kept, metadata={"format": "pt", **tied, "point": json.dumps(about), **more}))


def _about(experiment: Experiment, stored: Result) -> dict[str, str]:
    """What Li et al.'s files do not say of a surface, for the import of the whole folder."""
    header = {key: value for key, value in stored.header.items() if key not in NOT_IN_LI}
    about: dict[str, Any] = {
        "surface": header,
        "roles": {name: experiment.role_of(name) for name in stored.header["runs"]},
        "parameters": list(_layout(experiment, stored).names),
        "digest": folder_digest(stored.arrays),
    }
    with finite_run(experiment, stored.header["runs"][0]) as run:
        steps = [int(run.steps[i]) for i in (len(run) - 1, 0) if np.array_equal(run.vector(i), stored.arrays["origin"])]
    return {ABOUT: json.dumps(about, sort_keys=True), **({"step": str(steps[0])} if steps else {})}


def li_name(part: str, metric: object) -> str:
    """What a metric of the user's own is called in a surface file of Li et al., as ``train_loss`` is."""
    name = f"{part}_{metric_label(metric) or 'metric'}"
    return name if name not in li2018.VALUES else f"{part}_metric"


def folder_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hash of what ties the files of Li et al. to each other: plane, grid and loss."""
    return fingerprint_arrays(*(arrays[name] for name in ("origin", "axes", "alphas", "betas", "loss")))


def _repeatable(data: bytes) -> bytes:
    """A safetensors file with its header in the order of the names: the library's own order changes."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _layout(experiment: Experiment, stored: Result) -> ParameterLayout:
    name = stored.header["runs"][0]
    if name not in experiment.run_names():
        return ParameterLayout.from_model(network(experiment.spec, dataset_of(experiment.spec), seed=0))
    with experiment.open_run(name) as run:
        return ParameterLayout(run.parameters.names, run.parameters.shapes)


def _origin_state(experiment: Experiment, stored: Result) -> dict[str, Tensor]:
    """The full state whose buffers the surface was evaluated with."""
    name = stored.header["runs"][0]
    if name not in experiment.run_names():
        return dict(network_of(experiment, stored).state_dict())
    with finite_run(experiment, name) as run:
        return run.state_dict(len(run) - 1)


def _without_ties(state: Mapping[str, Tensor], first: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once, parameters under their own names, and {other name: name}."""

    def place(name: str) -> tuple[Any, ...]:
        tensor = state[name]
        return (tensor.data_ptr(), tuple(tensor.shape)) if tensor.numel() else (name,)

    owner = {place(name): name for name in first}
    own = {name: owner.setdefault(place(name), name) for name in state}
    kept = {name: tensor.contiguous() for name, tensor in state.items() if own[name] == name}
    return kept, {name: other for name, other in own.items() if other != name}


def _split(vector: NDArray[Any], shapes: tuple[tuple[int, ...], ...]) -> list[NDArray[Any]]:
    return np.split(vector, np.cumsum([prod(shape) for shape in shapes])[:-1])
