"""Streamed principal axes against scikit-learn, in bounded memory, and their reading of damaged files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from checkpoints import CheckpointError, Recorder, open_run
from landscape import pca_plane
from landscape import principal as principal_module

ROOT = Path(__file__).parent.parent.parent


def recorded(path, seed, count=9, finish=True):
    """A run of 300 parameters that walks at random."""
    torch.manual_seed(seed)
    model = nn.Linear(30, 10, bias=False)
    recorder = Recorder(path, model)
    recorder.__enter__()
    for step in range(count):
        with torch.no_grad():
            model.weight += 0.1 * torch.randn_like(model.weight)
        recorder.record(step)
    if finish:
        recorder.__exit__(None, None, None)
    return open_run(path)


@pytest.fixture
def runs(tmp_path):
    return [recorded(tmp_path / f"{seed}.h5", seed, count=5 + seed) for seed in (1, 4)]


@pytest.mark.parametrize("block", [1024, 7])
@pytest.mark.parametrize("read", [1 << 27, 4096])
def test_axes_equal_scikit_learns(runs, block, read, monkeypatch):
    monkeypatch.setattr(principal_module, "BLOCK", block)
    monkeypatch.setattr(principal_module, "READ_BYTES", read)
    plane = pca_plane(runs)
    matrix = np.concatenate([run.vectors() for run in runs]).astype(np.float64)
    wanted = PCA(2, svd_solver="full").fit(matrix)
    assert np.allclose(plane.explained_variance_ratio, wanted.explained_variance_ratio_, rtol=1e-9)
    for axis, other in zip(plane.axes, wanted.components_, strict=True):
        assert abs(axis @ other) == pytest.approx(1, abs=1e-9)
        assert axis[np.argmax(np.abs(axis))] > 0
    assert np.allclose(plane.axes, pca_plane([run.vectors() for run in runs]).axes, atol=1e-12)


def test_a_block_of_some_columns(runs, monkeypatch):
    monkeypatch.setattr(principal_module, "BLOCK", 16)
    chosen = np.array([3, 17, 40, 299])
    plane = pca_plane(runs, block=chosen)
    matrix = np.concatenate([run.vectors() for run in runs])[:, chosen].astype(np.float64)
    wanted = PCA(2, svd_solver="full").fit(matrix)
    assert np.allclose(plane.explained_variance_ratio, wanted.explained_variance_ratio_, rtol=1e-9)
    outside = np.setdiff1d(np.arange(300), chosen)
    assert not plane.axes[:, outside].any()


def test_columns_of_a_run_put_together_are_its_vectors(runs):
    for width in (1, 128, 300, 1000):
        pieces = list(runs[1].column_chunks(width))
        assert [start for start, _ in pieces] == list(range(0, 300, width))
        assert np.array_equal(np.concatenate([piece for _, piece in pieces], axis=1), runs[1].vectors())


def test_a_run_that_is_still_recorded(tmp_path):
    run = recorded(tmp_path / "live.h5", 0, finish=False)
    assert run.is_live
    pieces = [piece for _, piece in run.column_chunks(128)]
    assert np.array_equal(np.concatenate(pieces, axis=1), run.vectors())
    assert pca_plane(run).axes.shape == (2, 300)


def test_a_damaged_checkpoint_is_noticed(runs):
    path = runs[0].path
    data = bytearray(path.read_bytes())
    needle = runs[0].vectors()[2].tobytes()
    data[data.index(needle) + 400] ^= 1
    path.write_bytes(bytes(data))
    run = open_run(path)
    with pytest.raises(CheckpointError, match="damaged at checkpoint 2"):
        pca_plane(run)
    assert len(list(run.column_chunks(100, verify=False))) == 3


def test_memory_does_not_grow_with_checkpoints_times_parameters(tmp_path):
    script = """
import sys
from benchmarks.big_pca import peak_memory
from benchmarks.synthetic import write_random_walk
from checkpoints import open_run
from landscape import pca_plane
import landscape.principal as principal
principal.READ_BYTES = 1 << 23
paths = [sys.argv[1] + f"/{k}.h5" for k in range(2)]
from pathlib import Path
for k, path in enumerate(paths):
    write_random_walk(Path(path), parameters=1_000_000, checkpoints=60, seed=k)
runs = [open_run(path) for path in paths]
pca_plane([open_run(paths[0])])
before = peak_memory()
pca_plane(runs)
print((peak_memory() - before) / 2**20)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 60, "MiB beyond what one run took; the checkpoints themselves are 480 MB"
