"""Targets and outputs of several tasks as one tensor each, so that whatever takes one tensor takes several tasks.

Targets [N, 1 + 3·H·W] float32: label, key points, depth (NaN where missing), segment ids, each map row by row. Outputs
[N, …]: those of each head side by side, in the order of the heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.dense import DenseTargets
from training.names import TASKS

SEGMENTS = TASKS[3]


@dataclass(frozen=True, eq=False)
class TaskTargets:
    """Targets of N images by task.

    Attributes:
        scene: [N] int64 class indices.
        keypoints2d: [N, H, W] float32 in [0, 1].
        depth_euclidean: [N, H, W] float32 in metres; NaN where missing.
        segment_unsup2d: [N, H, W] int64 ids without meaning across images.
    """

    scene: Tensor
    keypoints2d: Tensor
    depth_euclidean: Tensor
    segment_unsup2d: Tensor

    def of(self, task: str) -> Tensor:
        """The targets of one task."""
        targets: Tensor = getattr(self, task)
        return targets


def pack_targets(labels: NDArray[np.int64], dense: DenseTargets) -> Tensor:
    """Targets [N, 1 + 3·H·W] of N images; the numbers are exact."""
    n = len(labels)
    packed = torch.empty(n, 1 + 3 * dense.depth_euclidean[0].size)
    packed[:, 0] = torch.from_numpy(labels)
    maps = (dense.keypoints2d, dense.depth_euclidean, dense.segment_unsup2d)
    for place, values in zip(packed[:, 1:].chunk(3, dim=1), maps, strict=True):
        place.copy_(torch.from_numpy(values).reshape(n, -1))
    return packed


def unpack_targets(packed: Tensor, size: tuple[int, int]) -> TaskTargets:
    """The inverse of :func:`pack_targets` for maps of ``size`` (height, width)."""
    keypoints, depth, ids = (part.reshape(-1, *size) for part in packed[:, 1:].chunk(3, dim=1))
    return TaskTargets(packed[:, 0].long(), keypoints, depth, ids.long())


def unpack_outputs(packed: Tensor, size: tuple[int, int], n_classes: int, tasks: Sequence[str]) -> dict[str, Tensor]:
    """Each head's own output: [N, K] of the scene, [N, H, W] of dense tasks, [N, E, H, W] of segments.

    Args:
        packed: What :class:`~training.models.multitask.MultiTaskNet` returns with ``task`` None.
        tasks: The network's heads, in their order; the segments' number of channels E follows from the rest.
    """
    pixels = size[0] * size[1]
    widths = {task: n_classes if task == "scene" else pixels for task in tasks}
    if SEGMENTS in widths:
        widths[SEGMENTS] = packed.shape[1] - sum(width for task, width in widths.items() if task != SEGMENTS)
    outputs = {}
    for task, part in zip(tasks, torch.split(packed, list(widths.values()), dim=1), strict=True):
        outputs[task] = part if task == "scene" else part.reshape(len(part), -1, *size)
        if task != "scene" and outputs[task].shape[1] == 1:
            outputs[task] = outputs[task].squeeze(1)
    return outputs
