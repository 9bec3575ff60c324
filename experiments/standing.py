"""How well the runs of a surface do at a checkpoint: a metric of the user's own by its name, else the test accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.own_metric import BUILT_IN, spoken, stored_names
from experiments.pictures import SurfacePicture
from landscape.figures import PathData
from landscape.style import format_accuracy, format_points


@dataclass(frozen=True)
class Standing:
    """What one run reaches; ``value`` is None where it is not known."""

    path: PathData
    what: str  # "test accuracy", "test margin", or "margin" of the surface's data
    value: float | None
    on: str = ""  # the data of a metric that was computed anew; empty for what was recorded
    accuracy: bool = True

    @property
    def text(self) -> str:
        """The value with its unit, a dash where it is not known."""
        if self.value is None or not np.isfinite(self.value):
            return "–"
        return format_accuracy(self.value) if self.accuracy else f"{self.value:.3g}"

    def against(self, reference: float | None) -> str | None:
        """The difference to another run's value; None where one is not known."""
        if self.value is None or reference is None or not np.isfinite(self.value - reference):
            return None
        apart = self.value - reference
        return format_points(apart) if self.accuracy else f"{apart:+.3g}"

    def told(self, when: str) -> str:
        """What the number is of, as a sentence."""
        return f"{when}, on {self.on}, computed anew." if self.on else f"{when}."


def standings(picture: SurfacePicture, step: int) -> list[Standing]:
    """What every run of a picture reaches at the checkpoint nearest to a step: the same quantity for all.

    A metric of the user's own that some run recorded comes first, as ``test_NAME`` if possible; else what the surface
    holds of it at the checkpoints; else the recorded test accuracy.
    """
    label = picture.surface.metric_name
    own = "" if label in BUILT_IN else label
    recorded = stored_names(own, {key for known in picture.metrics.values() for key in known})
    found = []
    for path in picture.paths:
        at = int(np.argmin(np.abs(path.steps - step)))
        if recorded:
            values = picture.metrics[path.name].get(recorded[0])
            one = Standing(path, spoken(recorded[0], own), _at(values, at), accuracy=False)
        elif own and any(each.metric_true is not None for each in picture.paths):
            one = Standing(path, own, _at(path.metric_true, at), picture.surface.evaluated_on, accuracy=False)
        else:
            one = Standing(path, "test accuracy", _at(picture.metrics[path.name].get("test_accuracy"), at))
        found.append(one)
    return found


def _at(values: np.ndarray | None, index: int) -> float | None:
    return None if values is None or index >= len(values) else float(values[index])


__all__ = ["Standing", "standings"]
