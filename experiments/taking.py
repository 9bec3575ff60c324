"""What can be taken away of a surface: files for other programs; of weights, see ``experiments.taking_weights``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from checkpoints import Result
from experiments.experiment import Experiment, ExperimentError
from experiments.own_metric import under_its_name
from experiments.pictures import choose_surface, surface_picture
from landscape.formats.npz import write_npz
from landscape.formats.stl import write_stl
from landscape.formats.vtp import write_vtp

SURFACE_FORMATS = ("vtp", "stl", "npz", "li")
NPZ_FORMAT = "unlearnscape-surface"


def take_surface(experiment: Experiment, stored: Result, kind: str) -> bytes:
    """A surface as the bytes of one file.

    ``vtp`` (ParaView), ``stl`` (3-D printer), ``npz`` (numpy), or ``li``: a zip archive of the files of Li et al.'s
    tool.
    """
    if kind == "li":
        from experiments.taking_weights import li_files  # the one that needs the network

        return zipped(li_files(experiment, stored))
    if kind == "npz":
        roles = {name: experiment.role_of(name) for name in stored.header["runs"]}
        arrays = under_its_name(stored.arrays, stored.header.get("metric_name"))
        return write_npz({"format": NPZ_FORMAT, "surface": stored.header, "roles": roles}, arrays)
    picture = surface_picture(experiment, stored)
    if kind == "vtp":
        return write_vtp(picture.surface, picture.paths)
    if kind == "stl":
        return write_stl(picture.surface)
    raise ExperimentError(f"A surface can be written as {', '.join(SURFACE_FORMATS)}, not as {kind!r}.")


def holds_weights(experiment: Experiment, stored: Result) -> bool:
    """Whether the network at a surface's points can be had at once: its plane and its first run are stored."""
    return "axes" in stored.arrays and stored.header["runs"][0] in experiment.run_names()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Files as one archive; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


__all__ = ["SURFACE_FORMATS", "choose_surface", "holds_weights", "take_surface", "zipped"]
