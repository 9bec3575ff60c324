"""The order of a grid's points, and what a tolerance leaves out."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape import Plane, coarse_surface, evaluate_surface
from landscape.refinement import grid_groups, grid_levels


@pytest.mark.parametrize("shape", [(51, 51), (7, 7), (2, 9), (25, 3), (1, 1)])
def test_levels_hold_every_point_once_and_begin_coarse(shape):
    levels = grid_levels(shape)
    every = np.concatenate(levels)
    assert np.array_equal(np.sort(every), np.arange(shape[0] * shape[1]))
    assert len(levels[0]) <= 100
    cut = np.concatenate(grid_groups(shape, 10**6))
    assert np.array_equal(cut, every)


def wavy(side=41):
    """A surface with a steep wall whose every point costs nothing: a linear layer's loss is what we say it is."""
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    plane, grid = Plane(np.zeros(2), np.eye(2)), np.linspace(-1, 1, side)

    def loss(outputs, targets):
        a, b = outputs[0, 0].double(), outputs[1, 0].double()
        return torch.sin(3 * a) + b**2 + torch.exp(4 * (a + b) - 4)

    return model, plane, [(torch.eye(2), torch.zeros(2))], grid, loss


@pytest.mark.parametrize("tolerance", [0.05, 0.01, 0.002])
def test_a_tolerance_is_kept_with_fewer_points(tolerance):
    model, plane, batches, grid, loss = wavy()
    whole = evaluate_surface(model, plane, batches, grid, grid, loss=loss)
    rough = evaluate_surface(model, plane, batches, grid, grid, loss=loss, tolerance=tolerance)
    span = np.ptp(whole.loss)
    assert np.abs(rough.loss - whole.loss).max() <= tolerance * span
    assert rough.interpolation_error <= tolerance * span
    assert 40 < rough.evaluated.sum() < 41 * 41 / 3
    assert np.array_equal(rough.loss[rough.evaluated], whole.loss[rough.evaluated])


def test_non_finite_losses_are_found_out_and_never_interpolated():
    model, plane, batches, grid, _ = wavy(31)

    def loss(outputs, targets):
        a, b = outputs[0, 0], outputs[1, 0]
        return torch.where(a**2 + b**2 > 1.2, torch.tensor(torch.nan), a**2 + b)

    whole = evaluate_surface(model, plane, batches, grid, grid, loss=loss)
    rough = evaluate_surface(model, plane, batches, grid, grid, loss=loss, tolerance=0.01)
    assert np.isnan(whole.loss).any()
    np.testing.assert_array_equal(np.isnan(rough.loss), np.isnan(whole.loss))
    np.testing.assert_allclose(rough.loss, whole.loss, atol=0.01 * np.nanmax(whole.loss) * 2)


def test_nothing_is_interpolated_below_what_was_met():
    model, plane, batches, grid, _ = wavy(51)

    def loss(outputs, targets):
        a, b = outputs[0, 0].double(), outputs[1, 0].double()
        return 0.01 + 1e4 * (a**2 + b**2) ** 2

    rough = evaluate_surface(model, plane, batches, grid, grid, loss=loss, tolerance=0.01)
    assert not rough.evaluated.all()
    assert rough.loss.min() >= 0.01


def test_wrong_tolerances():
    model, plane, batches, grid, loss = wavy(5)
    for tolerance in (0.0, -1.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            evaluate_surface(model, plane, batches, grid, grid, loss=loss, tolerance=tolerance)


def test_a_coarse_surface_is_the_finest_complete_grid():
    model, plane, batches, grid, loss = wavy(17)
    seen = []
    evaluate_surface(model, plane, batches, grid, grid, loss=loss, on_group=lambda s: seen.append(coarse_surface(s)))
    sides = [len(s.alphas) for s in seen if s is not None]
    assert sides == sorted(sides)
    assert sides[-1] == 17
    assert sides[0] < 17
    assert all(s.evaluated.all() for s in seen if s is not None)
