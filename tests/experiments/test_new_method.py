"""Adding an unlearnable method takes one file and one line in the registry: everything else finds it."""

import importlib.util

from click.testing import CliRunner

from cli import main
from experiments import Where
from experiments.bench_run import Bench, run_bench
from experiments.bench_table import bench_rows
from tests.experiments.test_bench import SPEC
from training import UNLEARNABLE, load_dataset, poison

METHOD = '''
"""Shift the first feature by the class: the smallest shortcut there is."""
import numpy as np
from training.unlearnable.perturbation import Perturbation

def perturb(dataset, *, seed, strength=None, column: int = 0):
    """Move one ``column`` by up to ``strength``."""
    size = 2.0 if strength is None else strength
    delta = np.zeros(dataset.x_train.shape)
    delta[:, column] = size * (dataset.y_train / dataset.n_classes - 0.5)
    return Perturbation(delta, "class shift", f"one feature by {size / 2:g}", size)
'''


def test_a_method_of_one_file_and_one_line_is_judged_by_a_benchmark(tmp_path, monkeypatch):
    file = tmp_path / "class_shift.py"
    file.write_text(METHOD)
    description = importlib.util.spec_from_file_location("class_shift", file)
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    monkeypatch.setitem(UNLEARNABLE, "class-shift", module.perturb)  # the one line

    data = load_dataset("toy")
    made = poison("class-shift", data, seed=0, ratio=0.5, strength=1.0, column=3)
    assert abs(made.changed.mean() - 0.5) < 1 / len(data.y_train)
    assert not made.perturbation[:, [0, 1, 2]].any()

    spec = tmp_path / "small.toml"
    spec.write_text(SPEC + '\n[arms.mine]\nmethod = "class-shift"\ncolumn = 3\n')
    bench = Bench.create(spec, tmp_path / "bench")
    run_bench(bench, where=Where(jobs=1))
    assert {row.method for row in bench_rows(bench) if row.arm == "mine"} == {"mine"}

    result = CliRunner().invoke(
        main, ["poison", "make", "class-shift", "--data", "toy", "--format", "npz", "--out", str(tmp_path / "mine.npz")]
    )
    assert result.exit_code == 0, result.output
