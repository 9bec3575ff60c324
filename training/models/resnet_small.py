"""A small ResNet (He, Zhang, Ren and Sun 2016): three basic blocks with BatchNorm, of widths 16, 32 and 64."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.down: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.down = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Feature maps [N, width, H / stride, W / stride]."""
        x = functional.relu(self.bn1(self.conv1(inputs)))
        return functional.relu(self.bn2(self.conv2(x)) + self.down(inputs))


class ResNetSmall(nn.Module):
    """Stem, three blocks (the last two halve the image), global mean, linear classifier."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        if len(input_shape) != 3:
            raise ValueError(f"resnet-small takes images, not inputs of shape {list(input_shape)}.")
        self.stem = nn.Conv2d(input_shape[0], WIDTHS[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(WIDTHS[0])
        self.l1 = BasicBlock(WIDTHS[0], WIDTHS[0], 1)
        self.l2 = BasicBlock(WIDTHS[0], WIDTHS[1], 2)
        self.l3 = BasicBlock(WIDTHS[1], WIDTHS[2], 2)
        self.fc = nn.Linear(WIDTHS[2], n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [N, K] of images [N, C, H, W]."""
        x = functional.relu(self.bn(self.stem(inputs)))
        x = self.l3(self.l2(self.l1(x)))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits
