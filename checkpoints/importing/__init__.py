"""Checkpoints that others saved, as files of torch.save or safetensors, become runs of the store."""

from checkpoints.importing.finding import ENDINGS, find_checkpoints
from checkpoints.importing.metrics import read_metrics
from checkpoints.importing.reading import examine_checkpoints, import_checkpoints
from checkpoints.importing.report import FileReport, ImportReport
from checkpoints.importing.states import read_state

__all__ = [
    "ENDINGS",
    "FileReport",
    "ImportReport",
    "examine_checkpoints",
    "find_checkpoints",
    "import_checkpoints",
    "read_metrics",
    "read_state",
]
