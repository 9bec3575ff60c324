"""Data sets, networks, unlearnable methods and the training loop."""

from training.data import DATASETS, Dataset, DatasetError, batches, fingerprint_arrays, load_dataset
from training.loop import Trainer, mean_loss
from training.models import MODELS, build_model
from training.unlearnable import UNLEARNABLE, Poison, poison

__all__ = [
    "DATASETS",
    "MODELS",
    "UNLEARNABLE",
    "Dataset",
    "DatasetError",
    "Poison",
    "Trainer",
    "batches",
    "build_model",
    "fingerprint_arrays",
    "load_dataset",
    "mean_loss",
    "poison",
]
