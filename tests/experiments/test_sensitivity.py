"""Sensitivity of UD: what is measured anew, what is read off, and what is refused."""

import numpy as np
import pytest

from analysis import unlearnable_distance
from experiments import ExperimentError, Where, compute_sal, read_sal
from experiments.bench_run import Bench, run_bench
from experiments.sensitivity_step import compute_sensitivity
from experiments.stored import stored_sal
from tests.experiments.test_bench import SPEC


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sensitivity")
    (folder / "small.toml").write_text(SPEC + '\n[arms.lsp]\nmethod = "lsp"\n')
    bench = Bench.create(folder / "small.toml", folder / "small")
    run_bench(bench, where=Where(jobs=1))
    (made,) = bench.experiments().values()
    return made


def test_nothing_is_measured_unless_wanted(experiment):
    before = experiment.result_files("sal")
    report = compute_sensitivity(experiment, measure=False)
    assert experiment.result_files("sal") == before
    assert set(report.settings) == {"every"}  # the schedule is read off what is measured; no other ε is
    assert report.seeds == (0, 1)
    assert report.rules.default == "kmeans"
    assert {row.estimator for row in report.estimators} >= {"authors", "log", "rank"}


def test_each_setting_is_varied_alone_and_agrees_with_ud_of_its_own_tables(experiment):
    report = compute_sensitivity(experiment, vary={"samples": (100, 200)}, where=Where(jobs=1))
    (found,) = report.settings.values()
    assert [one.setting for one in found.settings] == ["samples = 100", "samples = 200"]
    options = experiment.spec.sal.__class__(**{**experiment.spec.sal.__dict__, "samples": 100})
    series = {s.run: s.sal for s in map(read_sal, compute_sal(experiment, options, where=Where(jobs=1)))}
    wanted = np.mean([unlearnable_distance(series[f"clean-s{s}"], series[f"ops-s{s}"]).value for s in (0, 1)])
    assert found.settings[0].summaries["ops"].mean == pytest.approx(wanted)


def test_a_sparser_schedule_keeps_the_last_checkpoint(experiment):
    report = compute_sensitivity(experiment, vary={"every": (1, 2)}, measure=False)
    series = stored_sal(experiment)[experiment.spec.sal]
    few = {run: found.sal[[0, 2]] for run, found in series.items()}  # of three checkpoints
    wanted = np.mean([unlearnable_distance(few[f"clean-s{s}"], few[f"lsp-s{s}"]).value for s in (0, 1)])
    sparse = next(one for one in report.settings["every"].settings if one.setting == "every = 2")
    assert sparse.summaries["lsp"].mean == pytest.approx(wanted)


def test_the_report_reads_as_text_and_as_values(experiment):
    report = compute_sensitivity(experiment, measure=False)
    text, table = report.as_text(), report.as_json()
    assert "threshold rule" in text
    assert "estimator log" in text
    assert table["rules"]["settings"]["kmeans"]["ud"]["ops"]["n"] == 2


def test_unknown_settings_and_missing_measurements_are_refused(experiment, tmp_path):
    with pytest.raises(ExperimentError, match="epsilom is not a setting"):
        compute_sensitivity(experiment, vary={"epsilom": (0.1,)})
    with pytest.raises(ExperimentError, match="every must be at least 1, not 0"):
        compute_sensitivity(experiment, vary={"every": (0,)}, measure=False)
    (tmp_path / "small.toml").write_text(SPEC)
    (empty,) = Bench.create(tmp_path / "small.toml", tmp_path / "small").experiments().values()
    with pytest.raises(ExperimentError, match="no seed with SAL of every arm yet"):
        compute_sensitivity(empty, measure=False)
