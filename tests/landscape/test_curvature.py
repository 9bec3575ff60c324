"""Curvature against the Hessian written out, on models small enough for that."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape import ParameterLayout, hessian_eigenpairs, hessian_plane, hessian_trace


def case():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).double()
    x, y = torch.randn(60, 4).double(), torch.randint(0, 3, (60,))
    return model, [(x[:40], y[:40]), (x[40:], y[40:])]


def written_out(model, batches):
    model = copy.deepcopy(model).eval()
    layout = ParameterLayout.from_model(model)
    x, y = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])

    def loss(vector):
        return functional.cross_entropy(torch.func.functional_call(model, layout.unflatten(vector), (x,)), y)

    return torch.autograd.functional.hessian(loss, layout.vector(model)).numpy()


def test_eigenpairs_and_trace_equal_those_of_the_whole_matrix():
    model, batches = case()
    before = copy.deepcopy(model.state_dict())
    hessian = written_out(model, batches)
    values = np.linalg.eigvalsh(hessian)[::-1]
    pairs = hessian_eigenpairs(model, batches, k=3, tolerance=1e-9)
    assert np.allclose(pairs.values, values[:3], rtol=1e-6)
    assert (pairs.residuals < 1e-6).all()
    for value, vector in zip(pairs.values, pairs.vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1)
        assert np.allclose(hessian @ vector, value * vector, atol=1e-6)
    trace = hessian_trace(model, batches, probes=200)
    assert abs(trace.value - np.trace(hessian)) < 4 * trace.standard_error
    assert trace.standard_error < 0.2 * np.trace(hessian)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training


def test_one_layer_alone():
    model, batches = case()
    layout = ParameterLayout.from_model(model)
    where = layout.select("3")
    block = written_out(model, batches)[np.ix_(where, where)]
    pairs = hessian_eigenpairs(model, batches, k=2, layers=["3"], tolerance=1e-9)
    assert np.allclose(pairs.values, np.linalg.eigvalsh(block)[::-1][:2], rtol=1e-6)
    assert not pairs.vectors[:, : where[0]].any()


def test_the_plane_lies_along_the_top_two():
    model, batches = case()
    plane = hessian_plane(model, batches)
    vectors = np.linalg.eigh(written_out(model, batches))[1]
    for axis, k in zip(plane.axes, (-1, -2), strict=True):
        assert abs(axis @ vectors[:, k]) == pytest.approx(1, abs=1e-4)
        assert axis[np.argmax(np.abs(axis))] > 0
    assert np.array_equal(plane.origin, ParameterLayout.from_model(model).vector(model).numpy())


def test_wrong_questions():
    model, batches = case()
    with pytest.raises(ValueError, match="between 1 and 42"):
        hessian_eigenpairs(model, batches, k=43)
    with pytest.raises(ValueError, match="at least 2 probes"):
        hessian_trace(model, batches, probes=1)
    with pytest.raises(ValueError, match="no samples"):
        hessian_plane(model, [])
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        hessian_eigenpairs(model, batches)
