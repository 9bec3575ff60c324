"""Data sets: what one is, the registered ones, and any ``.npz`` file."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.data.dataset import Dataset, DatasetError, batches, fingerprint_arrays
from training.data.digits import load_digits
from training.data.npz import load_npz
from training.data.torchvision_sets import load_fashion_mnist, load_mnist
from training.data.toy import load_toy

DATASETS: dict[str, Callable[..., Dataset]] = {
    "toy": load_toy,
    "digits": load_digits,
    "mnist": load_mnist,
    "fashion-mnist": load_fashion_mnist,
}
DOWNLOADED = ("mnist", "fashion-mnist")


def load_dataset(name: str, *, download: bool = False, root: Path | str | None = None, **options: Any) -> Dataset:
    """Load a data set by registered name, or from an ``.npz`` file by path.

    Args:
        name: One of ``DATASETS``, or a path that ends with ``.npz``.
        download: Allow torchvision to fetch MNIST or Fashion-MNIST once.
        root: Where downloaded data lie; default ``$UNLEARNSCAPE_DATA``, else the user's cache folder.
        options: The loader's own, such as ``n_samples`` of ``toy``.

    Raises:
        DatasetError: Unknown name or option, or data that cannot be used; one sentence.
    """
    if str(name).endswith(".npz"):
        if options:
            raise DatasetError(f"A data file takes no options, but {', '.join(options)} was given.")
        return load_npz(Path(name).expanduser())
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(DATASETS)} and paths of .npz files."
        raise DatasetError(f"There is no data set called {name!r}; {hint}")
    known = sorted(set(inspect.signature(DATASETS[name]).parameters) - {"download", "root"})
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DatasetError(f"{name} has no option {unknown[0]!r}; it knows {', '.join(known) or 'none'}.")
    if name in DOWNLOADED:
        options |= {"download": download, "root": root}
    try:
        return DATASETS[name](**options)
    except (ValueError, TypeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"The data set {name} cannot be made with these options: {error}") from None


__all__ = ["DATASETS", "DOWNLOADED", "Dataset", "DatasetError", "batches", "fingerprint_arrays", "load_dataset"]
