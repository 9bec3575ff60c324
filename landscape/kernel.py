"""Many points of a plane with as little work as their differences need.

What no axis moves is computed once. A layer that reads only such results is affine in (α, β), so that three products
per piece of the data serve every point. The rest runs per point on pieces of the data that fit the processor's cache,
or for several points at once (:func:`torch.func.vmap`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.affine import AffineLayer, run_classes_first
from landscape.parameters import ParameterLayout
from landscape.planes import Plane
from landscape.program import INPUT, Affine, Pool, Program, Step, frontier, prepare_steps, run_steps
from landscape.scoring import Loss, Metric, Sums, add_class_scores, add_metric, add_right_answers, add_scores

CACHE_BYTES = 1 << 29  # for results that serve every point
GROUP_BYTES = 1 << 26  # for the weights of the points that are worked on together
_WORDS = re.compile(
    r"plain|(?P<name>steps|batched), (?P<chunk>[1-9]\d*) samples(?:, (?P<points>[1-9]\d*) points)?"
    r"(?P<last>, channels last)?(?P<affine>, affine)?"
)


@dataclass(frozen=True)
class Strategy:
    """How points are evaluated.

    Attributes:
        name: ``"plain"``: the model itself, batch by batch; ``"steps"``: point by point through the program;
            ``"batched"``: several points at once.
        chunk: Samples that go through the program together.
        channels_last: Memory order of images.
        points: Points at once, for ``"batched"``.
        affine: Whether layers that are affine in (α, β) are computed from three products.
    """

    name: str = "plain"
    chunk: int = 0
    channels_last: bool = False
    points: int = 1
    affine: bool = False

    def __str__(self) -> str:
        """In words that :meth:`parse` reads back."""
        if self.name == "plain":
            return "plain"
        words = [self.name, f"{self.chunk} samples"]
        if self.name == "batched":
            words.append(f"{self.points} points")
        if self.channels_last:
            words.append("channels last")
        if self.affine:
            words.append("affine")
        return ", ".join(words)

    @classmethod
    def parse(cls, words: str) -> Strategy:
        """Read what ``str`` wrote.

        Raises:
            ValueError: These words name no strategy.
        """
        match = _WORDS.fullmatch(words)
        if match is None:
            raise ValueError(f"{words!r} is no way to evaluate a surface; use 'auto' or 'plain'.")
        if match["name"] is None:
            return cls()
        points = int(match["points"] or 1)
        return cls(match["name"], int(match["chunk"]), bool(match["last"]), points, bool(match["affine"]))


@dataclass
class _Piece:
    """Some samples: what every point reads of them, and what their layers affine in the plane read."""

    targets: Tensor
    values: dict[str, Any]
    products: dict[str, Tensor]  # [3, n, …] at the origin and along both axes


class PlaneKernel:
    """A model's program, a plane and fixed data, ready to be evaluated at many points."""

    def __init__(
        self,
        program: Program,
        model: nn.Module,
        plane: Plane,
        batches: Sequence[tuple[Tensor, Tensor]],
        loss: Loss | None,
        strategy: Strategy,
        metric: Metric | None = None,
    ) -> None:
        self.program, self.strategy, self.loss, self.metric = program, strategy, loss, metric
        self.batches = batches
        self.samples = sum(len(t) for _, t in batches)
        self.classes = all(not t.is_floating_point() and t.dim() == 1 for _, t in batches)
        self._still_tensors = {n: t.detach() for n, t in [*model.named_parameters(), *model.named_buffers()]}
        self._read_plane(model, plane)
        self.still, self.moving = program.split(set(self._moved))
        self._front = loss is None and self.classes and self._classes_in_front()
        self._layers = self._affine_layers() if strategy.affine else []
        solved = {name for layer in self._layers for name in (layer.step.result, layer.result)}
        self._rest = [step for step in self.moving if step.result not in solved]
        self._per_point = [s for s in self._rest if not set(s.uses).isdisjoint(self._moved)]
        fixed = [s for s in self._rest if set(s.uses).isdisjoint(self._moved)]
        self._fixed = prepare_steps(fixed, self._still_tensors, strategy.channels_last)
        self._needed = self._needed_tensors()
        self._reads = frontier(self.still, self.moving, program.output) if self.moving else {program.output}
        self._cached: list[list[_Piece]] | None = None
        self._room = CACHE_BYTES  # negative once the pieces turned out not to fit

    def measure(self, alphas: NDArray[np.float64], betas: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean loss, accuracy, standard error and metric [P, 4] at P points."""
        tables = []
        for start in range(0, len(alphas), self.group_size):
            span = slice(start, start + self.group_size)
            tables.append(self._group(alphas[span], betas[span]))
        return np.concatenate(tables)

    @property
    def group_size(self) -> int:
        """Points whose weights are held at once."""
        scalars = max(1, sum(self._layout_sizes[n] for n in self._needed))
        room = max(1, GROUP_BYTES // (8 * scalars))
        return self.strategy.points if self.strategy.name == "batched" else min(64, room)

    @torch.no_grad()
    def outputs(self, alpha: float, beta: float) -> list[Tensor]:
        """The network's outputs for each batch at one point (for checks)."""
        a, b = np.array([alpha]), np.array([beta])
        tensors = self._weights(a, b)
        found = []
        for pieces in self._pieces():
            parts = [self._forward(piece, a, b, tensors)[0] for piece in pieces]
            found.append(torch.cat([part.T if self._front else part for part in parts]))
        return found

    @torch.no_grad()
    def _group(self, alphas: NDArray[np.float64], betas: NDArray[np.float64]) -> NDArray[np.float64]:
        tensors = self._weights(alphas, betas)
        sums = Sums.zero(len(alphas))
        for (_, targets), pieces in zip(self.batches, self._pieces(), strict=True):
            whole: list[list[Tensor]] = [[] for _ in alphas]
            for piece in pieces:
                for at, outputs in self._pass(piece, alphas, betas, tensors):
                    together = at.stop - at.start == len(alphas) > 1 and self.metric is None
                    if together and self._class_scores(outputs):
                        add_class_scores(sums, at, self._in_front(outputs), piece.targets)
                        continue
                    for offset, one in enumerate(outputs):
                        whole[at.start + offset].append(one)
            for point, parts in enumerate(whole):
                if parts:
                    self._score(sums, point, parts, targets)
        return sums.table(self.samples, spread=self.loss is None, classes=self.classes, metric=self.metric is not None)

    def _score(self, sums: Sums, point: int, parts: list[Tensor], targets: Tensor) -> None:
        """Add one point's outputs for a whole batch."""
        outputs = torch.cat(parts, dim=1 if self._front else 0)
        if self.metric is not None:
            add_metric(sums, point, outputs.T if self._front else outputs, targets, self.metric)
        if self._class_scores(outputs.unsqueeze(0)):
            add_class_scores(sums, slice(point, point + 1), self._in_front(outputs.unsqueeze(0)), targets)
            return
        if self.loss is not None:
            sums.loss[point] += float(self.loss(outputs, targets)) * len(targets)
        else:
            add_scores(sums, point, outputs, targets)
        if self.classes:
            add_right_answers(sums, point, outputs, targets)

    def _class_scores(self, outputs: Tensor) -> bool:
        """Whether outputs [P, n, C] are scores of classes under the default loss."""
        return self.loss is None and self.classes and outputs.dim() == 3

    def _in_front(self, outputs: Tensor) -> Tensor:
        return outputs if self._front else outputs.mT.contiguous()

    def _pass(
        self, piece: _Piece, alphas: NDArray[np.float64], betas: NDArray[np.float64], tensors: Mapping[str, Tensor]
    ) -> Iterator[tuple[slice, Tensor]]:
        """Outputs [p, n, …] of the points, some at a time ([p, C, n] with the classes in front)."""
        if self.strategy.name == "batched":
            yield slice(0, len(alphas)), self._forward(piece, alphas, betas, tensors)
            return
        for k in range(len(alphas)):
            one = slice(k, k + 1)
            here = {name: stack[one] for name, stack in tensors.items()}
            yield one, self._forward(piece, alphas[one], betas[one], here)

    def _forward(
        self, piece: _Piece, alphas: NDArray[np.float64], betas: NDArray[np.float64], tensors: Mapping[str, Tensor]
    ) -> Tensor:
        if not self.moving:
            same: Tensor = piece.values[self.program.output]
            return same.expand(len(alphas), *same.shape).clone()
        solved = {}
        for layer in self._layers:
            known = {n: tensors.get(n, self._still_tensors[n].unsqueeze(0)) for n in layer.step.uses}
            known = {n: stack.expand(len(alphas), *stack.shape[1:]) for n, stack in known.items()}
            solved[layer.result] = layer.solve(piece.products[layer.result], alphas, betas, known)
        if not self._rest:
            return solved[self.program.output]
        if len(alphas) == 1:
            single = {name: stack[0] for name, stack in tensors.items()}
            return self._finish(piece, {name: z[0] for name, z in solved.items()}, single).unsqueeze(0)
        batched: Tensor = torch.func.vmap(lambda z, t: self._finish(piece, z, t))(solved, dict(tensors))
        return batched

    def _finish(self, piece: _Piece, solved: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        prepared = dict(self._fixed)
        if self._per_point:
            known = {**self._still_tensors, **tensors}
            prepared |= prepare_steps(self._per_point, known, self.strategy.channels_last)
        values = {**piece.values, **solved}
        last = self._rest[-1]
        if self._front and isinstance(last, Affine):
            run_steps(self._rest[:-1], values, prepared, set(last.reads))
            return run_classes_first(last, values, prepared[last.result])
        out: Tensor = run_steps(self._rest, values, prepared, {self.program.output})[self.program.output]
        return out

    def _pieces(self) -> Iterator[Iterable[_Piece]]:
        """The data batch by batch, in pieces that are made when they are wanted, and kept where all have room."""
        if self._cached is not None:
            yield from self._cached
            return
        kept: list[list[_Piece]] = []
        for inputs, targets in self.batches:
            kept.append([])
            yield self._made(inputs, targets, kept)
        if self._room >= 0:
            self._cached = kept

    def _made(self, inputs: Tensor, targets: Tensor, kept: list[list[_Piece]]) -> Iterator[_Piece]:
        for start in range(0, len(targets), self.strategy.chunk):
            span = slice(start, start + self.strategy.chunk)
            piece = self._piece(inputs[span], targets[span])
            if self._room >= 0:
                self._room -= _bytes(piece)
                kept[-1].append(piece)
            if self._room < 0:
                for pieces in kept:
                    pieces.clear()
            yield piece

    def _piece(self, inputs: Tensor, targets: Tensor) -> _Piece:
        if self.strategy.channels_last and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        prepared = prepare_steps(self.still, self._still_tensors, self.strategy.channels_last)
        values = run_steps(self.still, {INPUT: inputs}, prepared, self._reads)
        last = self.strategy.channels_last
        products = {
            layer.result: layer.products(values[layer.step.reads[0]], self._part, self._still_tensors, last)
            for layer in self._layers
        }
        read = {name for step in self._rest for name in step.reads} | {self.program.output}
        return _Piece(targets, {name: value for name, value in values.items() if name in read}, products)

    def _part(self, name: str, k: int) -> Tensor:
        if name in self._moved:
            return self._moved[name][k]
        still = self._still_tensors[name]
        return still if k == 0 else torch.zeros_like(still)

    def _weights(self, alphas: NDArray[np.float64], betas: NDArray[np.float64]) -> dict[str, Tensor]:
        """Parameters [P, …] that the points need, from the stored origin in float64, cast to the model's types."""
        stacks = {}
        for name in self._needed:
            origin, x, y = self._exact[name]
            like = self._still_tensors[name]
            stack = torch.empty((len(alphas), *like.shape), dtype=like.dtype)
            for k in range(len(alphas)):  # one after the other: their temporaries then stay in the cache
                point = alphas[k] * x
                point += origin
                point += betas[k] * y
                stack[k].view(-1).copy_(torch.from_numpy(point))
            stacks[name] = stack.to(like.device)
        return stacks

    def _read_plane(self, model: nn.Module, plane: Plane) -> None:
        layout = ParameterLayout.from_model(model)
        self._layout_sizes = dict(zip(layout.names, layout.sizes, strict=True))
        self._moved: dict[str, Tensor] = {}  # [3, …] in the model's types: origin and both axes
        self._exact: dict[str, tuple[NDArray[np.float64], ...]] = {}
        for name, where in layout.slices.items():
            like = self._still_tensors[name]
            parts = (plane.origin[where], plane.axes[0, where], plane.axes[1, where])
            if parts[1].any() or parts[2].any():
                self._exact[name] = parts
                stacked = torch.from_numpy(np.stack(parts)).to(like.device, like.dtype)
                self._moved[name] = stacked.view(3, *like.shape)
            else:
                self._still_tensors[name] = torch.from_numpy(parts[0]).to(like.device, like.dtype).view(like.shape)

    def _affine_layers(self) -> list[AffineLayer]:
        changed = {step.result for step in self.moving}
        readers: dict[str, list[Step]] = {}
        for step in self.moving:
            for name in step.reads:
                readers.setdefault(name, []).append(step)
        found = []
        for step in self.moving:
            if not isinstance(step, Affine) or not changed.isdisjoint(step.reads):
                continue
            after = readers.get(step.result, [])
            pool = after[0] if len(after) == 1 and not step.relu and step.result != self.program.output else None
            pool = pool if isinstance(pool, Pool) and pool.window is not None else None
            front = self._front and step.result == self.program.output
            norm_moves = step.norm is not None and not set(step.norm.uses).isdisjoint(self._moved)
            found.append(AffineLayer(step, pool, front, norm_moves))
        return found

    def _classes_in_front(self) -> bool:
        """Whether the network ends in a linear layer of inputs [n, F], whose outputs can be made as [C, n]."""
        last = self.moving[-1] if self.moving else None
        if not (isinstance(last, Affine) and last.is_linear and last.result == self.program.output) or last.relu:
            return False
        values: dict[str, Any] = {INPUT: self.batches[0][0][:1]}
        before = [step for step in self.program.steps if step is not last]
        with torch.no_grad():
            run_steps(before, values, prepare_steps(before, self._still_tensors, False), set(last.reads))
        return bool(values[last.reads[0]].dim() == 2)

    def _needed_tensors(self) -> list[str]:
        """Moved parameters that must be made for every point; an affine layer needs only those of its BatchNorm."""
        names = {name for step in self._per_point for name in step.uses}
        for layer in self._layers:
            if layer.norm_moves and layer.step.norm is not None:
                names.update(layer.step.norm.uses)
        return sorted(names.intersection(self._moved))


def _bytes(piece: _Piece) -> int:
    tensors = [v for v in piece.values.values() if isinstance(v, Tensor)] + list(piece.products.values())
    return sum(t.numel() * t.element_size() for t in tensors)
