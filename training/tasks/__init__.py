"""Several tasks of one image, its scene, key points, depth and segments: losses, measures and trivial predictors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from training.names import TASKS, WEIGHTS
from training.tasks.base import Task
from training.tasks.depth_euclidean import DepthEuclidean
from training.tasks.keypoints2d import Keypoints2d
from training.tasks.measuring import Means, image_metrics, predictions
from training.tasks.packing import TaskTargets, pack_targets, unpack_outputs, unpack_targets
from training.tasks.scene import Scene
from training.tasks.segment_unsup2d import SegmentUnsup2d
from training.tasks.weighting import MultiTaskLoss, trivial_weights

_KINDS: tuple[type[Task], ...] = (Scene, Keypoints2d, DepthEuclidean, SegmentUnsup2d)
_BY_NAME = {kind.name: kind for kind in _KINDS}
FIXED = 0  # seed of the pixels that a fixed loss of segments pairs


def tasks_named(names: Sequence[str] = TASKS, *, legacy: bool = False, seed: int | None = None) -> tuple[Task, ...]:
    """The tasks of these names, in the order of ``TASKS``.

    Args:
        legacy: Mod-Squad's losses.
        seed: Fixes what their losses draw; None draws anew each time.

    Raises:
        ValueError: No name, an unknown one, or one given twice.
    """
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise ValueError(f"There is no task called {unknown[0]!r}; known are {', '.join(TASKS)}.")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Tasks are one or more different names of {', '.join(TASKS)}, not {list(names)!r}.")
    return tuple(_BY_NAME[name](legacy=legacy, seed=seed) for name in TASKS if name in names)


def multi_task_loss(
    size: tuple[int, int],
    n_classes: int,
    weights: Mapping[str, float] | None,
    tasks: Sequence[str] = TASKS,
    *,
    legacy: bool = False,
    seed: int | None = None,
) -> MultiTaskLoss:
    """The loss of a network of these tasks, of packed outputs and targets.

    Args:
        size: Height and width of the maps.
        n_classes: K of the scene.
        weights: By task, as :func:`trivial_weights` gives them; None learns them.
        legacy, seed: As for :func:`tasks_named`.
    """
    return MultiTaskLoss(tasks_named(tasks, legacy=legacy, seed=seed), size, n_classes, weights)


def task_loss(
    task: str, size: tuple[int, int], *, legacy: bool = False, seed: int | None = FIXED
) -> Callable[[Tensor, Tensor], Tensor]:
    """One task's loss of its own head's outputs and packed targets (or class indices [N] for the scene).

    A function of its arguments alone where the pixels that the segments' loss pairs are fixed by a seed.
    """
    (one,) = tasks_named([task], legacy=legacy, seed=seed)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        own = targets if targets.dim() == 1 else unpack_targets(targets, size).of(task)
        return one.loss(outputs, own)

    return loss


__all__ = [
    "FIXED",
    "TASKS",
    "WEIGHTS",
    "Means",
    "MultiTaskLoss",
    "Task",
    "TaskTargets",
    "image_metrics",
    "multi_task_loss",
    "pack_targets",
    "predictions",
    "task_loss",
    "tasks_named",
    "trivial_weights",
    "unpack_outputs",
    "unpack_targets",
]
