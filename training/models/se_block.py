"""The basic block of ResNet with squeeze and excitation before the shortcut is added (Hu, Shen and Sun, CVPR 2018)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision.models.resnet import BasicBlock
from torchvision.ops import SqueezeExcitation

REDUCTION = 16


class SEBasicBlock(BasicBlock):  # type: ignore[misc]  # torchvision has no types
    """Two 3×3 convolutions, whose channels are weighed by two 1×1 convolutions on their means, and the shortcut."""

    def __init__(self, inplanes: int, planes: int, *arguments: Any, **named: Any) -> None:
        super().__init__(inplanes, planes, *arguments, **named)
        self.se = SqueezeExcitation(planes, planes // REDUCTION)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [N, planes, H / stride, W / stride]."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        weighed: Tensor = self.se(self.bn2(self.conv2(out)))
        result: Tensor = self.relu(weighed + identity)
        return result
