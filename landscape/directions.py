"""Random directions and their normalisation (Li, Xu, Taylor, Studer and Goldstein, NeurIPS 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["filter", "layer", "weight", "dfilter", "dlayer"]
NORMS = ("filter", "layer", "weight", "dfilter", "dlayer", None)
TINY = 1e-10


def filter_normalize(
    direction: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    *,
    norm: str | None = "filter",
    ignore: str | None = "biasbn",
) -> dict[str, Tensor]:
    """Scale a direction to the weights it will be added to.

    Tensors of at most one axis (biases, normalisation layers) become zero with ``ignore="biasbn"``; otherwise they
    become a copy of the weight itself, as in the tool of Li et al. For tensors d of more axes, with weights w and
    slices i along the first axis:

    ======== ==============================
    filter   d_i ← d_i ‖w_i‖ / (‖d_i‖ + 1e-10)
    layer    d ← d ‖w‖ / ‖d‖
    weight   d ← d ∘ w
    dfilter  d_i ← d_i / (‖d_i‖ + 1e-10)
    dlayer   d ← d / ‖d‖
    None     d as it is
    ======== ==============================

    Args:
        direction, weights: Tensors by parameter name, of equal names and shapes.
        norm, ignore: As above.

    Returns:
        New tensors by name, in the order of ``weights``.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(map(str, NORMS))}, not {norm!r}.")
    if ignore not in ("biasbn", None):
        raise ValueError(f"ignore must be 'biasbn' or None, not {ignore!r}.")
    normalised: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name not in direction or direction[name].shape != weight.shape:
            raise ValueError(
                f"The direction has no tensor {name!r} of shape {list(weight.shape)}; give one per parameter."
            )
        d, w = direction[name].detach(), weight.detach()
        if d.dim() <= 1:
            normalised[name] = torch.zeros_like(w) if ignore == "biasbn" else w.clone()
        else:
            normalised[name] = _normalise(d, w, norm)
    return normalised


def _normalise(d: Tensor, w: Tensor, norm: str | None) -> Tensor:
    axes = tuple(range(1, d.dim()))
    if norm == "filter":
        scale: Tensor = torch.linalg.vector_norm(w, dim=axes, keepdim=True) / (
            torch.linalg.vector_norm(d, dim=axes, keepdim=True) + TINY
        )
    elif norm == "layer":
        scale = w.norm() / d.norm()
    elif norm == "weight":
        scale = w
    elif norm == "dfilter":
        scale = 1.0 / (torch.linalg.vector_norm(d, dim=axes, keepdim=True) + TINY)
    elif norm == "dlayer":
        scale = 1.0 / d.norm()
    else:
        return d.clone()
    return d * scale
