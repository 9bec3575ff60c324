"""Which way of evaluating a model is fastest here: found by trying, and used only where it gives the same numbers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.kernel import PlaneKernel, Strategy
from landscape.planes import Plane
from landscape.program import Program, agrees, uneven
from landscape.tracing import trace

if TYPE_CHECKING:
    from landscape.evaluation import Evaluator

PLAIN = Strategy()
CHECKED_SAMPLES = 47
CHECKED_SAMPLES_LARGE = 15  # of large networks, where checking would take seconds
RESULT_BYTES = 4 << 20  # of the widest result of many points at once
NARROW = 16  # units of a layer up to which twice as many points go at once
LARGE = 1_000_000  # parameters from which a convolutional network's own weights fill the cache
TRIAL_SECONDS = 8.0  # at most, and at most TRIAL_SHARE of the whole work
TRIAL_SHARE = 0.02
# Rounding that rewriting a network may cause, relative to its largest output.
TOLERANCES = {torch.float64: 1e-10, torch.float32: 3e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
Point = tuple[float, float]


class PlaneEvaluator:
    """A model on a plane, measured at many points in the fastest way that was found to agree with the plain one.

    Attributes:
        strategy: The way that was found.
        seconds: About how long a point takes; 0 where that was not tried.
    """

    def __init__(self, evaluator: Evaluator, plane: Plane, checks: Sequence[Point], points: int) -> None:
        """Choose how to evaluate ``points`` points; ``checks`` are some of them, to compare the ways at."""
        self.evaluator, self.plane = evaluator, plane
        self.strategy, self.seconds = PLAIN, 0.0
        self._kernel: PlaneKernel | None = None
        self._choose(checks, points)

    @classmethod
    def with_strategy(
        cls, evaluator: Evaluator, plane: Plane, strategy: Strategy, checks: Sequence[Point] = ()
    ) -> PlaneEvaluator:
        """Evaluate in a given way, such as the one that another process chose; plain where it does not work here.

        With ``checks``, the way must agree with the model itself at these points; without, whoever chose it checked.
        """
        made = cls.__new__(cls)
        made.evaluator, made.plane, made.strategy, made._kernel = evaluator, plane, strategy, None
        made.seconds = 0.0
        few = made._first_samples()
        expected, seconds = made._plain_outputs(checks, few) if checks else (None, 0.0)
        made.seconds = seconds * evaluator.samples / max(1, few)
        program = trace(evaluator.model) if strategy.name != "plain" and made._can_be_cut() else None
        agrees_here = not checks or (
            program is not None and expected is not None and made._agrees(program, strategy, checks, expected, few)
        )
        if program is not None and agrees_here:
            made._kernel = made._make(program, strategy)
        else:
            made.strategy = PLAIN
        return made

    def measure(self, alphas: NDArray[np.float64], betas: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean loss, accuracy, standard error and metric [P, 4]; NaN where not defined."""
        while self._kernel is not None:
            try:
                return self._kernel.measure(alphas, betas)
            except (RuntimeError, MemoryError) as error:
                if _out_of_memory(error):
                    self._shrink()
                else:  # a piece of another size than any that was checked, say: the model itself knows what to do
                    self.strategy, self._kernel = PLAIN, None
        pairs = zip(alphas, betas, strict=True)
        return np.array([self.evaluator.at(self.plane.point(a, b)) for a, b in pairs]).reshape(-1, 4)

    def _shrink(self) -> None:
        """Work on fewer samples and points at once, or fall back to the model itself."""
        assert self._kernel is not None
        old = self.strategy
        if old.chunk <= 8 and old.points == 1:
            self.strategy, self._kernel = PLAIN, None
            return
        name = "steps" if old.points <= 2 else old.name
        self.strategy = replace(old, name=name, chunk=max(8, old.chunk // 2), points=max(1, old.points // 2))
        self._kernel = self._make(self._kernel.program, self.strategy)

    def _make(self, program: Program, strategy: Strategy, samples: int | None = None) -> PlaneKernel:
        batches = self.evaluator.batches if samples is None else _first(self.evaluator.batches, samples)
        model, loss, metric = self.evaluator.model, self.evaluator.loss, self.evaluator.metric
        return PlaneKernel(program, model, self.plane, batches, loss, strategy, metric)

    def _choose(self, checks: Sequence[Point], points: int) -> None:
        if not self._can_be_cut():
            return
        samples = self._first_samples()
        expected, seconds = self._plain_outputs(checks, samples)
        self.seconds = seconds * self.evaluator.samples / samples
        program = trace(self.evaluator.model) if expected is not None else None
        if program is None or expected is None:
            return
        work = self.seconds * points
        candidates = self._candidates(program)
        if work > 0.5:
            candidates = self._fastest_first(program, candidates, budget=min(TRIAL_SECONDS, TRIAL_SHARE * work))
        for strategy in candidates:
            if self._agrees(program, strategy, checks, expected, samples):
                self.strategy, self._kernel = strategy, self._make(program, strategy)
                return

    def _first_samples(self) -> int:
        """Samples of the first batch that are looked at to check and to time."""
        checked = CHECKED_SAMPLES_LARGE if self.evaluator.layout.size > LARGE else CHECKED_SAMPLES
        return min(checked, len(self.evaluator.batches[0][1]))

    def _can_be_cut(self) -> bool:
        """Whether data are tensors with one target each, and the first batch shows whether samples stay apart."""
        whole = all(isinstance(x, Tensor) and len(x) == len(t) for x, t in self.evaluator.batches)
        return whole and len(self.evaluator.batches[0][1]) >= 3

    def _plain_outputs(self, checks: Sequence[Point], samples: int) -> tuple[list[Tensor] | None, float]:
        """The model's own outputs for the first samples at each check, and seconds per point."""
        inputs = self.evaluator.batches[0][0][:samples]
        found: list[Tensor] = []
        with torch.no_grad():
            self.evaluator.move(self.plane.point(*checks[0]))
            once = self.evaluator.model(inputs)
            start = time.perf_counter()
            for point in checks:
                self.evaluator.move(self.plane.point(*point))
                found.append(self.evaluator.model(inputs))
            if found and isinstance(found[-1], Tensor) and found[-1].is_cuda:
                torch.cuda.synchronize()
            seconds = (time.perf_counter() - start) / len(checks)
        if not isinstance(once, Tensor):
            return None, seconds
        self.evaluator.check_labels(once, self.evaluator.batches[0][1])
        if not torch.equal(once.nan_to_num(), found[0].nan_to_num()):
            warnings.warn(
                "The model gives other outputs for the same weights and inputs each time (a dropout that stays on in "
                "evaluation mode?); its surface is measured once per point and is as noisy as the model.",
                RuntimeWarning,
                stacklevel=2,
            )
            return None, seconds
        return found, seconds

    def _agrees(
        self, program: Program, strategy: Strategy, checks: Sequence[Point], expected: Sequence[Tensor], samples: int
    ) -> bool:
        """Whether a strategy gives the model's outputs, also where it cuts the batch in pieces, one of them single."""
        small = replace(strategy, chunk=min(strategy.chunk, uneven(samples)))
        kernel_samples = samples
        try:
            kernel = self._make(program, small, kernel_samples)
            for outputs, (a, b) in zip(expected, checks, strict=True):
                tolerance = TOLERANCES.get(outputs.dtype, 0.0)
                if not agrees(outputs, torch.cat(kernel.outputs(a, b)), tolerance=tolerance):
                    return False
            if strategy.points > 1:  # the same numbers for several points at once
                xs, ys = np.array(checks, dtype=np.float64).T
                alone = np.concatenate([kernel.measure(xs[k : k + 1], ys[k : k + 1]) for k in range(len(xs))])
                together = kernel.measure(xs, ys)
                scale = TOLERANCES.get(expected[0].dtype, 0.0)
                return bool(np.allclose(alone[:, 0], together[:, 0], rtol=scale, atol=scale, equal_nan=True))
        except Exception:  # no batching rule, a shape that cannot be cut: whatever it is, not this way
            return False
        return True

    def _candidates(self, program: Program) -> list[Strategy]:
        """Ways worth trying, the most promising first."""
        n = self.evaluator.samples
        gpu = self.evaluator.batches[0][0].is_cuda
        if gpu:
            steps = [Strategy("steps", min(n, c), last, 1, True) for c in (4096, 512) for last in (True, False)]
            return [*steps, Strategy("batched", min(n, 1024), False, 64, True)]
        small = self.evaluator.layout.size <= 300_000
        batched = [Strategy("batched", min(n, c), False, p, True) for c, p in (self._fitting(), (4096, 16)) if small]
        if not program.convolves:
            return [*batched, Strategy("steps", min(n, 4096), False, 1, True), Strategy("steps", 256, False, 1, True)]
        if self.evaluator.layout.size > LARGE:  # wide layers: few samples already fill the cache
            orders = [(16, False), (32, False), (16, True), (32, True), (64, False), (8, False)]
        else:
            orders = [(128, False), (128, True), (256, True), (64, True), (32, True), (64, False)]
        return [*[Strategy("steps", min(n, c), last, 1, True) for c, last in orders], *batched[:1]]

    def _fitting(self) -> tuple[int, int]:
        """Samples and points whose widest result, in layers of units, stays within a processor's cache."""
        width = max((shape[0] for shape in self.evaluator.layout.shapes if len(shape) == 2), default=1)
        points = 64 if width <= NARROW else 32
        samples = RESULT_BYTES // (4 * width * points)
        return 1 << int(np.clip(np.log2(max(1, samples)), 7, 10)), points

    def _fastest_first(self, program: Program, candidates: Sequence[Strategy], budget: float) -> list[Strategy]:
        """Try each on some of the data until the budget (in seconds) is spent; those not tried come last."""
        samples = self._trial_samples(candidates, budget)
        end = time.perf_counter() + budget
        tried: list[tuple[float, int]] = []
        for number, strategy in enumerate(candidates):
            count = strategy.points if strategy.points > 1 else 1 + (samples >= 256)
            if strategy.chunk > max(samples, candidates[0].chunk):
                continue  # on so few samples it is the same as one with smaller pieces
            if tried and 2 * count * min(tried)[0] > end - time.perf_counter():
                continue  # even if it were the fastest, trying it would take too long
            a, b = np.linspace(-0.1, 0.1, count), np.linspace(0.1, -0.1, count)
            with suppress(Exception):  # no batching rule, no memory: whatever it is, not this way
                kernel = self._make(program, strategy, samples)
                kernel.measure(a[:2], b[:2])
                begin = time.perf_counter()
                kernel.measure(a, b)
                tried.append(((time.perf_counter() - begin) / count, number))
        order = [number for _, number in sorted(tried)]
        self.seconds = min(tried)[0] * self.evaluator.samples / samples if tried else self.seconds
        return [candidates[k] for k in [*order, *(k for k in range(len(candidates)) if k not in order)]]

    def _trial_samples(self, candidates: Sequence[Strategy], budget: float) -> int:
        """Samples on which every candidate can be run twice within the budget, as far as the plain way tells."""
        affordable = budget * self.evaluator.samples / max(1e-9, 2 * len(candidates) * self.seconds)
        return min(self.evaluator.samples, int(np.clip(affordable, 64, 1024 if budget > 0.3 else 256)))


def _first(batches: Sequence[tuple[Tensor, Tensor]], samples: int) -> list[tuple[Tensor, Tensor]]:
    """The first samples, in the batches they come in."""
    taken: list[tuple[Tensor, Tensor]] = []
    for inputs, targets in batches:
        if samples <= 0:
            break
        taken.append((inputs[:samples], targets[:samples]))
        samples -= len(targets)
    return taken


def _out_of_memory(error: BaseException) -> bool:
    words = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        phrase in words for phrase in ("out of memory", "can't allocate memory", "not enough memory")
    )
