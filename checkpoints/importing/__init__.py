"""Checkpoints that others saved, as files of torch.save or safetensors, become runs of the store."""

from checkpoints.importing.finding import ENDINGS, ending_of, find_checkpoints
from checkpoints.importing.metrics import read_metrics
from checkpoints.importing.reading import Like, examine_checkpoints, first_layout, import_checkpoints
from checkpoints.importing.recorded import RecordedReport, describe_recorded
from checkpoints.importing.report import FileReport, ImportReport
from checkpoints.importing.states import read_state

__all__ = [
    "ENDINGS",
    "FileReport",
    "ImportReport",
    "Like",
    "RecordedReport",
    "describe_recorded",
    "ending_of",
    "examine_checkpoints",
    "find_checkpoints",
    "first_layout",
    "import_checkpoints",
    "read_metrics",
    "read_state",
]
