"""A poison from a file: what others made and published, applied as they meant it.

Formats: those of ``training.artefacts``. The file is verified against the data set before anything is trained on it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.artefacts import (
    ArtefactError,
    Budget,
    Report,
    align,
    applied_delta,
    read_artefact,
    read_index,
    verify,
)
from training.data import Dataset
from training.data.torchvision_sets import find_file
from training.unlearnable.perturbation import Perturbation


def perturb(
    dataset: Dataset,
    *,
    seed: int,
    strength: float | None = None,
    path: str = "",
    format: str = "auto",
    positive_only: bool = False,
    index: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Perturbation:
    """Read, verify and return the perturbations of a file.

    Args:
        dataset: Clean data, in the order the file is meant for.
        seed: Picks among alternatives, where the file holds several.
        strength: The L∞ radius the file promises, on the scale [0, 1]; more is refused. Default: as measured.
        path: The file or folder; a relative path is also looked for in the data folder, ``$UNLEARNSCAPE_DATA``.
        format: As in :func:`training.artefacts.read_artefact`.
        positive_only: Imitate the importer by which the published accuracies of EM were got.
        index: File with the positions of the samples in the larger set that the poison is of.
        progress: Called as ``progress(done, total)`` while a folder of images is read.

    Raises:
        ArtefactError: There is no such file, or it does not fit the data set or breaks its promise.
    """
    if not isinstance(path, str) or not path:
        raise ArtefactError('The method file needs the path of a poison, such as path = "poison.npz".')
    if not isinstance(positive_only, bool):
        raise ArtefactError(f"positive_only is true or false, not {positive_only!r}.")
    artefact = read_artefact(find_file(path), format=format, progress=progress)
    positions = read_index(find_file(index)) if index else None
    report = verify(artefact, dataset, promised=Budget(linf=strength), index=positions)
    if report.linf == 0:
        raise ArtefactError(f"{artefact.source} changes nothing: it holds the clean data, or a perturbation of zeros.")
    delta = applied_delta(
        artefact, dataset, align(artefact, dataset, positions), seed=seed, positive_only=positive_only
    )
    share = "" if report.covered == report.samples else f" for {report.covered} of {report.samples} samples"
    kept = ", positive part alone" if positive_only else ""
    return Perturbation(
        np.asarray(delta),
        f"{Path(path).name} from a file{kept}{share}",
        _words(report),
        strength if strength is not None else report.linf,
    )


def _words(report: Report) -> str:
    radius = f"{report.levels}/255" if report.levels is not None else f"{report.linf:.4g}"
    return f"L∞ ≤ {radius}"
