"""Euclidean depth: the length of each pixel's ray in metres, by the mean absolute error of its logarithm.

Missing pixels count neither in the loss nor in the measures; an image of which all is missing adds nothing to either.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.tasks.base import Task, Values, as_values

NEAREST = 1 / 512  # metres: the step of the stored depth, and the least that a logarithm is taken of
STEPS = 512  # of the stored depth in a metre
LARGEST = 1 << 16  # stored values; the last one stands for missing
FARTHEST = LARGEST / STEPS  # metres


class DepthEuclidean(Task):
    """The head gives ln metres [N, H, W].

    ``legacy``: it gives ln(1 + v)/ln 2¹⁶ of the stored value v = 512 · metres, missing pixels among the others as the
    largest value.
    """

    name, title, headline = "depth_euclidean", "depth", ("abs_rel", False)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.legacy:
            stored = torch.where(targets.isnan(), LARGEST - 1.0, targets * STEPS)
            return (outputs - torch.log1p(stored) / math.log(LARGEST)).abs().mean()
        valid = ~targets.isnan()
        wanted = torch.where(valid, targets, 1.0).clamp(min=NEAREST).log()
        errors = torch.where(valid, (outputs - wanted).abs(), 0.0)  # no gradient, and no NaN, from what is missing
        return (errors.flatten(1).sum(dim=1) / valid.flatten(1).sum(dim=1).clamp(min=1)).mean()

    def predicted(self, outputs: Tensor) -> Tensor:
        """Metres, within the range that can be stored."""
        metres = (torch.exp(outputs * math.log(LARGEST)) - 1) / STEPS if self.legacy else outputs.exp()
        return metres.clamp(NEAREST, FARTHEST)

    def metrics(self, outputs: Tensor, targets: Tensor) -> Values:
        """Over an image's valid pixels: ``abs_rel``, the mean of |d − d*|/d*; ``rmse_m``, the root mean square error in
        metres; ``delta_1.25``, the share within a factor of 1.25; ``valid``, their share of the image."""
        valid = ~targets.isnan()
        count = valid.flatten(1).sum(dim=1).double()
        truth = torch.where(valid, targets, 1.0).clamp(min=NEAREST).double()
        found = self.predicted(outputs.double())

        def mean(values: Tensor) -> Tensor:
            return torch.where(valid, values, 0.0).flatten(1).sum(dim=1) / count  # 0/0 is NaN: nothing to measure

        close = torch.maximum(found / truth, truth / found) < 1.25
        return {
            "abs_rel": as_values(mean((found - truth).abs() / truth)),
            "rmse_m": as_values(mean((found - truth).square()).sqrt()),
            "delta_1.25": as_values(mean(close.double())),
            "valid": as_values(count / targets[0].numel()),
        }

    def _trivial_outputs(self, train: Tensor) -> Tensor:
        """The median of every pixel over the images that know it; of all pixels where none does."""
        everywhere = train.nanmedian()
        median = train.nanmedian(dim=0).values
        metres = torch.where(median.isnan(), everywhere, median).nan_to_num(1.0).clamp(min=NEAREST)[None]
        return torch.log1p(metres * STEPS) / math.log(LARGEST) if self.legacy else metres.log()
