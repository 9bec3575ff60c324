"""The store: record, read, pack, check and import runs; write and read results. Knows no data set and draws nothing."""

from typing import TYPE_CHECKING

from lazy_names import lazy_names

if TYPE_CHECKING:
    from checkpoints.container import Result, read_result, write_result
    from checkpoints.durable import write_bytes
    from checkpoints.errors import CheckpointError
    from checkpoints.layout import Parameters
    from checkpoints.recorder import Recorder, ResumePoint
    from checkpoints.run import Run, copy_run, open_run
    from checkpoints.schedule import DenseThenSparse, EveryEpochs, EverySteps, Schedule
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "CheckpointError",
    "DenseThenSparse",
    "EveryEpochs",
    "EverySteps",
    "Parameters",
    "Recorder",
    "Result",
    "ResumePoint",
    "Run",
    "Schedule",
    "copy_run",
    "open_run",
    "read_result",
    "write_bytes",
    "write_result",
]
