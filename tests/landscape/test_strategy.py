"""How a way of evaluating is named, chosen by trying, and given up for a thriftier one."""

import time

import numpy as np
import pytest
import torch

from landscape import (
    PlaneEvaluator,
    Strategy,
    evaluate_surface,
    random_plane,
)
from landscape.evaluation import Evaluator
from landscape.kernel import PlaneKernel
from tests.landscape.test_strategies import GRID, WAYS, case


def test_out_of_memory_works_on_less_at_once_and_then_plainly(monkeypatch):
    model, batches = case("batch norm")
    plane = random_plane(model, seed=1)
    wanted = evaluate_surface(model, plane, batches, GRID, GRID, strategy="plain")
    original = PlaneKernel.measure

    def measure(self, alphas, betas):
        if self.strategy.chunk > limit:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return original(self, alphas, betas)

    for limit, expected in ((8, "steps, 8 samples, affine"), (1, "plain")):  # noqa: B007  (read by the closure)
        with monkeypatch.context() as patch:
            evaluator = Evaluator(model, batches, None)
            with evaluator.borrowed(model):
                chosen = PlaneEvaluator.with_strategy(evaluator, plane, Strategy("steps", 32, False, 1, True))
                patch.setattr(PlaneKernel, "measure", measure)
                i, j = np.unravel_index(np.arange(25), (5, 5))
                table = chosen.measure(GRID[i], GRID[j])
        assert str(chosen.strategy) == expected
        np.testing.assert_allclose(table[:, 0].reshape(5, 5), wanted.loss, rtol=1e-5)


def test_half_precision_says_how_far_it_is():
    model, batches = case("conv, norm, relu, pool")
    plane = random_plane(model, seed=1)
    exact = evaluate_surface(model, plane, batches, GRID, GRID)
    rough = evaluate_surface(model, plane, batches, GRID, GRID, precision=torch.bfloat16)
    worst = np.abs(rough.loss - exact.loss).max()
    assert exact.precision_error is None
    assert 0 < rough.precision_error <= worst * (1 + 1e-3)
    assert worst < 0.1


@pytest.mark.parametrize("words", ["plain", *map(str, WAYS)])
def test_strategies_read_back_what_they_say(words):
    assert str(Strategy.parse(words)) == words


def test_unknown_strategies_are_refused():
    model, batches = case("one layer")
    with pytest.raises(ValueError, match="no way to evaluate"):
        evaluate_surface(model, random_plane(model, seed=0), batches, GRID, GRID, strategy="quickly")


def test_the_trial_takes_the_fastest(monkeypatch):
    model, batches = case("batch norm")
    evaluator = Evaluator(model, batches, None)
    ways = [Strategy("steps", 1, False, 1, True), Strategy("steps", 30, False, 1, True)]
    monkeypatch.setattr(PlaneEvaluator, "_candidates", lambda self, program: ways)
    make = PlaneEvaluator._make

    def slow(self, program, strategy, samples=None):
        """Sample by sample takes longer, however busy the machine is."""
        kernel = make(self, program, strategy, samples)
        if strategy.chunk == 1:
            measure = kernel.measure
            kernel.measure = lambda a, b: (time.sleep(0.2), measure(a, b))[1]
        return kernel

    monkeypatch.setattr(PlaneEvaluator, "_make", slow)
    with evaluator.borrowed(model):
        chosen = PlaneEvaluator(evaluator, random_plane(model, seed=0), [(0.0, 0.0), (0.5, 0.5)], 10**7)
    assert chosen.strategy == ways[1]
    assert chosen.seconds > 0
