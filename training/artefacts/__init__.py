"""Poisons as files: read what others published, verify it against the data set, write one's own in the same formats.

Reading never executes anything a file holds. What is read is an :class:`Artefact`; :func:`verify` tells whether it
fits a data set and keeps its promise.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.artefacts import (
    adversarial_pt,
    image_tuple,
    int8_pickle,
    npy_files,
    npz_file,
    perturbation_pt,
    png_folder,
    torch_files,
)
from training.artefacts.alignment import Alignment, align, applied_delta, read_index
from training.artefacts.artefact import Artefact, ArtefactError, Progress
from training.artefacts.order import match_order
from training.artefacts.verification import Budget, Report, examine, verify
from training.artefacts.writing import write_artefact

READERS: dict[str, Callable[..., Artefact]] = {
    "png": png_folder.read,
    "pt": perturbation_pt.read,
    "pkl": int8_pickle.read,
    "npy": npy_files.read_noise,
    "npy-pair": npy_files.read_pair,
    "npz-delta": npz_file.read_delta,
    "npz": npz_file.read,
    "tuple": image_tuple.read,
    "adv-pt": adversarial_pt.read,
}
FORMATS = tuple(READERS)
TUPLES = (".poison", ".p1", ".p2", ".p3", ".p4", ".p5")


def read_artefact(path: Path | str, *, format: str = "auto", progress: Progress | None = None) -> Artefact:
    """Read a poison from a file or a folder of images.

    Args:
        path: The file or folder.
        format: One of ``FORMATS``, or ``auto`` to tell it by the name and what is inside.
        progress: Called as ``progress(done, total)`` while a folder is read.

    Raises:
        ArtefactError: It cannot be read, or holds more than numbers; one sentence.
    """
    place = Path(path).expanduser()
    if format != "auto" and format not in READERS:
        close = difflib.get_close_matches(format, FORMATS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(FORMATS)}."
        raise ArtefactError(f"There is no artefact format called {format!r}; {hint}")
    if not place.exists():
        raise ArtefactError(f"There is no file or folder {place}.")
    try:
        if format == "png" or (format == "auto" and place.is_dir()):
            return png_folder.read(place, progress)
        return _guess(place)(place) if format == "auto" else READERS[format](place)
    except MemoryError:
        raise ArtefactError(f"{place} does not fit into memory; give a smaller file.") from None
    except OSError as error:
        raise ArtefactError(f"{place} cannot be read ({error.strerror or error}).") from None


def _guess(path: Path) -> Callable[..., Artefact]:
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        return int8_pickle.read
    if suffix == ".npy":
        return npy_files.read
    if suffix == ".npz":
        return npz_file.read
    if suffix in TUPLES:
        return image_tuple.read
    if suffix in (".pt", ".pth"):
        return _read_torch
    raise ArtefactError(f"The format of {path} cannot be told from its name; say which of {', '.join(FORMATS)} it is.")


def _read_torch(path: Path) -> Artefact:
    held: Any = torch_files.load_tensors(path)
    if isinstance(held, (tuple, list)):
        return image_tuple.parse(held, path)
    if getattr(held, "ndim", 0) == 3:
        return adversarial_pt.parse(held, path)
    return perturbation_pt.parse(held, path)


__all__ = [
    "FORMATS",
    "Alignment",
    "Artefact",
    "ArtefactError",
    "Budget",
    "Report",
    "align",
    "applied_delta",
    "examine",
    "match_order",
    "read_artefact",
    "read_index",
    "verify",
    "write_artefact",
]
