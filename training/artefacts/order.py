"""Whether the entries of an artefact lie in the data set's order, and how to find the order of a shuffled one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.artefacts.alignment import Alignment
from training.artefacts.artefact import Artefact, ArtefactError
from training.data import Dataset

REFERENCES = 64  # clean images that each poisoned one is compared with
CHUNK = 2048
TOLERATED = 0.05  # share of images that a strong poison may bring nearer to another
OUTLIER = 1.5  # of the median own distance
COARSE = 8  # side in cells of the images that candidates are found with
CANDIDATES = 8
REFERENCE_SEED = 0


def wrong_labels(artefact: Artefact, dataset: Dataset, alignment: Alignment) -> str | None:
    """The sentence for shipped labels that are not the data set's; None if they match."""
    if artefact.labels is None:
        return None
    at = np.flatnonzero(alignment.covered)
    shipped = artefact.labels[alignment.rows[at]]
    wrong = np.flatnonzero(shipped != dataset.y_train[at])
    if not len(wrong):
        return None
    sample = int(at[wrong[0]])
    return (
        f"The shipped label of sample {sample} is {int(shipped[wrong[0]])}, that of {dataset.name} is "
        f"{int(dataset.y_train[sample])} ({len(wrong)} of {len(at)} differ); the artefact is in another order, or of "
        "another data set."
    )


def wrong_images(artefact: Artefact, dataset: Dataset, alignment: Alignment) -> str | None:
    """The sentence for images that are not poisoned copies of their own clean images; None if they are.

    Every image is compared with its own clean image and with 64 others, as they are and with brightness and contrast
    taken away, which methods such as CUDA change; only what is nearer to another both ways counts. A strong poison may
    still bring a few images nearer to another one: they count only if there are many, or if their distance stands out.
    """
    at = np.flatnonzero(alignment.covered)
    rng = np.random.default_rng(REFERENCE_SEED)
    chosen = np.sort(rng.permutation(len(dataset.y_train))[:REFERENCES])
    references = _flat(dataset.x_train[chosen])
    far, stands_out, nearest = np.ones(len(at), bool), np.ones(len(at), bool), np.zeros(len(at), np.int64)
    for prepare in (_flat, _contrast_free):
        own, other = np.empty(len(at)), np.empty(len(at))
        for start in range(0, len(at), CHUNK):
            part, here = at[start : start + CHUNK], slice(start, start + CHUNK)
            clean = _flat(dataset.x_train[part])
            images = prepare(_units(artefact, alignment.rows[part]))
            own[here] = ((images - prepare(clean)) ** 2).sum(axis=1)
            squares = _squares(images, prepare(references))
            squares[_squares(clean, references) < 1e-6 * images.shape[1]] = np.inf  # itself, or a copy of it
            nearest[here] = chosen[squares.argmin(axis=1)]
            other[here] = squares.min(axis=1)
        farther = own >= np.maximum(other, 1e-12)
        far &= farther
        stands_out &= farther & (own > OUTLIER**2 * np.median(own))
    wrong = far if far.mean() > TOLERATED else stands_out
    if not wrong.any():
        return None
    first = int(np.flatnonzero(wrong)[0])
    return (
        f"Image {int(at[first])} is closer to the clean image {int(nearest[first])} of {dataset.name} than to its own "
        f"({int(wrong.sum())} of {len(at)} are); the artefact is in another order, or of another data set."
    )


def match_order(artefact: Artefact, dataset: Dataset, progress: Callable[[int, int], None] | None = None) -> Artefact:
    """Give a shuffled artefact of final images the index of its own clean images, found by distance.

    Candidates come from coarse images, the decision from whole ones; entries choose in the order of their distance, so
    that copies within the data set are shared out. Shipped labels restrict the search to the class.

    Raises:
        ArtefactError: There are no images, they do not fit, or not every one finds a clean image of its own.
    """
    if artefact.images is None:
        raise ArtefactError(f"{artefact.source} holds perturbations, whose order cannot be found from images.")
    if artefact.sample_shape != dataset.input_shape:
        raise ArtefactError(
            f"{artefact.source} holds samples of shape {list(artefact.sample_shape)}, {dataset.name} of "
            f"{list(dataset.input_shape)}; give the data set it was made for."
        )
    found, distance = _candidates(artefact, dataset, progress)
    index = np.full(artefact.entries, -1, np.int64)
    taken = np.zeros(len(dataset.y_train), bool)
    for flat in np.argsort(distance, axis=None, kind="stable"):
        entry, place = divmod(int(flat), distance.shape[1])
        if index[entry] < 0 and not taken[found[entry, place]] and np.isfinite(distance[entry, place]):
            index[entry] = found[entry, place]
            taken[index[entry]] = True
    lost = np.flatnonzero(index < 0)
    if len(lost):
        raise ArtefactError(
            f"{len(lost)} of {artefact.entries} images of {artefact.source} find no clean image of their own in "
            f"{dataset.name} (the first is {int(lost[0])}); it is of another data set."
        )
    return replace(artefact, index=index, by_class=False)


def _candidates(
    artefact: Artefact, dataset: Dataset, progress: Callable[[int, int], None] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest clean images of each entry [N, 8] and their squared distances, infinite where there are fewer."""
    coarse = _coarse(dataset.x_train)
    found = np.zeros((artefact.entries, CANDIDATES), np.int64)
    distance = np.full(found.shape, np.inf)
    labels = np.zeros(artefact.entries, np.int64) if artefact.labels is None else artefact.labels
    done = 0
    for label in np.unique(labels):
        pool = np.arange(len(coarse)) if artefact.labels is None else np.flatnonzero(dataset.y_train == label)
        members = np.flatnonzero(labels == label)
        for start in range(0, len(members) if len(pool) else 0, CHUNK):
            part = members[start : start + CHUNK]
            images = _units(artefact, part)
            squares = _squares(_coarse(images), coarse[pool])
            k = min(CANDIDATES, len(pool))
            near = pool[np.argpartition(squares, k - 1, axis=1)[:, :k]]
            found[part, :k] = near
            for place in range(k):
                gap = _flat(images) - _flat(dataset.x_train[near[:, place]])
                distance[part, place] = (gap**2).sum(axis=1)
            done += len(part)
            if progress is not None:
                progress(done, artefact.entries)
    return found, distance


def _units(artefact: Artefact, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Images of some entries on the scale [0, 1]."""
    assert artefact.images is not None
    return (artefact.images[rows] / np.float32(255 if artefact.whole_levels else 1)).astype(np.float32)


def _flat(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1)


def _contrast_free(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flattened images with mean 0 and norm 1."""
    flat = _flat(images)
    centred = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6), np.float32)


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances [len(a), len(b)]."""
    return np.asarray(np.maximum((a**2).sum(1)[:, None] - 2 * (a @ b.T) + (b**2).sum(1)[None], 0))


def _coarse(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over cells of images, so that at most 8×8 remain; feature vectors as they are."""
    if x.ndim != 4:
        return _flat(x)
    rows, columns = (-(-side // COARSE) for side in x.shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % rows), (0, -x.shape[3] % columns)))
    n, channels, height, width = padded.shape
    cells = padded.reshape(n, channels, height // rows, rows, width // columns, columns)
    return _flat(np.ascontiguousarray(cells.mean(axis=(3, 5), dtype=np.float32)))
