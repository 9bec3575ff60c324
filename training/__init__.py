"""Data sets, networks, unlearnable methods, defences and the training loop."""

from typing import TYPE_CHECKING

from lazy_names import lazy_names

if TYPE_CHECKING:
    from training.data import DATASETS, Dataset, DatasetError, batches, fingerprint_arrays, load_dataset
    from training.defences import DEFENCES, Defence, build_defence
    from training.loop import Trainer, mean_loss
    from training.models import MODELS, build_model
    from training.unlearnable import UNLEARNABLE, Poison, poison
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "DATASETS",
    "DEFENCES",
    "MODELS",
    "UNLEARNABLE",
    "Dataset",
    "DatasetError",
    "Defence",
    "Poison",
    "Trainer",
    "batches",
    "build_defence",
    "build_model",
    "fingerprint_arrays",
    "load_dataset",
    "mean_loss",
    "poison",
]
