"""One ResNet under several tasks: a shared backbone, and a head for each task of :data:`training.tasks.TASKS`.

A dense head is light: 1×1 convolutions bring every stage of the backbone to one width, the coarse ones are enlarged and
added (feature pyramid; Lin et al., CVPR 2017) at half the image's resolution, and the values of a 3×3 convolution are
rearranged to whole pixels (sub-pixel convolution; Shi et al., CVPR 2016). Nothing is shared above the backbone, so that
another task's loss leaves a head exactly as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.resnet import IMAGENET_STEM_FROM
from training.models.resnet_small import WIDTHS, ResNetSmall
from training.models.shapes import image_shape
from training.names import NORMS

BACKBONES = ("resnet-small", "resnet18", "resnet50")
HALVED_FROM = 48  # pixels from which the stem of ResNet-18 and ResNet-50 halves the image, for speed
HEAD_WIDTH = 16
EMBEDDING = 16  # channels in which pixels of one segment lie together
GROUPS = 8  # of GroupNorm


class Backbone(nn.Module):
    """A ResNet without its classifier, whose forward pass gives the maps of all stages.

    Args:
        stem: Named modules in front of the stages.
        stages: Named stages.
        widths: Channels of each stage's map.
        strides: Pixels of the image per pixel of each stage's map.
    """

    def __init__(
        self, stem: Mapping[str, nn.Module], stages: Mapping[str, nn.Module], widths: Sequence[int], strides: list[int]
    ) -> None:
        super().__init__()
        for name, part in (*stem.items(), *stages.items()):
            self.add_module(name, part)
        self.stem_names, self.stage_names = tuple(stem), tuple(stages)
        self.widths, self.strides = tuple(widths), tuple(strides)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Maps [N, width, H / stride, W / stride] of images [N, C, H, W], finest first."""
        x = inputs
        for name in self.stem_names:
            x = self.get_submodule(name)(x)
        maps = []
        for name in self.stage_names:
            x = self.get_submodule(name)(x)
            maps.append(x)
        return maps


class SceneHead(nn.Module):
    """Global mean of the last stage and a linear classifier."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, n_classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits [N, K]."""
        logits: Tensor = self.fc(maps[-1].mean(dim=(2, 3)))
        return logits


