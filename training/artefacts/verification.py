"""Whether an artefact fits its data set and keeps its promise: count, shape, order, values, budget."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.artefacts.alignment import Alignment, align, applied_delta
from training.artefacts.artefact import Artefact, ArtefactError
from training.artefacts.order import wrong_images, wrong_labels
from training.data import Dataset

ROUNDED_L2 = 1.01  # rounding to 8 bits moves an L2 norm by up to half a per cent
EXACT = 1 + 1e-5
CHUNK = 2048


@dataclass(frozen=True)
class Budget:
    """What a poison promises: L∞ and L2 on the scale [0, 1], L0 in pixels; None promises nothing."""

    linf: float | None = None
    l2: float | None = None
    l0: int | None = None


@dataclass(frozen=True)
class Report:
    """What an artefact turned out to be.

    Attributes:
        kind, source: As the artefact says.
        entries: How many perturbations or images it holds.
        shape: Of one of them.
        samples: Training samples of the data set.
        covered: How many of these it changes.
        class_wise: Whether one perturbation is shared by a class.
        alternatives: How many perturbations there are of each sample or class.
        order: What speaks for its order, in words.
        linf: Largest absolute change; on the scale [0, 1] for images.
        levels: The same in whole grey levels, where the data are 8-bit; else None.
        l2: Largest L2 norm of a sample's change.
        l0: Largest number of changed pixels (of features, for feature vectors).
        overshoot: Share of values that leave [0, 1] when the perturbation is added, and are clipped.
        violations: One sentence for each thing that is wrong.
    """

    kind: str
    source: str
    entries: int
    shape: tuple[int, ...]
    samples: int
    covered: int
    class_wise: bool
    alternatives: int
    order: str
    linf: float
    levels: int | None
    l2: float
    l0: int
    overshoot: float
    violations: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        return asdict(self) | {"shape": list(self.shape), "violations": list(self.violations)}


def verify(
    artefact: Artefact, dataset: Dataset, *, promised: Budget | None = None, index: NDArray[np.int64] | None = None
) -> Report:
    """Check an artefact against the data set it belongs to.

    Args:
        artefact: What was read.
        dataset: The clean data, in the order the artefact is meant for.
        promised: A budget to hold it to; on 8-bit data L∞ is compared in whole grey levels, without tolerance.
        index: Positions of the data set's samples in the larger set that the artefact is of.

    Raises:
        ArtefactError: The first thing that is wrong, in one sentence.
    """
    report = examine(artefact, dataset, promised=promised, index=index)
    if report.violations:
        raise ArtefactError(report.violations[0])
    return report


def examine(
    artefact: Artefact, dataset: Dataset, *, promised: Budget | None = None, index: NDArray[np.int64] | None = None
) -> Report:
    """As :func:`verify`, with everything that is wrong in ``violations``.

    Raises:
        ArtefactError: Shape or count do not fit, or values are not finite, so that nothing can be measured.
    """
    alignment = align(artefact, dataset, index)
    _check_finite(artefact)
    wrong = [*_wrong_range(artefact, dataset)]
    order, sentence = _order(artefact, dataset, alignment)
    measured = _measure(artefact, dataset, alignment)
    wrong += [sentence] if sentence else []
    wrong += _broken(promised, measured, dataset) if promised else []
    linf, l2, l0, _, overshoot = measured
    return Report(
        artefact.kind,
        artefact.source,
        artefact.entries,
        artefact.sample_shape,
        len(dataset.y_train),
        int(alignment.covered.sum()),
        alignment.class_wise,
        artefact.alternatives,
        order,
        linf,
        whole_levels(linf) if dataset.eight_bit else None,
        l2,
        l0,
        overshoot,
        tuple(wrong),
    )


def whole_levels(linf: float) -> int:
    """Grey levels that a change of ``linf`` becomes in an 8-bit image, rounded half up."""
    return math.floor(linf * 255 + 0.5)


def _check_finite(artefact: Artefact) -> None:
    if artefact.whole_levels:
        return
    axes = tuple(range(artefact.values.ndim - len(artefact.sample_shape), artefact.values.ndim))
    bad = ~np.isfinite(artefact.values).all(axis=axes)
    if bad.any():
        entry = int(np.argwhere(bad)[0][-1])
        raise ArtefactError(
            f"{artefact.source} holds NaN or infinite values in entry {entry} ({int(bad.sum())} entries)."
        )


def _wrong_range(artefact: Artefact, dataset: Dataset) -> list[str]:
    if artefact.whole_levels or dataset.kind == "features":
        return []
    low, high = float(artefact.values.min()), float(artefact.values.max())
    if artefact.images is not None and (low < 0 or high > 1):
        return [f"{artefact.source} holds pixels from {low:g} to {high:g}; images lie in 0 to 1, or are uint8."]
    if artefact.delta is not None and (low < -1 or high > 1):
        return [
            f"{artefact.source} holds perturbations from {low:g} to {high:g} on the scale [0, 1]; those in 8-bit units "
            "must be int8."
        ]
    return []


def _order(artefact: Artefact, dataset: Dataset, alignment: Alignment) -> tuple[str, str | None]:
    """What speaks for the order, and the sentence if it is wrong."""
    if alignment.class_wise:
        return "by class", None
    evidence, sentence = [], wrong_labels(artefact, dataset, alignment)
    if artefact.labels is not None:
        evidence.append("the labels match")
    if artefact.images is not None and dataset.kind == "image":
        evidence.append("each image is close to its own clean one")
        sentence = sentence or wrong_images(artefact, dataset, alignment)
    if sentence:
        return "wrong", sentence
    if not evidence and _fits_range(artefact, dataset, alignment):
        evidence.append("no pixel leaves its range, as many would in another order")
    return ", ".join(evidence) or "not to be checked: neither images nor labels were shipped", None


def _fits_range(artefact: Artefact, dataset: Dataset, alignment: Alignment) -> bool:
    """Whether perturbations never leave the range in this order and do in another: then they are image differences."""
    if artefact.alternatives > 1 or dataset.kind != "image":
        return False
    at = np.flatnonzero(alignment.covered)
    clean = dataset.x_train[at]
    shifted = np.roll(at, 1)
    kept = _overshoot(clean, _delta_of(artefact, dataset, alignment, at))
    moved = _overshoot(clean, _delta_of(artefact, dataset, alignment, shifted))
    return kept == 0 and moved > 0


def _delta_of(artefact: Artefact, dataset: Dataset, alignment: Alignment, at: NDArray[np.int64]) -> NDArray[np.float32]:
    assert artefact.delta is not None
    return (artefact.delta[alignment.rows[at]] / np.float32(255 if artefact.whole_levels else 1)).astype(np.float32)


def _overshoot(clean: NDArray[np.float32], delta: NDArray[np.float32]) -> float:
    """Share of values that leave [0, 1] by more than float32 error."""
    moved = clean + delta
    return float(((moved < -1e-5) | (moved > 1 + 1e-5)).mean())


def _measure(artefact: Artefact, dataset: Dataset, alignment: Alignment) -> tuple[float, float, int, int, float]:
    """L∞, L2 and L0 at their largest, the sample where L∞ is, and the share of values that are clipped."""
    linf, l2, l0, where, beyond = 0.0, 0.0, 0, 0, 0.0
    at = np.flatnonzero(alignment.covered)
    for start in range(0, len(at), CHUNK):
        part = at[start : start + CHUNK]
        for delta in _changes(artefact, dataset, alignment, part):
            flat = delta.reshape(len(part), -1)
            peaks = np.abs(flat).max(axis=1)
            if peaks.max() > linf:
                linf, where = float(peaks.max()), int(part[peaks.argmax()])
            l2 = max(l2, float(np.sqrt((flat**2).sum(axis=1)).max()))
            changed = (delta != 0).any(axis=1) if delta.ndim == 4 else delta != 0
            l0 = max(l0, int(changed.reshape(len(part), -1).sum(axis=1).max()))
            if dataset.kind == "image":
                beyond += _overshoot(dataset.x_train[part], delta.astype(np.float32)) * len(part)
    return linf, l2, l0, where, beyond / max(len(at) * artefact.alternatives, 1)


def _changes(
    artefact: Artefact, dataset: Dataset, alignment: Alignment, part: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Changes of some samples, once for each alternative."""
    rows = alignment.rows[part]
    if artefact.images is not None:
        some = Dataset(
            dataset.name,
            dataset.x_train[part],
            dataset.y_train[part],
            dataset.x_test[:0],
            dataset.y_test[:0],
            dataset.n_classes,
            dataset.kind,
            dataset.eight_bit,
        )
        delta = applied_delta(artefact, some, Alignment(rows))
        # A float image is rounded to 8 bits when it is used; only a change that survives this is one.
        return [np.floor(delta * 255 + 0.5) / 255 if dataset.eight_bit else delta]
    scale = 255.0 if artefact.whole_levels else 1.0
    values = artefact.values if artefact.values.ndim == 5 else artefact.values[None]
    return [np.asarray(alternative[rows] / scale, np.float64) for alternative in values]


def _broken(promised: Budget, measured: tuple[float, float, int, int, float], dataset: Dataset) -> list[str]:
    linf, l2, l0, where, _ = measured
    wrong = []
    if promised.linf is not None:
        if dataset.eight_bit:
            allowed, found = math.floor(promised.linf * 255 + 1e-6), whole_levels(linf)
            if found > allowed:
                wrong.append(f"L∞ is {found}/255 at sample {where}, above the promised {allowed}/255.")
        elif linf > promised.linf * EXACT:
            wrong.append(f"L∞ is {linf:.6g} at sample {where}, above the promised {promised.linf:g}.")
    if promised.l2 is not None and l2 > promised.l2 * (ROUNDED_L2 if dataset.eight_bit else EXACT):
        wrong.append(f"The L2 norm of a perturbation is {l2:.4g}, above the promised {promised.l2:g}.")
    if promised.l0 is not None and l0 > promised.l0:
        wrong.append(f"{l0} pixels of a sample are changed, more than the promised {promised.l0}.")
    return wrong
