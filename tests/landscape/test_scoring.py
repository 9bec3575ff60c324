"""Scores summed with the classes in front against PyTorch's own cross-entropy and argmax."""

import numpy as np
import torch
from torch.nn import functional

from landscape.scoring import Sums, add_class_scores


def test_scores_with_ties_infinities_and_nan():
    scores = torch.randn(3, 5, 40)
    scores[0, :, :10] = 0.0
    scores[1, 2, 5] = torch.inf
    scores[1, 3, 6] = torch.nan
    scores[2, 1, 7] = -torch.inf
    labels = torch.randint(0, 5, (40,))
    labels[7] = 1
    for k in range(3):
        sums = Sums.zero(1)
        add_class_scores(sums, slice(0, 1), scores[k : k + 1].clone(), labels)
        each = functional.cross_entropy(scores[k].T, labels, reduction="none").double()
        np.testing.assert_allclose(sums.loss[0], float(each.sum()), rtol=1e-6)
        assert sums.correct[0] == float((scores[k].T.argmax(dim=1) == labels).sum())