class DenseHead(nn.Module):
    """A map of ``channels`` values for every pixel; without the channel axis where it is one."""

    def __init__(self, backbone: Backbone, channels: int) -> None:
        super().__init__()
        stride = max(2, backbone.strides[0])
        laterals = []
        for width, own in zip(backbone.widths, backbone.strides, strict=True):
            side = max(1, stride // own)  # a stage at full resolution is gathered by 2×2 pixels
            laterals.append(nn.Conv2d(width, HEAD_WIDTH, side, side))
        self.laterals = nn.ModuleList(laterals)
        self.norm = nn.BatchNorm2d(HEAD_WIDTH)
        self.out = nn.Conv2d(HEAD_WIDTH, channels * stride**2, 3, 1, 1)
        self.stride, self.channels = stride, channels
        self.strides = [max(stride, own) for own in backbone.strides]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """[N, H, W], or [N, channels, H, W]."""
        x = self.laterals[-1](maps[-1])
        for i in range(len(maps) - 2, -1, -1):
            factor = self.strides[i + 1] // self.strides[i]
            finer = self.laterals[i](maps[i])
            x = finer + (x if factor == 1 else functional.interpolate(x, scale_factor=float(factor), mode="nearest"))
        x = functional.pixel_shuffle(self.out(torch.relu(self.norm(x))), self.stride)
        return x.squeeze(1) if self.channels == 1 else x


class MultiTaskNet(nn.Module):
    """A backbone and a head per task.

    Attributes:
        task: What :meth:`forward` returns. None: all heads' outputs, flat and side by side in the order of the heads,
            [N, …]; the name of a task: its head's output alone, [N, K] of the scene, [N, H, W] of key points and depth,
            [N, E, H, W] of segments.
    """

    def __init__(self, backbone: Backbone, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.task: str | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """See ``task``; images [N, C, H, W]."""
        maps = self.backbone(inputs.contiguous(memory_format=torch.channels_last))  # a fifth faster on a CPU
        if self.task is not None:
            alone: Tensor = self.heads[self.task](maps)
            return alone
        return torch.cat([head(maps).flatten(1) for head in self.heads.values()], dim=1)

    def freeze_other_heads(self) -> None:
        """Leave the backbone and the head of ``task`` as all that is trainable, where that is what is measured."""
        for name, head in self.heads.items():
            head.requires_grad_(self.task in (None, name))


class AllHeads(nn.Module):
    """A multi-task network as it is trained: all heads at once, whatever its ``task`` is for others who look at it."""

    def __init__(self, net: MultiTaskNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Tensor) -> Tensor:
        """All heads' outputs, as with ``task`` None."""
        task, self.net.task = self.net.task, None
        try:
            packed: Tensor = self.net(inputs)
        finally:
            self.net.task = task
        return packed


def multi_task_network(
    name: str,
    input_shape: tuple[int, ...],
    n_classes: int,
    tasks: Sequence[str],
    *,
    norm: str = "batch",
    embedding: int = EMBEDDING,
) -> MultiTaskNet:
    """Build a multi-task network with PyTorch's present random state.

    Args:
        name: One of ``BACKBONES``. Images from 48 to 95 pixels get a stem of stride 2 without pooling in ResNet-18 and
            ResNet-50; smaller ones the stem customary for CIFAR, larger ones that for ImageNet.
        tasks: Names of tasks, one head each, in this order.
        norm: ``"batch"``, or ``"group"``: GroupNorm (Wu and He, ECCV 2018) everywhere, which knows no statistics of the
            training data.
        embedding: Channels of the segments' head.

    Raises:
        ValueError: An unknown backbone or norm, or images whose sides the strides do not divide.
    """
    if name not in BACKBONES:
        raise ValueError(f"Several tasks take one of the networks {', '.join(BACKBONES)}, not {name!r}.")
    if norm not in NORMS:
        raise ValueError(f"The norm of a multi-task network is 'batch' or 'group', not {norm!r}.")
    _, height, width = image_shape(name, input_shape)
    backbone = _small(input_shape) if name == "resnet-small" else _torchvision(name, input_shape)
    coarsest = backbone.strides[-1]
    if height % coarsest or width % coarsest:
        raise ValueError(
            f"{name} with dense tasks takes images whose sides are multiples of {coarsest} pixels, not "
            f"{height}×{width}; choose another size of the data."
        )
    heads: dict[str, nn.Module] = {}
    for task in tasks:
        if task == "scene":
            heads[task] = SceneHead(backbone.widths[-1], n_classes)
        else:
            heads[task] = DenseHead(backbone, embedding if task == "segment_unsup2d" else 1)
    model = MultiTaskNet(backbone, heads)
    if norm == "group":
        _to_group_norm(model)
    return model


def _small(input_shape: tuple[int, ...]) -> Backbone:
    net = ResNetSmall(input_shape, 1)
    stem = {"stem": net.stem, "bn": net.bn, "relu": nn.ReLU()}
    return Backbone(stem, {"l1": net.l1, "l2": net.l2, "l3": net.l3}, WIDTHS, [1, 2, 4])


def _torchvision(name: str, input_shape: tuple[int, ...]) -> Backbone:
    from training.models.resnet import resnet18, resnet50

    side = min(input_shape[1:])
    small = 2 if side >= HALVED_FROM else 1
    net = (resnet18 if name == "resnet18" else resnet50)(input_shape, 1, small_stride=small)
    first = 4 if side >= IMAGENET_STEM_FROM else small
    stem = {part: getattr(net, part) for part in ("conv1", "bn1", "relu", "maxpool")}
    stages = {part: getattr(net, part) for part in ("layer1", "layer2", "layer3", "layer4")}
    widths = [w * (4 if name == "resnet50" else 1) for w in (64, 128, 256, 512)]
    return Backbone(stem, stages, widths, [first * 2**i for i in range(4)])


def _to_group_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(GROUPS, child.num_features))
        else:
            _to_group_norm(child)
