"""What several tests share: one thread, and one small finished experiment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from experiments import (
    Experiment,
    compute_surface,
    compute_ud,
    load_preset_or_file,
    override,
    train_experiment,
)

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def finished_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy experiment with both runs, SAL and one 7×7 surface; read it, never write into it."""
    spec = override(load_preset_or_file("toy-ops"), ["training.epochs=2", "surface.grid=7", "data.n_samples=1000"])
    experiment = Experiment.create(spec, tmp_path_factory.mktemp("toys") / "toy")
    train_experiment(experiment)
    compute_ud(experiment)
    compute_surface(experiment)
    return experiment.path


@pytest.fixture
def toy(finished_toy: Path, tmp_path: Path) -> Experiment:
    """A copy of the finished toy experiment to do anything with."""
    return Experiment.open(shutil.copytree(finished_toy, tmp_path / "toy"))
