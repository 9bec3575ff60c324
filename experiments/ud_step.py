"""The UD step: SAL that is missing is measured, then learnable blocks are counted."""

from __future__ import annotations

from experiments.engine import Where
from experiments.experiment import Experiment
from experiments.progress import Progress
from experiments.sal_step import compute_sal
from experiments.spec import SalSpec
from experiments.stored import read_sal, stored_sal
from experiments.ud_report import UdReport, report_ud


def compute_ud(
    experiment: Experiment,
    options: SalSpec | None = None,
    *,
    rule: str = "kmeans",
    progress: Progress | None = None,
    download: bool = False,
    where: Where | None = None,
) -> UdReport:
    """Measure what SAL is missing, then report UD. Raises :class:`ExperimentError` when a side is missing."""
    options = options or experiment.spec.sal
    if experiment.finished_runs():
        paths = compute_sal(experiment, options, progress=progress, download=download, where=where)
        series = {one.run: one for one in map(read_sal, paths)}
    else:
        series = stored_sal(experiment).get(options, {})
    return report_ud(experiment, options, series, rule=rule)
