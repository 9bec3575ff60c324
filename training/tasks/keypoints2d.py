"""Key points: a map of how corner-like every pixel is, sparse and skewed, by its mean absolute error (L1).

A constant scores a good L1, so that the correlation with the truth and the overlap of the strongest pixels stand
beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.tasks.base import Task, Values, as_values, pearson

STRONGEST = 0.05  # share of pixels whose overlap is measured


class Keypoints2d(Task):
    """Maps [N, H, W] in [0, 1]. ``legacy``: the same loss on the scale [−1, 1]."""

    name, title, headline = "keypoints2d", "key points", ("pearson", True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - (2 * targets - 1 if self.legacy else targets)).abs().mean()

    def predicted(self, outputs: Tensor) -> Tensor:
        return (outputs + 1) / 2 if self.legacy else outputs

    def metrics(self, outputs: Tensor, targets: Tensor) -> Values:
        """``l1``, ``pearson`` over pixels, ``top5_overlap``: share of the strongest 5 % of pixels that are found."""
        found = self.predicted(outputs)
        count = max(1, round(STRONGEST * targets[0].numel()))
        strongest = []
        for values in (found, targets):
            mask = torch.zeros_like(values.flatten(1), dtype=torch.bool)
            # a stable order, so that ties of a constant map are settled alike everywhere
            order = values.flatten(1).argsort(dim=1, descending=True, stable=True)
            strongest.append(mask.scatter_(1, order[:, :count], True))
        return {
            "l1": as_values((found - targets).abs().flatten(1).mean(dim=1)),
            "pearson": as_values(pearson(found, targets)),
            "top5_overlap": as_values((strongest[0] & strongest[1]).sum(dim=1) / count),
        }

    def _trivial_outputs(self, train: Tensor) -> Tensor:
        """The median of every pixel."""
        median = train.median(dim=0).values[None]
        return 2 * median - 1 if self.legacy else median
