"""Segments of one image, whose ids mean nothing in another, by metric learning.

The loss is that of TaskBank (Zamir, Sax, Shen, Guibas, Malik and Savarese, CVPR 2018; after Fathi et al. 2017): 300
random pixels of an image, d = squared distance of their embeddings, at most 80, s = 2/(1 + e^d), at least 10⁻⁷; minus
the mean over all pairs of ln s where the ids are equal, of ln(1 − s) where they differ. Segments are read from the
embedding by :mod:`training.tasks.clustering` and measured up to a renaming of ids.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.tasks.base import Task, Values
from training.tasks.clustering import segments_of

PIXELS = 300
FARTHEST = 80.0
LEAST = 1e-7
TOGETHER = 4  # images whose pairs are worked on at once, which stay in the cache: faster, and the same bits
LARGEST_ID = 255


class SegmentUnsup2d(Task):
    """Embeddings [N, E, H, W] for ids [N, H, W].

    ``legacy``: the ids 0 … 255 as numbers in [−1, 1], one channel [N, H, W] or the first of several, by L1; the best
    guess is then their median, and nothing can be lost.
    """

    name, title, headline = "segment_unsup2d", "segments", ("ari", True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.legacy:
            return (_first_channel(outputs) - (2 * targets / LARGEST_ID - 1)).abs().mean()
        n, width = outputs.shape[:2]
        pixels = self._pixels(n, targets[0].numel()).to(outputs.device)
        embedded = outputs.flatten(2).gather(2, pixels[:, None].expand(n, width, -1)).mT
        ids = targets.flatten(1).gather(1, pixels)
        pieces = zip(torch.split(embedded, TOGETHER), torch.split(ids, TOGETHER), strict=True)
        return torch.cat([pair_losses(*piece) for piece in pieces]).mean()

    def predicted(self, outputs: Tensor) -> Tensor:
        """Ids [N, H, W] int64."""
        if self.legacy:
            ids = ((_first_channel(outputs) + 1) / 2 * LARGEST_ID).round().clamp(0, LARGEST_ID)
            return ids.long()
        return torch.stack([torch.from_numpy(segments_of(one)) for one in outputs.detach().cpu().numpy()])

    def metrics(self, outputs: Tensor, targets: Tensor) -> Values:
        """``ari``: adjusted Rand index (Hubert and Arabie 1985). ``matched_iou``: mean over true segments of the
        intersection over union with the predicted one that the best one-to-one matching gives it, 0 without one."""
        pairs = list(zip(self.predicted(outputs).cpu().numpy(), targets.cpu().numpy(), strict=True))
        return {
            "ari": np.array([adjusted_rand_index(*pair) for pair in pairs]),
            "matched_iou": np.array([matched_iou(*pair) for pair in pairs]),
        }

    def trivial_loss(self, train: Tensor) -> float:
        """The loss of giving all pairs the same s, which is best as large as the share of equal pairs."""
        if self.legacy:
            return super().trivial_loss(train)
        shares = [np.unique(ids, return_counts=True)[1] / ids.size for ids in train.cpu().numpy()]
        same = float(np.mean([np.square(share).sum() for share in shares]))
        if same >= 1:
            raise ValueError("Every image is a single segment; leave out the task segment_unsup2d.")
        return -same * math.log(same) - (1 - same) * math.log(1 - same)

    def _trivial_outputs(self, train: Tensor) -> Tensor:
        """One segment."""
        if self.legacy:
            return 2 * train.float().median(dim=0).values[None] / LARGEST_ID - 1
        return torch.zeros(1, 1, *train.shape[1:])

    def _pixels(self, n: int, available: int) -> Tensor:
        """Pixels [n, 300] to pair; with a seed the same ones in every image, so that a batch may be cut anywhere."""
        if self.seed is None:
            return torch.randint(available, (n, PIXELS))
        drawn = torch.randint(available, (PIXELS,), generator=torch.Generator().manual_seed(self.seed))
        return drawn.expand(n, -1)


def pair_losses(embedded: Tensor, ids: Tensor) -> Tensor:
    """The loss [n] of images over all pairs of P pixels, embedded [n, P, E] and of ids [n, P]."""
    squares = embedded.square().sum(dim=2)
    distances = squares[:, :, None] + squares[:, None, :] - 2 * embedded @ embedded.mT
    together = 2 * torch.sigmoid(-distances.clamp(0, FARTHEST))
    right = torch.where(ids[:, :, None] == ids[:, None, :], together, 1 - together)
    return -right.clamp(min=LEAST).log().mean(dim=(1, 2))


def adjusted_rand_index(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Of two maps of ids [H, W]: 1 where they agree up to names, about 0 by chance."""
    from sklearn.metrics import adjusted_rand_score  # takes most of a second to import

    return float(adjusted_rand_score(truth.reshape(-1), found.reshape(-1)))


def matched_iou(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Mean over true segments of the intersection over union after the best one-to-one matching (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(truth.reshape(-1), found.reshape(-1))
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
    overlap = table / union
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return float(overlap[rows, columns].sum() / len(table))


def _first_channel(outputs: Tensor) -> Tensor:
    return outputs[:, 0] if outputs.dim() == 4 else outputs
