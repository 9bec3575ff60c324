"""ResNet-18, ResNet-50 and SENet-18 as torchvision builds them, with the stem that suits the image.

He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition* (CVPR 2016); Hu, Shen and Sun,
*Squeeze-and-Excitation Networks* (CVPR 2018). Images below 96 pixels get the stem customary for CIFAR: a 3×3
convolution of stride 1 and no pooling.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from training.models.shapes import image_shape

IMAGENET_STEM_FROM = 96  # pixels


def resnet18(input_shape: tuple[int, ...], n_classes: int, *, small_stride: int = 1) -> nn.Module:
    """Four stages of two basic blocks, widths 64 to 512; 11,173,962 parameters for ten classes of 32×32×3.

    ``small_stride`` is the stem's stride for images below 96 pixels.
    """
    from torchvision.models.resnet import BasicBlock

    return _resnet("resnet18", BasicBlock, (2, 2, 2, 2), input_shape, n_classes, small_stride)


def resnet50(input_shape: tuple[int, ...], n_classes: int, *, small_stride: int = 1) -> nn.Module:
    """Stages of 3, 4, 6 and 3 bottleneck blocks; 23,520,842 parameters for ten classes of 32×32×3."""
    from torchvision.models.resnet import Bottleneck

    return _resnet("resnet50", Bottleneck, (3, 4, 6, 3), input_shape, n_classes, small_stride)


def senet18(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """ResNet-18 whose blocks weigh their channels by squeeze and excitation."""
    from training.models.se_block import SEBasicBlock

    return _resnet("senet18", SEBasicBlock, (2, 2, 2, 2), input_shape, n_classes)


def _resnet(
    name: str,
    block: Any,
    stages: tuple[int, ...],
    input_shape: tuple[int, ...],
    n_classes: int,
    small_stride: int = 1,
) -> nn.Module:
    from torchvision.models.resnet import ResNet

    channels, height, width = image_shape(name, input_shape)
    model: nn.Module = ResNet(block, list(stages), num_classes=n_classes)
    if min(height, width) < IMAGENET_STEM_FROM:
        stem = nn.Conv2d(channels, 64, 3, small_stride, 1, bias=False)
        model.maxpool = nn.Identity()
    else:
        stem = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    model.conv1 = stem
    return model
