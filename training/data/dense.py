"""Per-pixel targets of images, beside the class of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

KEYPOINT_CLIP = 327.68 / 65535  # of the stored range: what the key points of Taskonomy are clipped to (Mod-Squad)


@dataclass(frozen=True, eq=False)
class DenseTargets:
    """Targets of N images of height H and width W, as in Taskonomy (Zamir et al., CVPR 2018).

    Attributes:
        keypoints2d: [N, H, W] float32 in [0, 1]: strength of 2-D key points, clipped at 327.68 of 65535 and divided by
            that clip.
        depth_euclidean: [N, H, W] float32, length of each pixel's ray in metres; NaN where it is missing.
        segment_unsup2d: [N, H, W] int16, ids of 2-D segments, 0 or more, without meaning across images.
        buildings: The building of each image.
        names: Of each image in its building, such as ``point_3_view_1``.
    """

    keypoints2d: NDArray[np.float32]
    depth_euclidean: NDArray[np.float32]
    segment_unsup2d: NDArray[np.int16]
    buildings: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        shapes = {self.keypoints2d.shape, self.depth_euclidean.shape, self.segment_unsup2d.shape}
        n = len(self.keypoints2d)
        if len(shapes) > 1 or self.keypoints2d.ndim != 3 or not n == len(self.buildings) == len(self.names):
            raise ValueError(
                f"Per-pixel targets must all be [N, H, W] with a building and a name for each image, not "
                f"{', '.join(str(list(s)) for s in sorted(shapes))} with {len(self.buildings)} buildings and "
                f"{len(self.names)} names."
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, chosen: NDArray[np.int64]) -> DenseTargets:
        """The targets of some images, by index [M]."""
        return DenseTargets(
            self.keypoints2d[chosen],
            self.depth_euclidean[chosen],
            self.segment_unsup2d[chosen],
            tuple(self.buildings[i] for i in chosen),
            tuple(self.names[i] for i in chosen),
        )

    def arrays(self) -> Iterator[ArrayLike]:
        """What determines them, for fingerprints."""
        yield from (self.keypoints2d, self.depth_euclidean, self.segment_unsup2d)
