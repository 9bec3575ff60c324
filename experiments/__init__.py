"""Experiments: what they are (spec, presets, catalogue), the pipeline that runs them, and jobs in the background."""

from typing import TYPE_CHECKING

from lazy_names import lazy_names

if TYPE_CHECKING:
    from checkpoints import write_bytes
    from experiments.catalogue import (
        find_experiment,
        home,
        is_gallery,
        list_experiments,
        load_preset_or_file,
        preset_names,
        writable,
    )
    from experiments.control import Control, Gate, read_control, write_control
    from experiments.curvature_step import CurvatureOptions, compute_curvature, curvature_text, describe_curvature
    from experiments.engine import Where
    from experiments.experiment import SPEC_FILE, Experiment, ExperimentError
    from experiments.importing import examine_runs, import_runs
    from experiments.live import LiveObserver, learnable_counts, read_snapshot, snapshot_path
    from experiments.pictures import draw, render
    from experiments.progress import Progress, ProgressFile, Several, Silent, Stopped, TerminalBar
    from experiments.sal_step import compute_sal
    from experiments.spec import ExperimentSpec, SalSpec, SpecError, SurfaceSpec
    from experiments.spec_toml import load_spec, override, spec_to_toml
    from experiments.stored import SalSeries, read_sal, stored_sal
    from experiments.summary import Summary, summarise
    from experiments.surface_step import compute_surface, describe_surface
    from experiments.train_step import train_experiment
    from experiments.ud_report import UdReport, report_ud
    from experiments.ud_step import compute_ud
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "SPEC_FILE",
    "Control",
    "CurvatureOptions",
    "Experiment",
    "ExperimentError",
    "ExperimentSpec",
    "Gate",
    "LiveObserver",
    "Progress",
    "ProgressFile",
    "SalSeries",
    "SalSpec",
    "Several",
    "Silent",
    "SpecError",
    "Stopped",
    "Summary",
    "SurfaceSpec",
    "TerminalBar",
    "UdReport",
    "Where",
    "compute_curvature",
    "compute_sal",
    "compute_surface",
    "compute_ud",
    "curvature_text",
    "describe_curvature",
    "describe_surface",
    "draw",
    "examine_runs",
    "find_experiment",
    "home",
    "import_runs",
    "is_gallery",
    "learnable_counts",
    "list_experiments",
    "load_preset_or_file",
    "load_spec",
    "override",
    "preset_names",
    "read_control",
    "read_sal",
    "read_snapshot",
    "render",
    "report_ud",
    "snapshot_path",
    "spec_to_toml",
    "stored_sal",
    "summarise",
    "train_experiment",
    "writable",
    "write_bytes",
    "write_control",
]
