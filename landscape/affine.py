"""Layers that are affine in (α, β): their input does not move, so three products serve every point of the plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.program import Affine, Pool, Tensors


@dataclass(frozen=True)
class AffineLayer:
    """A linear layer or convolution that reads only what stays, and the max pooling that alone reads it.

    Attributes:
        step: The layer, with its BatchNorm if there is one.
        pool: The pooling after it. The products are then kept window place by window place.
        classes_first: Give results as [C, n]: the layer is the network's last.
        norm_moves: Whether its BatchNorm has parameters that move; it is applied per point then.
    """

    step: Affine
    pool: Pool | None
    classes_first: bool
    norm_moves: bool

    @property
    def result(self) -> str:
        """Name of what it gives."""
        return self.step.result if self.pool is None else self.pool.result

    def products(self, source: Tensor, part: Callable[[str, int], Tensor], still: Tensors, last: bool) -> Tensor:
        """Results [3, places, n, …] at the origin and along both axes; ``last``: images with channels last."""
        step, scale, shift = self.step, None, None
        if step.norm is not None and not self.norm_moves:
            scale, shift = step.norm.scale_and_shift(still)
        results = []
        for k in range(3):
            weight = part(step.weight, k)
            bias = None if step.bias is None else part(step.bias, k)
            if scale is not None and shift is not None:
                weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
                bias = None if bias is None else bias * scale
                if k == 0:
                    bias = shift if bias is None else bias + shift
            out = step.call(source, weight, bias)
            places = [out] if self.pool is None else self.pool.slices(out)
            if self.classes_first:
                places = [place.T for place in places]
            order = torch.channels_last if last and out.dim() == 4 else torch.contiguous_format
            results.append([place.contiguous(memory_format=order) for place in places])
        images = last and results[0][0].dim() == 4
        if images:  # stacked as [3, places, n, H, W, C] in memory, seen as [3, places, n, C, H, W]
            return torch.stack([torch.stack([p.permute(0, 2, 3, 1) for p in row]) for row in results]).permute(
                0, 1, 2, 5, 3, 4
            )
        return torch.stack([torch.stack(row) for row in results])

    def solve(
        self, products: Tensor, alphas: NDArray[np.float64], betas: NDArray[np.float64], tensors: Mapping[str, Tensor]
    ) -> Tensor:
        """Results [P, n, …] at P points; ``tensors`` are the norm's parameters [P, …] where they move."""
        if len(alphas) == 1:
            out = torch.add(products[0], products[1], alpha=float(alphas[0]))
            out = out.add_(products[2], alpha=float(betas[0])).unsqueeze(0)
        else:
            factors = np.stack([np.ones_like(alphas), alphas, betas], axis=1)
            mix = torch.from_numpy(factors).to(products.device, products.dtype)
            out = (mix @ products.reshape(3, -1)).view(len(alphas), *products.shape[1:])
        if self.norm_moves and self.step.norm is not None:
            for k in range(len(alphas)):
                scale, shift = self.step.norm.scale_and_shift({name: stack[k] for name, stack in tensors.items()})
                shape = (-1, 1) if self.classes_first else (1, -1, *[1] * (out.dim() - 4))
                out[k].mul_(scale.view(shape)).add_(shift.view(shape))
        result = out[:, 0]
        for place in range(1, out.shape[1]):
            result = torch.maximum(result, out[:, place], out=None if place == 1 else result)
        relu = self.step.relu if self.pool is None else self.pool.relu
        return result.relu_() if relu else result


def run_classes_first(step: Affine, values: Mapping[str, Any], prepared: tuple[Tensor, Tensor | None]) -> Tensor:
    """A last linear layer's outputs as [C, n], from inputs [n, F]."""
    weight, bias = prepared
    out: Tensor = weight @ values[step.reads[0]].mT
    return out if bias is None else out + bias.unsqueeze(-1)
