"""ViT-small: the vision transformer of torchvision, 384 wide, with 12 layers of 6 heads.

Dosovitskiy et al., *An Image is Worth 16×16 Words* (ICLR 2021); the width is DeiT-small's (Touvron et al., ICML 2021).
"""

from __future__ import annotations

import math

from torch import nn

from training.models.shapes import image_shape

WIDTH, LAYERS, HEADS = 384, 12, 6
LARGE_PATCHES_FROM = 96  # pixels


def vit_small(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Patches of 4×4 pixels in images below 96, of 16×16 above; square images of whole patches.

    The joint query, key and value matrix of a layer is one bare parameter of ``nn.MultiheadAttention``; it belongs to
    no linear layer, and so to no block of SAL.
    """
    from torchvision.models import VisionTransformer

    channels, height, width = image_shape("vit-small", input_shape)
    patch = 4 if height < LARGE_PATCHES_FROM else 16
    if height != width or height % patch:
        raise ValueError(
            f"vit-small takes square images of whole {patch}×{patch} patches, not {height}×{width} pixels."
        )
    model: nn.Module = VisionTransformer(
        image_size=height,
        patch_size=patch,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        mlp_dim=4 * WIDTH,
        num_classes=n_classes,
    )
    patches = nn.Conv2d(channels, WIDTH, patch, patch)
    nn.init.trunc_normal_(patches.weight, std=math.sqrt(1 / (channels * patch * patch)))
    nn.init.zeros_(patches.bias)  # type: ignore[arg-type]  # the convolution has one
    model.conv_proj = patches
    for part in model.heads.modules():  # type: ignore[union-attr]
        if isinstance(part, nn.Linear):  # at zero, where torchvision starts it, a radius relative to its norm is none
            nn.init.trunc_normal_(part.weight, std=0.02)
    return model
