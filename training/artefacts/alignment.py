"""Which entry of an artefact belongs to which training sample, and what it then adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.artefacts.arrays import read_npy, read_npz
from training.artefacts.artefact import Artefact, ArtefactError
from training.data import Dataset

ALTERNATIVE = (1 << 20) + 1  # random stream of which alternative a sample gets


@dataclass(frozen=True, eq=False)
class Alignment:
    """Rows of an artefact by training sample.

    Attributes:
        rows: [N] int64, the entry of each training sample; −1 where it has none and stays clean.
        class_wise: Whether entries belong to classes.
    """

    rows: NDArray[np.int64]
    class_wise: bool = False

    @property
    def covered(self) -> NDArray[np.bool_]:
        """[N], whether a sample has an entry."""
        return np.asarray(self.rows >= 0)


def align(artefact: Artefact, dataset: Dataset, index: NDArray[np.int64] | None = None) -> Alignment:
    """Tell the entry of each training sample.

    As many entries as samples are taken in order, or by the shipped index where that is a permutation of all samples.
    As many perturbations as classes go by label. Fewer entries go by the shipped index, and the other samples stay
    clean. A larger artefact needs ``index``.

    Args:
        artefact: What was read.
        dataset: The clean data.
        index: [N] position of each training sample in the full set that the artefact is of.

    Raises:
        ArtefactError: Shapes or counts do not fit.
    """
    n, samples = artefact.entries, len(dataset.y_train)
    if artefact.sample_shape != dataset.input_shape:
        raise ArtefactError(
            f"{artefact.source} holds samples of shape {list(artefact.sample_shape)}, {dataset.name} of "
            f"{list(dataset.input_shape)}; give the data set it was made for."
        )
    if index is not None:
        return Alignment(_by_position(artefact, dataset, index))
    if artefact.by_class:
        return Alignment(_within_classes(artefact, dataset))
    if n == samples:
        own = artefact.index
        if own is not None and np.array_equal(np.sort(own), np.arange(n)):
            return Alignment(np.argsort(own).astype(np.int64))
        return Alignment(np.arange(n, dtype=np.int64))
    if artefact.delta is not None and n == dataset.n_classes:
        return Alignment(dataset.y_train, class_wise=True)
    if artefact.index is not None and n < samples and artefact.index.max() < samples:
        rows = np.full(samples, -1, np.int64)
        rows[artefact.index] = np.arange(n)
        return Alignment(rows)
    remedy = (
        "give an index that says where its samples lie in the larger set"
        if n > samples
        else "give the set it was made for"
    )
    raise ArtefactError(
        f"{artefact.source} holds {n} entries, {dataset.name} {samples} training samples of {dataset.n_classes} "
        f"classes; {remedy}."
    )


def read_index(path: Path) -> NDArray[np.int64]:
    """Positions of a data set's samples in the full set: ``index`` of an ``.npz`` file, or a ``.npy`` array."""
    found = read_npz(path, ("index",)) if path.suffix == ".npz" else {"index": read_npy(path)}
    index = found.get("index")
    if index is None or index.ndim != 1 or index.dtype.kind not in "iu":
        raise ArtefactError(f"{path} holds no list of whole numbers called index.")
    return index.astype(np.int64)


def applied_delta(
    artefact: Artefact, dataset: Dataset, alignment: Alignment, *, seed: int = 0, positive_only: bool = False
) -> NDArray[np.float64]:
    """What is added to each training sample [N, …], on the data's own scale.

    Images give image minus clean. Of several alternatives each sample gets one, drawn by ``seed``. ``positive_only``
    imitates the importer of Huang et al. (ICLR 2021), by which the published accuracies of EM were got: noise is
    clamped to 0 … 255 in 8-bit units, added as float32, clipped and truncated.

    Raises:
        ArtefactError: ``positive_only`` where there are no perturbations of 8-bit images.
    """
    clean = dataset.x_train
    rows, covered = alignment.rows, alignment.covered
    delta = np.zeros(clean.shape, np.float64)
    if artefact.images is not None:
        if positive_only:
            raise ArtefactError(f"{artefact.source} holds final images; positive_only is for perturbations.")
        scale = 255.0 if artefact.whole_levels else 1.0
        delta[covered] = artefact.images[rows[covered]] / scale - _exact(dataset)[covered]
        return delta
    picked = _picked(artefact, rows[covered], seed)
    if not positive_only:
        delta[covered] = picked / (255.0 if artefact.whole_levels else 1.0)
        return delta
    if not dataset.eight_bit:
        raise ArtefactError(f"positive_only truncates to 8 bits, and the images of {dataset.name} are not 8-bit.")
    levels = np.rint(_exact(dataset)[covered] * 255).astype(np.float32)
    noise = picked.astype(np.float32) * np.float32(1 if artefact.whole_levels else 255)
    moved = np.clip(levels + np.clip(noise, 0, 255), 0, 255)
    delta[covered] = (np.floor(moved) - levels) / 255.0
    return delta


def _exact(dataset: Dataset) -> NDArray[np.float64]:
    """Clean inputs, 8-bit ones as exact multiples of 1/255 in float64."""
    clean = dataset.x_train.astype(np.float64)
    return np.asarray(np.rint(clean * 255) / 255 if dataset.eight_bit else clean)


def _picked(artefact: Artefact, rows: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    values = artefact.values
    if values.ndim == 5:
        choice = np.random.default_rng([seed, ALTERNATIVE]).integers(artefact.alternatives, size=len(rows))
        return np.asarray(values[choice, rows], np.float64)
    return np.asarray(values[rows], np.float64)


def _by_position(artefact: Artefact, dataset: Dataset, index: NDArray[np.int64]) -> NDArray[np.int64]:
    samples = len(dataset.y_train)
    if index.shape != (samples,):
        raise ArtefactError(f"The index names {index.size} positions, {dataset.name} has {samples} training samples.")
    own = artefact.index if artefact.index is not None else np.arange(artefact.entries)
    order = np.argsort(own)
    place = np.minimum(np.searchsorted(own[order], index), len(own) - 1)
    rows = order[place]
    missing = own[rows] != index
    if missing.any():
        raise ArtefactError(
            f"{artefact.source} has no entry for position {int(index[missing][0])}, which the index names."
        )
    return np.asarray(rows, np.int64)


def _within_classes(artefact: Artefact, dataset: Dataset) -> NDArray[np.int64]:
    assert artefact.labels is not None
    shipped = np.bincount(artefact.labels, minlength=dataset.n_classes)
    wanted = np.bincount(dataset.y_train, minlength=dataset.n_classes)
    if not np.array_equal(shipped, wanted):
        label = int(np.flatnonzero(shipped[: len(wanted)] != wanted)[0]) if len(shipped) == len(wanted) else len(wanted)
        have = int(wanted[label]) if label < len(wanted) else 0
        raise ArtefactError(
            f"{artefact.source} holds {int(shipped[label])} images of class {label}, {dataset.name} {have}; give the "
            "data set it was made for."
        )
    rows = np.empty(len(dataset.y_train), np.int64)
    for label in range(dataset.n_classes):
        rows[dataset.y_train == label] = np.flatnonzero(artefact.labels == label)
    return rows
